//! The declaration of a static, rewritten so that each worker or test has its own value. Its uses stay as they are.

use super::attributes::flatten;
use super::parsed_file::{Insertion, ParsedFile};
use super::replacements::Replacements;
use super::source_file::{SourceFile, inner, is_group, is_sign, is_word};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::ops::Range;
use syn::spanned::Spanned as _;
use syn::{Expr, GenericArgument, Item, ItemStatic, PathArguments, Type};

/// Types that build their value at the first use.
const LAZY: [&str; 3] = ["LazyLock", "Lazy", "SyncLazy"];
/// Methods of `WorkerLocal`, which hide those of the value.
const METHODS: [&str; 8] = [
    "get",
    "try_get",
    "get_async",
    "try_get_async",
    "reset",
    "per_test",
    "override_with",
    "starts_tasks",
];
/// The usual maximum length of a line.
const WIDTH: usize = 100;

/// The changes of a file that give each worker or test its own value of a static.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewDeclaration {
    /// The replaced ranges.
    pub(super) replaced: Vec<(Range<usize>, String)>,
    /// The position of a `use` of `WorkerLocal`, if it is not in scope.
    pub(super) import: Option<Insertion>,
    /// The new declaration, in one line.
    pub(super) shown: String,
}

/// Returns the new declaration of the static with this name, in this line if several have the name. `None` if there is no
/// such static, or more than its declaration would have to change.
pub(super) fn rewritten(text: &str, name: &str, line: usize, per_test: bool) -> Option<NewDeclaration> {
    let file = SourceFile::new(text)?;
    let mut found = Vec::new();
    find(&file, &file.tokens, name, None, &mut found);
    if found.len() > 1 {
        found.retain(|one| one.line == line);
    }
    let ([found], false) = (found.as_slice(), has_clash(&file.tokens, name)) else {
        return None;
    };
    let (prefix, import) = import(text, found.range.start)?;
    let mut replaced = found.replaced(&file, &format!("{prefix}WorkerLocal"), per_test)?;
    let mut shown = Replacements::default();
    let is_inside = |range: &Range<usize>| range.start >= found.range.start && range.end <= found.range.end;
    for (range, new) in replaced.iter().filter(|(range, _)| is_inside(range)) {
        shown.add(range.clone(), new.as_str());
    }
    let shown = shown.apply_within(text, found.range.clone());
    let is_one_line = !shown.contains('\n');
    if is_one_line && file.indent(found.range.start).len() + shown.len() > WIDTH {
        let gap = found.gap.clone();
        replaced.push((gap, file.new_line(found.range.start) + "    "));
    }
    Some(NewDeclaration {
        replaced,
        import,
        shown: shown.split_whitespace().collect::<Vec<_>>().join(" "),
    })
}

/// A declaration in a file.
struct Found {
    line: usize,
    /// From `static` to the semicolon.
    range: Range<usize>,
    /// The range between the equals sign and the value.
    gap: Range<usize>,
    item: ItemStatic,
    /// The parts of `lazy_static!` around it, and its `ref`.
    removed: Vec<Range<usize>>,
}

/// Collects the declarations of statics with the name. `around` is the range of `lazy_static!` around a single static, if the
/// tokens are those of one.
fn find(
    file: &SourceFile<'_>,
    tokens: &[TokenTree],
    name: &str,
    around: Option<&Range<usize>>,
    found: &mut Vec<Found>,
) {
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(_) = token {
            find(
                file,
                &inner(token),
                name,
                lazy_static(file, tokens, at).as_ref(),
                found,
            );
        }
        let rest = &tokens[at..];
        let is_ref = rest.get(1).is_some_and(|next| is_word(next, "ref"));
        let declares = |[_, named, colon]: [&TokenTree; 3]| is_word(named, name) && is_sign(colon, ':');
        let begins = match (is_ref, rest) {
            (true, [word, _, named, colon, ..]) | (false, [word, named, colon, ..]) => {
                is_word(word, "static") && declares([word, named, colon])
            }
            _ => false,
        };
        let Some(end) = rest.iter().position(|token| is_sign(token, ';')) else {
            continue;
        };
        if !begins || is_ref && around.is_none() {
            continue;
        }
        let plain = rest[..=end].iter().enumerate();
        let plain = plain.filter(|(at, _)| !(is_ref && *at == 1));
        let plain: TokenStream = plain.map(|(_, token)| token.clone()).collect();
        let Ok(item) = syn::parse2::<ItemStatic>(plain) else {
            continue;
        };
        let range = file.range_of(&rest[..=end]);
        let mut removed = Vec::new();
        if let (true, Some(around)) = (is_ref, around) {
            removed.push(around.start..file.range(&tokens[0]).start);
            removed.push(file.range(&rest[1]).start..file.range(&rest[2]).start);
            removed.push(range.end..around.end);
        }
        let gap = item.eq_token.span.byte_range().end..item.expr.span().byte_range().start;
        found.push(Found {
            line: file.line(range.start),
            range,
            gap: file.shifted(gap),
            item,
            removed,
        });
    }
}

/// Returns the range of a `lazy_static!` with a single static, of which the token at `at` is the group.
fn lazy_static(file: &SourceFile<'_>, tokens: &[TokenTree], at: usize) -> Option<Range<usize>> {
    let [before @ .., word, sign] = &tokens[..at] else {
        return None;
    };
    let statics = inner(&tokens[at])
        .iter()
        .filter(|token| is_word(token, "static"))
        .count();
    if !is_word(word, "lazy_static") || !is_sign(sign, '!') || statics != 1 {
        return None;
    }
    let first = match before {
        [.., path, one, other]
            if is_word(path, "lazy_static") && is_sign(one, ':') && is_sign(other, ':') =>
        {
            path
        }
        _ => word,
    };
    let end = match tokens.get(at + 1) {
        Some(sign) if is_sign(sign, ';') && !is_group(&tokens[at], Delimiter::Brace) => sign,
        _ => &tokens[at],
    };
    Some(file.range(first).start..file.range(end).end)
}

impl Found {
    fn replaced(
        &self,
        file: &SourceFile<'_>,
        local: &str,
        per_test: bool,
    ) -> Option<Vec<(Range<usize>, String)>> {
        let range = |of: proc_macro2::Span| file.shifted(of.byte_range());
        let (of_type, of_value) = (range(self.item.ty.span()), range(self.item.expr.span()));
        let end = if per_test { ")).per_test()" } else { "))" };
        let (own_type, own_value, call) = match lazy(&self.item)? {
            Some(lazy) => (
                range(lazy.value),
                range(lazy.built),
                if lazy.is_call { "()" } else { "" },
            ),
            None => (of_type.clone(), of_value.clone(), ""),
        };
        let mut replaced = vec![
            (of_type.start..own_type.start, format!("{local}<")),
            (own_type.end..of_type.end, ">".to_owned()),
            (of_value.start..own_value.start, format!("{local}::new(|_| Ok(")),
            (own_value.end..of_value.end, format!("{call}{end}")),
        ];
        replaced.extend(self.removed.iter().map(|range| (range.clone(), String::new())));
        Some(replaced)
    }
}

/// The parts of the declaration of a lazy static.
struct Lazy {
    /// The type of the value.
    value: proc_macro2::Span,
    /// The expression that builds it.
    built: proc_macro2::Span,
    /// Whether the expression is a function to call.
    is_call: bool,
}

/// Returns the parts of a lazy static, `Some(None)` for another one, and `None` for a declaration that cannot be rewritten.
fn lazy(item: &ItemStatic) -> Option<Option<Lazy>> {
    let Type::Path(path) = &*item.ty else {
        return Some(None);
    };
    let last = path.path.segments.last()?;
    if last.ident == "WorkerLocal" {
        return None;
    }
    if !LAZY.iter().any(|lazy| last.ident == lazy) {
        return Some(None);
    }
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    let (Some(GenericArgument::Type(value)), Expr::Call(new)) = (arguments.args.first(), &*item.expr) else {
        return None;
    };
    let (built, is_call) = match new.args.first()? {
        Expr::Closure(closure) if closure.inputs.is_empty() => (closure.body.span(), false),
        Expr::Path(function) => (function.span(), true),
        _ => return None,
    };
    Some(Some(Lazy {
        value: value.span(),
        built,
        is_call,
    }))
}

/// Returns whether the name is used in a way that `WorkerLocal` does not support: by a method that it has itself, or as a lazy
/// value to force.
fn has_clash(tokens: &[TokenTree], name: &str) -> bool {
    tokens.iter().enumerate().any(|(at, token)| match &tokens[at..] {
        [named, dot, TokenTree::Ident(method), ..] if is_word(named, name) && is_sign(dot, '.') => {
            METHODS.iter().any(|known| method == known)
        }
        [force, group, ..] if is_word(force, "force") && is_group(group, Delimiter::Parenthesis) => {
            inner(group).iter().any(|token| is_word(token, name))
        }
        _ => has_clash(&inner(token), name),
    })
}

/// Returns the path before `WorkerLocal` at an offset, and the position of its `use` if it needs one.
fn import(text: &str, at: usize) -> Option<(&'static str, Option<Insertion>)> {
    let file = ParsedFile::new(text);
    let parsed = syn::parse_file(file.parsed()).ok()?;
    let (mut items, mut begin) = (parsed.items.as_slice(), 0);
    let is_around = |braces: &syn::token::Brace| {
        let range = braces.span.join().byte_range();
        (file.offset(range.start)..file.offset(range.end)).contains(&at)
    };
    while let Some((braces, inside)) = items.iter().find_map(|item| match item {
        Item::Mod(module) => module.content.as_ref().filter(|(braces, _)| is_around(braces)),
        _ => None,
    }) {
        begin = braces.span.open().byte_range().end;
        items = inside;
    }
    let mut leaves = Vec::new();
    for item in items {
        if let Item::Use(item) = item {
            flatten(&item.tree, &mut Vec::new(), &mut leaves);
        }
    }
    let is_known = leaves.iter().any(|(path, name)| match name.as_str() {
        "WorkerLocal" => path.len() == 2 && path[0] == "cofferdam",
        name => name == "*" && path.len() == 1 && path[0] == "cofferdam",
    });
    Some(if is_known {
        ("", None)
    } else if text.contains("WorkerLocal") {
        ("cofferdam::", None)
    } else {
        ("", Some(file.insertion(items, begin)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the file with the new declaration of `X`.
    fn new_file(text: &str, per_test: bool) -> Option<String> {
        let new = rewritten(text, "X", 1, per_test)?;
        let mut replacements = Replacements::default();
        for (range, with) in new.replaced {
            replacements.add(range, with);
        }
        Some(replacements.apply(text))
    }

    #[test]
    fn a_declaration_gets_the_type_and_a_function_that_builds_the_value() {
        for (old, new) in [
            (
                "static X: AtomicU64 = AtomicU64::new(0);",
                "static X: WorkerLocal<AtomicU64> = WorkerLocal::new(|_| Ok(AtomicU64::new(0)));",
            ),
            (
                "/// Doc.\n#[allow(dead_code)]\npub(super) static X: Mutex<Vec<u32>> = Mutex::new(Vec::new()); // why\n",
                "/// Doc.\n#[allow(dead_code)]\npub(super) static X: WorkerLocal<Mutex<Vec<u32>>> = WorkerLocal::new(|_| \
                 Ok(Mutex::new(Vec::new()))); // why\n",
            ),
            (
                "static X: std::sync::LazyLock<Mutex<u8>> = std::sync::LazyLock::new(|| Mutex::new(1));",
                "static X: WorkerLocal<Mutex<u8>> = WorkerLocal::new(|_| Ok(Mutex::new(1)));",
            ),
            (
                "static X: Lazy<Shop, fn() -> Shop> = Lazy::new(Shop::open);",
                "static X: WorkerLocal<Shop> = WorkerLocal::new(|_| Ok(Shop::open()));",
            ),
            (
                "static X: OnceLock<u8> = OnceLock::new(); fn x() { X.get_or_init(|| 1); }",
                "static X: WorkerLocal<OnceLock<u8>> = WorkerLocal::new(|_| Ok(OnceLock::new())); fn x() { X.get_or_init(|| 1); }",
            ),
            (
                "mod a {\n    lazy_static::lazy_static! {\n        /// Doc.\n        pub static ref X: Mutex<u8> = Mutex::new(1);\n    }\n}\n",
                "mod a {\n    /// Doc.\n        pub static X: WorkerLocal<Mutex<u8>> = WorkerLocal::new(|_| Ok(Mutex::new(1)));\n}\n",
            ),
            (
                "lazy_static!(static ref X: u8 = { 1 };); fn x() -> u8 { *X }",
                "static X: WorkerLocal<u8> = WorkerLocal::new(|_| Ok({ 1 })); fn x() -> u8 { *X }",
            ),
            (
                "fn x() { static X: LazyLock<u8> = LazyLock::new(|| {\n    // One.\n    1\n}); }",
                "fn x() { static X: WorkerLocal<u8> = WorkerLocal::new(|_| Ok({\n    // One.\n    1\n})); }",
            ),
            (
                "static X_OF_MANY: u8 = 1;\nstatic X: Mutex<std::collections::BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());\n",
                "static X_OF_MANY: u8 = 1;\nstatic X: WorkerLocal<Mutex<std::collections::BTreeMap<String, Vec<u8>>>> =\n    \
                 WorkerLocal::new(|_| Ok(Mutex::new(BTreeMap::new())));\n",
            ),
        ] {
            assert_eq!(new_file(old, false).as_deref(), Some(new), "{old}");
        }
        assert_eq!(
            new_file("static X: AtomicU8 = AtomicU8::new(0);", true).unwrap(),
            "static X: WorkerLocal<AtomicU8> = WorkerLocal::new(|_| Ok(AtomicU8::new(0))).per_test();"
        );
    }

    #[test]
    fn a_declaration_stays_where_its_uses_would_have_to_change() {
        for text in [
            "static X: OnceLock<u8> = OnceLock::new(); fn x() { vec![X.get()]; }",
            "static X: LazyLock<u8> = LazyLock::new(|| 1); fn x() { LazyLock::force(&X); }",
            "static X: LazyLock<u8> = made(); ",
            "static X: cofferdam::WorkerLocal<u8> = cofferdam::WorkerLocal::new(|_| Ok(1));",
            "static mut X: u8 = 1;",
            "lazy_static! { static ref X: u8 = 1; static ref Y: u8 = 2; }",
            "mod a { static X: u8 = 1; }\nmod b { static X: u8 = 1; }\n",
            "static Y: u8 = 1;",
            "static X: u8 = ",
        ] {
            let stays = new_file(text, false);
            let is_by_line = text.starts_with("mod a");
            assert_eq!(stays.is_some(), is_by_line, "{text}: {stays:?}");
        }
    }

    #[test]
    fn the_type_is_imported_into_the_module_unless_it_is_there() {
        for (text, import_at, prefix) in [
            ("use std::fs;\nstatic X: u8 = 1;", Some(0), ""),
            (
                "mod a {\n    use cofferdam::*;\n    static X: u8 = 1;\n}",
                None,
                "",
            ),
            ("mod a {\n    fn f() { static X: u8 = 1; }\n}", Some(8), ""),
            (
                "use cofferdam::{WorkerLocal, serial};\nstatic X: u8 = 1;",
                None,
                "",
            ),
            (
                "use cofferdam::WorkerLocal;\nmod a { static X: u8 = 1; }",
                None,
                "cofferdam::",
            ),
        ] {
            let new = rewritten(text, "X", 9, false).unwrap();
            assert_eq!(new.import.map(|import| import.at), import_at, "{text}");
            let wanted = format!("static X: {prefix}WorkerLocal<u8> = {prefix}WorkerLocal::new(|_| Ok(1));");
            assert_eq!(new.shown, wanted);
        }
    }

    #[test]
    fn the_methods_are_those_of_the_library() {
        let source = include_str!("../../../src/locator/worker_local.rs");
        let mut methods = Vec::new();
        for item in syn::parse_file(source).unwrap().items {
            let Item::Impl(item) = item else { continue };
            for item in item.items {
                if let syn::ImplItem::Fn(item) = item
                    && matches!(item.vis, syn::Visibility::Public(_))
                    && item.sig.receiver().is_some()
                {
                    methods.push(item.sig.ident.to_string());
                }
            }
        }
        methods.sort_unstable();
        let mut known = METHODS;
        known.sort_unstable();
        assert_eq!(methods, known);
    }
}
