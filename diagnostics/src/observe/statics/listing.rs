//! The statics of a program and the instructions that use them, kept while the observation lasts: reruns start a program hundreds
//! of times.

use super::declarations::{self, Declaration};
use super::program_file::{self, Program};
use super::{OwnStatic, Unwatched, own_path, sites};
use crate::observe::site_table::Site;
use cofferdam_conflicts::KnownStatic;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The directory for the lists of programs in that of the logs. Reruns have a link to it.
pub(in crate::observe) const KEPT: &str = "listings";

/// Words in the names of types that hold a value beside atomic numbers of their own.
const LOCKS: [&str; 6] = ["Mutex", "RwLock", "Once", "Lazy", "Condvar", "Semaphore"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) statics: Vec<OwnStatic>,
    pub(super) sites: Vec<Site>,
}

/// The fields of a [`Site`], which belongs to the observer.
type SiteFields = (u32, u32, u8, u8, u8, u8);

#[derive(Serialize, Deserialize)]
struct Written {
    statics: Vec<OwnStatic>,
    sites: Vec<SiteFields>,
}

impl Listing {
    /// Reads a program. `with_locks` includes locks without a value.
    pub(super) fn of(bytes: &[u8], with_locks: bool) -> Result<Self, Unwatched> {
        let program = Program::parse(bytes).ok_or(Unwatched::Unreadable)?;
        if program.functions.is_empty() {
            return Err(Unwatched::Stripped);
        }
        let declarations = declarations::read(&program.file).ok_or(Unwatched::NoDebugInfo)?;
        let statics: Vec<OwnStatic> = program
            .variables
            .iter()
            .filter_map(|variable| {
                let name = own_path(&program_file::demangled(variable.symbol));
                let declaration = declarations.get(&variable.address);
                let is_known = KnownStatic::of(&name).is_some();
                let type_name = declaration.map_or("", |declaration| &declaration.type_name);
                // It guards something else, and holds nothing.
                let is_empty =
                    type_name.contains("<()>") || type_name.ends_with(", ()>") || type_name == "Once";
                // Our library may be a dependency by path, as the user's own crates are.
                let is_wanted = (declaration.is_some() || is_known)
                    && (with_locks || !is_empty)
                    && !name.starts_with("cofferdam::");
                is_wanted.then(|| OwnStatic {
                    address: variable.address,
                    size: variable.size,
                    name,
                    line: declaration.map(Declaration::place).unwrap_or_default(),
                    is_lock: is_known || LOCKS.iter().any(|word| type_name.contains(word)),
                    type_name: type_name.to_owned(),
                    is_lazy: declaration.is_some_and(|declaration| declaration.is_lazy),
                })
            })
            .collect();
        let sites = sites::find(&program, &statics);
        Ok(Self { statics, sites })
    }

    /// Returns the list of a program that an earlier start left.
    pub(super) fn kept(folder: &Path, program: &Path, with_locks: bool) -> Option<Self> {
        let text = fs::read(place(folder, program, with_locks).ok()?).ok()?;
        let Written { statics, sites } = serde_json::from_slice(&text).ok()?;
        let site = |(address, target, length, displacement, how, first): SiteFields| Site {
            address,
            target,
            length,
            displacement,
            how,
            first,
        };
        Some(Self {
            statics,
            sites: sites.into_iter().map(site).collect(),
        })
    }

    /// Keeps the list for the next start. `pid` is the number of this process.
    pub(super) fn keep(&self, folder: &Path, program: &Path, with_locks: bool, pid: u32) -> io::Result<()> {
        let place = place(folder, program, with_locks)?;
        let fields = |site: &Site| {
            let Site {
                address,
                target,
                length,
                displacement,
                how,
                first,
            } = *site;
            (address, target, length, displacement, how, first)
        };
        let written = Written {
            statics: self.statics.clone(),
            sites: self.sites.iter().map(fields).collect(),
        };
        // Another process may read it meanwhile.
        let part = place.with_extension(pid.to_string());
        fs::write(&part, serde_json::to_vec(&written)?)?;
        fs::rename(part, place)
    }
}

/// Returns the file for the list of this version of the program.
fn place(folder: &Path, program: &Path, with_locks: bool) -> io::Result<PathBuf> {
    let file = fs::metadata(program)?;
    let changed = file.mtime_nsec() + file.mtime() * 1_000_000_000;
    let name = format!("{}-{}-{changed}-{with_locks}.json", file.dev(), file.ino());
    Ok(folder.join(KEPT).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_kept_for_the_next_start_of_the_same_program() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(KEPT)).unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "1").unwrap();
        let listing = Listing {
            statics: Vec::new(),
            sites: vec![Site {
                address: 0x1234,
                target: 2,
                length: 7,
                displacement: 3,
                how: 1,
                first: 0x48,
            }],
        };
        let kept = |with_locks| Listing::kept(folder.path(), &program, with_locks);
        assert_eq!(kept(false), None);
        listing.keep(folder.path(), &program, false, 7).unwrap();
        assert_eq!((kept(false), kept(true)), (Some(listing), None));
        fs::remove_file(&program).unwrap();
        assert_eq!(kept(false), None);
    }
}
