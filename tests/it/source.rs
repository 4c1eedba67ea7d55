//! A tokenizer for Rust source, without comments and the contents of literals.

/// A word or a sign, with its line (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Returns the tokens of the code. `::` is one token; a literal is the token `""`; lifetimes are left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => until_line_end(&chars, at),
            ('/', Some('*')) => after_comment(&chars, at),
            ('"', _) => after_string(&chars, at),
            ('\'', _) => after_quote(&chars, at),
            (sign, _) if sign.is_alphanumeric() || sign == '_' => after_word(&chars, at),
            (':', Some(':')) => at + 2,
            _ => at + 1,
        };
        let text: String = chars[at..end].iter().collect();
        let is_comment = text.starts_with("//") || text.starts_with("/*");
        let is_lifetime = text.starts_with('\'') && !text.ends_with('\'');
        if text.contains(['"', '\'']) && !is_comment && !is_lifetime {
            found.push(Token {
                text: "\"\"".to_owned(),
                line,
            });
        } else if !is_comment && !is_lifetime && !text.trim().is_empty() {
            found.push(Token {
                text: text.clone(),
                line,
            });
        }
        line += text.matches('\n').count();
        at = end;
    }
    found
}

fn until_line_end(chars: &[char], at: usize) -> usize {
    chars[at..]
        .iter()
        .position(|sign| *sign == '\n')
        .map_or(chars.len(), |length| at + length)
}

/// Comments nest.
fn after_comment(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn after_string(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// Returns the end of a character literal or a lifetime.
fn after_quote(chars: &[char], start: usize) -> usize {
    if chars.get(start + 1) == Some(&'\\') {
        let close = chars[start + 3..].iter().position(|sign| *sign == '\'');
        return close.map_or(chars.len(), |length| start + 4 + length);
    }
    if chars.get(start + 2) == Some(&'\'') {
        return start + 3;
    }
    let word = chars[start + 1..]
        .iter()
        .take_while(|sign| sign.is_alphanumeric() || **sign == '_');
    start + 1 + word.count()
}

/// Returns the end of an identifier or number, or of the string that a prefix (`r`, `b`, `br`, `c`) begins.
fn after_word(chars: &[char], start: usize) -> usize {
    let word = chars[start..]
        .iter()
        .take_while(|sign| sign.is_alphanumeric() || **sign == '_');
    let end = start + word.count();
    let prefix: String = chars[start..end].iter().collect();
    if !matches!(prefix.as_str(), "r" | "b" | "br" | "c" | "cr") {
        return end;
    }
    let hashes = chars[end..].iter().take_while(|sign| **sign == '#').count();
    match chars.get(end + hashes) {
        Some('"') if prefix.ends_with('r') => {
            let close: Vec<char> = std::iter::once('"')
                .chain(std::iter::repeat_n('#', hashes))
                .collect();
            let body = end + hashes + 1;
            let length = chars[body..]
                .windows(close.len())
                .position(|window| window == close);
            length.map_or(chars.len(), |length| body + length + close.len())
        }
        Some('"') if hashes == 0 => after_string(chars, end),
        Some('\'') if hashes == 0 && prefix == "b" => after_quote(chars, end),
        // A raw identifier.
        Some(_) if hashes == 1 && prefix == "r" => after_word(chars, end + 1),
        _ => end,
    }
}

/// Returns the names that the code uses from the root of its crate, with their lines: `a` of `crate::a::b`, of
/// `super::a` if that is the root, and of each part of `crate::{a, b}`; `*` for everything. `module` is the module of
/// the file.
pub(crate) fn roots_named(tokens: &[Token], module: &[&str]) -> Vec<(String, usize)> {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut named = Vec::new();
    // Inline modules, each with the depth of braces outside it.
    let mut inner: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let steps_up = match word(at) {
            "{" => {
                if at >= 2 && word(at - 2) == "mod" {
                    inner.push(depth);
                }
                depth += 1;
                None
            }
            "}" => {
                depth = depth.saturating_sub(1);
                inner.pop_if(|outside| *outside == depth);
                None
            }
            "crate" if word(at + 1) == "::" => Some(usize::MAX),
            "self" if word(at + 1) == "::" => Some(0),
            "super" if word(at + 1) == "::" => Some(1),
            _ => None,
        };
        let Some(mut steps_up) = steps_up else {
            at += 1;
            continue;
        };
        at += 2;
        while word(at) == "super" && word(at + 1) == "::" {
            steps_up += 1;
            at += 2;
        }
        // Still below the root: the same room.
        if steps_up < module.len() + inner.len() {
            continue;
        }
        if word(at) != "{" {
            named.push((word(at).to_owned(), tokens.get(at).map_or(0, |token| token.line)));
            continue;
        }
        let mut braces = 0;
        while at < tokens.len() {
            match word(at) {
                "{" => braces += 1,
                "}" => braces -= 1,
                _ if braces == 1 && matches!(word(at - 1), "{" | ",") => {
                    named.push((word(at).to_owned(), tokens[at].line));
                }
                _ => {}
            }
            at += 1;
            if braces == 0 {
                break;
            }
        }
    }
    named
}

/// Returns the source without its tests, which are at the end of a file by convention.
pub(crate) fn without_tests(source: &str) -> &str {
    let mut start = 0;
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    for pair in lines.windows(2) {
        if pair[0].starts_with("#[cfg(") && test_module(pair).is_some_and(|rest| rest.contains('{')) {
            return &source[..start];
        }
        start += pair[0].len();
    }
    source
}

/// Returns the names of the files that a source declares as modules for tests.
pub(crate) fn test_modules(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().collect();
    let declared = lines.windows(2).filter_map(test_module);
    declared
        .filter_map(|rest| Some(rest.trim().strip_suffix(';')?.to_owned()))
        .collect()
}

/// Returns the text after `mod`, if the two lines are a condition for tests and a module.
fn test_module<'a>(pair: &[&'a str]) -> Option<&'a str> {
    let condition = pair[0].trim_start();
    let (visibility, rest) = pair[1].split_once("mod ")?;
    let is_module = visibility.trim().is_empty() || visibility.trim().starts_with("pub");
    let is_for_tests = condition.starts_with("#[cfg(test)]") || condition.starts_with("#[cfg(all(test");
    (is_for_tests && is_module).then_some(rest)
}

fn texts(source: &str) -> Vec<String> {
    tokens(source).into_iter().map(|token| token.text).collect()
}

fn named(source: &str, module: &[&str]) -> Vec<String> {
    roots_named(&tokens(source), module)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn comments_and_literals_are_no_code() {
    assert_eq!(texts("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
    assert_eq!(
        texts(r##"a "b \" c" r#"d " e"# b"f" 'g' '\'' b'h' '"' i"##),
        ["a", "\"\"", "\"\"", "\"\"", "\"\"", "\"\"", "\"\"", "\"\"", "i"]
    );
    assert_eq!(
        texts("fn f<'a>(x: &'a str, r#type: u8)"),
        [
            "fn", "f", "<", ">", "(", "x", ":", "&", "str", ",", "r#type", ":", "u8", ")"
        ]
    );
}

#[test]
fn a_word_knows_its_line() {
    let found = tokens("a\n/* \n */ \"x\ny\" b");
    assert_eq!(
        found.last(),
        Some(&Token {
            text: "b".to_owned(),
            line: 4
        })
    );
}

#[test]
fn every_way_to_name_a_room_is_seen() {
    assert_eq!(
        named(
            "use crate::place::Run; fn f() { crate::journal::write(); }",
            &["worker"]
        ),
        ["place", "journal"]
    );
    assert_eq!(
        named("use crate::{exit, sys::{clock, env}, error::Error};", &["worker"]),
        ["exit", "sys", "error"]
    );
    assert_eq!(
        named("macro_rules! m { () => { $crate::error::Error } }", &["event"]),
        ["error"]
    );
    assert_eq!(
        named("pub(crate) mod a; pub(in crate::worker) fn f() {}", &["worker"]),
        ["worker"]
    );
}

#[test]
fn super_leaves_a_room_only_from_its_top() {
    assert_eq!(
        named("use super::{Life, begin};", &["worker", "seat"]),
        Vec::<String>::new()
    );
    assert_eq!(named("use super::place::Run;", &["worker"]), ["place"]);
    assert_eq!(named("use super::super::place;", &["worker", "seat"]), ["place"]);
    assert_eq!(
        named("mod tests { use super::*; use super::super::exit; }", &["event"]),
        ["exit"]
    );
    assert_eq!(
        named("mod tests { mod inner {} } use super::exit;", &["event"]),
        ["exit"]
    );
    assert_eq!(named("use super::*;", &["event"]), ["*"]);
}

#[test]
fn tests_at_the_end_are_cut_off() {
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {}\n"), "a\n");
    assert_eq!(
        without_tests("a\n#[cfg(all(test, loom))]\nmod loom_tests {}\n"),
        "a\n"
    );
    assert_eq!(without_tests("a\n#[cfg(test)]\npub(super) mod tests {}\n"), "a\n");
    for whole in [
        "#[cfg(test)]\nconst A: u8 = 1;\nb\n",
        "#[cfg(test)]\nmod model;\nb\n",
    ] {
        assert_eq!(without_tests(whole), whole);
    }
}

#[test]
fn files_for_tests_are_known_by_their_declaration() {
    let source = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\npub(crate) mod c;\n#[cfg(unix)]\nmod d;\n#[cfg(test)]\nmod e {}\n";
    assert_eq!(test_modules(source), ["b", "c"]);
}
