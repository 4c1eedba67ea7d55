//! A program's symbols, code and pointers to its variables.

use super::Unwatched;
use object::read::elf::ElfFile64;
use object::{
    Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, SectionKind, SymbolKind,
    elf,
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
}

impl<'p> Program<'p> {
    /// Fails for a file that is no program for x86_64, or lies above 4 GiB.
    pub(super) fn parse(bytes: &'p [u8]) -> Result<Self, Unwatched> {
        let file = File::parse(bytes).map_err(|_| Unwatched::Unreadable)?;
        if file.architecture() != object::Architecture::X86_64 {
            return Err(Unwatched::Processor);
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
        Ok(Self {
            file,
            variables: variables.into_values().collect(),
            functions,
            objects,
            code,
        })
    }

    /// Returns the bytes of a function.
    pub(super) fn code_of(&self, address: u64, size: u64) -> Option<&'p [u8]> {
        self.code.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)
        })
    }

    /// Returns the data objects that hold a pointer set by the loader: their start and end, and the pointer's target.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        const RELATIVE: RelocationFlags = RelocationFlags::Elf {
            r_type: elf::R_X86_64_RELATIVE,
        };
        let all = self.file.dynamic_relocations().into_iter().flatten();
        let relative = all.filter(|(_, relocation)| relocation.flags() == RELATIVE);
        relative.map(|(place, relocation)| {
            let object = self.objects.range(..=place).next_back();
            let (start, end) = object
                .map(|(start, size)| (*start, start + size))
                .filter(|(_, end)| place < *end)
                .unwrap_or((place & !7, place.saturating_add(8)));
            (start, end, relocation.addend() as u64)
        })
    }
}

fn is_of_rust(symbol: &str) -> bool {
    symbol.starts_with("_ZN") || symbol.starts_with("_R")
}

/// Returns the path of a symbol, without a hash.
pub(super) fn demangled(symbol: &str) -> String {
    addr2line::demangle_auto(symbol.into(), None).into_owned()
}
