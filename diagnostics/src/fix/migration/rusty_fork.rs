//! rusty-fork's tests as isolated ones.

use super::super::imports::{ImportedName, Imports};
use super::super::replacements::Replacements;
use super::super::source_file::{
    SourceFile, inner, is_attribute, is_group, is_sign, is_word, path_at, split_attributes,
};
use super::{FileMigration, Remark};
use proc_macro2::{Delimiter, TokenTree};
use std::ops::Range;
use std::path::Path;

const CRATE: &str = "rusty_fork";
const MACRO: &str = "rusty_fork_test";

/// A `rusty_fork_test!`.
struct MacroCall {
    range: Range<usize>,
    body: TokenTree,
    /// Set if the path names the crate, so that the module may lack the import.
    is_qualified: bool,
}

/// Returns what becomes of a file.
pub(super) fn migrate(path: &Path, text: &str) -> Option<FileMigration> {
    let file = SourceFile::new(text)?;
    let imports = Imports::read(&file, CRATE);
    let mut migration = FileMigration::default();
    let is_imported = imports.named(MACRO).is_some();
    let mut is_left = false;
    let mut found = Vec::new();
    calls(&file, &file.tokens, &mut found);
    for call in found {
        let attribute = match is_imported && !call.is_qualified {
            true => "isolated",
            false => "cofferdam::isolated",
        };
        match moved(path, &file, &call, attribute) {
            Ok(moved) => {
                migration.replacements.add(call.range, moved.text);
                migration.rewritten += moved.count;
                migration.to_check.extend(moved.to_check);
            }
            Err(why) => {
                is_left = true;
                migration.left.push(Remark::new(path, &file, &call.range, why));
            }
        }
    }
    for import in &imports.all {
        let is_macro = |one: &&ImportedName| one.original == MACRO || one.name == "*";
        let kept = import.names.iter().filter(|one| is_left || !is_macro(one));
        let kept: Vec<ImportedName> = kept.cloned().collect();
        let has_macro = import.names.iter().any(|one| one.name == MACRO);
        let new = (has_macro && migration.rewritten > 0).then(|| ImportedName::unchanged("isolated"));
        if let Some(other) = import.names.iter().find(|one| !is_macro(one)) {
            let why = format!("{} has no counterpart", other.original);
            migration.left.push(Remark::new(path, &file, &import.range, &why));
        }
        import.replace(&file, CRATE, &kept, new.as_slice(), &mut migration.replacements);
    }
    if !is_left {
        for range in &imports.extern_crates {
            migration.replacements.add(file.with_lines(range.clone()), "");
        }
    }
    let names = imports.unhandled(&file, CRATE, &migration.replacements);
    let remarks = names
        .into_iter()
        .map(|range| Remark::new(path, &file, &range, "no test of rusty_fork_test!"));
    migration.left.extend(remarks);
    Some(migration)
}

/// Collects the calls of the macro.
fn calls(file: &SourceFile<'_>, tokens: &[TokenTree], found: &mut Vec<MacroCall>) {
    let mut at = 0;
    while at < tokens.len() {
        let (path, length) = path_at(&tokens[at..]);
        let is_call = match path.as_slice() {
            [name] => name == MACRO,
            [root, name] => root == CRATE && name == MACRO,
            _ => false,
        };
        if let [sign, body @ TokenTree::Group(_), ..] = &tokens[at + length..]
            && is_call
            && is_sign(sign, '!')
        {
            let behind = at + length + 2;
            let has_semicolon = tokens.get(behind).is_some_and(|token| is_sign(token, ';'));
            let end = behind + usize::from(has_semicolon);
            found.push(MacroCall {
                range: file.range_of(&tokens[at..end]),
                body: body.clone(),
                is_qualified: path.len() > 1,
            });
            at = end;
            continue;
        }
        calls(file, &inner(&tokens[at]), found);
        at += length.max(1);
    }
}

/// The tests of a macro call, as they are written outside of it.
struct MovedTests {
    text: String,
    count: usize,
    to_check: Vec<Remark>,
}

/// Returns the tests outside of the macro, each with the attribute, or the reason that they cannot be moved.
fn moved(
    path: &Path,
    file: &SourceFile<'_>,
    call: &MacroCall,
    attribute: &str,
) -> Result<MovedTests, &'static str> {
    let tokens = inner(&call.body);
    let (timeout, tests) = match tokens.as_slice() {
        [sign, not, setting, rest @ ..] if is_sign(sign, '#') && is_sign(not, '!') => {
            (timeout(setting)?, rest)
        }
        all => (None, all),
    };
    let arguments = timeout
        .map(|timeout| format!("(timeout = \"{timeout}\")"))
        .unwrap_or_default();
    let attribute = format!("#[{attribute}{arguments}]");
    let (mut attributes, mut to_check, mut count) = (Replacements::default(), Vec::new(), 0);
    let mut rest = tests;
    while !rest.is_empty() {
        let (own, item) = split_attributes(rest);
        let [word, _, _, body, ..] = item else {
            return Err("its content is not only functions");
        };
        if !is_word(word, "fn") || !is_group(body, Delimiter::Brace) {
            return Err("its content is not only functions");
        }
        let has = |name: &str| own.iter().any(|one| is_attribute(one, name));
        if !has("test") {
            return Err("one of its functions has no #[test]");
        }
        let start = file.range(word).start;
        if has("should_panic") {
            let why =
                "only a panic with its own message counts: no abort, no timeout, no message of rusty-fork";
            to_check.push(Remark::new(path, file, &file.range(word), why));
        }
        attributes.add(start..start, format!("{attribute}{}", file.new_line(start)));
        count += 1;
        rest = &item[4..];
    }
    let inside = file.inside(&call.body);
    let begin = match tests.first() {
        Some(_) if tests.len() < tokens.len() => file.range(&tokens[2]).end,
        _ => inside.start,
    };
    // The attributes are added to the moved text, whose offsets differ from those of the file.
    let moved = attributes.apply_within(file.text, begin..inside.end);
    let of_moved = SourceFile::new(&moved).ok_or("it could not be read")?;
    let indent = file.indent(call.range.start);
    Ok(MovedTests {
        text: of_moved.dedented(0..moved.len(), &of_moved.tokens, indent),
        count,
        to_check,
    })
}

/// Returns the time limit of `#![rusty_fork(timeout_ms = 1000)]`.
fn timeout(setting: &TokenTree) -> Result<Option<String>, &'static str> {
    const WRONG: &str = "its timeout is no number";
    let tokens = inner(setting);
    let [name, arguments] = tokens.as_slice() else {
        return Err(WRONG);
    };
    let arguments = inner(arguments);
    match arguments.as_slice() {
        [word, sign, TokenTree::Literal(number)]
            if is_word(name, CRATE) && is_word(word, "timeout_ms") && is_sign(sign, '=') =>
        {
            let millis: u64 = number.to_string().replace('_', "").parse().map_err(|_| WRONG)?;
            Ok(match millis {
                0 => None,
                millis if millis % 1000 == 0 => Some(format!("{}s", millis / 1000)),
                millis => Some(format!("{millis}ms")),
            })
        }
        _ => Err(WRONG),
    }
}
