//! A program's symbols, code and pointers to its variables.

use super::Unwatched;
use iced_x86::{FlowControl, Instruction};
use object::read::elf::ElfFile64;
use object::{
    Endianness, Object as _, ObjectKind, ObjectSection as _, ObjectSymbol as _, RelocationFlags, SectionKind,
    SymbolKind, elf,
};
use std::collections::{BTreeMap, HashSet};

pub(super) type File<'p> = ElfFile64<'p, Endianness>;

/// A variable that the program can change.
#[derive(Debug)]
pub(super) struct Variable<'p> {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) symbol: &'p str,
}

#[derive(Debug)]
pub(super) struct Program<'p> {
    pub(super) file: File<'p>,
    /// In ascending order of their addresses.
    pub(super) variables: Vec<Variable<'p>>,
    /// The functions of Rust code by address, with their sizes.
    pub(super) functions: BTreeMap<u64, (u64, &'p str)>,
    /// All data objects by address, with their sizes.
    objects: BTreeMap<u64, u64>,
    code: Vec<(u64, &'p [u8])>,
    /// The pointers that the loader sets: their places with their targets.
    pub(super) pointers: BTreeMap<u64, u64>,
}

impl<'p> Program<'p> {
    /// Fails for a file that is no program for x86_64, is linked at a fixed address, or lies above 4 GiB.
    pub(super) fn parse(bytes: &'p [u8]) -> Result<Self, Unwatched> {
        let file = File::parse(bytes).map_err(|_| Unwatched::Unreadable)?;
        if file.architecture() != object::Architecture::X86_64 {
            return Err(Unwatched::Processor);
        }
        if file.kind() == ObjectKind::Executable {
            return Err(Unwatched::FixedAddress);
        }
        let ends = file.sections().map(|section| section.address() + section.size());
        if ends.max().is_none_or(|end| u32::try_from(end).is_err()) {
            return Err(Unwatched::Unreadable);
        }
        let is_changed = |name: &str| {
            [".data", ".bss"].contains(&name)
                || name.starts_with(".data.") && !name.starts_with(".data.rel.ro")
                || name.starts_with(".bss.")
        };
        let changed: HashSet<_> = file
            .sections()
            .filter(|section| section.name().is_ok_and(is_changed))
            .map(|section| section.index())
            .collect();
        let mut variables = BTreeMap::new();
        let (mut functions, mut objects) = (BTreeMap::new(), BTreeMap::new());
        for symbol in file.symbols().filter(|symbol| symbol.size() > 0) {
            let (address, size) = (symbol.address(), symbol.size());
            let is_within = address
                .checked_add(size)
                .is_some_and(|end| u32::try_from(end).is_ok());
            let Ok(name) = symbol.name() else { continue };
            if !is_within {
                continue;
            }
            match symbol.kind() {
                SymbolKind::Text if is_of_rust(name) => _ = functions.insert(address, (size, name)),
                SymbolKind::Data => {
                    objects.insert(address, size);
                    let section = symbol.section_index();
                    if is_of_rust(name) && section.is_some_and(|index| changed.contains(&index)) {
                        let symbol = name;
                        variables.insert(
                            address,
                            Variable {
                                address,
                                size,
                                symbol,
                            },
                        );
                    }
                }
                _ => {}
            }
        }
        let code = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .filter_map(|section| Some((section.address(), section.data().ok()?)))
            .collect();
        const RELATIVE: RelocationFlags = RelocationFlags::Elf {
            r_type: elf::R_X86_64_RELATIVE,
        };
        let relocations = file.dynamic_relocations().into_iter().flatten();
        let pointers = relocations
            .filter(|(_, relocation)| relocation.flags() == RELATIVE)
            .map(|(place, relocation)| (place, relocation.addend() as u64))
            .collect();
        Ok(Self {
            pointers,
            file,
            variables: variables.into_values().collect(),
            functions,
            objects,
            code,
        })
    }

    /// Returns whether the program needs std as a library (`libstd-d1237ef7159db0a2.so`).
    pub(super) fn links_std_dynamically(&self) -> bool {
        let names = self.file.section_by_name(".dynstr");
        let names = names.and_then(|section| section.data().ok()).unwrap_or_default();
        let mut names = names.split(|byte| *byte == 0);
        names.any(|name| name.starts_with(b"libstd-") && name.ends_with(b".so"))
    }

    /// Returns `false` if its std lacks the variable that each program's std has: then its functions may have other names, too.
    pub(super) fn has_known_std(&self) -> bool {
        let functions = self.functions.values().map(|(_, symbol)| *symbol);
        is_known_std(functions, self.variables.iter().map(|variable| variable.symbol))
    }

    /// Returns the variable that contains an address.
    pub(super) fn variable_at(&self, address: u64) -> Option<&Variable<'p>> {
        let after = self.variables.partition_point(|one| one.address <= address);
        let one = &self.variables[after.checked_sub(1)?];
        (address < one.address + one.size).then_some(one)
    }

    /// Returns the bytes of a function.
    pub(super) fn code_of(&self, address: u64, size: u64) -> Option<&'p [u8]> {
        self.code.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)
        })
    }

    /// Returns the data objects that hold a pointer set by the loader: their start and end, and the pointer's target.
    pub(super) fn pointing_objects(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.pointers.iter().map(|(place, target)| {
            let object = self.objects.range(..=*place).next_back();
            let (start, end) = object
                .map(|(start, size)| (*start, start + size))
                .filter(|(_, end)| place < end)
                .unwrap_or((place & !7, place.saturating_add(8)));
            (start, end, *target)
        })
    }

    /// Returns the address of the function that an instruction calls, directly or by a pointer that the loader sets: calls between
    /// the parts of a program may be of that kind.
    pub(super) fn called_by(&self, call: &Instruction) -> Option<u64> {
        match call.flow_control() {
            FlowControl::Call => Some(call.near_branch_target()),
            FlowControl::IndirectCall if call.is_ip_rel_memory_operand() => {
                self.pointers.get(&call.ip_rel_memory_address()).copied()
            }
            _ => None,
        }
    }
}

/// A program without std has no variable of it either.
fn is_known_std<'s>(
    mut functions: impl Iterator<Item = &'s str>,
    mut variables: impl Iterator<Item = &'s str>,
) -> bool {
    // Both manglings have the length of each name in front of it.
    variables.any(|symbol| symbol.contains("3std9panicking4HOOK"))
        || !functions.any(|symbol| symbol.contains("3std2rt"))
}

fn is_of_rust(symbol: &str) -> bool {
    symbol.starts_with("_ZN") || symbol.starts_with("_R")
}

/// Returns the path of a symbol, without a hash.
pub(super) fn demangled(symbol: &str) -> String {
    addr2line::demangle_auto(symbol.into(), None).into_owned()
}

/// Returns the crate of a path: the implementing type's in `<shop::Order as core::fmt::Debug>::fmt`.
pub(super) fn crate_of(path: &str) -> &str {
    let path = path.trim_start_matches(['<', '&', '*']);
    path.split("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_std_is_known_by_its_panic_hook() {
        const START: &str = "_ZN3std2rt10lang_start17h0c1f7d6d6a0e5b1bE";
        const OWN: &str = "_ZN4shop4sold17h0c1f7d6d6a0e5b1bE";
        for (functions, variables, is_known) in [
            (
                &[START, OWN][..],
                &["_ZN3std9panicking4HOOK17h0c1f7d6d6a0e5b1bE"][..],
                true,
            ),
            (
                &["_RNvNtCsfOSuCOkf1dO_3std2rt10lang_start"],
                &["_RNvNtCsfOSuCOkf1dO_3std9panicking4HOOK"],
                true,
            ),
            (
                &[START, OWN],
                &["_ZN3std9panicking5HOOKS17h0c1f7d6d6a0e5b1bE"],
                false,
            ),
            // Without std.
            (&[OWN], &[], true),
        ] {
            let found = is_known_std(functions.iter().copied(), variables.iter().copied());
            assert_eq!(found, is_known, "{functions:?} {variables:?}");
        }
    }
}
