//! Source lines of variables, from a program's debug information.

use super::program_file::{File, crate_of, demangled};
use crate::observe::log::source_lines::is_user_code;
use gimli::{AttributeValue, EndianSlice, LittleEndian, Operation, SectionId, UnitOffset};
use object::{Object as _, ObjectSection as _};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// The place of a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) file: String,
    pub(super) line: u64,
    /// The name of the variable's type, without a path; empty if it is not known.
    pub(super) type_name: String,
    /// Set if the type or a part of it initializes itself at its first use.
    pub(super) is_lazy: bool,
    /// Set if the type or a part of it is a lock that a thread can hold.
    pub(super) has_lock: bool,
    pub(super) behind: Behind,
}

/// The bytes behind a pointer in a static that may belong to a lock or an atomic number: the first, and the end. Both are 0 if
/// there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Behind(pub(super) u16, pub(super) u16);

impl Declaration {
    /// Returns the file and the line: `/w/src/lib.rs:7`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

type Slice<'s> = EndianSlice<'s, LittleEndian>;
type Unit<'s> = gimli::Unit<Slice<'s>>;
type Dwarf<'s> = gimli::Dwarf<Slice<'s>>;

/// The variables of some crates.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    pub(super) by_address: HashMap<u64, Declaration>,
    /// The crates that the functions in wanted files belong to. An incremental build names no crate in the path of a unit.
    pub(super) crates: HashSet<String>,
}

/// Returns the declarations of variables in the user's code; `None` if its debug information has no types, and so no variables.
/// Entries that cannot be read are left out.
pub(super) fn read(file: &File<'_>) -> Option<Declarations> {
    read_units(file, is_user_code, is_user_code)
}

/// Returns the declarations of variables in these crates, by address.
pub(super) fn read_of_crates(file: &File<'_>, crates: &HashSet<&str>) -> HashMap<u64, Declaration> {
    let found = read_units(file, |path| may_be_of(path, crates), |_| true);
    found.unwrap_or_default().by_address
}

/// Reads the units with a wanted path, and in them the variables that a wanted file declares.
fn read_units(
    file: &File<'_>,
    is_unit: impl Fn(&str) -> bool,
    is_file: fn(&str) -> bool,
) -> Option<Declarations> {
    let load = |id: SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let section = file.section_by_name(id.name());
        Ok(section
            .and_then(|section| section.uncompressed_data().ok())
            .unwrap_or_default())
    };
    let mut found = Declarations::default();
    let sections = gimli::DwarfSections::load(load).ok()?;
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let (mut units, mut has_types) = (dwarf.units(), false);
    while let Ok(Some(header)) = units.next() {
        // Most units of a large program are not wanted.
        if let Ok(unit) = dwarf.unit(header)
            && let Ok(Some(path)) = rust_path(&unit)
            && is_unit(&path)
        {
            has_types |= read_unit(&dwarf, &unit, is_file, &mut found).unwrap_or(false);
        }
    }
    has_types.then_some(found)
}

/// Returns the path of a unit of Rust code: `/w/src/lib.rs/@/shop.7f5d8e-cgu.0`.
fn rust_path(unit: &Unit<'_>) -> Result<Option<String>, gimli::Error> {
    let mut entries = unit.entries();
    let language = match entries.next_dfs()? {
        Some(root) => root.attr_value(gimli::DW_AT_language),
        None => None,
    };
    let text = |text: Option<Slice<'_>>| text.map(|text| text.to_string_lossy().into_owned());
    let dir = PathBuf::from(text(unit.comp_dir).unwrap_or_default());
    let file = dir.join(text(unit.name).unwrap_or_default());
    let is_rust = language == Some(AttributeValue::Language(gimli::DW_LANG_Rust));
    Ok(is_rust.then(|| file.to_string_lossy().into_owned()))
}

/// Returns whether a unit may belong to one of these crates. Its path names the crate, unless the build was incremental.
fn may_be_of(path: &str, crates: &HashSet<&str>) -> bool {
    let unit = path.rsplit_once("/@/").map(|(_, unit)| unit);
    unit.is_some_and(|unit| unit.split_once('.').is_none_or(|(name, _)| crates.contains(name)))
}

/// Returns whether the unit describes types.
fn read_unit(
    dwarf: &Dwarf<'_>,
    unit: &Unit<'_>,
    is_file: fn(&str) -> bool,
    found: &mut Declarations,
) -> Result<bool, gimli::Error> {
    let mut entries = unit.entries();
    let (mut files, mut has_types, mut has_crate) = (HashMap::new(), false, false);
    while let Some(entry) = entries.next_dfs()? {
        has_types |= entry.tag() == gimli::DW_TAG_base_type;
        if entry.tag() == gimli::DW_TAG_subprogram
            && !has_crate
            && let Some(AttributeValue::FileIndex(index)) = entry.attr_value(gimli::DW_AT_decl_file)
            && let Some(symbol) = entry.attr_value(gimli::DW_AT_linkage_name)
        {
            let file = files.entry(index).or_insert_with(|| path(dwarf, unit, index));
            has_crate = file.as_deref().is_some_and(is_file);
            let symbol = dwarf.attr_string(unit, symbol)?.to_string_lossy();
            found
                .crates
                .extend(has_crate.then(|| crate_of(&demangled(&symbol)).to_owned()));
        }
        if entry.tag() != gimli::DW_TAG_variable {
            continue;
        }
        let Some(AttributeValue::Exprloc(location)) = entry.attr_value(gimli::DW_AT_location) else {
            continue;
        };
        let address = match location.operations(unit.encoding()).next()? {
            Some(Operation::Address { address }) => address,
            Some(Operation::AddressIndex { index }) => dwarf.address(unit, index)?,
            _ => continue,
        };
        let (file, line) = (
            entry.attr_value(gimli::DW_AT_decl_file),
            entry
                .attr_value(gimli::DW_AT_decl_line)
                .and_then(|line| line.udata_value()),
        );
        let (Some(AttributeValue::FileIndex(index)), Some(line)) = (file, line) else {
            continue;
        };
        let file = files.entry(index).or_insert_with(|| path(dwarf, unit, index));
        if let Some(file) = file.clone().filter(|file| is_file(file)) {
            let type_name = type_of(entry).and_then(|offset| name_of(dwarf, unit, offset));
            let has_part =
                |words: &[&str]| type_of(entry).is_some_and(|offset| has_part(dwarf, unit, offset, words));
            found.by_address.insert(
                address,
                Declaration {
                    file,
                    line,
                    type_name: type_name.unwrap_or_default(),
                    is_lazy: has_part(&["Once", "Lazy"]),
                    has_lock: has_part(&["Mutex", "RwLock"]),
                    behind: type_of(entry)
                        .map(|offset| behind(dwarf, unit, offset))
                        .unwrap_or_default(),
                },
            );
        }
    }
    Ok(has_types)
}

/// Returns the offset of the type of a variable, a field, or an array's elements.
fn type_of(entry: &gimli::DebuggingInformationEntry<Slice<'_>>) -> Option<UnitOffset> {
    match entry.attr_value(gimli::DW_AT_type)? {
        AttributeValue::UnitRef(offset) => Some(offset),
        _ => None,
    }
}

fn name_of(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset) -> Option<String> {
    let name = unit.entry(offset).ok()?.attr_value(gimli::DW_AT_name)?;
    Some(without_paths(
        &dwarf.attr_string(unit, name).ok()?.to_string_lossy(),
    ))
}

/// Returns the name of a type without paths, and without the usual default arguments.
fn without_paths(name: &str) -> String {
    let is_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut short = String::new();
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        let end = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end.max(letter.len_utf8()));
        match after.strip_prefix("::") {
            Some(path) if end > 0 => rest = path,
            _ => {
                short.push_str(word);
                rest = after;
            }
        }
    }
    short.replace(", Global", "").replace(", RandomState", "")
}

/// Returns whether the name of a type, or of a part of it, contains one of these words.
fn has_part(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset, words: &[&str]) -> bool {
    all_parts(unit, offset).any(|offset| {
        let name = name_of(dwarf, unit, offset).unwrap_or_default();
        words.iter().any(|word| name.contains(word))
    })
}

/// Returns what a pointer in a type leads to: the largest value with a lock or an atomic number in it.
fn behind(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset) -> Behind {
    let pointed = all_parts(unit, offset).filter_map(|part| {
        let part = unit.entry(part).ok()?;
        let target = type_of(&part).filter(|_| part.tag() == gimli::DW_TAG_pointer_type)?;
        let size = unit
            .entry(target)
            .ok()?
            .attr_value(gimli::DW_AT_byte_size)?
            .udata_value()?;
        let is_wanted = has_part(dwarf, unit, target, &["Mutex", "RwLock", "Atomic"]);
        // Two numbers of its own come first.
        let is_counted = name_of(dwarf, unit, target)?.starts_with("ArcInner<");
        let start = if is_counted { 16 } else { 0 };
        is_wanted.then_some(Behind(start, u16::try_from(size).unwrap_or(u16::MAX)))
    });
    pointed.max_by_key(|Behind(_, end)| *end).unwrap_or_default()
}

/// Iterates over a type and its parts, without what pointers lead to.
fn all_parts<'u>(unit: &'u Unit<'_>, offset: UnitOffset) -> impl Iterator<Item = UnitOffset> + 'u {
    let (mut open, mut known) = (vec![offset], HashSet::from([offset]));
    std::iter::from_fn(move || {
        let next = open.pop()?;
        let mut add = |part: UnitOffset| open.extend(known.insert(part).then_some(part));
        if let Ok(mut tree) = unit.entries_tree(Some(next))
            && let Ok(root) = tree.root()
        {
            // The type of an array's elements, but not of what a pointer leads to.
            if root.entry().tag() == gimli::DW_TAG_array_type {
                type_of(root.entry()).into_iter().for_each(&mut add);
            }
            add_fields(root, &mut add);
        }
        Some(next)
    })
}

/// Adds the types of the fields of a type, and of its variants.
fn add_fields(parent: gimli::EntriesTreeNode<'_, '_, Slice<'_>>, add: &mut impl FnMut(UnitOffset)) {
    let mut children = parent.children();
    while let Ok(Some(child)) = children.next() {
        match child.entry().tag() {
            gimli::DW_TAG_member => type_of(child.entry()).into_iter().for_each(&mut *add),
            gimli::DW_TAG_variant_part | gimli::DW_TAG_variant => add_fields(child, add),
            _ => {}
        }
    }
}

/// Returns the path of a file in a unit's table.
fn path(dwarf: &Dwarf<'_>, unit: &Unit<'_>, index: u64) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let file = header.file(index)?;
    let text = |value| {
        Some(
            dwarf
                .attr_string(unit, value)
                .ok()?
                .to_string_lossy()
                .into_owned(),
        )
    };
    let mut path = unit
        .comp_dir
        .map(|dir| PathBuf::from(&*dir.to_string_lossy()))
        .unwrap_or_default();
    if let Some(dir) = file.directory(header).and_then(text) {
        path.push(dir);
    }
    path.push(text(file.path_name())?);
    Some(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_unit_names_its_crate_unless_the_build_was_incremental() {
        let crates = HashSet::from(["shop", "a_b"]);
        for (path, may_be) in [
            ("/w/src/lib.rs/@/shop.7f5d8e-cgu.0", true),
            ("/w/tests/a.rs/@/a_b.1c-cgu.12", true),
            ("/w/src/lib.rs/@/log.7f5d8e-cgu.0", false),
            ("/w/src/lib.rs/@/06b6lxj072z2b6h14mr8em0kr", true),
            ("/w/src/zlib.c", false),
        ] {
            assert_eq!(may_be_of(path, &crates), may_be, "{path}");
        }
    }

    #[test]
    fn a_type_is_named_without_paths_and_defaults() {
        for (name, short) in [
            ("u32", "u32"),
            (
                "Mutex<alloc::vec::Vec<u32, alloc::alloc::Global>>",
                "Mutex<Vec<u32>>",
            ),
            (
                "Lazy<HashMap<&str, u32, std::hash::random::RandomState>, fn() -> a::B>",
                "Lazy<HashMap<&str, u32>, fn() -> B>",
            ),
            ("[ä::Ö; 3]", "[Ö; 3]"),
            ("{closure_env#0}<a::b>", "{closure_env#0}<b>"),
        ] {
            assert_eq!(without_paths(name), short);
        }
    }
}
