//! Finds the instructions that use a static, and the kind of each use, known from the operand or from the function that gets
//! the static's address.

use super::OwnStatic;
use super::program_file::{Program, demangled};
use crate::observe::site_table::{
    ATTEMPT, BEHIND_ARGUMENT, COUNT, IN_ARGUMENT, READ, RELEASE, SECOND, Site, WRITE,
};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    UsedMemory,
};
use std::collections::BTreeMap;

/// The data that leads to each static: the static itself, or an object that points to it.
struct Targets<'s> {
    statics: &'s [OwnStatic],
    /// The objects with a pointer to a static: by their start, their end and the static's index.
    pointing: BTreeMap<u64, (u64, u32)>,
    /// The lowest and the highest address of all these.
    span: (u64, u64),
}

impl<'s> Targets<'s> {
    fn new(program: &Program<'_>, statics: &'s [OwnStatic]) -> Self {
        let mut pointing = BTreeMap::new();
        for (start, end, target) in program.pointing_objects() {
            if let Some(index) = index_of(statics, target)
                && index_of(statics, start).is_none()
            {
                pointing.insert(start, (end, index));
            }
        }
        let starts = statics
            .iter()
            .map(|one| one.address)
            .chain(pointing.keys().copied());
        let ends = statics
            .iter()
            .map(|one| one.address + one.size)
            .chain(pointing.values().map(|(end, _)| *end));
        let span = (starts.min().unwrap_or(0), ends.max().unwrap_or(0));
        Self {
            statics,
            pointing,
            span,
        }
    }

    /// Returns the static at an address, and whether the address is that of a pointer to it.
    fn at(&self, address: u64) -> Option<(u32, bool)> {
        if let Some(index) = index_of(self.statics, address) {
            return Some((index, false));
        }
        let (_, (end, index)) = self.pointing.range(..=address).next_back()?;
        (address < *end).then_some((*index, true))
    }

    /// Returns whether a word of the code may be the distance to one of the targets: few functions need to be decoded.
    fn may_be_used(&self, code: &[u8], start: u64) -> bool {
        // A displacement may be followed by a constant of up to four bytes.
        let (low, high) = (self.span.0.saturating_sub(4), self.span.1);
        code.windows(4).zip(start + 4..).any(|(word, end)| {
            let distance = word.try_into().map_or(0, i32::from_le_bytes);
            (low..high).contains(&end.wrapping_add_signed(distance.into()))
        })
    }
}

fn index_of(statics: &[OwnStatic], address: u64) -> Option<u32> {
    let index = statics
        .partition_point(|one| one.address <= address)
        .checked_sub(1)?;
    let one = &statics[index];
    (address < one.address + one.size).then_some(index as u32)
}

/// Returns the sites in ascending order.
pub(super) fn find(program: &Program<'_>, statics: &[OwnStatic]) -> Vec<Site> {
    let targets = Targets::new(program, statics);
    let mut sites = BTreeMap::new();
    if statics.is_empty() {
        return Vec::new();
    }
    let has_locks = statics.iter().any(|one| one.has_lock);
    let mut info = InstructionInfoFactory::new();
    for (start, (size, symbol)) in &program.functions {
        let Some(code) = program.code_of(*start, *size) else {
            continue;
        };
        let entry = entry_of(symbol).or_else(|| lock_entry_of(symbol).filter(|_| has_locks));
        let setter = set_by(symbol, statics);
        if entry.is_none() && setter.is_none() && !targets.may_be_used(code, *start) {
            continue;
        }
        let decoder = Decoder::with_ip(64, code, *start, DecoderOptions::NONE);
        let offsets = |one: &Instruction| {
            let mut decoder = Decoder::with_ip(
                64,
                &code[(one.ip() - start) as usize..],
                one.ip(),
                DecoderOptions::NONE,
            );
            let again = decoder.decode();
            decoder.get_constant_offsets(&again).displacement_offset() as u8
        };
        let instructions: Vec<Instruction> = decoder.into_iter().collect();
        let mut add = |one: &Instruction, target: u32, how: u8| {
            // What calls or jumps cannot be executed at another place.
            if one.flow_control() == FlowControl::Next && !one.is_invalid() {
                let site = Site {
                    address: one.ip() as u32,
                    target,
                    length: one.len() as u8,
                    displacement: if one.is_ip_rel_memory_operand() {
                        offsets(one)
                    } else {
                        0
                    },
                    how,
                    first: code[(one.ip() - start) as usize],
                };
                sites.entry(site.address).or_insert(site);
            }
        };
        for (place, one) in instructions.iter().enumerate() {
            if !one.is_ip_rel_memory_operand() {
                continue;
            }
            let Some((target, is_pointer)) = targets.at(one.ip_rel_memory_address()) else {
                continue;
            };
            let how = if one.mnemonic() == Mnemonic::Lea || is_pointer {
                let rest = instructions.get(place + 1..).unwrap_or_default();
                if is_check_for_null(one, rest) {
                    continue;
                }
                by_called(called(program, rest).unwrap_or_default().as_str())
            } else {
                by_operand(one, info.info(one).used_memory())
            };
            let rest = instructions.get(place + 1..).unwrap_or_default();
            let is_store = || is_atomic_store(one, rest, &mut info);
            add(one, target, in_static(how, &statics[target as usize], is_store));
        }
        if let (Some(how), Some(first)) = (entry, instructions.first()) {
            add(first, 0, how);
        }
        if let (Some(target), Some(first)) = (setter, instructions.first()) {
            add(first, target, WRITE);
        }
    }
    sites.into_values().collect()
}

/// Returns how a function uses the static whose address it gets, if its entry is a site.
fn entry_of(symbol: &str) -> Option<u8> {
    if symbol.contains("deref_mut") {
        let name = demangled(symbol);
        let is_guard = name.ends_with("deref_mut") && name.contains("Guard") && !name.contains("RefMut");
        return is_guard.then_some(WRITE | BEHIND_ARGUMENT);
    }
    if symbol.contains("Atomic") || symbol.contains("ArcSwapAny") {
        let name = demangled(symbol);
        let path = name.trim_start_matches('<');
        let is_method = path.starts_with("core::sync::atomic::Atomic") || path.starts_with(ARC_SWAP);
        let how = Some(by_called(&name)).filter(|how| is_method && *how != READ);
        return how.map(|how| how | IN_ARGUMENT);
    }
    None
}

/// Returns how a function takes or releases a lock, if its entry is a site. The methods of std return a result, for which the
/// caller passes a place before the other arguments; std's guard of a reader begins with a pointer to the value.
fn lock_entry_of(symbol: &str) -> Option<u8> {
    if !["Mutex", "RwLock"].iter().any(|word| symbol.contains(word)) {
        return None;
    }
    let name = demangled(symbol);
    let (path, _) = name.trim_start_matches('<').split_once('<')?;
    let (module, type_name) = path.rsplit_once("::")?;
    let is_of_std = module.starts_with("std::sync::");
    if !is_of_std && !module.starts_with("lock_api::") {
        return None;
    }
    let second = |is_second: bool| if is_second { SECOND } else { 0 };
    if name.ends_with(" as core::ops::drop::Drop>::drop") {
        let (mode, is_second) = match type_name {
            "MutexGuard" | "RwLockWriteGuard" => (WRITE, false),
            "RwLockReadGuard" => (READ, is_of_std),
            "MappedMutexGuard" | "MappedRwLockWriteGuard" if !is_of_std => (WRITE, false),
            "MappedRwLockReadGuard" if !is_of_std => (READ, false),
            _ => return None,
        };
        return Some(RELEASE | mode | second(is_second));
    }
    let (_, method) = name.rsplit_once("::").filter(|_| !name.contains(" as "))?;
    let method = method.strip_prefix("try_").unwrap_or(method);
    let mode = match (type_name, method) {
        ("Mutex", "lock" | "lock_for" | "lock_until") => WRITE,
        ("RwLock", "write" | "write_for" | "write_until") => WRITE,
        ("RwLock", "read" | "read_for" | "read_until" | "read_recursive") => READ,
        _ => return None,
    };
    Some(ATTEMPT | mode | second(is_of_std && !module.contains("nonpoison")))
}

/// The functions of std that set a static through a pointer, each with the static.
const SETTERS: [(&str, &str); 2] = [
    ("std::panicking::set_hook", "std::panicking::HOOK"),
    ("std::panicking::take_hook", "std::panicking::HOOK"),
];

/// Returns the static that a function sets.
fn set_by(symbol: &str, statics: &[OwnStatic]) -> Option<u32> {
    if !symbol.contains("panicking") {
        return None;
    }
    let name = demangled(symbol);
    let (_, target) = SETTERS.iter().find(|(function, _)| *function == name)?;
    statics
        .iter()
        .position(|one| one.name == *target)
        .map(|index| index as u32)
}

/// Returns whether the address of a `static mut` is compared with null, as debug builds do before each use.
fn is_check_for_null(lea: &Instruction, rest: &[Instruction]) -> bool {
    rest.first().is_some_and(|next| {
        next.mnemonic() == Mnemonic::Cmp
            && next.op0_register() == lea.op0_register()
            && next.op1_kind() != OpKind::Register
    })
}

/// Returns the path of the function that is called next, if that is near.
fn called(program: &Program<'_>, rest: &[Instruction]) -> Option<String> {
    const NEAR: usize = 13;
    let next = rest.iter().take(NEAR).find(|one| {
        !matches!(
            one.flow_control(),
            FlowControl::Next | FlowControl::ConditionalBranch
        )
    })?;
    let (_, symbol) = program.functions.get(&program.called_by(next)?)?;
    Some(demangled(symbol))
}

/// Returns whether an exchange discards the old value, as a sequentially consistent store in optimized code does.
fn is_atomic_store(one: &Instruction, rest: &[Instruction], info: &mut InstructionInfoFactory) -> bool {
    if one.mnemonic() != Mnemonic::Xchg || one.op0_kind() != OpKind::Memory {
        return false;
    }
    let register = one.op1_register().full_register();
    let goes_on = |next: &&Instruction| {
        matches!(
            next.flow_control(),
            FlowControl::Next | FlowControl::ConditionalBranch
        )
    };
    let is_read = |next: &Instruction| {
        let used = info.info(next).used_registers().iter();
        let mut accesses = used
            .filter(|used| used.register().full_register() == register)
            .map(|used| !matches!(used.access(), OpAccess::Write | OpAccess::CondWrite))
            .peekable();
        accesses.peek()?;
        Some(accesses.any(|is_read| is_read))
    };
    // At a return or a call the value counts as discarded: few functions return it.
    !rest.iter().take_while(goes_on).find_map(is_read).unwrap_or(false)
}

/// Returns how an instruction uses a static, from how it uses the place. The numbers inside a lock are not its value. A lazy static's
/// own number is set by other instructions, so a store is to its value.
fn in_static(how: u8, of: &OwnStatic, is_store: impl FnOnce() -> bool) -> u8 {
    match how {
        COUNT if of.is_lock => READ,
        READ if (!of.is_lock || of.is_lazy) && is_store() => WRITE,
        how => how,
    }
}

fn by_operand(one: &Instruction, memory: &[UsedMemory]) -> u8 {
    let access = memory.first().map_or(OpAccess::None, UsedMemory::access);
    match access {
        OpAccess::Write | OpAccess::CondWrite => WRITE,
        OpAccess::ReadWrite | OpAccess::ReadCondWrite if one.mnemonic() == Mnemonic::Xadd => COUNT,
        // A compare-and-swap may change nothing.
        OpAccess::ReadWrite | OpAccess::ReadCondWrite
            if matches!(one.mnemonic(), Mnemonic::Cmpxchg | Mnemonic::Xchg) =>
        {
            READ
        }
        OpAccess::ReadWrite | OpAccess::ReadCondWrite if one.has_lock_prefix() => COUNT,
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => WRITE,
        _ => READ,
    }
}

/// The type of the crate arc_swap whose pointer is the value.
const ARC_SWAP: &str = "arc_swap::ArcSwapAny";

/// Returns how a function uses the static whose address it gets. Taking a lock or initializing a static counts as a read:
/// writes go through the lock's guard.
fn by_called(path: &str) -> u8 {
    let last = path.rsplit("::").next().unwrap_or_default();
    if path.contains("sync::atomic::Atomic") {
        return match last {
            "store" => WRITE,
            "fetch_add" | "fetch_sub" => COUNT,
            _ => READ,
        };
    }
    // The name of a method says whether it changes its value, in types of other crates too.
    let is_method = path
        .rsplit("::")
        .nth(1)
        .is_some_and(|of| of.ends_with('>') || of.starts_with(char::is_uppercase));
    if is_method && CHANGING.contains(&last) {
        WRITE
    } else {
        READ
    }
}

/// Names of methods that change the value of their type.
const CHANGING: [&str; 13] = [
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "push",
    "remove",
    "replace",
    "set",
    "store",
    "swap",
    "take",
    "try_insert",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statics(addresses: &[u64]) -> Vec<OwnStatic> {
        let one = |address: &u64| OwnStatic {
            address: *address,
            size: 8,
            name: "a".to_owned(),
            line: "/w/a.rs:1".to_owned(),
            type_name: String::new(),
            is_lock: false,
            is_lazy: false,
            has_lock: false,
            is_empty: false,
            pointee: None,
        };
        addresses.iter().map(one).collect()
    }

    fn decoded(code: &[u8]) -> Instruction {
        Decoder::with_ip(64, code, 0x1000, DecoderOptions::NONE).decode()
    }

    #[test]
    fn an_operand_says_how_a_static_is_used() {
        for (code, how) in [
            (&[0x8b, 0x05, 0, 1, 0, 0][..], READ),
            (&[0x89, 0x05, 0, 1, 0, 0], WRITE),
            // add dword ptr [rip + 256], 1
            (&[0x83, 0x05, 0, 1, 0, 0, 1], WRITE),
            // lock xadd dword ptr [rip + 256], eax
            (&[0xf0, 0x0f, 0xc1, 0x05, 0, 1, 0, 0], COUNT),
            // lock inc dword ptr [rip + 256]
            (&[0xf0, 0xff, 0x05, 0, 1, 0, 0], COUNT),
            // lock cmpxchg dword ptr [rip + 256], ecx
            (&[0xf0, 0x0f, 0xb1, 0x0d, 0, 1, 0, 0], READ),
            // xchg dword ptr [rip + 256], eax
            (&[0x87, 0x05, 0, 1, 0, 0], READ),
        ] {
            let one = decoded(code);
            let mut info = InstructionInfoFactory::new();
            assert_eq!(by_operand(&one, info.info(&one).used_memory()), how, "{code:x?}");
        }
    }

    #[test]
    fn an_exchange_is_a_store_if_its_value_is_dropped() {
        let exchange = decoded(&[0x87, 0x05, 0, 1, 0, 0]);
        let mut info = InstructionInfoFactory::new();
        for (rest, is_store) in [
            // cmp eax, 2; test al, al; movzx eax, al
            (&[&[0x83, 0xf8, 2][..]][..], false),
            (&[&[0x84, 0xc0]], false),
            (&[&[0x0f, 0xb6, 0xc0]], false),
            // mov eax, 1; xor eax, eax
            (&[&[0xb8, 1, 0, 0, 0]], true),
            (&[&[0x31, 0xc0], &[0x84, 0xc0]], true),
            // mov ecx, 1; cmp eax, 2
            (&[&[0xb9, 1, 0, 0, 0], &[0x83, 0xf8, 2]], false),
            // ret
            (&[&[0xc3]], true),
            (&[], true),
        ] {
            let rest: Vec<Instruction> = rest.iter().map(|code| decoded(code)).collect();
            assert_eq!(is_atomic_store(&exchange, &rest, &mut info), is_store, "{rest:?}");
        }
        assert!(!is_atomic_store(
            &decoded(&[0x8b, 0x05, 0, 1, 0, 0]),
            &[],
            &mut info
        ));
    }

    #[test]
    fn the_numbers_inside_a_lock_are_not_its_value_unless_it_is_lazy() {
        let [number, mut lock, mut lazy] = [(); 3].map(|()| statics(&[0x1000]).remove(0));
        lock.is_lock = true;
        (lazy.is_lock, lazy.is_lazy) = (true, true);
        for (how, is_store, wanted) in [
            (READ, true, [WRITE, READ, WRITE]),
            (READ, false, [READ; 3]),
            (COUNT, false, [COUNT, READ, READ]),
            (WRITE, false, [WRITE; 3]),
        ] {
            let found = [&number, &lock, &lazy].map(|of| in_static(how, of, || is_store));
            assert_eq!(found, wanted, "{how} {is_store}");
        }
    }

    #[test]
    fn a_called_function_says_how_a_static_is_used() {
        for (path, how) in [
            ("core::sync::atomic::AtomicU32::store", WRITE),
            ("core::sync::atomic::AtomicU32::load", READ),
            ("core::sync::atomic::AtomicU32::fetch_add", COUNT),
            ("core::sync::atomic::AtomicU32::swap", READ),
            ("std::sync::once_lock::OnceLock<T>::set", WRITE),
            ("std::sync::once_lock::OnceLock<T>::get_or_init", READ),
            ("std::sync::poison::mutex::Mutex<T>::lock", READ),
            ("arc_swap::ArcSwapAny<T,S>::store", WRITE),
            ("<dashmap::DashMap<u32, u32>>::insert", WRITE),
            ("shop::Registry::remove", WRITE),
            ("dashmap::DashMap<K,V,S>::get", READ),
            ("std::sync::poison::rwlock::RwLock<T>::write", READ),
            ("arc_swap::ArcSwapAny<T,S>::load", READ),
            ("shop::set", READ),
            ("", READ),
        ] {
            assert_eq!(by_called(path), how, "{path}");
        }
    }

    #[test]
    fn the_entries_of_functions_that_take_and_release_locks_are_sites() {
        for (name, how) in [
            (
                "std::sync::poison::mutex::Mutex<T>::lock",
                Some(ATTEMPT | WRITE | SECOND),
            ),
            (
                "<std::sync::poison::mutex::Mutex<()>>::try_lock",
                Some(ATTEMPT | WRITE | SECOND),
            ),
            (
                "std::sync::poison::rwlock::RwLock<T>::try_read",
                Some(ATTEMPT | READ | SECOND),
            ),
            (
                "std::sync::nonpoison::mutex::Mutex<T>::lock",
                Some(ATTEMPT | WRITE),
            ),
            ("lock_api::mutex::Mutex<R,T>::try_lock_for", Some(ATTEMPT | WRITE)),
            ("lock_api::rwlock::RwLock<R,T>::read", Some(ATTEMPT | READ)),
            (
                "<std::sync::poison::mutex::MutexGuard<T> as core::ops::drop::Drop>::drop",
                Some(RELEASE | WRITE),
            ),
            (
                "<std::sync::poison::rwlock::RwLockReadGuard<T> as core::ops::drop::Drop>::drop",
                Some(RELEASE | READ | SECOND),
            ),
            (
                "<lock_api::rwlock::RwLockReadGuard<R,T> as core::ops::drop::Drop>::drop",
                Some(RELEASE | READ),
            ),
            ("std::sync::poison::mutex::Mutex<T>::lock::{{closure}}", None),
            ("<std::sync::poison::mutex::Mutex<T> as shop::Locks>::lock", None),
            (
                "<std::sync::poison::mutex::MappedMutexGuard<T> as core::ops::drop::Drop>::drop",
                None,
            ),
            ("tokio::sync::mutex::Mutex<T>::lock", None),
            ("std::sync::poison::mutex::Mutex<T>::get_mut", None),
            ("shop::Mutex<T>::lock", None),
        ] {
            assert_eq!(lock_entry_of(name), how, "{name}");
        }
    }

    #[test]
    fn a_method_that_changes_a_value_atomically_is_a_use_of_its_argument() {
        for (symbol, how) in [
            ("core::sync::atomic::AtomicU32::store", Some(WRITE)),
            ("<arc_swap::ArcSwapAny<T,S>>::swap", Some(WRITE)),
            ("arc_swap::ArcSwapAny<T,S>::load", None),
            ("shop::Atomic::store", None),
            ("shop::swap<arc_swap::ArcSwapAny<T,S>>", None),
        ] {
            let wanted = how.map(|how| how | IN_ARGUMENT);
            assert_eq!(entry_of(symbol), wanted, "{symbol}");
        }
    }

    #[test]
    fn the_null_check_of_a_static_mut_is_no_use() {
        // lea rax, [rip + 256]; cmp rax, 0
        let lea = decoded(&[0x48, 0x8d, 0x05, 0, 1, 0, 0]);
        assert!(is_check_for_null(&lea, &[decoded(&[0x48, 0x83, 0xf8, 0])]));
        // cmp rcx, 0; cmp rax, rcx
        assert!(!is_check_for_null(&lea, &[decoded(&[0x48, 0x83, 0xf9, 0])]));
        assert!(!is_check_for_null(&lea, &[decoded(&[0x48, 0x39, 0xc8])]));
        assert!(!is_check_for_null(&lea, &[]));
    }

    proptest! {
        #[test]
        fn an_address_belongs_to_the_static_that_contains_it(
            starts in proptest::collection::btree_set(0_u64..100, 0..20),
            address in 0_u64..1000,
        ) {
            let starts: Vec<u64> = starts.into_iter().map(|start| start * 8).collect();
            let all = statics(&starts);
            let wanted = starts.iter().position(|start| (*start..start + 8).contains(&address));
            prop_assert_eq!(index_of(&all, address), wanted.map(|index| index as u32));
        }

        /// The displacement of an operand lies anywhere in a function, with a constant behind it or not.
        #[test]
        fn a_function_with_an_operand_at_a_static_is_decoded(
            before in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
            start in 0_u64..1 << 20,
            place in 0_u64..1 << 20,
            constant in 0_usize..=4,
        ) {
            let all = statics(&[place]);
            let targets = Targets { statics: &all, pointing: BTreeMap::new(), span: (place, place + 8) };
            let next = start + (before.len() + 4 + constant) as u64;
            let distance = (place as i64 - next as i64) as i32;
            let constant = vec![0; constant];
            let code = [&before[..], &distance.to_le_bytes()[..], &constant, &after].concat();
            prop_assert!(targets.may_be_used(&code, start));
        }
    }
}
