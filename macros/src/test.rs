//! `#[cofferdam::test]`: a test on its worker's runtime.

use super::arguments::{UsageError, parts};
use super::item::{Attribute, split};
use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// The arguments of the attribute.
struct TestArguments {
    is_multi_thread: bool,
    /// The number, as it is written.
    worker_threads: Option<TokenTree>,
    /// The first argument that is about the runtime.
    of_runtime: Option<Span>,
    /// The path of the cofferdam crate.
    root: String,
}

impl TestArguments {
    fn read(written: TokenStream) -> Result<Self, UsageError> {
        let mut read = Self {
            is_multi_thread: false,
            worker_threads: None,
            of_runtime: None,
            root: "::cofferdam".to_owned(),
        };
        for argument in parts(written) {
            let Some(first) = argument.first() else { continue };
            let value = match argument.get(1) {
                Some(TokenTree::Punct(sign)) if sign.as_char() == '=' => &argument[2..],
                _ => &[],
            };
            match (first.to_string().as_str(), value) {
                ("flavor", [value]) => {
                    read.is_multi_thread = match value.to_string().as_str() {
                        "\"current_thread\"" => false,
                        "\"multi_thread\"" => true,
                        _ => {
                            let reason = "the flavors are \"current_thread\" and \"multi_thread\"";
                            return Err(UsageError::new(value.span(), reason));
                        }
                    };
                    read.of_runtime.get_or_insert(first.span());
                }
                ("worker_threads", [value]) => {
                    read.worker_threads = Some(value.clone());
                    read.of_runtime.get_or_insert(first.span());
                }
                ("crate", [_, ..]) => read.root = value.iter().cloned().collect::<TokenStream>().to_string(),
                (name, _) => return Err(UsageError::new(first.span(), unknown(name))),
            }
        }
        match &read.worker_threads {
            Some(threads) if !read.is_multi_thread => Err(UsageError::new(
                threads.span(),
                "worker_threads needs flavor = \"multi_thread\"",
            )),
            _ => Ok(read),
        }
    }

    fn flavor(&self) -> String {
        let root = &self.root;
        if !self.is_multi_thread {
            return format!("{root}::worker::runtime::Flavor::current_thread()");
        }
        let threads = match &self.worker_threads {
            Some(threads) => format!("::core::option::Option::Some({threads})"),
            None => "::core::option::Option::None".to_owned(),
        };
        // Named here, because the method exists only where the suite's tokio has the feature for it.
        let builder = format!("{root}::worker::runtime::Builder::new_multi_thread");
        format!("{root}::worker::runtime::Flavor::multi_thread({builder}, {threads})")
    }
}

fn unknown(name: &str) -> String {
    match name {
        "start_paused" => "start_paused is not supported, because the runtime serves further tests: call \
                           tokio::time::pause() in the test's body; the worker's next test gets a new runtime"
            .to_owned(),
        name => format!(
            "unknown argument {name}: use flavor = \"multi_thread\", worker_threads = 2, or crate = path"
        ),
    }
}

/// The function below the attribute.
struct TestFunction<'a> {
    is_async: bool,
    name: &'a Ident,
    /// The `->` and the type after it, if there are any.
    output: &'a [TokenTree],
    body: &'a Group,
}

impl<'a> TestFunction<'a> {
    fn read(rest: &'a [TokenTree]) -> Result<Self, UsageError> {
        let is_word =
            |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(it) if it.to_string() == word);
        let error = |reason| Err(UsageError::new(Span::call_site(), reason));
        let Some(keyword) = rest.iter().position(|token| is_word(token, "fn")) else {
            return error("#[cofferdam::test] applies to a function");
        };
        let (qualifiers, rest) = rest.split_at(keyword);
        if let Some(other) = qualifiers.iter().find(|token| {
            ["unsafe", "extern", "const"]
                .iter()
                .any(|word| is_word(token, word))
        }) {
            return Err(UsageError::new(
                other.span(),
                "a test is a plain or an async function",
            ));
        }
        let [
            _,
            TokenTree::Ident(name),
            TokenTree::Group(parameters),
            output @ ..,
            TokenTree::Group(body),
        ] = rest
        else {
            return error("a test is a function with a body and without type parameters");
        };
        if !parameters.stream().is_empty() {
            let reason =
                "a test has no parameters: put #[rstest] above this attribute if they are fixtures or cases";
            return Err(UsageError::new(parameters.span(), reason));
        }
        if body.delimiter() != Delimiter::Brace {
            return error("a test has a body");
        }
        Ok(Self {
            is_async: qualifiers.iter().any(|token| is_word(token, "async")),
            name,
            output,
            body,
        })
    }
}

/// Returns the reason why the test cannot have this attribute too.
fn refused(attribute: &Attribute) -> Option<&'static str> {
    if attribute.is("rstest") {
        return Some("#[cofferdam::test] belongs below #[rstest], which creates the tests");
    }
    if !attribute.is_test() {
        return None;
    }
    Some(
        match attribute.path.first().is_some_and(|first| first == "tokio") {
            true => {
                "#[cofferdam::test] takes the place of #[tokio::test], whose runtime ends with the test: remove \
             #[tokio::test]; flavor and worker_threads are arguments of #[cofferdam::test] too"
            }
            // A `#[tokio::test]` above has become one of these.
            false => {
                "another attribute already makes this function a test: remove #[test], or #[tokio::test] above, because \
             #[cofferdam::test] takes their place"
            }
        },
    )
}

/// Returns the test that runs the function below the attribute on its worker's runtime.
pub(crate) fn test(written: TokenStream, item: TokenStream) -> Result<TokenStream, UsageError> {
    let arguments = TestArguments::read(written.clone())?;
    let root = &arguments.root;
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let (attributes, rest) = split(&tokens);
    if let Some((attribute, reason)) = attributes
        .iter()
        .find_map(|attribute| Some((attribute, refused(attribute)?)))
    {
        return Err(UsageError::new(attribute.tokens[1].span(), reason));
    }
    let function = TestFunction::read(rest)?;
    if let Some(span) = arguments.of_runtime.filter(|_| !function.is_async) {
        let reason =
            "a function that is not async has no runtime: remove the argument, or make it an async fn";
        return Err(UsageError::new(span, reason));
    }
    let (ours, others): (Vec<_>, Vec<_>) = attributes.into_iter().partition(Attribute::is_ours);
    let mut out = TokenStream::new();
    if !ours.is_empty() {
        // First the locks, which this attribute would move out of the test: they belong to its body.
        out.extend(ours.into_iter().flat_map(|attribute| attribute.tokens));
        out.extend(parsed(&format!("#[{root}::test({written})]")));
        out.extend(others.into_iter().flat_map(|attribute| attribute.tokens));
        out.extend(rest.iter().cloned());
        return Ok(out);
    }
    out.extend(parsed("#[::core::prelude::v1::test]"));
    out.extend(others.into_iter().flat_map(|attribute| attribute.tokens));
    let signature = |out: &mut TokenStream| {
        out.extend(parsed("fn"));
        out.extend([TokenTree::from(function.name.clone())]);
        out.extend(parsed("()"));
        out.extend(function.output.iter().cloned());
    };
    signature(&mut out);
    let mut inner = TokenStream::new();
    if function.is_async {
        inner.extend(parsed("async"));
    }
    signature(&mut inner);
    inner.extend([TokenTree::from(function.body.clone())]);
    let name = function.name;
    inner.extend(parsed(&match function.is_async {
        true => format!(
            "{root}::worker::runtime::block_on({}, {name}())",
            arguments.flavor()
        ),
        false => format!("{root}::worker::runtime::run({name})"),
    }));
    out.extend([TokenTree::from(Group::new(Delimiter::Brace, inner))]);
    Ok(out)
}

fn parsed(text: &str) -> TokenStream {
    text.parse().unwrap_or_default()
}
