//! The statics of a program and the instructions that use them.

use super::declarations::{self, Declaration};
use super::program_file::{self, Program};
use super::{OwnStatic, Unwatched, dependencies, own_path, sites, without_suffix};
use crate::observe::site_table::Site;
use cofferdam_conflicts::KnownStatic;
use serde::{Deserialize, Serialize};

/// Words in the names of types that hold a value next to atomics of their own.
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
    /// Reads a program.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Unwatched> {
        let program = Program::parse(bytes)?;
        if program.functions.is_empty() {
            return Err(Unwatched::Stripped);
        }
        if program.links_std_dynamically() {
            return Err(Unwatched::DynamicStd);
        }
        if !program.has_known_std() {
            return Err(Unwatched::UnknownStd);
        }
        let declared = declarations::read(&program.file).ok_or(Unwatched::NoDebugInfo)?;
        let used = dependencies::find(&program, &declared.crates);
        let crates = used.values().map(String::as_str).collect();
        let mut declarations = declarations::read_of_crates(&program.file, &crates);
        declarations.retain(|address, _| used.contains_key(address));
        declarations.extend(declared.by_address);
        let statics: Vec<OwnStatic> = program
            .variables
            .iter()
            .filter_map(|variable| {
                let name = own_path(without_suffix(&program_file::demangled(variable.symbol)));
                let declaration = declarations.get(&variable.address);
                let is_known = KnownStatic::of(&name).is_some();
                let type_name = declaration.map_or("", |declaration| &declaration.type_name);
                // Such a lock guards something else, and holds no value.
                let is_empty = type_name.contains("<()>")
                    || type_name == "Once"
                    // One of lock_api has the type of its raw lock first.
                    || (type_name.ends_with(", ()>") && LOCKS.iter().any(|word| type_name.starts_with(word)));
                // The cofferdam library may be a path dependency, as the user's own crates are.
                let is_wanted = (declaration.is_some() || is_known) && !name.starts_with("cofferdam::");
                is_wanted.then(|| OwnStatic {
                    address: variable.address,
                    size: variable.size,
                    name,
                    line: declaration.map(Declaration::place).unwrap_or_default(),
                    is_lock: is_known || LOCKS.iter().any(|word| type_name.contains(word)),
                    type_name: type_name.to_owned(),
                    is_lazy: declaration.is_some_and(|declaration| declaration.is_lazy),
                    has_lock: declaration.is_some_and(|declaration| declaration.has_lock),
                    is_empty,
                    pointee: declaration.and_then(|declaration| declaration.pointee),
                })
            })
            .collect();
        let sites = sites::find(&program, &statics);
        Ok(Self { statics, sites })
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(super) fn from_json(text: &[u8]) -> Option<Self> {
        let Written { statics, sites } = serde_json::from_slice(text).ok()?;
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

    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
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
        serde_json::to_vec(&Written {
            statics: self.statics.clone(),
            sites: self.sites.iter().map(fields).collect(),
        })
    }
}
