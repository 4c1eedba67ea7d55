//! A stack unwinder that uses the tables that every program carries for its exceptions (`.eh_frame`).
//!
//! The program's own unwinder trusts those tables and the stack, and needs some kilobytes of stack. A hook is called from
//! anywhere: with any value in any register, on a coroutine's stack, from hand-written code. So each word of the stack is
//! read only after the kernel has confirmed that it is readable, and the working memory is passed in.

use crate::hash::Hash;
use crate::stack::modules;
use crate::sys::own_calls::is_readable;
use crate::sys::processor::unwind::{
    self as processor, CONTEXT, COUNT, COUNTER, IN_CONTEXT, RESTORED, RETURN, SIGNAL_RETURN, STACK,
};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

const PAGE: usize = 4096;
/// The maximum number of calls to follow, including those of the observer.
const MOST_CALLS: usize = 80;

/// The rule that gives the value of a register in the caller.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Same,
    Unknown,
    /// In memory, at this offset from the frame's address.
    At(i64),
    /// The sum of the frame's address and this offset.
    Is(i64),
    Register(u8),
    /// In memory, at this offset from a register's value.
    AtRegister(u8, i64),
}

/// One row of the table: the rules that lead from a call to its caller.
#[derive(Clone, Copy)]
struct Row {
    frame: (u8, i64),
    /// Set if the frame's address is read from that place in memory.
    indirect: bool,
    rules: [Rule; COUNT],
}

impl Row {
    const EMPTY: Self = Self {
        frame: (0, 0),
        indirect: false,
        rules: [Rule::Same; COUNT],
    };
}

/// The number of bits for the place of each register in a [`KnownRow`].
const BITS: usize = 64 / RESTORED.len();
const MOST_WORDS: u64 = (1 << BITS) - 1;

/// A row that was found before, in two words. Tests reach few lines, so most rows are found again and again.
struct KnownRow {
    /// The address with the other two words mixed in: a row that another thread is replacing does not fit.
    check: AtomicU64,
    /// The frame's register and offset.
    frame: AtomicU64,
    /// The place of each restored register, in words below the frame's address; 0 if it is unchanged.
    restored: AtomicU64,
}

static KNOWN_ROWS: [KnownRow; 1024] = [const {
    KnownRow {
        check: AtomicU64::new(0),
        frame: AtomicU64::new(0),
        restored: AtomicU64::new(0),
    }
}; 1024];

fn known_row(address: usize) -> &'static KnownRow {
    let place = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    &KNOWN_ROWS[place as usize % KNOWN_ROWS.len()]
}

impl KnownRow {
    fn check(address: usize, frame: u64, restored: u64) -> u64 {
        let mut hash = Hash::new(address as u64);
        hash.word(frame);
        hash.word(restored);
        hash.end()
    }

    /// Reads the row of the address into `row`, which would take much of the stack. Returns `false` if it is not known.
    fn get(&self, address: usize, row: &mut Row) -> bool {
        let (frame, restored) = (self.frame.load(Relaxed), self.restored.load(Relaxed));
        if self.check.load(Relaxed) != Self::check(address, frame, restored) {
            return false;
        }
        row.indirect = false;
        row.rules.fill(Rule::Same);
        row.frame = (frame as u8, i64::from((frame >> 32) as i32));
        for (place, register) in RESTORED.into_iter().enumerate() {
            let words = restored >> (place * BITS) & MOST_WORDS;
            if words != 0 {
                row.rules[register] = Rule::At(words as i64 * -8);
            }
        }
        true
    }

    /// Remembers the row, if it has the usual form.
    fn set(&self, address: usize, row: &Row) {
        let Ok(offset) = i32::try_from(row.frame.1) else {
            return;
        };
        let mut restored = 0_u64;
        for (register, rule) in row.rules.iter().enumerate() {
            let place = RESTORED.iter().position(|one| *one == register);
            restored |= match (rule, place) {
                (Rule::Same, _) => 0,
                (Rule::At(offset @ ..=-8), Some(place)) if offset % 8 == 0 => {
                    let words = offset.unsigned_abs() / 8;
                    if words > MOST_WORDS {
                        return;
                    }
                    words << (place * BITS)
                }
                _ => return,
            };
        }
        if row.indirect {
            return;
        }
        let frame = u64::from(row.frame.0) | u64::from(offset as u32) << 32;
        self.check.store(0, Relaxed);
        self.frame.store(frame, Relaxed);
        self.restored.store(restored, Relaxed);
        self.check.store(Self::check(address, frame, restored), Relaxed);
    }
}

/// The working memory of a walk.
pub(crate) struct Walk {
    registers: [usize; COUNT],
    callers: [usize; COUNT],
    row: Row,
    first: Row,
    kept: [Row; 4],
    depth: usize,
    entry: FunctionEntry,
    /// A range of memory that is known to be readable.
    readable: (usize, usize),
}

impl Walk {
    pub(crate) const EMPTY: Self = Self {
        registers: [0; COUNT],
        callers: [0; COUNT],
        row: Row::EMPTY,
        first: Row::EMPTY,
        kept: [Row::EMPTY; 4],
        depth: 0,
        entry: FunctionEntry::EMPTY,
        readable: (0, 0),
    };

    /// Calls `each` with the addresses of the calls that led here, innermost first, and whether each is a return address,
    /// until it returns `false`.
    pub(crate) fn run(&mut self, mut each: impl FnMut(usize, bool) -> bool) {
        self.registers = [0; COUNT];
        processor::store(&mut self.registers);
        // This call is on that page.
        let page = self.registers[STACK] & !(PAGE - 1);
        self.readable = (page, page.wrapping_add(PAGE));
        // A return address may belong to the next function already; the address of an interrupted instruction is exact.
        let mut is_return = false;
        for _ in 0..MOST_CALLS {
            if !each(self.registers[COUNTER], is_return) || self.step(&mut is_return).is_none() {
                return;
            }
        }
    }

    /// Goes on to the caller. Returns `None` at the end, and if the table does not describe the call.
    #[inline(never)]
    fn step(&mut self, is_return: &mut bool) -> Option<()> {
        let address = self.registers[COUNTER];
        let inside = address.checked_sub(usize::from(*is_return))?;
        if !self.row_before(inside) {
            return self.interrupted(is_return);
        }
        let (register, offset) = self.row.frame;
        let base = *self.registers.get(usize::from(register))?;
        let mut frame = base.wrapping_add_signed(offset as isize);
        if self.row.indirect {
            frame = self.word(frame)?;
        }
        // A function that has called none may have nothing on the stack, where calls leave their return address in a register.
        let may_be_bare = RETURN != COUNTER && !*is_return;
        let is_above = frame > self.registers[STACK] || may_be_bare && frame == self.registers[STACK];
        if !is_above || !frame.is_multiple_of(8) {
            return None;
        }
        for number in 0..COUNT {
            self.callers[number] = match self.row.rules[number] {
                Rule::Same => self.registers[number],
                Rule::Unknown => 0,
                Rule::At(offset) => self.word(frame.wrapping_add_signed(offset as isize))?,
                Rule::Is(offset) => frame.wrapping_add_signed(offset as isize),
                Rule::Register(other) => *self.registers.get(usize::from(other))?,
                Rule::AtRegister(other, offset) => {
                    let base = *self.registers.get(usize::from(other))?;
                    self.word(base.wrapping_add_signed(offset as isize))?
                }
            };
        }
        self.registers = self.callers;
        self.registers[STACK] = frame;
        self.registers[COUNTER] = processor::code_address(self.registers[RETURN]);
        *is_return = true;
        let is_known = self.row.rules[RETURN] != Rule::Same || may_be_bare;
        (is_known && self.registers[COUNTER] != 0).then_some(())
    }

    /// Goes on to the code that a signal has interrupted, if this is the return of a handler.
    #[inline(never)]
    fn interrupted(&mut self, is_return: &mut bool) -> Option<()> {
        let code = self.registers[COUNTER];
        let last = code.checked_add(SIGNAL_RETURN.len() - 1)?;
        if !is_readable(code) || !is_readable(last) {
            return None;
        }
        // SAFETY: both ends are readable, and so are the bytes between them: they are in one page or in adjacent ones.
        let there = unsafe { core::slice::from_raw_parts(code as *const u8, SIGNAL_RETURN.len()) };
        if *there != SIGNAL_RETURN {
            return None;
        }
        let context = self.registers[STACK].checked_add(CONTEXT)?;
        for (number, place) in IN_CONTEXT.into_iter().enumerate() {
            self.registers[number] = self.word(context.checked_add(place * 8)?)?;
        }
        *is_return = false;
        Some(())
    }

    /// Returns a word of the stack.
    #[inline(never)]
    fn word(&mut self, at: usize) -> Option<usize> {
        if !at.is_multiple_of(8) {
            return None;
        }
        if !(self.readable.0..self.readable.1).contains(&at) {
            if !is_readable(at) {
                return None;
            }
            let page = at & !(PAGE - 1);
            if page == self.readable.1 {
                self.readable.1 = page.checked_add(PAGE)?;
            } else {
                self.readable = (page, page.checked_add(PAGE)?);
            }
        }
        // SAFETY: aligned, and its page is readable.
        Some(unsafe { (at as *const usize).read() })
    }

    /// Finds the row for the address of a call. Returns `false` if there is none, and for the return of a handler.
    #[inline(never)]
    fn row_before(&mut self, address: usize) -> bool {
        let known = known_row(address);
        if known.get(address, &mut self.row) {
            return true;
        }
        let found = modules::index_of(address).and_then(|index| self.look_up(index, address));
        if found != Some(false) {
            return false;
        }
        if modules::is_permanent(address) {
            known.set(address, &self.row);
        }
        true
    }

    /// Finds the row for the address. Returns whether the function is the return of a handler.
    fn look_up(&mut self, index: usize, address: usize) -> Option<bool> {
        self.entry.read(entry_of(index, address)?)?;
        if !(self.entry.start..self.entry.end).contains(&address) {
            return None;
        }
        self.row = Row::EMPTY;
        self.depth = 0;
        self.execute(self.entry.common_instructions, usize::MAX)?;
        self.first = self.row;
        self.execute(self.entry.instructions, address - self.entry.start)?;
        Some(self.entry.is_signal)
    }

    /// Executes instructions up to the row for the place at this offset from the start.
    fn execute(&mut self, mut code: Bytes, far: usize) -> Option<()> {
        let (code_unit, data_unit) = (self.entry.code_unit, self.entry.data_unit);
        let mut location = 0_usize;
        while !code.is_empty() {
            let operation = code.byte()?;
            let operand = operation & 0x3f;
            match operation >> 6 {
                1 => location = location.checked_add(usize::from(operand) * code_unit)?,
                2 => {
                    let offset = code.unsigned()? as i64 * data_unit;
                    self.set(operand.into(), Rule::At(offset));
                }
                3 => self.restore(operand.into()),
                _ => match operand {
                    0x02 => location = location.checked_add(usize::from(code.byte()?) * code_unit)?,
                    0x03 => location = location.checked_add(code.number(2)? as usize * code_unit)?,
                    0x04 => location = location.checked_add(code.number(4)? as usize * code_unit)?,
                    _ => self.define(operand, &mut code, data_unit)?,
                },
            }
            // The row is complete when the next one begins after the place.
            if location > far {
                return Some(());
            }
        }
        Some(())
    }

    /// Executes an instruction that does not begin a new row.
    #[inline(never)]
    fn define(&mut self, operation: u8, code: &mut Bytes, data_unit: i64) -> Option<()> {
        match operation {
            0x00 => {}
            0x05 => {
                let register = code.unsigned()?;
                let offset = code.unsigned()? as i64 * data_unit;
                self.set(register, Rule::At(offset));
            }
            0x06 => {
                let register = code.unsigned()?;
                self.restore(register);
            }
            0x07 => {
                let register = code.unsigned()?;
                self.set(register, Rule::Unknown);
            }
            0x08 => {
                let register = code.unsigned()?;
                self.set(register, Rule::Same);
            }
            0x09 => {
                let register = code.unsigned()?;
                let other = code.unsigned()? as u8;
                self.set(register, Rule::Register(other));
            }
            0x0a => {
                *self.kept.get_mut(self.depth)? = self.row;
                self.depth += 1;
            }
            0x0b => {
                self.depth = self.depth.checked_sub(1)?;
                self.row = *self.kept.get(self.depth)?;
            }
            0x0c => self.row.frame = (code.unsigned()? as u8, code.unsigned()? as i64),
            0x0d => self.row.frame.0 = code.unsigned()? as u8,
            0x0e => self.row.frame.1 = code.unsigned()? as i64,
            0x0f => {
                let length = code.unsigned()? as usize;
                (self.row.frame, self.row.indirect) = code.part(length)?.sum()?;
            }
            0x10 => {
                let register = code.unsigned()?;
                let length = code.unsigned()? as usize;
                let rule = match code.part(length)?.sum() {
                    Some(((base, offset), false)) => Rule::AtRegister(base, offset),
                    _ => Rule::Unknown,
                };
                self.set(register, rule);
            }
            0x11 => {
                let register = code.unsigned()?;
                let offset = code.signed()? * data_unit;
                self.set(register, Rule::At(offset));
            }
            0x12 => self.row.frame = (code.unsigned()? as u8, code.signed()? * data_unit),
            0x13 => self.row.frame.1 = code.signed()? * data_unit,
            0x14 => {
                let register = code.unsigned()?;
                let offset = code.unsigned()? as i64 * data_unit;
                self.set(register, Rule::Is(offset));
            }
            // On aarch64: the return address is signed or not from here on, which `code_address` need not know.
            0x2d => {}
            // The size of pushed arguments, which does not matter here.
            0x2e => _ = code.unsigned()?,
            _ => return None,
        }
        Some(())
    }

    fn set(&mut self, register: u64, rule: Rule) {
        if let Some(place) = self.row.rules.get_mut(register as usize) {
            *place = rule;
        }
    }

    fn restore(&mut self, register: u64) {
        if let Some(rule) = self.first.rules.get(register as usize) {
            self.set(register, *rule);
        }
    }
}

/// The bytes of a table that are left to read.
#[derive(Clone, Copy)]
struct Bytes {
    at: *const u8,
    left: usize,
}

impl Bytes {
    const EMPTY: Self = Self {
        at: core::ptr::null(),
        left: 0,
    };

    fn is_empty(&self) -> bool {
        self.left == 0
    }

    fn byte(&mut self) -> Option<u8> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: one of the bytes that are left.
        let byte = unsafe { self.at.read() };
        self.at = self.at.wrapping_add(1);
        Some(byte)
    }

    /// Reads a number of that many bytes, lowest first.
    fn number(&mut self, length: u32) -> Option<u64> {
        let mut number = 0;
        for place in 0..length {
            number |= u64::from(self.byte()?) << (place * 8);
        }
        Some(number)
    }

    /// Reads an unsigned number in LEB128.
    fn unsigned(&mut self) -> Option<u64> {
        self.leb().map(|(number, _, _)| number)
    }

    /// Reads a signed number in LEB128.
    fn signed(&mut self) -> Option<i64> {
        let (number, shift, last) = self.leb()?;
        let is_negative = last & 0x40 != 0 && shift < 64;
        Some(number as i64 | if is_negative { -1 << shift } else { 0 })
    }

    #[inline(never)]
    fn leb(&mut self) -> Option<(u64, u32, u8)> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte()?;
            if shift < 64 {
                number |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                return Some((number, shift, byte));
            }
        }
    }

    fn part(&mut self, length: usize) -> Option<Self> {
        let part = Self {
            at: self.at,
            left: length,
        };
        self.left = self.left.checked_sub(length)?;
        self.at = self.at.wrapping_add(length);
        Some(part)
    }

    /// Evaluates an expression of the only form that compilers use: the sum of a register and an offset. Returns the sum,
    /// and whether the value is in memory at that address.
    fn sum(mut self) -> Option<((u8, i64), bool)> {
        const REGISTER_PLUS: core::ops::RangeInclusive<u8> = 0x70..=0x8f;
        const DEREFERENCE: u8 = 0x06;
        let operation = self
            .byte()
            .filter(|operation| REGISTER_PLUS.contains(operation))?;
        let sum = (operation - REGISTER_PLUS.start(), self.signed()?);
        match (self.byte(), self.is_empty()) {
            (None, _) => Some((sum, false)),
            (Some(DEREFERENCE), true) => Some((sum, true)),
            _ => None,
        }
    }

    /// Reads a pointer in one of the encodings that linkers use.
    #[inline(never)]
    fn pointer(&mut self, encoding: u8) -> Option<usize> {
        let from = self.at as usize;
        let value = match encoding & 0x0f {
            0x00 | 0x04 | 0x0c => self.number(8)?,
            0x02 => self.number(2)?,
            0x03 => self.number(4)?,
            0x0a => self.number(2)? as i16 as u64,
            0x0b => self.number(4)? as i32 as u64,
            _ => return None,
        };
        match encoding & 0x70 {
            0x00 => Some(value as usize),
            0x10 => Some(from.wrapping_add(value as usize)),
            _ => None,
        }
    }
}

/// Returns the address of the entry for the function at that address, by the sorted table that linkers make.
#[inline(never)]
fn entry_of(index: usize, address: usize) -> Option<usize> {
    const HEADER: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
    let at = index as *const u8;
    // SAFETY: the address of an index from the loader; it begins with its form and its length.
    let (form, count) = unsafe {
        (
            at.cast::<[u8; 4]>().read(),
            at.add(8).cast::<u32>().read_unaligned(),
        )
    };
    if form != HEADER {
        return None;
    }
    // SAFETY: `count` pairs of numbers follow.
    let pair = |place: usize| unsafe { at.add(12).cast::<[i32; 2]>().add(place).read_unaligned() };
    let far = |offset: i32| index.wrapping_add_signed(offset as isize);
    let (mut low, mut high) = (0, count as usize);
    while low < high {
        let middle = low + (high - low) / 2;
        if far(pair(middle)[0]) <= address {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Some(far(pair(low.checked_sub(1)?)[1]))
}

/// A function's entry (FDE), with the data that it shares with others (CIE).
struct FunctionEntry {
    start: usize,
    end: usize,
    code_unit: usize,
    data_unit: i64,
    is_signal: bool,
    common_instructions: Bytes,
    instructions: Bytes,
}

impl FunctionEntry {
    const EMPTY: Self = Self {
        start: 0,
        end: 0,
        code_unit: 0,
        data_unit: 0,
        is_signal: false,
        common_instructions: Bytes::EMPTY,
        instructions: Bytes::EMPTY,
    };

    /// Reads a function's own part, and the shared part that it points to.
    #[inline(never)]
    fn read(&mut self, at: usize) -> Option<()> {
        let (mut own, place) = parts(at)?;
        let back = own.number(4)? as usize;
        let (encoding, has_data) = self.read_common(place.wrapping_sub(back))?;
        self.start = own.pointer(encoding)?;
        self.end = self.start.checked_add(own.pointer(encoding & 0x0f)?)?;
        if has_data {
            let length = own.unsigned()? as usize;
            own.part(length)?;
        }
        self.instructions = own;
        Some(())
    }

    /// Reads the shared part. Returns the encoding of addresses, and whether augmentation data follow them.
    #[inline(never)]
    fn read_common(&mut self, at: usize) -> Option<(u8, bool)> {
        let (mut common, _) = parts(at)?;
        let (0, 1 | 3) = (common.number(4)?, common.byte()?) else {
            return None;
        };
        let mut letters = common;
        while common.byte()? != 0 {}
        self.code_unit = common.unsigned()? as usize;
        self.data_unit = common.signed()?;
        self.is_signal = false;
        if common.unsigned()? as usize != RETURN {
            return None;
        }
        let mut encoding = 0;
        // If there are augmentation letters, their data begin with a length.
        let has_data = letters.byte()? == b'z';
        if has_data {
            let length = common.unsigned()? as usize;
            let mut data = common.part(length)?;
            loop {
                match letters.byte()? {
                    0 => break,
                    b'R' => encoding = data.byte()?,
                    b'P' => {
                        let encoding = data.byte()?;
                        data.pointer(encoding & 0x0f)?;
                    }
                    b'L' => _ = data.byte()?,
                    b'S' => self.is_signal = true,
                    b'B' => {}
                    _ => return None,
                }
            }
        }
        self.common_instructions = common;
        Some((encoding, has_data))
    }
}

/// Returns an entry's contents, and the address where they begin.
fn parts(at: usize) -> Option<(Bytes, usize)> {
    const LONG: u64 = 0xffff_ffff;
    let mut length = Bytes {
        at: at as *const u8,
        left: 4,
    };
    let length = length.number(4).filter(|length| !matches!(*length, 0 | LONG))?;
    let at = at.checked_add(4)?;
    let bytes = Bytes {
        at: at as *const u8,
        left: length as usize,
    };
    Some((bytes, at))
}
