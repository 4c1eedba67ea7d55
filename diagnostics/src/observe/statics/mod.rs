//! The statics of a test program that belong to the user's code, and the instructions that use them. The runner's side
//! writes them down before the program starts; the observer sets its breakpoints there.
//!
//! `declarations` reads names and source lines, `program_file` symbols and code, `sites` instructions; `kept_tables` keeps
//! the outcome.

mod declarations;
mod kept_tables;
mod program_file;
mod sites;

use crate::observe::site_table::{ENDING, HEADER, MAGIC, Site, Static};
use declarations::Declaration;
pub(super) use kept_tables::FOLDER;
use kept_tables::KeptTable;
use program_file::Program;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The reason that a program's statics cannot be observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwatched {
    /// It is no program for this processor, or is damaged.
    Unreadable,
    /// It is larger than [`MOST`].
    TooLarge,
    /// It has no symbols.
    Stripped,
    /// It has no description of its variables.
    NoDebugInfo,
}

impl fmt::Display for Unwatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "its statics: the program could not be read",
            Self::TooLarge => "its statics: the program is larger than 512 MiB",
            Self::Stripped => "its statics: the program has no symbols (`strip`)",
            Self::NoDebugInfo => {
                "its statics: the program has no debug information about variables (`debug = 2`)"
            }
        })
    }
}

/// The size of the largest program that is read, in bytes.
const MOST: u64 = 512 << 20;

/// Words in the names of types that hold a value beside atomic numbers of their own.
const LOCKS: [&str; 6] = ["Mutex", "RwLock", "Once", "Lazy", "Condvar", "Semaphore"];

/// A static of the user's code.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnStatic {
    address: u64,
    size: u64,
    /// The path without a hash: `shop::CACHE`.
    name: String,
    /// The line of its declaration: `/w/src/lib.rs:7`.
    line: String,
    /// Set if it is a lock or a cell around a value. Its atomic numbers are not the value.
    is_lock: bool,
}

/// Writes the table of the program that this process is about to become to the folder of the logs, or the reason that there
/// is none. The outcome is also kept in the folder `kept`, if there is one, and taken from there the next time.
pub(super) fn write(folder: &Path, program: &Path, pid: u32, kept: Option<&Path>) -> io::Result<()> {
    let kept = kept.and_then(|kept| KeptTable::of(program, kept));
    let known = kept.as_ref().and_then(KeptTable::read);
    let outcome = known.unwrap_or_else(|| {
        let outcome = read(program).and_then(|bytes| table(&bytes));
        if let Some(kept) = kept {
            kept.write(&outcome);
        }
        outcome
    });
    match outcome {
        Ok(table) => fs::write(path(folder, pid), table),
        Err(reason) => fs::write(reason_path(folder, pid), reason.to_string()),
    }
}

fn read(program: &Path) -> Result<Vec<u8>, Unwatched> {
    let size = fs::metadata(program).map_err(|_| Unwatched::Unreadable)?.len();
    if size > MOST {
        return Err(Unwatched::TooLarge);
    }
    fs::read(program).map_err(|_| Unwatched::Unreadable)
}

/// Returns the reason, as a text, that [`write`] left in place of a table.
pub(super) fn reason(folder: &Path, pid: u32) -> Option<String> {
    fs::read_to_string(reason_path(folder, pid)).ok()
}

fn path(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}{ENDING}"))
}

fn reason_path(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}.unwatched"))
}

/// Returns the table of a program.
fn table(bytes: &[u8]) -> Result<Vec<u8>, Unwatched> {
    let program = Program::parse(bytes).ok_or(Unwatched::Unreadable)?;
    if program.functions.is_empty() {
        return Err(Unwatched::Stripped);
    }
    let declarations = declarations::read(&program.file).ok_or(Unwatched::NoDebugInfo)?;
    let statics: Vec<OwnStatic> = program
        .variables
        .iter()
        .filter_map(|variable| {
            let Declaration {
                file,
                line,
                type_name,
            } = declarations.get(&variable.address)?;
            // It guards something else, and holds nothing.
            let is_empty = type_name.contains("<()>") || type_name.ends_with(", ()>") || type_name == "Once";
            let name = without_suffix(&program_file::demangled(variable.symbol)).to_owned();
            // Our library may be a dependency by path, as the user's own crates are.
            (!is_empty && !name.starts_with("cofferdam::")).then(|| OwnStatic {
                address: variable.address,
                size: variable.size,
                name,
                line: format!("{file}:{line}"),
                is_lock: LOCKS.iter().any(|word| type_name.contains(word)),
            })
        })
        .collect();
    let sites = sites::find(&program, &statics);
    Ok(to_bytes(&sites, &statics))
}

fn to_bytes(sites: &[Site], statics: &[OwnStatic]) -> Vec<u8> {
    let (mut texts, mut table): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut entries = Vec::new();
    for one in statics {
        let (name, line) = (shortened(&one.name), shortened(&one.line));
        let entry = Static {
            address: one.address as u32,
            size: u32::try_from(one.size).unwrap_or(u32::MAX),
            text: texts.len() as u32,
            name_length: name.len() as u16,
            line_length: line.len() as u16,
            is_lock: one.is_lock.into(),
        };
        entries.push(entry);
        texts.extend(name.as_bytes());
        texts.extend(line.as_bytes());
    }
    let counts = [sites.len() as u64, statics.len() as u64, texts.len() as u64];
    table.extend(MAGIC.to_ne_bytes());
    counts.iter().for_each(|count| table.extend(count.to_ne_bytes()));
    debug_assert_eq!(table.len(), HEADER);
    for site in sites {
        table.extend(site.address.to_ne_bytes());
        table.extend(site.target.to_ne_bytes());
        table.extend([site.length, site.displacement, site.how, site.first]);
    }
    for entry in entries {
        for word in [entry.address, entry.size, entry.text] {
            table.extend(word.to_ne_bytes());
        }
        table.extend(entry.name_length.to_ne_bytes());
        table.extend(entry.line_length.to_ne_bytes());
        table.extend(entry.is_lock.to_ne_bytes());
    }
    table.extend(texts);
    table
}

/// Returns the path of a static without what the optimizer appends to a part of it that it has moved, such as `.0`.
fn without_suffix(name: &str) -> &str {
    name.split_once('.').map_or(name, |(name, _)| name)
}

/// Returns the beginning of a text: the names of generic functions can be very long.
fn shortened(text: &str) -> &str {
    const MOST: usize = 1000;
    let end = (0..=MOST.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_layout_that_the_observer_reads() {
        let site = Site {
            address: 0x1234,
            target: 0,
            length: 7,
            displacement: 3,
            how: 1,
            first: 0x48,
        };
        let one = OwnStatic {
            address: 0x5000,
            size: 8,
            name: "shop::CACHE".to_owned(),
            line: "/w/src/lib.rs:7".to_owned(),
            is_lock: true,
        };
        let bytes = to_bytes(&[site], &[one]);
        let texts = b"shop::CACHE/w/src/lib.rs:7";
        assert_eq!(
            bytes.len(),
            HEADER + size_of::<Site>() + size_of::<Static>() + texts.len()
        );
        assert_eq!(bytes[..8], MAGIC.to_ne_bytes());
        assert_eq!(bytes[HEADER..HEADER + 4], 0x1234_u32.to_ne_bytes());
        assert_eq!(bytes[HEADER + 8..HEADER + 12], [7, 3, 1, 0x48]);
        assert!(bytes.ends_with(texts));
    }

    #[test]
    fn a_static_keeps_its_name_when_it_is_optimized() {
        for name in ["shop::CACHE", "shop::CACHE.0", "shop::CACHE.0.llvm.173"] {
            assert_eq!(without_suffix(name), "shop::CACHE");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_its_letters() {
        assert_eq!(shortened("short"), "short");
        let long = "ä".repeat(1000);
        assert_eq!(shortened(&long).len(), 1000);
        let long = format!("a{long}");
        assert_eq!(shortened(&long).len(), 999);
    }

    #[test]
    fn what_is_no_program_has_no_table() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01"] {
            assert_eq!(table(bytes), Err(Unwatched::Unreadable));
        }
    }

    #[test]
    fn the_reason_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        write(folder.path(), &script, 7, None).unwrap();
        assert_eq!(reason(folder.path(), 7), Some(Unwatched::Unreadable.to_string()));
        assert_eq!(reason(folder.path(), 8), None);
    }
}
