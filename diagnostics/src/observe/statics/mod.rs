//! The statics of a test program that belong to the user's code, and the instructions that use them. The runner's side
//! writes them down before the program starts; the observer sets its breakpoints there.
//!
//! `declarations` reads names and source lines, `program_file` symbols and code, `sites` instructions, `dependencies` finds
//! other crates' statics that matter; `listing` combines them, and `kept_listing` caches the result for the next start of the
//! program.

mod declarations;
mod dependencies;
mod kept_listing;
mod listing;
mod program_file;
mod sites;

use crate::observe::site_table::{
    COMPARED, COUNTED, EMPTY, ENDING, GUARD, HEADER, LAZY, LOCK, LOCK_BEHIND, MAGIC, MOST_BYTES, PUT_BACK,
    Site, Static,
};
use crate::scene::StaticId;
use declarations::Pointee;
use kept_listing::KeptListing;
pub(super) use kept_listing::{FOLDER, KEPT};
use listing::Listing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// The reason that a program's statics cannot be observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unwatched {
    /// It is no program, or is damaged.
    Unreadable,
    /// It is not for x86_64: instructions of other processors are not read.
    Processor,
    /// It is linked at a fixed address: its instructions use statics in ways that are not recognized.
    FixedAddress,
    /// It is larger than [`MOST`].
    TooLarge,
    /// It has no symbols.
    Stripped,
    /// It has no description of its variables.
    NoDebugInfo,
    /// Its std has other names than those that tell how a static is used.
    UnknownStd,
    /// Its std is a library of its own, without whose functions nothing tells how a static is used.
    DynamicStd,
}

impl fmt::Display for Unwatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "its statics: the program could not be read",
            Self::Processor => "its statics: they are observed on x86_64 only",
            Self::FixedAddress => {
                "its statics: the program is linked at a fixed address (`relocation-model=static`)"
            }
            Self::TooLarge => "its statics: the program is larger than 512 MiB",
            Self::Stripped => "its statics: the program has no symbols (`strip`)",
            Self::NoDebugInfo => {
                "its statics: the program has no debug information about variables (`debug = 2`)"
            }
            Self::UnknownStd => {
                "its statics: cofferdam does not know this version of Rust's standard library"
            }
            Self::DynamicStd => {
                "its statics: the program links std dynamically, as a proc-macro crate's unit tests do"
            }
        })
    }
}

/// The size of the largest program that is read, in bytes.
const MOST: u64 = 512 << 20;

/// A static of the user's code, of a [`KnownStatic`](cofferdam_conflicts::KnownStatic), or of a called function's crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OwnStatic {
    address: u64,
    size: u64,
    /// The path without a hash: `shop::CACHE`.
    name: String,
    /// The line of its declaration: `/w/src/lib.rs:7`. Empty if it is not in the user's code.
    line: String,
    /// The name of its type, without a path; empty if it is not known.
    type_name: String,
    /// Set if it is a lock or a cell around a value. Its atomic numbers are not the value.
    is_lock: bool,
    /// Set if it or a part of it initializes itself at its first use.
    is_lazy: bool,
    /// Set if it contains a lock that a thread can hold.
    has_lock: bool,
    /// Set if it is a lock without a value: it guards something else.
    is_empty: bool,
    pointee: Option<Pointee>,
}

impl OwnStatic {
    fn id(&self) -> StaticId {
        StaticId {
            name: shortened(&self.name).to_owned(),
            line: shortened(&self.line).to_owned(),
        }
    }

    fn flags(&self, wanted: &Wanted) -> u16 {
        let is_kept = self.size <= MOST_BYTES.into();
        let is_empty = self.is_empty && !wanted.locks;
        [
            (LOCK, self.is_lock),
            (LAZY, self.is_lazy),
            (COMPARED, wanted.compares && is_kept && !is_empty),
            (PUT_BACK, is_kept && wanted.put_back.contains(&self.id())),
            (GUARD, self.has_lock),
            (EMPTY, is_empty),
            (COUNTED, self.pointee.is_some_and(|pointee| pointee.is_counted)),
            (LOCK_BEHIND, self.pointee.is_some_and(|pointee| pointee.has_lock)),
        ]
        .iter()
        .filter_map(|(flag, is_set)| is_set.then_some(flag))
        .sum()
    }
}

/// The request for the statics of a program that is about to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// Sets breakpoints at their uses.
    pub(super) uses: bool,
    /// Compares their bytes at the end of each test with those at its start. The tests run one after the other.
    pub(super) compares: bool,
    /// The number of the test before which the statics in `put_back` get their bytes from before the first test, counted from
    /// 1 in the order in which tests begin.
    pub(super) put_back_before: u32,
    pub(super) put_back: BTreeSet<StaticId>,
    /// Records the uses of locks without a value too, which a panic may poison.
    pub(super) locks: bool,
}

impl Wanted {
    /// Creates a request to record the uses of statics.
    pub(super) fn uses() -> Self {
        Self {
            uses: true,
            ..Self::default()
        }
    }
}

/// A static in the table of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedStatic {
    pub(super) id: StaticId,
    pub(super) type_name: String,
    /// In bytes.
    pub(super) size: u32,
}

impl ListedStatic {
    /// Returns whether its bytes can be put back.
    pub(super) fn can_be_put_back(&self) -> bool {
        self.size <= MOST_BYTES
    }
}

/// Writes the table of the program that this process is about to become to the folder of the logs, or the reason that there
/// is none.
pub(super) fn write(folder: &Path, program: &Path, pid: u32, wanted: &Wanted) -> io::Result<()> {
    let kept = KeptListing::of(program, &folder.join(KEPT));
    let known = kept.as_ref().and_then(KeptListing::read);
    let outcome = known.unwrap_or_else(|| {
        let outcome = read(program).and_then(|bytes| Listing::of(&bytes));
        if let Some(kept) = kept {
            kept.write(&outcome);
        }
        outcome
    });
    match outcome {
        Ok(listing) => {
            let sites = if wanted.uses { &listing.sites[..] } else { &[] };
            fs::write(path(folder, pid), to_bytes(sites, &listing.statics, wanted))
        }
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

/// Reads these bytes as a program, as a table and as a kept listing.
#[cfg(fuzzing)]
pub(crate) fn read_any(bytes: &[u8]) {
    let _ = (Listing::of(bytes), listed_in(bytes), Listing::from_json(bytes));
}

/// Returns the reason, as a text, that [`write()`] left in place of a table.
pub(super) fn reason(folder: &Path, pid: u32) -> Option<String> {
    fs::read_to_string(reason_path(folder, pid)).ok()
}

/// Returns the statics in the table that [`write()`] left; none if there is no table.
pub(super) fn listed(folder: &Path, pid: u32) -> Vec<ListedStatic> {
    fs::read(path(folder, pid)).map_or_else(|_| Vec::new(), |table| listed_in(&table).unwrap_or_default())
}

fn listed_in(table: &[u8]) -> Option<Vec<ListedStatic>> {
    let count = |at: usize| Some(u64::from_ne_bytes(table.get(at..at + 8)?.try_into().ok()?) as usize);
    let (sites, statics, pointing) = (count(8)?, count(16)?, count(24)?);
    let begin = sites.checked_mul(size_of::<Site>())?.checked_add(HEADER)?;
    let (entries, rest) = table
        .get(begin..)?
        .split_at_checked(statics.checked_mul(size_of::<Static>())?)?;
    let texts = rest.get(pointing.checked_mul(size_of::<u32>())?..)?;
    let listed = entries.chunks(size_of::<Static>()).map(|entry| {
        let word = |at: usize| Some(u32::from_ne_bytes(entry.get(at..at + 4)?.try_into().ok()?));
        let length = |at: usize| Some(u16::from_ne_bytes(entry.get(at..at + 2)?.try_into().ok()?).into());
        let mut rest = texts.get(word(8)? as usize..)?;
        let mut text = |length: usize| {
            let (text, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        let id = StaticId {
            name: text(length(12)?)?,
            line: text(length(14)?)?,
        };
        Some(ListedStatic {
            id,
            type_name: text(length(16)?)?,
            size: word(4)?,
        })
    });
    listed.collect()
}

fn path(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}{ENDING}"))
}

fn reason_path(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}.unwatched"))
}

/// Returns the path of a static as the source declares it: `lazy_static!` puts the value into a generated static.
pub(super) fn own_path(path: &str) -> String {
    let inner = path.strip_suffix(" as core::ops::deref::Deref>::deref::__stability::LAZY");
    let own = inner.and_then(|inner| inner.strip_prefix('<'));
    own.unwrap_or(path).to_owned()
}

fn to_bytes(sites: &[Site], statics: &[OwnStatic], wanted: &Wanted) -> Vec<u8> {
    let (mut texts, mut table): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    let mut entries = Vec::new();
    for one in statics {
        let [name, line, type_name] = [&one.name, &one.line, &one.type_name].map(|text| shortened(text));
        let entry = Static {
            address: one.address as u32,
            size: u32::try_from(one.size).unwrap_or(u32::MAX),
            text: texts.len() as u32,
            name_length: name.len() as u16,
            line_length: line.len() as u16,
            type_length: type_name.len() as u16,
            flags: one.flags(wanted),
            pointer: one.pointee.map_or(0, |pointee| pointee.pointer),
            behind: one.pointee.map_or(0, |pointee| pointee.size),
        };
        entries.push(entry);
        texts.extend(name.as_bytes());
        texts.extend(line.as_bytes());
        texts.extend(type_name.as_bytes());
    }
    let pointing: Vec<u32> = (0..)
        .zip(statics)
        .filter(|(_, one)| one.pointee.is_some())
        .map(|(index, _)| index)
        .collect();
    let numbers = [
        MAGIC,
        sites.len() as u64,
        statics.len() as u64,
        pointing.len() as u64,
        texts.len() as u64,
        wanted.put_back_before.into(),
    ];
    numbers
        .iter()
        .for_each(|number| table.extend(number.to_ne_bytes()));
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
        table.extend(entry.type_length.to_ne_bytes());
        table.extend(entry.flags.to_ne_bytes());
        table.extend(entry.pointer.to_ne_bytes());
        table.extend(entry.behind.to_ne_bytes());
    }
    pointing
        .iter()
        .for_each(|index| table.extend(index.to_ne_bytes()));
    table.extend(texts);
    table
}

/// Returns the path of a static without the suffix that the optimizer appends if it splits or renames it, such as `.0`.
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
            type_name: "Mutex<u32>".to_owned(),
            is_lock: true,
            is_lazy: false,
            has_lock: true,
            is_empty: false,
            pointee: Some(Pointee {
                pointer: 16,
                size: 40,
                is_counted: true,
                has_lock: false,
            }),
        };
        let before = OwnStatic {
            address: 0x4000,
            name: String::new(),
            line: String::new(),
            type_name: String::new(),
            pointee: None,
            ..one.clone()
        };
        let wanted = Wanted {
            put_back_before: 3,
            put_back: [one.id()].into(),
            ..Wanted::default()
        };
        let bytes = to_bytes(&[site], &[before.clone(), one.clone()], &wanted);
        let texts = b"shop::CACHE/w/src/lib.rs:7Mutex<u32>";
        assert_eq!(
            bytes.len(),
            HEADER + size_of::<Site>() + 2 * size_of::<Static>() + size_of::<u32>() + texts.len()
        );
        assert_eq!(bytes[..8], MAGIC.to_ne_bytes());
        assert_eq!(bytes[HEADER..HEADER + 4], 0x1234_u32.to_ne_bytes());
        assert_eq!(bytes[HEADER + 8..HEADER + 12], [7, 3, 1, 0x48]);
        assert_eq!(bytes[40..HEADER], 3_u64.to_ne_bytes());
        let flags = HEADER + size_of::<Site>() + 2 * size_of::<Static>() - 6;
        assert_eq!(
            bytes[flags..flags + 2],
            (LOCK | PUT_BACK | GUARD | COUNTED).to_ne_bytes()
        );
        let behind = [16_u16, 40].map(u16::to_ne_bytes);
        assert_eq!(&bytes[flags + 2..flags + 6], behind.as_flattened());
        assert!(bytes.ends_with(&[&1_u32.to_ne_bytes()[..], texts].concat()));
        let listed = [before, one].map(|one| ListedStatic {
            id: one.id(),
            type_name: one.type_name,
            size: 8,
        });
        assert_eq!(listed_in(&bytes), Some(listed.to_vec()));
        assert_eq!(listed_in(&bytes[..bytes.len() - 1]), None);
        let mut huge = bytes;
        huge[24..32].fill(u8::MAX);
        assert_eq!(listed_in(&huge), None);
        huge[8..16].fill(u8::MAX);
        assert_eq!(listed_in(&huge), None);
    }

    #[test]
    fn a_static_of_lazy_static_has_the_path_of_its_declaration() {
        for (path, own) in [
            (
                "<shop::CACHE as core::ops::deref::Deref>::deref::__stability::LAZY",
                "shop::CACHE",
            ),
            ("shop::__stability::LAZY", "shop::__stability::LAZY"),
            ("shop::CACHE", "shop::CACHE"),
        ] {
            assert_eq!(own_path(path), own);
        }
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
            assert_eq!(Listing::of(bytes), Err(Unwatched::Unreadable));
        }
    }

    #[test]
    fn the_statics_of_a_program_for_another_processor_or_at_a_fixed_address_are_not_listed() {
        let mut header = [0; 64];
        header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        for (kind, processor, reason) in [
            (3, 62, Unwatched::Unreadable),
            (3, 183, Unwatched::Processor),
            (2, 62, Unwatched::FixedAddress),
        ] {
            (header[16], header[18]) = (kind, processor);
            assert_eq!(Listing::of(&header), Err(reason));
        }
    }

    #[test]
    fn the_reason_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        write(folder.path(), &script, 7, &Wanted::default()).unwrap();
        assert_eq!(reason(folder.path(), 7), Some(Unwatched::Unreadable.to_string()));
        assert_eq!(reason(folder.path(), 8), None);
    }
}
