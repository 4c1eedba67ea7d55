//! `#[isolated]`: a test whose body runs in a process of its own.
//!
//! The body is put behind a gate that decides in which process this is. Attributes that make tests (`#[tokio::test]`,
//! `#[rstest]`) have to be expanded first: then the gate is outside of the runtime and the fixtures that they add. So an
//! attribute above them repeats itself below them.

use super::arguments::{UsageError, parts, word};
use super::item::{Attribute, kind, split, split_inner};
use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

/// The argument of an attribute that has moved below the others.
const MOVED: &str = "__moved";

/// The arguments of one attribute.
#[derive(Default)]
struct Settings {
    /// The path of the cofferdam crate.
    root: Option<TokenStream>,
    /// The calls that configure the child process, with the user's expressions.
    calls: Vec<TokenTree>,
    has_moved: bool,
}

/// Returns the test with its body behind the gate, or with the attribute moved below the others.
pub(crate) fn gate(written: TokenStream, item: TokenStream) -> Result<TokenStream, UsageError> {
    let settings = Settings::read(written.clone())?;
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let (attributes, rest) = split(&tokens);
    if kind(rest) != Some("fn") {
        return Err(UsageError::new(
            Span::call_site(),
            "#[isolated] applies to a test",
        ));
    }
    let is_async = rest.iter().any(|token| is_word(token, "async"));
    let last = attributes
        .iter()
        .rposition(|attribute| !is_inert(attribute, is_async));
    match last.filter(|_| !settings.has_moved) {
        Some(last) => Ok(moved(&settings, written, attributes, last, rest)),
        None => gated(settings, attributes, rest),
    }
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == word)
}

/// Returns whether the attribute leaves the function as it is, or only adds a statement to its body. A `#[test]` on an async
/// function is that of a runtime.
fn is_inert(attribute: &Attribute, is_async: bool) -> bool {
    const INERT: &str = " doc allow warn deny forbid expect cfg ignore should_panic must_use inline cold deprecated \
                         track_caller no_mangle serial parallel ";
    let path: Vec<&str> = attribute.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["test"] => !is_async,
        ["core" | "std", "prelude", .., "test"] | ["rustfmt" | "clippy", ..] => true,
        [.., last] => INERT.contains(&format!(" {last} ")),
        [] => true,
    }
}

/// Repeats the attribute below the last one that changes the function.
fn moved(
    settings: &Settings,
    written: TokenStream,
    attributes: Vec<Attribute>,
    last: usize,
    rest: &[TokenTree],
) -> TokenStream {
    let mut path: Vec<TokenTree> = settings.root().into_iter().collect();
    path.push(Punct::new(':', Spacing::Joint).into());
    path.push(Punct::new(':', Spacing::Alone).into());
    path.push(Ident::new("isolated", Span::call_site()).into());
    let mut arguments: Vec<TokenTree> = vec![Ident::new(MOVED, Span::call_site()).into()];
    arguments.push(Punct::new(',', Spacing::Alone).into());
    arguments.extend(written);
    path.push(Group::new(Delimiter::Parenthesis, arguments.into_iter().collect()).into());
    let own: [TokenTree; 2] = [
        Punct::new('#', Spacing::Alone).into(),
        Group::new(Delimiter::Bracket, path.into_iter().collect()).into(),
    ];
    let mut out = Vec::new();
    for (index, attribute) in attributes.into_iter().enumerate() {
        out.extend(attribute.tokens);
        if index == last {
            out.extend(own.iter().cloned());
        }
    }
    out.extend(rest.iter().cloned());
    out.into_iter().collect()
}

fn gated(
    settings: Settings,
    attributes: Vec<Attribute>,
    rest: &[TokenTree],
) -> Result<TokenStream, UsageError> {
    let Some((TokenTree::Group(body), head)) = rest.split_last() else {
        return Err(UsageError::new(Span::call_site(), "a test has a body"));
    };
    if let Some(word) = head.iter().find(|token| is_word(token, "async")) {
        let reason = "an async test needs an attribute that runs it, as #[tokio::test]; #[isolated] works above and below it";
        return Err(UsageError::new(word.span(), reason));
    }
    let name_at = head
        .iter()
        .position(|token| is_word(token, "fn"))
        .map_or(0, |at| at + 1);
    let (signature, returned) = head.split_at(head.len().min(name_at + 2));
    let (Some(name), Some(TokenTree::Group(parameters))) =
        (signature.get(name_at), signature.get(name_at + 1))
    else {
        return Err(UsageError::new(
            Span::call_site(),
            "#[isolated] applies to a test without type parameters",
        ));
    };
    if !parameters.stream().is_empty() {
        let reason = "a test has no parameters: with #[rstest] or #[test_case], #[isolated] belongs on the same function";
        return Err(UsageError::new(parameters.span(), reason));
    }
    let panics = attributes.iter().any(|attribute| attribute.is("should_panic"));
    let has_settings = !settings.calls.is_empty();
    let root = settings.root().to_string();
    let mut out: Vec<TokenTree> = attributes
        .into_iter()
        .flat_map(|attribute| attribute.tokens)
        .collect();
    out.extend(signature.iter().cloned());
    if !returned.is_empty() {
        out.extend(parsed("-> ::std::process::ExitCode"));
    }
    let statements: Vec<TokenTree> = body.stream().into_iter().collect();
    let (own, statements) = split_inner(&statements);
    let mut inner = own.to_vec();
    inner.extend(parsed(&format!(
        "match {root}::isolated::begin(::core::concat!(::core::module_path!(), \"::\", ::core::stringify!({name})), \
         {panics}, {has_settings})"
    )));
    let mut arms = parsed(&format!("{root}::isolated::Role::Test(test) => test.run"));
    arms.push(in_parentheses(closure(returned, statements, body.span())));
    arms.extend(parsed(&format!(", {root}::isolated::Role::Parent(parent) =>")));
    arms.push(Group::new(Delimiter::Brace, parent(settings.calls)).into());
    inner.push(Group::new(Delimiter::Brace, arms.into_iter().collect()).into());
    if returned.is_empty() {
        inner.push(Punct::new(';', Spacing::Alone).into());
    }
    let mut gated = Group::new(Delimiter::Brace, inner.into_iter().collect());
    gated.set_span(body.span());
    out.push(gated.into());
    Ok(out.into_iter().collect())
}

/// Returns the test's body as a closure. Its type is repeated, so that `?` works, unless a closure cannot have it.
fn closure(returned: &[TokenTree], statements: &[TokenTree], span: Span) -> TokenStream {
    let mut tokens = parsed("||");
    let is_opaque = matches!(returned.get(2), Some(TokenTree::Ident(word)) if word.to_string() == "impl");
    if !is_opaque {
        tokens.extend(returned.iter().cloned());
    }
    let mut body = Group::new(Delimiter::Brace, statements.iter().cloned().collect());
    body.set_span(span);
    tokens.push(body.into());
    tokens.into_iter().collect()
}

/// Returns the statements of the parent process.
fn parent(calls: Vec<TokenTree>) -> TokenStream {
    let mut tokens = Vec::new();
    if let Some(tmp) = find_tmp(&calls) {
        tokens.extend(parsed("let"));
        // With the place of the use, so that it is the variable that the expression means.
        tokens.push(Ident::new("tmp", tmp).into());
        tokens.extend(parsed("= parent.tmp();"));
    }
    tokens.extend(parsed("parent"));
    tokens.extend(calls);
    tokens.extend(parsed(".run()"));
    tokens.into_iter().collect()
}

/// Returns the place of the first use of the name `tmp`.
fn find_tmp(tokens: &[TokenTree]) -> Option<Span> {
    tokens.iter().find_map(|token| match token {
        TokenTree::Ident(word) if word.to_string() == "tmp" => Some(word.span()),
        TokenTree::Group(group) => find_tmp(&group.stream().into_iter().collect::<Vec<_>>()),
        _ => None,
    })
}

impl Settings {
    fn root(&self) -> TokenStream {
        self.root
            .clone()
            .unwrap_or_else(|| "::cofferdam".parse().unwrap_or_default())
    }

    fn read(written: TokenStream) -> Result<Self, UsageError> {
        let mut settings = Self::default();
        for argument in parts(written) {
            let Some(first) = argument.first() else { continue };
            let name = word(first).unwrap_or_default();
            let value = match argument.get(1) {
                Some(TokenTree::Punct(sign)) if sign.as_char() == '=' => {
                    Some(&argument[2..]).filter(|value| !value.is_empty())
                }
                _ => None,
            };
            let list = match argument.get(1) {
                Some(TokenTree::Group(group))
                    if argument.len() == 2 && group.delimiter() == Delimiter::Parenthesis =>
                {
                    Some(parts(group.stream()))
                }
                _ => None,
            };
            match (name.as_str(), value, list) {
                (MOVED, None, None) => settings.has_moved = true,
                ("crate", Some(path), _) => settings.root = Some(path.iter().cloned().collect()),
                ("env", _, Some(list)) => settings.env(list)?,
                ("env_remove", _, Some(list)) => settings.env_remove(list)?,
                ("dir", Some(dir), _) => settings.call("dir", by_reference(dir)),
                ("umask", Some(mask), _) => settings.call("umask", mask.iter().cloned().collect()),
                ("limits", _, Some(list)) => settings.limits(list)?,
                ("timeout", Some(time), _) => settings.timeout(time)?,
                _ => {
                    return Err(UsageError::new(
                        first.span(),
                        "the arguments are env(NAME = value, …), env_remove(NAME, …), dir = path, umask = mask, \
                         limits(open_files = n, file_size = n, memory = n), timeout = \"30s\", and crate = path",
                    ));
                }
            }
        }
        Ok(settings)
    }

    /// Adds a method call.
    fn call(&mut self, method: &str, arguments: TokenStream) {
        self.calls.push(Punct::new('.', Spacing::Alone).into());
        self.calls.push(Ident::new(method, Span::call_site()).into());
        self.calls.push(in_parentheses(arguments));
    }

    fn env(&mut self, list: Vec<Vec<TokenTree>>) -> Result<(), UsageError> {
        for variable in list.iter().filter(|variable| !variable.is_empty()) {
            let wrong = || {
                UsageError::new(
                    variable[0].span(),
                    "a variable is set as in env(HOME = tmp, LANG = \"C\")",
                )
            };
            let (name, value) = match variable.as_slice() {
                [name, TokenTree::Punct(sign), value @ ..] if sign.as_char() == '=' && !value.is_empty() => {
                    (name, value)
                }
                _ => return Err(wrong()),
            };
            let name = word(name).ok_or_else(wrong)?;
            let mut arguments = parsed(&format!("{name:?},"));
            arguments.extend(by_reference(value));
            self.call("env", arguments.into_iter().collect());
        }
        Ok(())
    }

    fn env_remove(&mut self, list: Vec<Vec<TokenTree>>) -> Result<(), UsageError> {
        for variable in list.iter().filter(|variable| !variable.is_empty()) {
            let name = word(&variable[0]).filter(|_| variable.len() == 1);
            let name = name.ok_or_else(|| {
                UsageError::new(
                    variable[0].span(),
                    "variables are removed as in env_remove(LANG, http_proxy)",
                )
            })?;
            self.call("env_remove", parsed(&format!("{name:?}")).into_iter().collect());
        }
        Ok(())
    }

    fn limits(&mut self, list: Vec<Vec<TokenTree>>) -> Result<(), UsageError> {
        for limit in list.iter().filter(|limit| !limit.is_empty()) {
            let name = word(&limit[0]).unwrap_or_default();
            match limit.as_slice() {
                [_, TokenTree::Punct(sign), value @ ..]
                    if sign.as_char() == '='
                        && !value.is_empty()
                        && ["open_files", "file_size", "memory"].contains(&name.as_str()) =>
                {
                    self.call(&name, value.iter().cloned().collect());
                }
                _ => {
                    return Err(UsageError::new(
                        limit[0].span(),
                        "the limits are open_files = n, file_size = bytes and memory = bytes",
                    ));
                }
            }
        }
        Ok(())
    }

    fn timeout(&mut self, time: &[TokenTree]) -> Result<(), UsageError> {
        let [TokenTree::Literal(literal)] = time else {
            return Err(UsageError::new(time[0].span(), WRONG_TIME));
        };
        let millis =
            millis(&literal.to_string()).ok_or_else(|| UsageError::new(literal.span(), WRONG_TIME))?;
        self.call(
            "timeout",
            parsed(&format!("::core::time::Duration::from_millis({millis})"))
                .into_iter()
                .collect(),
        );
        Ok(())
    }
}

const WRONG_TIME: &str = "a timeout is a number of seconds, or a text as \"30s\", \"500ms\" or \"2m\"";

/// Returns the time of a literal in milliseconds; `None` if it is none, or zero.
fn millis(literal: &str) -> Option<u64> {
    let text = literal.trim_matches('"');
    let digits = text.trim_end_matches(|sign: char| sign.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "" if text == literal => 1000,
        _ => return None,
    };
    let number: u64 = digits.replace('_', "").parse().ok()?;
    number.checked_mul(unit).filter(|millis| *millis > 0)
}

/// Returns `&(expression)`. Its temporaries live as long as the child, such as the lease of a port.
fn by_reference(expression: &[TokenTree]) -> TokenStream {
    let mut tokens = parsed("&");
    tokens.push(in_parentheses(expression.iter().cloned().collect()));
    tokens.into_iter().collect()
}

fn in_parentheses(tokens: TokenStream) -> TokenTree {
    Group::new(Delimiter::Parenthesis, tokens).into()
}

fn parsed(text: &str) -> Vec<TokenTree> {
    text.parse::<TokenStream>()
        .unwrap_or_default()
        .into_iter()
        .collect()
}
