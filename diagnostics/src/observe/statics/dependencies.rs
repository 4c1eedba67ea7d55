//! Statics of other crates that are state of the user's tests: the user's code calls a function of the crate, and that function
//! uses the static itself. What a crate uses below that, such as counters and pools, is its own affair.

use super::program_file::{Program, crate_of, demangled};
use super::without_suffix;
use iced_x86::{Decoder, DecoderOptions};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Crates whose statics are not listed this way: those of std, and cofferdam itself, which may be a path dependency.
const LEFT_OUT: [&str; 8] = [
    "std",
    "core",
    "alloc",
    "test",
    "proc_macro",
    "std_detect",
    "backtrace_rs",
    "cofferdam",
];

/// Returns the addresses of the statics, each with the name of its crate. `own` has the user's crates.
pub(super) fn find(program: &Program<'_>, own: &HashSet<String>) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    for address in called(program, own) {
        let Some((size, symbol)) = program.functions.get(&address) else {
            continue;
        };
        let name = demangled(symbol);
        let code = program.code_of(address, *size).unwrap_or_default();
        for one in Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
            if !one.is_ip_rel_memory_operand() {
                continue;
            }
            let place = one.ip_rel_memory_address();
            let behind = || program.variable_at(*program.pointers.get(&place)?);
            let Some(variable) = program.variable_at(place).or_else(behind) else {
                continue;
            };
            let path = demangled(variable.symbol);
            if crate_of(without_suffix(&path)) == crate_of(&name) {
                found.insert(variable.address, crate_of(&path).to_owned());
            }
        }
    }
    found
}

/// Returns the addresses of other crates' functions that functions of the user's crates call.
fn called(program: &Program<'_>, own: &HashSet<String>) -> BTreeSet<u64> {
    let is_own = |symbol: &str| {
        // Few symbols contain the name, and demangling takes long.
        let may_be = own.iter().any(|name| symbol.contains(name.as_str()));
        may_be && own.contains(crate_of(&demangled(symbol)))
    };
    let callers = program.functions.iter().filter(|(_, (_, symbol))| is_own(symbol));
    let targets = callers.flat_map(|(start, (size, _))| {
        let code = program.code_of(*start, *size).unwrap_or_default();
        targets(code, *start).filter_map(|target| {
            let target = match target {
                Target::At(target) => target,
                Target::Behind(pointer) => *program.pointers.get(&pointer)?,
            };
            program.functions.contains_key(&target).then_some(target)
        })
    });
    let targets: BTreeSet<u64> = targets.collect();
    let is_foreign = |symbol: &str| {
        let name = demangled(symbol);
        !own.contains(crate_of(&name)) && !LEFT_OUT.contains(&crate_of(&name))
    };
    let symbol_of = |target: &u64| program.functions.get(target).map_or("", |(_, symbol)| symbol);
    targets
        .into_iter()
        .filter(|target| is_foreign(symbol_of(target)))
        .collect()
}

/// The target of a call: an address, or the place of a pointer to it.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    At(u64),
    Behind(u64),
}

/// Returns where the code may call to. Bytes that only look like a call lead to the start of a function hardly ever.
fn targets(code: &[u8], start: u64) -> impl Iterator<Item = Target> {
    code.windows(6).zip(start..).filter_map(|(bytes, place)| {
        let to = |from: usize| {
            let distance = i32::from_le_bytes(bytes.get(from..from + 4)?.try_into().ok()?);
            Some((place + from as u64 + 4).wrapping_add_signed(distance.into()))
        };
        match bytes {
            [0xe8, ..] => to(1).map(Target::At),
            [0xff, 0x15, ..] => to(2).map(Target::Behind),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_with_its_crate() {
        for (path, name) in [
            ("colored::control::set_override", "colored"),
            ("<shop::Order as core::fmt::Debug>::fmt", "shop"),
            ("<&shop::Order as core::fmt::Debug>::fmt", "shop"),
            ("main", "main"),
        ] {
            assert_eq!(crate_of(path), name, "{path}");
        }
    }

    #[test]
    fn calls_are_found_among_other_instructions() {
        // nop; call +16; ret; call [rip - 13]; ret
        let code = [
            0x90, 0xe8, 16, 0, 0, 0, 0xc3, 0xff, 0x15, 0xf3, 0xff, 0xff, 0xff, 0xc3,
        ];
        let found: Vec<Target> = targets(&code, 0x1000).collect();
        assert_eq!(found, [Target::At(0x1016), Target::Behind(0x1000)]);
    }
}
