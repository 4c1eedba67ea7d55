//! The item below an attribute: a test, or a module of tests.

use super::arguments::{Arguments, Refusal, parts};
use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

/// An attribute that stands on the item.
struct Attribute {
    /// `#` and what stands in the brackets.
    tokens: [TokenTree; 2],
    /// The words of its path: `tokio` and `test`.
    path: Vec<String>,
    /// What stands in its parentheses.
    arguments: TokenStream,
}

impl Attribute {
    fn is(&self, name: &str) -> bool {
        self.path.last().is_some_and(|last| last == name)
    }

    /// `serial` or `parallel`, unless it is named as another crate's. One that says which crate is ours may be named
    /// as that one's.
    fn is_ours(&self) -> bool {
        if !self.is("serial") && !self.is("parallel") {
            return false;
        }
        match self.path.as_slice() {
            [_] => true,
            [first, ..] if first == "cofferdam" => true,
            [root @ .., _] => self.read().is_ok_and(|read| {
                let (said, _) = path_and_arguments(read.root);
                said == root
            }),
            [] => false,
        }
    }

    /// What one of ours says.
    fn read(&self) -> Result<Arguments, Refusal> {
        Arguments::read(self.arguments.clone(), self.is("parallel"))
    }

    fn is_test(&self) -> bool {
        makes_test(&self.path, &self.arguments)
    }
}

/// Whether an attribute makes a test, also by a condition: inside of a module `cfg_attr` is not expanded yet.
fn makes_test(path: &[String], arguments: &TokenStream) -> bool {
    match path.last().map(String::as_str) {
        Some("test" | "rstest") => true,
        // What stands first is the condition.
        Some("cfg_attr") => parts(arguments.clone()).into_iter().skip(1).any(|inner| {
            let (path, arguments) = path_and_arguments(inner);
            makes_test(&path, &arguments)
        }),
        _ => false,
    }
}

/// The item with its guard, or with one in each of its tests.
pub(crate) fn guard(item: TokenStream, arguments: Arguments) -> Result<TokenStream, Refusal> {
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let (attributes, rest) = split(&tokens);
    match kind(rest) {
        Some("fn") => function(attributes, rest, arguments),
        Some("mod") => {
            let (mut out, mut all) = (Vec::new(), vec![arguments]);
            for attribute in attributes {
                if attribute.is_ours() {
                    // Handed on by itself, it would find that each test has an attribute of its own.
                    all.push(attribute.read()?);
                } else {
                    out.extend(attribute.tokens);
                }
            }
            out.extend(module(rest, &all)?);
            Ok(out.into_iter().collect())
        }
        _ => Err(Refusal::new(
            Span::call_site(),
            "#[serial] and #[parallel] stand on a test, or on a module of tests with its body",
        )),
    }
}

/// The attributes at the beginning, and what follows them.
fn split(tokens: &[TokenTree]) -> (Vec<Attribute>, &[TokenTree]) {
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

/// Of what stands in an attribute's brackets.
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

/// The attributes of the item itself at the beginning of its body, `#![…]`, and what follows them.
fn split_inner(tokens: &[TokenTree]) -> (&[TokenTree], &[TokenTree]) {
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

/// Whether it is a function or a module, by the first word that says so.
fn kind(rest: &[TokenTree]) -> Option<&'static str> {
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
) -> Result<TokenStream, Refusal> {
    let mut out: Vec<TokenTree> = Vec::new();
    let mut panics = false;
    for attribute in attributes {
        if attribute.is("rstest") {
            return Err(Refusal::new(
                attribute.tokens[1].span(),
                "#[serial] and #[parallel] stand below #[rstest]: above it the fixtures would be made before the \
                 lock is had",
            ));
        }
        panics |= attribute.is("should_panic");
        if attribute.is_ours() {
            // One guard for all keys, or two attributes would take theirs in an order of their own.
            arguments.keys.extend(attribute.read()?.keys);
        } else {
            out.extend(attribute.tokens);
        }
    }
    let Some((TokenTree::Group(body), head)) = rest.split_last() else {
        return Err(Refusal::new(Span::call_site(), "a test has a body"));
    };
    if body.delimiter() != Delimiter::Brace {
        return Err(Refusal::new(body.span(), "a test has a body"));
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

/// Takes the locks. Where a panic is what the test is for, one that tells of a lock must not pass for it: the test
/// ends without any.
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
            "let ::core::option::Option::Some(__cofferdam_serial) = {root}::__serial::hold_or_say(&[{keys}]) \
             else {{ return }};"
        )
    } else {
        format!("let __cofferdam_serial = {root}::__serial::hold(&[{keys}]);")
    };
    text.parse().unwrap_or_default()
}

/// The module with its attributes on each test that has none of its own, and on its modules.
fn module(rest: &[TokenTree], arguments: &[Arguments]) -> Result<Vec<TokenTree>, Refusal> {
    let Some((TokenTree::Group(body), head)) = rest.split_last() else {
        return Err(Refusal::new(
            Span::call_site(),
            "#[serial] and #[parallel] stand on a module only where its body is: put them into the other file",
        ));
    };
    let mut out = head.to_vec();
    let inner: Vec<TokenTree> = body.stream().into_iter().collect();
    let mut guarded = Group::new(Delimiter::Brace, items(&inner, arguments)?.into_iter().collect());
    guarded.set_span(body.span());
    out.push(guarded.into());
    Ok(out)
}

fn items(tokens: &[TokenTree], arguments: &[Arguments]) -> Result<Vec<TokenTree>, Refusal> {
    let (own, mut left) = split_inner(tokens);
    let mut out = own.to_vec();
    while !left.is_empty() {
        let (attributes, rest) = split(left);
        // An item ends with its body, or with a semicolon.
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
                // Below all others, so that what rstest makes of the test has it too.
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

/// An attribute once more, by its full path.
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
