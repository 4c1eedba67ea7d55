//! The arguments of an attribute.

use proc_macro::{Delimiter, Span, TokenStream, TokenTree};

/// An error in the use of an attribute, with its location.
pub(crate) struct UsageError {
    pub(crate) reason: String,
    pub(crate) at: Span,
}

impl UsageError {
    pub(crate) fn new(at: Span, reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            at,
        }
    }
}

/// The arguments of one attribute.
pub(crate) struct Arguments {
    /// The keys, each with whether it is shared.
    pub(crate) keys: Vec<(String, bool)>,
    /// The path of the cofferdam crate.
    pub(crate) root: TokenStream,
    /// The original tokens, to be repeated on a module's tests.
    pub(crate) written: TokenStream,
    pub(crate) shared: bool,
}

/// The key of an attribute without arguments.
const ALL: &str = "serial";

impl Arguments {
    pub(crate) fn read(written: TokenStream, shared: bool) -> Result<Self, UsageError> {
        let mut keys = Vec::new();
        let mut root = None;
        for argument in parts(written.clone()) {
            let Some(first) = argument.first() else { continue };
            let value = match argument.get(1) {
                Some(TokenTree::Punct(sign)) if sign.as_char() == '=' => Some(&argument[2..]),
                _ => None,
            };
            match (word(first), value) {
                (Some(name), Some(path)) if name == "crate" && !path.is_empty() && !is_arrow(path) => {
                    root = Some(path.iter().cloned().collect());
                }
                (Some(name), Some(_)) => return Err(UsageError::new(first.span(), unknown(&name))),
                (Some(key), None) if argument.len() == 1 => keys.push((key, shared)),
                _ => {
                    let reason = "a key is one word, as in #[serial(database)] or #[serial(database, cache)]";
                    return Err(UsageError::new(first.span(), reason));
                }
            }
        }
        if keys.is_empty() {
            keys.push((ALL.to_owned(), shared));
        }
        let root = root.unwrap_or_else(|| "::cofferdam".parse().unwrap_or_default());
        Ok(Self {
            keys,
            root,
            written,
            shared,
        })
    }

    /// Returns the distinct keys in the order in which all tests take them. Exclusive takes precedence over shared.
    pub(crate) fn ordered(&self) -> Vec<(String, bool)> {
        let mut keys = self.keys.clone();
        keys.sort();
        keys.dedup_by(|later, first| later.0 == first.0);
        keys
    }
}

fn unknown(name: &str) -> String {
    match name {
        "inner_attrs" => {
            "inner_attrs is not supported: write those attributes below this one, on the function. They \
                          apply while the lock is held, because it is taken in the function's body"
                .to_owned()
        }
        "path" => {
            "path is not supported and not needed: a key excludes tests of all processes and runs of this \
                   workspace; for the whole machine, use cofferdam::lock::LockOptions::machine"
                .to_owned()
        }
        name => format!("unknown argument {name}: use keys, as in #[serial(database)], or crate = path"),
    }
}

/// Returns whether the tokens after a `=` begin with `>`.
fn is_arrow(path: &[TokenTree]) -> bool {
    matches!(&path[0], TokenTree::Punct(sign) if sign.as_char() == '>')
}

/// Returns an identifier, or the text of a string literal.
pub(crate) fn word(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(word) => Some(word.to_string()),
        TokenTree::Literal(text) => {
            let text = text.to_string();
            let inner = text.strip_prefix('"')?.strip_suffix('"')?;
            (!inner.contains('\\')).then(|| inner.to_owned())
        }
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            let mut inner = group.stream().into_iter();
            inner
                .next()
                .and_then(|token| word(&token))
                .filter(|_| inner.next().is_none())
        }
        _ => None,
    }
}

/// Splits tokens at commas.
pub(crate) fn parts(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in tokens {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(sign), _) if sign.as_char() == ',' => parts.push(Vec::new()),
            (_, Some(part)) => part.push(token),
            (_, None) => {}
        }
    }
    parts
}
