//! Tests in a call of temp-env as isolated ones.
//!
//! Only a call that is all of a test's body is translated: then the variables are the test's, and can be set before its process
//! starts. In the middle of a test only a guard could replace it, whose `unsafe` is a promise that the author has to make.

use super::super::attributes::is_last;
use super::super::imports::{ImportedName, Imports};
use super::super::replacements::Replacements;
use super::super::scan::start_of;
use super::super::source_file::{SourceFile, inner, is_sign};
use super::{FileMigration, Remark};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Block, Expr, ExprCall, Ident, Item, ItemFn, Lit, ReturnType, Stmt, Token};

const CRATE: &str = "temp_env";
const FUNCTIONS: [&str; 5] = [
    "with_var",
    "with_vars",
    "with_var_unset",
    "with_vars_unset",
    "async_with_vars",
];
const LEFT: &str = "it is not all of a test's body with plain names and values: split the test and write #[isolated(env(…))], or use \
                    a guard of cofferdam::environment, whose `unsafe` promise is yours";

/// Returns what becomes of a file.
pub(super) fn migrate(path: &Path, text: &str) -> Option<FileMigration> {
    let file = SourceFile::new(text)?;
    let tokens: TokenStream = file.tokens.iter().cloned().collect();
    let items = syn::parse2::<syn::File>(tokens).ok()?.items;
    let imports = Imports::read(&file, CRATE);
    let is_short = imports.all.len() == 1 && imports.all[0].is_of(&FUNCTIONS);
    let mut translation = Translation {
        file: &file,
        imports: &imports,
        attribute: if is_short {
            "isolated"
        } else {
            "cofferdam::isolated"
        },
        replacements: Replacements::default(),
        rewritten: 0,
    };
    translation.items(&items);
    let mut migration = FileMigration {
        replacements: translation.replacements,
        rewritten: translation.rewritten,
        ..FileMigration::default()
    };
    let mut left = imports.unhandled(&file, CRATE, &migration.replacements);
    let mut used = BTreeSet::new();
    bare_calls(
        &file,
        &file.tokens,
        &imports,
        &migration.replacements,
        &mut |name, range| {
            used.insert(name.to_owned());
            left.push(range);
        },
    );
    left.sort_by_key(|range| range.start);
    migration.left = left
        .iter()
        .map(|range| Remark::new(path, &file, range, LEFT))
        .collect();
    let mut needs_import = is_short && migration.rewritten > 0;
    for import in &imports.all {
        let kept = import
            .names
            .iter()
            .filter(|one| used.contains(&one.name) || one.name == "*" && !left.is_empty());
        let kept: Vec<ImportedName> = kept.cloned().collect();
        let new = std::mem::take(&mut needs_import).then(|| ImportedName::unchanged("isolated"));
        import.replace(&file, CRATE, &kept, new.as_slice(), &mut migration.replacements);
    }
    Some(migration)
}

/// Calls `see` with each imported function that is still called by its name alone.
fn bare_calls(
    file: &SourceFile<'_>,
    tokens: &[TokenTree],
    imports: &Imports,
    replacements: &Replacements,
    see: &mut dyn FnMut(&str, Range<usize>),
) {
    for (at, token) in tokens.iter().enumerate() {
        let range = file.range(token);
        match token {
            TokenTree::Group(_) => bare_calls(file, &inner(token), imports, replacements, see),
            TokenTree::Ident(word) if !replacements.contain(range.start) && !imports.contain(range.start) => {
                let name = word.to_string();
                let is_path = at > 0 && (is_sign(&tokens[at - 1], ':') || is_sign(&tokens[at - 1], '.'));
                let is_imported =
                    imports.named(&name).is_some() || imports.has_all() && FUNCTIONS.contains(&name.as_str());
                if is_imported && !is_path {
                    see(&name, range);
                }
            }
            _ => {}
        }
    }
}

struct Translation<'a> {
    file: &'a SourceFile<'a>,
    imports: &'a Imports,
    attribute: &'a str,
    replacements: Replacements,
    rewritten: usize,
}

/// The call that is all of a test's body, apart from items before it.
struct WholeBody<'a> {
    statement: &'a Stmt,
    has_items: bool,
    call: &'a ExprCall,
    is_awaited: bool,
    has_semicolon: bool,
}

/// A test with the attribute.
struct TranslatedTest {
    attribute: String,
    /// The range of the call.
    statement: Range<usize>,
    /// The statements in place of the call.
    body: String,
}

impl Translation<'_> {
    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Fn(item) => {
                    if let Some(translated) = self.test(item) {
                        let start = start_of(item);
                        let start = self.file.shifted(start..start).start;
                        let attribute = translated.attribute;
                        self.replacements
                            .add(start..start, format!("{attribute}{}", self.file.new_line(start)));
                        self.replacements.add(translated.statement, translated.body);
                        self.rewritten += 1;
                    }
                }
                Item::Mod(item) => {
                    if let Some((_, items)) = &item.content {
                        self.items(items);
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns the translation of a test, if it has one.
    fn test(&self, item: &ItemFn) -> Option<TranslatedTest> {
        let is_test = item
            .attrs
            .iter()
            .any(|one| is_last(one.path(), &["test", "rstest"]));
        let is_isolated = item.attrs.iter().any(|one| is_last(one.path(), &["isolated"]));
        let body = whole_body(&item.block).filter(|_| is_test && !is_isolated)?;
        let function = self.function(body.call)?;
        let arguments: Vec<&Expr> = body.call.args.iter().collect();
        let (list, closure) = match (function, arguments.as_slice()) {
            ("with_var", [name, value, closure]) => (vec![self.variable(name, Some(value))?], closure),
            ("with_var_unset", [name, closure]) => (vec![self.variable(name, None)?], closure),
            ("with_vars" | "async_with_vars", [list, closure]) => {
                let pair = |one: &Expr| match one {
                    Expr::Tuple(pair) if pair.elems.len() == 2 => {
                        self.variable(&pair.elems[0], Some(&pair.elems[1]))
                    }
                    _ => None,
                };
                (elements(list, &pair)?, closure)
            }
            ("with_vars_unset", [list, closure]) => {
                (elements(list, &|name| self.variable(name, None))?, closure)
            }
            _ => return None,
        };
        let is_literal = |one: &Variable| one.is_literal;
        // The attribute does not see the test's parameters and items.
        if (!item.sig.inputs.is_empty() || body.has_items) && !list.iter().all(is_literal) {
            return None;
        }
        let new = match (closure, body.is_awaited) {
            (Expr::Closure(closure), false)
                if closure.inputs.is_empty() && matches!(closure.output, ReturnType::Default) =>
            {
                &*closure.body
            }
            (Expr::Async(_), true) if function == "async_with_vars" => closure,
            _ => return None,
        };
        Some(TranslatedTest {
            attribute: format!("#[{}({})]", self.attribute, settings(&list)),
            statement: self.range(body.statement),
            body: self.body(&body, new)?,
        })
    }

    /// Returns the function of temp-env that is called.
    fn function(&self, call: &ExprCall) -> Option<&'static str> {
        let Expr::Path(path) = &*call.func else {
            return None;
        };
        let segments: Vec<String> = path
            .path
            .segments
            .iter()
            .map(|one| one.ident.to_string())
            .collect();
        let original = match segments.as_slice() {
            [root, name] if root == CRATE => name.clone(),
            [name] => match self.imports.named(name) {
                Some(imported) => imported.original.clone(),
                None if self.imports.has_all() => name.clone(),
                None => return None,
            },
            _ => return None,
        };
        FUNCTIONS.into_iter().find(|one| **one == original)
    }

    /// Returns the variable of a name and a value, which is `Some` or `None`.
    fn variable(&self, name: &Expr, value: Option<&Expr>) -> Option<Variable> {
        let name = literal(name).filter(|name| !name.is_empty() && !name.contains(['=', '\\', '"', '\0']))?;
        let value = match value {
            None => None,
            Some(Expr::Path(path)) if is_last(&path.path, &["None"]) => None,
            Some(Expr::Call(call)) if is_some(call) => Some(&call.args[0]),
            Some(_) => return None,
        };
        let text = value.map(|value| &self.file.text[self.range(value)]);
        // The attribute takes any type, so it cannot tell which one these return.
        let is_untyped = |text: &str| {
            [".into()", ".parse()", ".collect()", "default()"]
                .iter()
                .any(|end| text.contains(end))
        };
        if text.is_some_and(is_untyped) {
            return None;
        }
        Some(Variable {
            is_literal: value.is_none_or(|value| literal(value).is_some()),
            value: text.map(str::to_owned),
            name,
        })
    }

    fn range(&self, part: &impl Spanned) -> Range<usize> {
        self.file.shifted(part.span().byte_range())
    }

    /// Returns the new body: the statements of the closure or the async block.
    fn body(&self, whole: &WholeBody<'_>, new: &Expr) -> Option<String> {
        let (call, own) = (self.range(whole.call), self.range(new));
        let tokens = &self.file.tokens;
        // Comments outside of the closure would be lost.
        if self.file.has_comment(call.start..own.start, tokens)
            || self.file.has_comment(own.end..call.end, tokens)
        {
            return None;
        }
        let text = &self.file.text[own.clone()];
        if whole.has_semicolon && text.contains('?') {
            return None;
        }
        let indent = self.file.indent(call.start);
        let (block, part) = match new {
            Expr::Block(one) if one.label.is_none() => (&one.block, self.inside(&one.block)),
            Expr::Async(one) => (&one.block, self.inside(&one.block)),
            _ => {
                let end = if whole.has_semicolon { ";" } else { "" };
                return Some(format!("{}{end}", self.file.dedented(own, tokens, indent)));
            }
        };
        let end = match block.stmts.last() {
            Some(Stmt::Expr(tail, None)) if whole.has_semicolon && !is_block_like(tail) => ";",
            Some(Stmt::Macro(tail)) if whole.has_semicolon && tail.semi_token.is_none() => ";",
            _ => "",
        };
        let text = self.file.dedented(part, tokens, indent);
        // A comment behind the last statement would swallow the semicolon.
        let is_behind_comment = text.lines().last().is_some_and(|line| line.contains("//"));
        (end.is_empty() || !is_behind_comment).then(|| format!("{text}{end}"))
    }

    fn inside(&self, block: &Block) -> Range<usize> {
        let range = self.range(block);
        range.start + 1..range.end - 1
    }
}

/// A variable of a test.
struct Variable {
    name: String,
    /// The expression; `None` to remove the variable.
    value: Option<String>,
    is_literal: bool,
}

/// Returns the arguments of `#[isolated]`.
fn settings(list: &[Variable]) -> String {
    let name = |one: &Variable| {
        let is_word = syn::parse_str::<Ident>(&one.name).is_ok();
        if is_word {
            one.name.clone()
        } else {
            format!("{:?}", one.name)
        }
    };
    let set: Vec<String> = list
        .iter()
        .filter_map(|one| Some(format!("{} = {}", name(one), one.value.as_ref()?)))
        .collect();
    let removed: Vec<String> = list.iter().filter(|one| one.value.is_none()).map(name).collect();
    let lists = [("env", set), ("env_remove", removed)].into_iter();
    let lists = lists.filter(|(_, all)| !all.is_empty());
    lists
        .map(|(word, all)| format!("{word}({})", all.join(", ")))
        .collect::<Vec<_>>()
        .join(", ")
}

fn whole_body(block: &Block) -> Option<WholeBody<'_>> {
    let (statement, items) = block.stmts.split_last()?;
    let Stmt::Expr(only, semicolon) = statement else {
        return None;
    };
    if !items.iter().all(|one| matches!(one, Stmt::Item(_))) {
        return None;
    }
    let (call, is_awaited) = match only {
        Expr::Await(awaited) => (&*awaited.base, true),
        other => (other, false),
    };
    match call {
        Expr::Call(call) => Some(WholeBody {
            statement,
            has_items: !items.is_empty(),
            call,
            is_awaited,
            has_semicolon: semicolon.is_some(),
        }),
        _ => None,
    }
}

/// Reads the elements of an array, of a reference to one, or of `vec!`.
fn elements<T>(list: &Expr, read: &dyn Fn(&Expr) -> Option<T>) -> Option<Vec<T>> {
    match list {
        Expr::Array(array) => array.elems.iter().map(read).collect(),
        Expr::Reference(reference) => elements(&reference.expr, read),
        Expr::Macro(one) if one.mac.path.is_ident("vec") => {
            let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
            parser
                .parse2(one.mac.tokens.clone())
                .ok()?
                .iter()
                .map(read)
                .collect()
        }
        _ => None,
    }
}

fn is_some(call: &ExprCall) -> bool {
    matches!(&*call.func, Expr::Path(path) if is_last(&path.path, &["Some"])) && call.args.len() == 1
}

/// Returns the value of a literal text.
fn literal(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(one) => match &one.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn is_block_like(tail: &Expr) -> bool {
    matches!(
        tail,
        Expr::Block(_)
            | Expr::ForLoop(_)
            | Expr::If(_)
            | Expr::Loop(_)
            | Expr::Match(_)
            | Expr::Unsafe(_)
            | Expr::While(_)
    )
}
