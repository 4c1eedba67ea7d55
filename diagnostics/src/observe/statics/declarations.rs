//! Source lines of variables, from a program's debug information.

use super::program_file::File;
use crate::observe::log::source_lines::is_user_code;
use gimli::{AttributeValue, EndianSlice, LittleEndian, Operation, SectionId, UnitOffset};
use object::{Object as _, ObjectSection as _};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// Words in the names of types that hold a value next to atomics of their own.
pub(super) const LOCKS: [&str; 6] = ["Mutex", "RwLock", "Condvar", "Semaphore", "Once", "Lazy"];

/// Those whose own atomics change at each use.
const VALUE_LOCKS: &[&str] = LOCKS.split_at(4).0;

/// The place of a declaration in the user's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) file: String,
    pub(super) line: u64,
    /// The name of the variable's type, without a path; empty if it is not known.
    pub(super) type_name: String,
    /// Set if the type or a part of it initializes itself at its first use.
    pub(super) is_lazy: bool,
    /// Set if a cell of the type holds a number or pointer that changes atomically, and no part is a lock.
    pub(super) has_atomic_value: bool,
}

impl Declaration {
    /// Returns the file and the line: `/w/src/lib.rs:7`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

type Slice<'s> = EndianSlice<'s, LittleEndian>;
type Unit<'s> = gimli::Unit<Slice<'s>>;
type Dwarf<'s> = gimli::Dwarf<Slice<'s>>;

/// Returns the declarations of variables in the user's code, by address; `None` if its debug information has no types, and so
/// no variables. Entries that cannot be read are left out.
pub(super) fn read(file: &File<'_>) -> Option<HashMap<u64, Declaration>> {
    let load = |id: SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let section = file.section_by_name(id.name());
        Ok(section
            .and_then(|section| section.uncompressed_data().ok())
            .unwrap_or_default())
    };
    let mut found = HashMap::new();
    let sections = gimli::DwarfSections::load(load).ok()?;
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let (mut units, mut has_types) = (dwarf.units(), false);
    while let Ok(Some(header)) = units.next() {
        if let Ok(unit) = dwarf.unit(header)
            && is_of_user(&unit).unwrap_or(false)
        {
            has_types |= read_unit(&dwarf, &unit, &mut found).unwrap_or(false);
        }
    }
    has_types.then_some(found)
}

/// Returns whether the unit is the user's Rust code. Other units are most of a large program, and declare none of its statics.
fn is_of_user(unit: &Unit<'_>) -> Result<bool, gimli::Error> {
    let mut entries = unit.entries();
    let language = match entries.next_dfs()? {
        Some(root) => root.attr_value(gimli::DW_AT_language),
        None => None,
    };
    let text = |text: Option<Slice<'_>>| text.map(|text| text.to_string_lossy().into_owned());
    let dir = PathBuf::from(text(unit.comp_dir).unwrap_or_default());
    let file = dir.join(text(unit.name).unwrap_or_default());
    Ok(language == Some(AttributeValue::Language(gimli::DW_LANG_Rust))
        && is_user_code(&file.to_string_lossy()))
}

/// Returns whether the unit describes types.
fn read_unit(
    dwarf: &Dwarf<'_>,
    unit: &Unit<'_>,
    found: &mut HashMap<u64, Declaration>,
) -> Result<bool, gimli::Error> {
    let mut entries = unit.entries();
    let (mut files, mut has_types) = (HashMap::new(), false);
    while let Some(entry) = entries.next_dfs()? {
        has_types |= entry.tag() == gimli::DW_TAG_base_type;
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
        if let Some(file) = file.clone().filter(|file| is_user_code(file)) {
            let type_name = type_of(entry).and_then(|offset| name_of(dwarf, unit, offset));
            let is_lazy = type_of(entry).is_some_and(|offset| is_lazy(dwarf, unit, offset));
            let has_atomic_value = type_of(entry).is_some_and(|offset| has_atomic_value(dwarf, unit, offset));
            found.insert(
                address,
                Declaration {
                    file,
                    line,
                    type_name: type_name.unwrap_or_default(),
                    is_lazy,
                    has_atomic_value,
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

/// Returns whether a type, or a part of it, initializes itself at its first use.
fn is_lazy(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset) -> bool {
    let (mut open, mut known) = (vec![offset], HashSet::from([offset]));
    while let Some(offset) = open.pop() {
        let name = name_of(dwarf, unit, offset).unwrap_or_default();
        if ["Once", "Lazy"].iter().any(|word| name.contains(word)) {
            return true;
        }
        let parts = parts_of(unit, offset).unwrap_or_default();
        open.extend(parts.into_iter().filter(|part| known.insert(*part)));
    }
    false
}

/// Returns whether a cell of a type holds a number or pointer that changes atomically, unless a part is a lock. Atomics outside
/// of cells are those of a lazy type itself.
fn has_atomic_value(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset) -> bool {
    let (mut open, mut known) = (vec![(offset, false)], HashSet::from([(offset, false)]));
    let mut has_atomic = false;
    while let Some((offset, is_in_cell)) = open.pop() {
        let name = name_of(dwarf, unit, offset).unwrap_or_default();
        if VALUE_LOCKS.iter().any(|word| name.contains(word)) {
            return false;
        }
        if name.starts_with("Atomic") {
            has_atomic |= is_in_cell;
            continue;
        }
        let is_in_cell = is_in_cell || name.starts_with("UnsafeCell");
        let parts = parts_of(unit, offset).unwrap_or_default();
        let parts = parts.into_iter().map(|part| (part, is_in_cell));
        open.extend(parts.filter(|part| known.insert(*part)));
    }
    has_atomic
}

/// Returns the types of a type's fields, also of those of its variants, or of its elements.
fn parts_of(unit: &Unit<'_>, offset: UnitOffset) -> Option<Vec<UnitOffset>> {
    let mut tree = unit.entries_tree(Some(offset)).ok()?;
    let mut parts = Vec::new();
    add_parts(tree.root().ok()?, &mut parts).ok()?;
    Some(parts)
}

fn add_parts(
    node: gimli::EntriesTreeNode<'_, '_, Slice<'_>>,
    parts: &mut Vec<UnitOffset>,
) -> Result<(), gimli::Error> {
    if matches!(
        node.entry().tag(),
        gimli::DW_TAG_array_type | gimli::DW_TAG_member
    ) {
        parts.extend(type_of(node.entry()));
    }
    let mut children = node.children();
    while let Some(child) = children.next()? {
        let tag = child.entry().tag();
        if matches!(
            tag,
            gimli::DW_TAG_member | gimli::DW_TAG_variant_part | gimli::DW_TAG_variant
        ) {
            add_parts(child, parts)?;
        }
    }
    Ok(())
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
