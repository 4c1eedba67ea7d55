//! Source lines of variables, from a program's debug information.

use super::program_file::File;
use crate::observe::log::source_lines::is_user_code;
use gimli::{AttributeValue, EndianSlice, LittleEndian, Operation, SectionId};
use object::{Object as _, ObjectSection as _};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

/// The place of a declaration in the user's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) file: String,
    pub(super) line: u64,
    /// The name of the variable's type, without a path; empty if it is not known.
    pub(super) type_name: String,
}

type Slice<'s> = EndianSlice<'s, LittleEndian>;
type Unit<'s> = gimli::Unit<Slice<'s>>;
type Dwarf<'s> = gimli::Dwarf<Slice<'s>>;

/// Returns the declarations of variables in the user's code, by address; `None` if that is described without types, and so
/// without variables. What cannot be read is left out.
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

/// Returns whether the unit is Rust code of the user's. The others are most of a large program, and declare none of its statics.
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
            let type_name = type_name(dwarf, unit, entry).unwrap_or_default();
            found.insert(
                address,
                Declaration {
                    file,
                    line,
                    type_name,
                },
            );
        }
    }
    Ok(has_types)
}

fn type_name(
    dwarf: &Dwarf<'_>,
    unit: &Unit<'_>,
    variable: &gimli::DebuggingInformationEntry<Slice<'_>>,
) -> Option<String> {
    let AttributeValue::UnitRef(offset) = variable.attr_value(gimli::DW_AT_type)? else {
        return None;
    };
    let name = unit.entry(offset).ok()?.attr_value(gimli::DW_AT_name)?;
    Some(dwarf.attr_string(unit, name).ok()?.to_string_lossy().into_owned())
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
