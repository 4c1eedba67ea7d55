//! The item below an attribute: a test or a module of tests.

use super::arguments::{Arguments, UsageError, parts};
use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

/// Another attribute of the item.
pub(crate) struct Attribute {
    /// The `#` and the group in brackets.
    pub(crate) tokens: [TokenTree; 2],
    /// The segments of its path: `tokio` and `test`.
    pub(crate) path: Vec<String>,
    /// The tokens in its parentheses.
    arguments: TokenStream,
}

impl Attribute {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.path.last().is_some_and(|last| last == name)
    }

    /// Returns whether it is `serial` or `parallel` of this crate. A path of another crate is ours only if its `crate = path`
    /// argument says so.
    pub(crate) fn is_ours(&self) -> bool {
        if !self.is("serial") && !self.is("parallel") {
            return false;
        }
        match self.path.as_slice() {
            [_] => true,
            [first, ..] if first == "cofferdam" => true,
            [root @ .., _] => self.read().is_ok_and(|read| {
                let (root_path, _) = path_and_arguments(read.root);
                root_path == root
            }),
            [] => false,
        }
    }

    /// Reads the arguments of one of our attributes.
    fn read(&self) -> Result<Arguments, UsageError> {
        Arguments::read(self.arguments.clone(), self.is("parallel"))
    }

    pub(crate) fn is_test(&self) -> bool {
        makes_test(&self.path, &self.arguments)
    }
}

/// Returns whether an attribute makes a test, also conditionally: in a module, `cfg_attr` is not expanded yet.
fn makes_test(path: &[String], arguments: &TokenStream) -> bool {
    match path.last().map(String::as_str) {
        Some("test" | "rstest") => true,
        // The first part is the condition.
        Some("cfg_attr") => parts(arguments.clone()).into_iter().skip(1).any(|inner| {
            let (path, arguments) = path_and_arguments(inner);
            makes_test(&path, &arguments)
        }),
        _ => false,
    }
}

/// Returns the test with its guard, or the module with a guard in each of its tests.
pub(crate) fn guard(item: TokenStream, arguments: Arguments) -> Result<TokenStream, UsageError> {
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let (attributes, rest) = split(&tokens);
    match kind(rest) {
        Some("fn") => function(attributes, rest, arguments),
        Some("mod") => {
            let (mut out, mut all) = (Vec::new(), vec![arguments]);
            for attribute in attributes {
                if attribute.is_ours() {
                    // Merged here, because left in place it would find that each test already has an attribute.
                    all.push(attribute.read()?);
                } else {
                    out.extend(attribute.tokens);
                }
            }
            out.extend(module(rest, &all)?);
            Ok(out.into_iter().collect())
        }
        _ => Err(UsageError::new(
            Span::call_site(),
            "#[serial] and #[parallel] apply to a test, or to a module of tests with its body",
        )),
    }
}

/// Splits the leading attributes from the rest.
pub(crate) fn split(tokens: &[TokenTree]) -> (Vec<Attribute>, &[TokenTree]) {
    let mut attributes = Vec::new();
    let mut rest = tokens;
    while let [TokenTree::Punct(sign), TokenTree::Group(group), after @ ..] = rest {
        if sign.as_char() != '#' || group.delimiter() != Delimiter::Bracket {
            break;
        }
        let (path, arguments) = path_and_arguments(group.stream());
        attributes.push(Attribute {
            tokens: [rest[0].clone(), rest[1].clone()],
            path,
            arguments,
        });
        rest = after;
    }
    (attributes, rest)
}

/// Returns the path and the arguments of an attribute from the tokens in its brackets.
fn path_and_arguments(tokens: impl IntoIterator<Item = TokenTree>) -> (Vec<String>, TokenStream) {
    let mut path = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Punct(sign) if sign.as_char() == ':' => {}
            TokenTree::Group(group) => return (path, group.stream()),
            _ => break,
        }
    }
    (path, TokenStream::new())
}

/// Splits the inner attributes, `#![…]`, from the rest of a body.
pub(crate) fn split_inner(tokens: &[TokenTree]) -> (&[TokenTree], &[TokenTree]) {
    let mut end = 0;
    while let [
        TokenTree::Punct(first),
        TokenTree::Punct(second),
        TokenTree::Group(_),
        ..,
    ] = &tokens[end..]
        && first.as_char() == '#'
        && second.as_char() == '!'
    {
        end += 3;
    }
    tokens.split_at(end)
}

/// Returns the first keyword that makes the item a function or a module.
pub(crate) fn kind(rest: &[TokenTree]) -> Option<&'static str> {
    rest.iter().find_map(|token| match token {
        TokenTree::Ident(word) => match word.to_string().as_str() {
            "fn" => Some(Some("fn")),
            "mod" => Some(Some("mod")),
            "pub" | "async" | "const" | "unsafe" | "extern" => None,
            _ => Some(None),
        },
        // `pub(crate)`, `extern "C"`.
        TokenTree::Group(_) | TokenTree::Literal(_) => None,
        TokenTree::Punct(_) => Some(None),
    })?
}

fn function(
    attributes: Vec<Attribute>,
    rest: &[TokenTree],
    mut arguments: Arguments,
) -> Result<TokenStream, UsageError> {
    let mut out: Vec<TokenTree> = Vec::new();
    let mut panics = false;
    for attribute in attributes {
        if attribute.is("rstest") {
            return Err(UsageError::new(
                attribute.tokens[1].span(),
                "#[serial] and #[parallel] belong below #[rstest]: above it, the fixtures would be created before the \
                 lock is taken",
            ));
        }
        panics |= attribute.is("should_panic");
        if attribute.is_ours() {
            // One guard for all keys, because two guards could take their keys in different orders.
            arguments.keys.extend(attribute.read()?.keys);
        } else {
            out.extend(attribute.tokens);
        }
    }
    let Some((TokenTree::Group(body), head)) = rest.split_last() else {
        return Err(UsageError::new(Span::call_site(), "a test has a body"));
    };
    if body.delimiter() != Delimiter::Brace {
        return Err(UsageError::new(body.span(), "a test has a body"));
    }
    out.extend(head.iter().cloned());
    let body_tokens: Vec<TokenTree> = body.stream().into_iter().collect();
    let (own, statements) = split_inner(&body_tokens);
    let mut inner = own.to_vec();
    inner.extend(first_statement(&arguments, panics));
    inner.extend(statements.iter().cloned());
    let mut guarded = Group::new(Delimiter::Brace, inner.into_iter().collect());
    guarded.set_span(body.span());
    out.push(guarded.into());
    Ok(out.into_iter().collect())
}

/// Returns the statement that takes the locks. In a `#[should_panic]` test a panic of the lock would count as success, so the
/// test ends without a panic.
fn first_statement(arguments: &Arguments, panics: bool) -> TokenStream {
    let root = arguments.root.to_string();
    let keys: Vec<String> = arguments
        .ordered()
        .iter()
        .map(|(key, shared)| format!("({key:?}, {shared})"))
        .collect();
    let keys = keys.join(", ");
    let text = if panics {
        format!(
            "let ::core::option::Option::Some(__cofferdam_serial) = {root}::lock::serial::hold_or_warn(&[{keys}]) \
             else {{ return }};"
        )
    } else {
        format!("let __cofferdam_serial = {root}::lock::serial::hold(&[{keys}]);")
    };
    text.parse().unwrap_or_default()
}

/// Returns the module with the attributes repeated on each test without one of its own, and on inner modules.
fn module(rest: &[TokenTree], arguments: &[Arguments]) -> Result<Vec<TokenTree>, UsageError> {
    let Some((TokenTree::Group(body), head)) = rest.split_last() else {
        return Err(UsageError::new(
            Span::call_site(),
            "#[serial] and #[parallel] apply to a module only where its body is: put them in the module's file",
        ));
    };
    let mut out = head.to_vec();
    let inner: Vec<TokenTree> = body.stream().into_iter().collect();
    let mut guarded = Group::new(Delimiter::Brace, items(&inner, arguments)?.into_iter().collect());
    guarded.set_span(body.span());
    out.push(guarded.into());
    Ok(out)
}

fn items(tokens: &[TokenTree], arguments: &[Arguments]) -> Result<Vec<TokenTree>, UsageError> {
    let (own, mut left) = split_inner(tokens);
    let mut out = own.to_vec();
    while !left.is_empty() {
        let (attributes, rest) = split(left);
        // An item ends with its body or a semicolon.
        let end = rest.iter().position(|token| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(sign) => sign.as_char() == ';',
            _ => false,
        });
        let (item, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        let has_own = attributes.iter().any(Attribute::is_ours);
        let is_test = attributes.iter().any(Attribute::is_test);
        for attribute in attributes {
            out.extend(attribute.tokens);
        }
        match kind(item) {
            Some("fn") if is_test && !has_own => {
                // Below all others, so that the tests that rstest generates have it too.
                out.extend(arguments.iter().flat_map(attribute));
                out.extend(item.iter().cloned());
            }
            Some("mod") if !has_own && matches!(item.last(), Some(TokenTree::Group(_))) => {
                out.extend(module(item, arguments)?);
            }
            _ => out.extend(item.iter().cloned()),
        }
        left = after;
    }
    Ok(out)
}

/// Returns an attribute with its full path.
fn attribute(arguments: &Arguments) -> [TokenTree; 2] {
    let span = Span::call_site();
    let mut inner: Vec<TokenTree> = arguments.root.clone().into_iter().collect();
    inner.push(Punct::new(':', Spacing::Joint).into());
    inner.push(Punct::new(':', Spacing::Alone).into());
    let name = if arguments.shared { "parallel" } else { "serial" };
    inner.push(Ident::new(name, span).into());
    inner.push(Group::new(Delimiter::Parenthesis, arguments.written.clone()).into());
    [
        Punct::new('#', Spacing::Alone).into(),
        Group::new(Delimiter::Bracket, inner.into_iter().collect()).into(),
    ]
}
