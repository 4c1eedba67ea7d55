//! The functions of a program that a function calls, directly or through others.
//!
//! Calls are recognized by their paths. Methods, calls from macros' definitions, and functions that are passed on as values
//! are not followed: it is better to miss a call than to follow one that does not happen.

use super::program::{Function, Program};
use super::source_file::{SourceFile, begins_with_colons, inner, is_group, is_sign, is_word};
use proc_macro2::{Delimiter, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The functions of a program, with their tokens.
pub(super) struct CalledFunctions<'p> {
    program: &'p Program,
    /// Read when first needed; `None` if it is not Rust.
    files: BTreeMap<&'p Path, Option<SourceFile<'p>>>,
}

impl<'p> CalledFunctions<'p> {
    pub(super) fn new(program: &'p Program) -> Self {
        Self {
            program,
            files: BTreeMap::new(),
        }
    }

    /// Returns the words in the parameters and bodies of the function and of all functions that it calls.
    pub(super) fn words(&mut self, function: &'p Function) -> BTreeSet<String> {
        let (mut words, mut known, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![function]);
        while let Some(function) = next.pop() {
            if !known.insert((&function.file, function.line)) {
                continue;
            }
            let tokens = self.tokens(function);
            collect(&tokens, &mut words);
            let mut calls = BTreeSet::new();
            find_calls(&tokens, &mut calls);
            // A name that is also used otherwise may be that of a local variable or function.
            let is_local = |path: &[String]| path.len() == 1 && has_other_use(&tokens, &path[0]);
            let calls = calls.into_iter().filter(|path| !is_local(path));
            next.extend(calls.flat_map(|path| self.program.called(function, &path)));
        }
        words
    }

    /// Returns the tokens behind the function's name.
    fn tokens(&mut self, function: &Function) -> Vec<TokenTree> {
        let program = self.program;
        let Some((path, text)) = program.texts.get_key_value(&function.file) else {
            return Vec::new();
        };
        let file = self.files.entry(path).or_insert_with(|| SourceFile::new(text));
        let name = function.name.rsplit("::").next().unwrap_or_default();
        let wanted = (name, function.line);
        let found = file.as_ref().and_then(|file| find(file, &file.tokens, wanted));
        found.unwrap_or_default()
    }
}

impl Program {
    /// Returns the functions that `caller` calls by this path: several if each platform has its own.
    fn called<'p>(&'p self, caller: &Function, path: &[String]) -> Vec<&'p Function> {
        let module = caller.name.rsplit_once("::").map_or("", |(module, _)| module);
        let module: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
        let here = self.at(&module, path);
        if !here.is_empty() {
            return here;
        }
        let imports = self.modules.get(caller.module).map(|module| &module.imports);
        let imports = || imports.into_iter().flatten();
        let named = imports().filter(|(_, name)| *name == path[0]);
        let named: Vec<&Function> = named
            .flat_map(|(import, _)| self.at(&module, &[import, &path[1..]].concat()))
            .collect();
        // A named import shadows glob imports.
        if imports().any(|(_, name)| *name == path[0]) {
            return named;
        }
        let all = imports().filter(|(_, name)| name == "*");
        all.flat_map(|(import, _)| self.at(&module, &[import, path].concat()))
            .collect()
    }

    /// Returns the functions at a path that is relative to a module.
    fn at(&self, module: &[&str], path: &[String]) -> Vec<&Function> {
        let mut whole = module.to_vec();
        for (position, part) in path.iter().enumerate() {
            match part.as_str() {
                "crate" if position == 0 => whole.clear(),
                "self" => {}
                "super" => {
                    if whole.pop().is_none() {
                        return Vec::new();
                    }
                }
                part => whole.push(part),
            }
        }
        let whole = whole.join("::");
        self.functions.iter().filter(|one| one.name == whole).collect()
    }
}

/// Returns the tokens behind the name of the function with this name and the line of its `fn`.
fn find(file: &SourceFile<'_>, tokens: &[TokenTree], function: (&str, usize)) -> Option<Vec<TokenTree>> {
    let (name, line) = function;
    for (at, token) in tokens.iter().enumerate() {
        let is_it = is_word(token, "fn") && tokens.get(at + 1).is_some_and(|next| is_word(next, name));
        if is_it && file.line(file.range(token).start) == line {
            let rest = &tokens[at + 2..];
            let end = rest.iter().position(|token| is_group(token, Delimiter::Brace));
            return Some(rest[..end.map_or(rest.len(), |end| end + 1)].to_vec());
        }
        if let TokenTree::Group(_) = token
            && let Some(found) = find(file, &inner(token), function)
        {
            return Some(found);
        }
    }
    None
}

fn collect(tokens: &[TokenTree], words: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(_) => collect(&inner(token), words),
            TokenTree::Ident(word) => _ = words.insert(word.to_string()),
            _ => {}
        }
    }
}

/// Returns whether the word at this position is called.
fn is_called(tokens: &[TokenTree], at: usize) -> bool {
    let is_parenthesis = |token: &TokenTree| is_group(token, Delimiter::Parenthesis);
    let rest = &tokens[at + 1..];
    let defines = at > 0 && is_word(&tokens[at - 1], "fn");
    // With types: `f::<u8>()`.
    let has_types = begins_with_colons(rest) && rest.get(2).is_some_and(|token| is_sign(token, '<'));
    let arguments = match has_types {
        true => rest.iter().position(is_parenthesis),
        false => rest.first().filter(|token| is_parenthesis(token)).map(|_| 0),
    };
    !defines && arguments.is_some()
}

/// Returns the position of the path segment that precedes the one at `at`.
fn previous_segment(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let before = at.checked_sub(3)?;
    let is_path = begins_with_colons(&tokens[at - 2..]) && matches!(tokens[before], TokenTree::Ident(_));
    is_path.then_some(before)
}

/// Collects the paths of called functions.
fn find_calls(tokens: &[TokenTree], calls: &mut BTreeSet<Vec<String>>) {
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(_) => find_calls(&inner(token), calls),
            TokenTree::Ident(_) if is_called(tokens, at) => {
                let positions: Vec<usize> =
                    std::iter::successors(Some(at), |at| previous_segment(tokens, *at)).collect();
                let first = positions.last().copied().unwrap_or(at);
                let before = first.checked_sub(1).and_then(|before| tokens.get(before));
                // A method, or a path of another crate or of a type.
                if before.is_some_and(|before| is_sign(before, '.') || is_sign(before, ':')) {
                    continue;
                }
                let path = positions.iter().rev().map(|at| tokens[*at].to_string());
                calls.insert(path.collect());
            }
            _ => {}
        }
    }
}

/// Returns whether the name also occurs other than as a called function.
fn has_other_use(tokens: &[TokenTree], name: &str) -> bool {
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Group(_) => has_other_use(&inner(token), name),
        TokenTree::Ident(word) => word == name && !is_called(tokens, at),
        _ => false,
    })
}
