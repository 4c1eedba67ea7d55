//! What is particular to Linux on x86_64: numbers, places of registers, and instructions.

use crate::sys::c_int;
use core::arch::asm;

/// Set where the kernel reports raw system calls. Without that, statics are not observed either.
pub(crate) const REPORTS_CALLS: bool = true;

pub(crate) const O_DIRECTORY: c_int = 0o200_000;
pub(crate) const O_NOFOLLOW: c_int = 0o400_000;

/// The positions in `struct stat` of `st_mode`, `st_uid` and `st_gid`.
pub(crate) const STAT: [usize; 3] = [24, 28, 32];

/// The number of words in libc's `__jmp_buf`.
pub(crate) const JUMP_WORDS: usize = 8;

/// Registers in a `ucontext_t`, by their places in words.
pub(crate) mod register {
    /// Those of a system call's arguments. A function's first argument is in the first of them.
    pub(crate) const ARGUMENTS: [usize; 6] = [13, 14, 17, 7, 5, 6];
    /// Those of a system call's number, before it, and of its result.
    pub(crate) const NUMBER: usize = 18;
    pub(crate) const RESULT: usize = 18;
    /// The address of the next instruction.
    pub(crate) const COUNTER: usize = 21;
    /// The mask that the handler's return restores.
    pub(crate) const MASK: usize = 37;
}

/// The size of the instruction that makes a system call.
pub(crate) const CALL_SIZE: usize = 2;

/// Registers by their numbers in unwind tables.
pub(crate) mod unwind {
    use core::arch::asm;

    pub(crate) const COUNT: usize = 17;
    pub(crate) const STACK: usize = 7;
    /// The address in the caller.
    pub(crate) const RETURN: usize = 16;
    /// The address of the next instruction.
    pub(crate) const COUNTER: usize = 16;
    /// The registers that a function restores for its caller.
    pub(crate) const RESTORED: [usize; 7] = [3, 6, 12, 13, 14, 15, 16];

    /// The instructions to which a handler returns.
    pub(crate) const SIGNAL_RETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
    /// The position of the `ucontext_t` on the stack at these instructions.
    pub(crate) const CONTEXT: usize = 0;
    /// Each register's place in a `ucontext_t`, in words.
    pub(crate) const IN_CONTEXT: [usize; COUNT] =
        [18, 17, 19, 16, 14, 13, 15, 20, 5, 6, 7, 8, 9, 10, 11, 12, 21];

    /// Returns the address that a return address stands for.
    pub(crate) fn code_address(word: usize) -> usize {
        word
    }

    /// Stores the caller's registers that matter to an unwinder.
    #[inline(always)]
    pub(crate) fn store(registers: &mut [usize; COUNT]) {
        // SAFETY: stores registers in an array that is long enough for their numbers.
        unsafe {
            asm!(
                "lea {address}, [rip]",
                "mov qword ptr [{registers} + 16 * 8], {address}",
                "mov qword ptr [{registers} + 7 * 8], rsp",
                "mov qword ptr [{registers} + 6 * 8], rbp",
                "mov qword ptr [{registers} + 3 * 8], rbx",
                "mov qword ptr [{registers} + 12 * 8], r12",
                "mov qword ptr [{registers} + 13 * 8], r13",
                "mov qword ptr [{registers} + 14 * 8], r14",
                "mov qword ptr [{registers} + 15 * 8], r15",
                registers = in(reg) registers.as_mut_ptr(),
                address = out(reg) _,
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
    unsafe { asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags)) };
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
            "mov {block}, qword ptr [rip + cofferdam_thread@GOTTPOFF]",
            "add {block}, qword ptr fs:[0]",
            block = out(reg) block,
            options(nostack, nomem, pure)
        );
    }
    block
}

/// Declares the body of the hook of `syscall`. Calls that act on their caller's stack go straight to `real`, if it is
/// known; a futex operation only while `records_waits` is 0; all others to `recorded`.
macro_rules! syscall_hook {
    ($recorded:ident, $real:ident, $records_waits:path) => {
        core::arch::naked_asm!(
            "cmp rdi, {futex}",
            "je 4f",
            "cmp rdi, {rt_sigreturn}",
            "je 2f",
            "cmp rdi, {clone}",
            "je 2f",
            "cmp rdi, {fork}",
            "je 2f",
            "cmp rdi, {vfork}",
            "je 2f",
            "cmp rdi, {clone3}",
            "je 2f",
            "jmp {recorded}",
            "2:",
            "mov rax, qword ptr [rip + {real}]",
            "test rax, rax",
            "je 3f",
            "jmp rax",
            "3:",
            "jmp {recorded}",
            "4:",
            "cmp byte ptr [rip + {records_waits}], 0",
            "je 2b",
            "jmp {recorded}",
            futex = const nr::FUTEX,
            rt_sigreturn = const nr::RT_SIGRETURN,
            clone = const nr::CLONE,
            fork = const nr::FORK,
            vfork = const nr::VFORK,
            clone3 = const nr::CLONE3,
            recorded = sym $recorded,
            records_waits = sym $records_waits,
            real = sym $real,
        )
    };
}

/// Declares the body of a function that takes a program's arguments one by one, and passes them to `with` as an array.
/// Those on the stack form an array; those in registers are pushed in front of them, over the return address, which is
/// moved below.
macro_rules! one_by_one {
    ($with:ident) => {
        core::arch::naked_asm!(
            ".cfi_startproc",
            "pop rax",
            "push r9",
            "push r8",
            "push rcx",
            "push rdx",
            "push rsi",
            "mov rsi, rsp",
            "push rax",
            ".cfi_def_cfa_offset 48",
            ".cfi_offset rip, -48",
            "call {with}",
            // It returns only if it failed.
            "pop rcx",
            "add rsp, 40",
            "push rcx",
            "ret",
            ".cfi_endproc",
            with = sym $with,
        )
    };
}

pub(crate) use {one_by_one, syscall_hook};
