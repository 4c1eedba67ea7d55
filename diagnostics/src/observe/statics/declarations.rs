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
    pub(super) pointee: Option<Pointee>,
}

/// A value that a pointer in a static leads to, with a lock or an atomic number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointee {
    /// The position of the pointer in the static.
    pub(super) pointer: u16,
    pub(super) size: u16,
    /// Set if it begins with the two numbers of an `Arc`.
    pub(super) is_counted: bool,
    pub(super) has_lock: bool,
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
                    pointee: type_of(entry).and_then(|offset| pointee(dwarf, unit, offset)),
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
    let mut parts = all_parts(unit, offset).into_iter();
    // The name of a variant is the user's word for it.
    parts.any(|part| !part.is_variant && has_name(dwarf, unit, part.type_at, words))
}

fn has_name(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset, words: &[&str]) -> bool {
    let name = name_of(dwarf, unit, offset).unwrap_or_default();
    words.iter().any(|word| name.contains(word))
}

/// Returns the largest value with a lock or an atomic number in it that a pointer in a static of this type leads to.
fn pointee(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset) -> Option<Pointee> {
    let pointed = all_parts(unit, offset).into_iter().filter_map(|part| {
        let pointer = unit.entry(part.type_at).ok()?;
        let target = type_of(&pointer).filter(|_| pointer.tag() == gimli::DW_TAG_pointer_type)?;
        let size = unit
            .entry(target)
            .ok()?
            .attr_value(gimli::DW_AT_byte_size)?
            .udata_value()?;
        let is_counted = has_name(dwarf, unit, target, &["ArcInner<"]);
        // The numbers that count references are the first two fields.
        let value = if is_counted {
            field(dwarf, unit, target, "data")?
        } else {
            target
        };
        let has_lock = has_part(dwarf, unit, value, &["Mutex", "RwLock"]);
        let is_wanted = has_lock || has_part(dwarf, unit, value, &["Atomic"]);
        Some(Pointee {
            pointer: u16::try_from(part.position).ok()?,
            size: u16::try_from(size).unwrap_or(u16::MAX),
            is_counted,
            has_lock,
        })
        .filter(|_| is_wanted)
    });
    pointed.max_by_key(|pointee| pointee.size)
}

/// Returns the type of a field.
fn field(dwarf: &Dwarf<'_>, unit: &Unit<'_>, offset: UnitOffset, wanted: &str) -> Option<UnitOffset> {
    let mut tree = unit.entries_tree(Some(offset)).ok()?;
    let mut children = tree.root().ok()?.children();
    while let Ok(Some(child)) = children.next() {
        let name = child.entry().attr_value(gimli::DW_AT_name)?;
        if dwarf.attr_string(unit, name).ok()?.to_string_lossy() == wanted {
            return type_of(child.entry());
        }
    }
    None
}

/// A part of a type.
#[derive(Clone, Copy)]
struct Part {
    type_at: UnitOffset,
    /// Its place in the whole, in bytes.
    position: u64,
    /// Set if it is a variant, with the variant's name, and not the type of a field.
    is_variant: bool,
}

/// Returns a type and its parts, without what pointers lead to. Of parts with one type, the first.
fn all_parts(unit: &Unit<'_>, offset: UnitOffset) -> Vec<Part> {
    let whole = Part {
        type_at: offset,
        position: 0,
        is_variant: false,
    };
    let (mut parts, mut known, mut next) = (vec![whole], HashSet::from([offset]), 0);
    while let Some(part) = parts.get(next).copied() {
        next += 1;
        let mut add = |part: Part| parts.extend(known.insert(part.type_at).then_some(part));
        if let Ok(mut tree) = unit.entries_tree(Some(part.type_at))
            && let Ok(root) = tree.root()
        {
            // The type of an array's elements, but not of what a pointer leads to.
            if root.entry().tag() == gimli::DW_TAG_array_type
                && let Some(type_at) = type_of(root.entry())
            {
                add(Part { type_at, ..part });
            }
            add_fields(root, part.position, false, &mut add);
        }
    }
    parts
}

/// Adds the fields of a type, and its variants.
fn add_fields(
    parent: gimli::EntriesTreeNode<'_, '_, Slice<'_>>,
    begin: u64,
    is_variant: bool,
    add: &mut impl FnMut(Part),
) {
    let mut children = parent.children();
    while let Ok(Some(child)) = children.next() {
        match child.entry().tag() {
            gimli::DW_TAG_member => {
                let place = child.entry().attr_value(gimli::DW_AT_data_member_location);
                let place = place.and_then(|place| place.udata_value()).unwrap_or(0);
                if let Some(type_at) = type_of(child.entry()) {
                    add(Part {
                        type_at,
                        position: begin + place,
                        is_variant,
                    });
                }
            }
            gimli::DW_TAG_variant_part => add_fields(child, begin, false, add),
            gimli::DW_TAG_variant => add_fields(child, begin, true, add),
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
