//! What is particular to Linux on aarch64: numbers, places of registers, and instructions.

use crate::sys::c_int;
use core::arch::asm;

/// Set where the kernel reports raw system calls. Without that, statics are not observed either.
pub(crate) const REPORTS_CALLS: bool = false;

pub(crate) const O_DIRECTORY: c_int = 0o40_000;
pub(crate) const O_NOFOLLOW: c_int = 0o100_000;

/// The positions in `struct stat` of `st_mode`, `st_uid` and `st_gid`.
pub(crate) const STAT: [usize; 3] = [16, 24, 28];

/// The number of words in libc's `__jmp_buf`.
pub(crate) const JUMP_WORDS: usize = 22;

/// Registers in a `ucontext_t`, by their places in words.
pub(crate) mod register {
    /// Those of a system call's arguments. A function's first argument is in the first of them.
    pub(crate) const ARGUMENTS: [usize; 6] = [23, 24, 25, 26, 27, 28];
    /// Those of a system call's number, before it, and of its result.
    pub(crate) const NUMBER: usize = 31;
    pub(crate) const RESULT: usize = 23;
    /// The address of the next instruction.
    pub(crate) const COUNTER: usize = 55;
    /// The mask that the handler's return restores.
    pub(crate) const MASK: usize = 5;
}

/// The size of the instruction that makes a system call.
pub(crate) const CALL_SIZE: usize = 4;

/// Registers by their numbers in unwind tables.
pub(crate) mod unwind {
    use core::arch::asm;

    pub(crate) const COUNT: usize = 33;
    pub(crate) const STACK: usize = 31;
    /// The address in the caller.
    pub(crate) const RETURN: usize = 30;
    /// The address of the next instruction, which has no number in the tables.
    pub(crate) const COUNTER: usize = 32;
    /// The registers that a function restores for its caller.
    pub(crate) const RESTORED: [usize; 12] = [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30];

    /// The instructions to which a handler returns.
    pub(crate) const SIGNAL_RETURN: [u8; 8] = [0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4];
    /// The position of the `ucontext_t` on the stack at these instructions.
    pub(crate) const CONTEXT: usize = 128;
    /// Each register's place in a `ucontext_t`, in words.
    pub(crate) const IN_CONTEXT: [usize; COUNT] = {
        let mut places = [23; COUNT];
        let mut number = 0;
        while number < COUNT {
            places[number] += number;
            number += 1;
        }
        places
    };

    /// Returns the address that a return address stands for: the upper bits may hold its signature.
    pub(crate) fn code_address(word: usize) -> usize {
        word & 0xffff_ffff_ffff
    }

    /// Stores the caller's registers that matter to an unwinder.
    #[inline(always)]
    pub(crate) fn store(registers: &mut [usize; COUNT]) {
        // SAFETY: stores registers in an array that is long enough for their numbers.
        unsafe {
            asm!(
                "stp x19, x20, [{registers}, 19 * 8]",
                "stp x21, x22, [{registers}, 21 * 8]",
                "stp x23, x24, [{registers}, 23 * 8]",
                "stp x25, x26, [{registers}, 25 * 8]",
                "stp x27, x28, [{registers}, 27 * 8]",
                "stp x29, x30, [{registers}, 29 * 8]",
                "mov {scratch}, sp",
                "str {scratch}, [{registers}, 31 * 8]",
                "adr {scratch}, .",
                "str {scratch}, [{registers}, 32 * 8]",
                registers = in(reg) registers.as_mut_ptr(),
                scratch = out(reg) _,
                options(nostack)
            );
        }
    }
}

/// Returns the address of the end of the stack.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let here: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) here, options(nomem, nostack, preserves_flags)) };
    here
}

/// Returns the address of the calling thread's copy of `cofferdam_thread`.
#[inline(always)]
pub(crate) fn thread_block() -> *const u8 {
    let block;
    // SAFETY: the address of a thread-local symbol by the ABI's initial-exec model, which fits a library that is loaded
    // with the program; it reads the thread pointer and a constant of the linker's.
    unsafe {
        asm!(
            "adrp {block}, :gottprel:cofferdam_thread",
            "ldr {block}, [{block}, :gottprel_lo12:cofferdam_thread]",
            "mrs {thread}, tpidr_el0",
            "add {block}, {block}, {thread}",
            block = out(reg) block,
            thread = out(reg) _,
            options(nostack, nomem, pure, preserves_flags)
        );
    }
    block
}

/// Declares the body of the hook of `syscall`. Calls that act on their caller's stack go straight to `real`, if it is
/// known; a futex operation only while `records_waits` is 0; all others to `recorded`.
macro_rules! syscall_hook {
    ($recorded:ident, $real:ident, $records_waits:path) => {
        core::arch::naked_asm!(
            "cmp x0, {futex}",
            "b.eq 3f",
            "cmp x0, {rt_sigreturn}",
            "b.eq 2f",
            "cmp x0, {clone}",
            "b.eq 2f",
            "cmp x0, {clone3}",
            "b.ne {recorded}",
            "2:",
            "adrp x16, {real}",
            "ldr x16, [x16, :lo12:{real}]",
            "cbz x16, {recorded}",
            "br x16",
            "3:",
            "adrp x16, {records_waits}",
            "ldrb w16, [x16, :lo12:{records_waits}]",
            "cbz w16, 2b",
            "b {recorded}",
            futex = const nr::FUTEX,
            rt_sigreturn = const nr::RT_SIGRETURN,
            clone = const nr::CLONE,
            clone3 = const nr::CLONE3,
            recorded = sym $recorded,
            records_waits = sym $records_waits,
            real = sym $real,
        )
    };
}

/// Declares the body of a function that takes a program's arguments one by one, and passes them to `with` as an array.
/// Those on the stack form an array; those in registers are stored in front of them.
macro_rules! one_by_one {
    ($with:ident) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            "stp x29, x30, [sp, -80]!",
            ".cfi_def_cfa_offset 80",
            ".cfi_offset x29, -80",
            ".cfi_offset x30, -72",
            "str x1, [sp, 24]",
            "stp x2, x3, [sp, 32]",
            "stp x4, x5, [sp, 48]",
            "stp x6, x7, [sp, 64]",
            "add x1, sp, 24",
            "bl {with}",
            // It returns only if it failed.
            "ldp x29, x30, [sp], 80",
            "ret",
            ".cfi_endproc",
            with = sym $with,
        )
    };
}

pub(crate) use {one_by_one, syscall_hook};
