//! Tests that read back the signal masks and handlers that they have set. All pass, observed or not.

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn _exit(code: c_int) -> !;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn execv(path: *const c_char, arguments: *const *const c_char) -> c_int;
    fn fork() -> c_int;
    fn getpid() -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn ppoll(files: *mut c_void, count: u64, time: *const [i64; 2], mask: *const u64) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
    fn raise(signal: c_int) -> c_int;
    fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int;
    fn sigblock(mask: c_int) -> c_int;
    fn sighold(signal: c_int) -> c_int;
    fn sigpending(set: *mut u64) -> c_int;
    fn sigprocmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
    fn sigrelse(signal: c_int) -> c_int;
    fn sigsetmask(mask: c_int) -> c_int;
    fn sigsuspend(mask: *const u64) -> c_int;
    fn sigtimedwait(set: *const u64, info: *mut c_void, time: *const [i64; 2]) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn syscall(number: c_long, ...) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

const NONE: Action = Action {
    handler: 0,
    mask: [0; 16],
    flags: 0,
    restorer: 0,
};

const BLOCK: c_int = 0;
const UNBLOCK: c_int = 1;
const SET: c_int = 2;
const USR1: c_int = 10;
const USR2: c_int = 12;
const SYS: c_int = 31;
const SYS_BIT: u64 = 1 << 30;
const ALL: u64 = 0xffff_fffe_7fff_ffff;
/// The mask without SIGKILL and SIGSTOP, which cannot be blocked.
const BLOCKABLE: u64 = ALL & !(1 << 8 | 1 << 18);

/// Runs one test at a time, because handlers belong to the process.
static ONE: Mutex<()> = Mutex::new(());

fn one_at_a_time<R>(test: impl FnOnce() -> R + Send) -> R
where
    R: Send,
{
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // On a separate thread, because a mask belongs to a thread.
    std::thread::scope(|scope| scope.spawn(test).join().unwrap())
}

fn change(how: c_int, set: u64) -> u64 {
    let (set, mut old) = ([set; 16], [0_u64; 16]);
    assert_eq!(unsafe { pthread_sigmask(how, set.as_ptr(), old.as_mut_ptr()) }, 0);
    old[0]
}

fn mask() -> u64 {
    let mut old = [0_u64; 16];
    assert_eq!(unsafe { sigprocmask(BLOCK, std::ptr::null(), old.as_mut_ptr()) }, 0);
    old[0]
}

/// A system call by an instruction of our own.
fn raw(number: i64, arguments: [u64; 4]) -> i64 {
    let result: i64;
    unsafe {
        std::arch::asm!(
            "syscall", inlateout("rax") number => result, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], out("rcx") _, out("r11") _,
        );
    }
    result
}

fn raw_open() -> i64 {
    let none = concat!(env!("CARGO_MANIFEST_DIR"), "/met/none/masks\0");
    raw(2, [none.as_ptr() as u64, 0, 0, 0])
}

fn raw_mask() -> u64 {
    let mut old = 0_u64;
    assert_eq!(raw(14, [0, 0, &raw mut old as u64, 8]), 0);
    old
}

fn set(signal: c_int, handler: usize, mask: u64, flags: c_int) -> Action {
    let mut old = NONE;
    let new = Action {
        handler,
        mask: [mask; 16],
        flags,
        restorer: 0,
    };
    assert_eq!(unsafe { sigaction(signal, &new, &mut old) }, 0);
    old
}

fn status(pid: c_int) -> c_int {
    let mut status = 0;
    while unsafe { waitpid(pid, &mut status, 0) } < 0 {}
    status
}

#[test]
fn a_mask_reads_back_as_it_was_set() {
    one_at_a_time(|| {
        assert_eq!(change(SET, 0), mask() & 0);
        for wanted in [SYS_BIT, ALL, SYS_BIT | 1 << 15, 1 << 15, ALL & !SYS_BIT, 0] {
            change(SET, wanted);
            assert_eq!((mask(), raw_mask()), (wanted & BLOCKABLE, wanted & BLOCKABLE), "{wanted:x}");
            assert_eq!(raw_open(), -2);
        }
        assert_eq!(change(BLOCK, SYS_BIT), 0);
        assert_eq!(change(BLOCK, 0), SYS_BIT);
        assert_eq!(change(UNBLOCK, 1), SYS_BIT);
        assert_eq!(change(UNBLOCK, SYS_BIT), SYS_BIT);
        assert_eq!(mask(), 0);
        // Past libc, and by its function for calls of any number.
        let all = !0_u64;
        assert_eq!(raw(14, [0, &raw const all as u64, 0, 8]), 0);
        assert_eq!(raw_mask() & BLOCKABLE, BLOCKABLE);
        assert_eq!(raw_open(), -2);
        let (none, mut old) = (0_u64, 0_u64);
        assert_eq!(unsafe { syscall(14, 2_u64, &raw const none, &raw mut old, 8_u64) }, 0);
        assert_eq!((old & BLOCKABLE, mask()), (BLOCKABLE, 0));
        // By the old functions.
        assert_eq!(unsafe { (sigblock(SYS_BIT as c_int), sighold(1), sigsetmask(0)) }, (0, 0, SYS_BIT as c_int | 1));
        assert_eq!(unsafe { (sighold(SYS), mask(), sigrelse(SYS), mask(), sighold(0)) }, (0, SYS_BIT, 0, 0, -1));
        // No such way to use a mask.
        assert_eq!(unsafe { pthread_sigmask(7, [0; 16].as_ptr(), std::ptr::null_mut()) }, 22);
    });
}

#[test]
fn errno_is_not_touched_by_a_change_of_the_mask() {
    one_at_a_time(|| unsafe {
        *__errno_location() = 77;
        change(BLOCK, ALL);
        assert_eq!(pthread_sigmask(9, [0; 16].as_ptr(), std::ptr::null_mut()), 22);
        assert_eq!(*__errno_location(), 77);
        assert_eq!(sigprocmask(9, [0; 16].as_ptr(), std::ptr::null_mut()), -1);
        assert_eq!(*__errno_location(), 22);
    });
}

unsafe extern "C" {
    /// Calls the function, and returns when it returns or jumps back to `place`.
    fn masks_with_a_way_back(place: *mut u64, what: extern "C" fn());
    fn siglongjmp(place: *mut u64, answer: c_int) -> !;
}

// A function that returns twice cannot be called from Rust.
std::arch::global_asm!(
    ".globl masks_with_a_way_back",
    ".hidden masks_with_a_way_back",
    "masks_with_a_way_back:",
    "push rbx",
    "mov rbx, rsi",
    "mov esi, 1",
    "call __sigsetjmp@PLT",
    "test eax, eax",
    "jne 2f",
    "call rbx",
    "2: pop rbx",
    "ret",
);

/// Used by one test at a time.
static mut PLACE: [u64; 25] = [0; 25];

extern "C" fn jumps(_: c_int) {
    assert_eq!(mask() & SYS_BIT, SYS_BIT);
    unsafe { siglongjmp(&raw mut PLACE as *mut u64, 1) }
}

extern "C" fn raises() {
    unsafe { raise(USR1) };
}

extern "C" fn opens_and_raises() {
    change(UNBLOCK, SYS_BIT);
    raises();
}

#[test]
fn a_jump_out_of_a_handler_brings_the_mask_back() {
    one_at_a_time(|| unsafe {
        set(USR1, jumps as *const () as usize, ALL, 0);
        for wanted in [0, SYS_BIT, 0] {
            for what in [raises, opens_and_raises] {
                change(SET, wanted);
                masks_with_a_way_back(&raw mut PLACE as *mut u64, what);
                assert_eq!((mask(), raw_mask(), raw_open()), (wanted, wanted, -2));
            }
        }
        set(USR1, 0, 0, 0);
        change(SET, 0);
    });
}

static SEEN: AtomicU64 = AtomicU64::new(0);
static TIMES: AtomicU32 = AtomicU32::new(0);

extern "C" fn looks(_: c_int) {
    SEEN.store(mask(), Ordering::SeqCst);
    raw_open();
    TIMES.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn opens_up(_: c_int, _: *mut c_void, context: *mut u64) {
    // The mask that the jump restores.
    unsafe { *context.add(37) |= SYS_BIT };
    change(SET, 0);
}

fn looking() -> usize {
    looks as *const () as usize
}

#[test]
fn a_handler_finds_the_mask_that_it_was_set_with_and_leaves_the_one_from_before() {
    one_at_a_time(|| unsafe {
        set(USR1, looking(), ALL, 0);
        raise(USR1);
        assert_eq!((SEEN.load(Ordering::SeqCst), mask()), (BLOCKABLE, 0));
        set(USR1, looking(), 0, 0);
        raise(USR1);
        assert_eq!(SEEN.load(Ordering::SeqCst), 1 << (USR1 - 1));
        change(SET, SYS_BIT);
        raise(USR1);
        assert_eq!((SEEN.load(Ordering::SeqCst), mask()), (SYS_BIT | 1 << (USR1 - 1), SYS_BIT));
        change(SET, 0);
        set(USR1, opens_up as *const () as usize, 0, 4);
        raise(USR1);
        assert_eq!(mask(), SYS_BIT);
        set(USR1, 0, 0, 0);
    });
}

#[test]
fn a_handler_reads_back_as_it_was_set() {
    one_at_a_time(|| unsafe {
        const RESTORED: c_int = 0x0400_0000;
        for signal in [USR1, SYS] {
            set(signal, looking(), ALL, 0x1000_0000);
            let mut old = NONE;
            assert_eq!(sigaction(signal, std::ptr::null(), &mut old), 0);
            assert_eq!((old.handler, old.mask[0] & ALL), (looking(), BLOCKABLE), "{signal}");
            assert_eq!(old.flags & !RESTORED, 0x1000_0000);
            // The same in the kernel's form.
            let mut kernel_s = [0_u64; 4];
            assert_eq!(raw(13, [signal as u64, 0, &raw mut kernel_s as u64, 8]), 0);
            assert_eq!((kernel_s[0], kernel_s[3] & BLOCKABLE), (looking() as u64, BLOCKABLE));
            kernel_s[3] = SYS_BIT;
            assert_eq!(raw(13, [signal as u64, &raw const kernel_s as u64, 0, 8]), 0);
            let old = set(signal, 1, 0, 0);
            assert_eq!((old.handler, old.mask[0]), (looking(), SYS_BIT), "{signal}");
            assert_eq!((set(signal, 0, 0, 0).handler, set(signal, 0, 0, 0).handler), (1, 0));
            assert_eq!((signal_of(signal, looking()), signal_of(signal, 1), signal_of(signal, 0)), (0, looking(), 1));
        }
        assert_eq!(sigaction(9, &NONE, std::ptr::null_mut()), -1);
        assert_eq!(sigaction(400, std::ptr::null(), std::ptr::null_mut()), -1);
        assert_eq!(raw(13, [u64::MAX, 8, 8, 8]), raw(13, [400, 8, 8, 8]));
    });
}

fn signal_of(number: c_int, handler: usize) -> usize {
    unsafe { signal(number, handler) }
}

#[test]
fn a_handler_that_is_for_once_is_called_once() {
    one_at_a_time(|| unsafe {
        const ONCE: c_int = 0x8000_0000_u32 as c_int;
        for signal in [USR2, SYS] {
            let before = TIMES.load(Ordering::SeqCst);
            set(signal, looking(), 0, ONCE);
            raise(signal);
            assert_eq!(TIMES.load(Ordering::SeqCst), before + 1);
            assert_eq!(set(signal, 0, 0, 0).handler, 0, "{signal}");
        }
    });
}

#[test]
fn a_call_that_waits_with_another_mask_leaves_raw_calls_to_its_handlers() {
    one_at_a_time(|| unsafe {
        set(USR1, looking(), 0, 0);
        let but_one = [ALL & !(1 << (USR1 - 1)); 16];
        for wait in 0..3 {
            change(SET, 1 << (USR1 - 1));
            syscall(234, getpid(), raw(186, [0; 4]), USR1);
            SEEN.store(0, Ordering::SeqCst);
            match wait {
                0 => _ = sigsuspend(but_one.as_ptr()),
                1 => _ = ppoll(std::ptr::null_mut(), 0, &[5, 0], but_one.as_ptr()),
                _ => _ = raw(130, [but_one.as_ptr() as u64, 8, 0, 0]),
            }
            assert_eq!(SEEN.load(Ordering::SeqCst) & SYS_BIT, SYS_BIT, "{wait}");
            assert_eq!((mask(), raw_open()), (1 << (USR1 - 1), -2));
            change(SET, 0);
        }
        set(USR1, 0, 0, 0);
    });
}

#[test]
fn a_blocked_signal_waits_to_be_fetched() {
    one_at_a_time(|| unsafe {
        change(SET, SYS_BIT);
        raise(SYS);
        let mut pending = [0_u64; 16];
        assert_eq!(sigpending(pending.as_mut_ptr()), 0);
        assert_eq!((pending[0], mask(), raw_mask()), (SYS_BIT, SYS_BIT, SYS_BIT));
        assert_eq!(raw_open(), -2);
        assert_eq!(sigtimedwait([SYS_BIT; 16].as_ptr(), std::ptr::null_mut(), &[0, 0]), SYS);
        set(SYS, looking(), 0, 0);
        let before = TIMES.load(Ordering::SeqCst);
        raise(SYS);
        assert_eq!(TIMES.load(Ordering::SeqCst), before);
        change(UNBLOCK, SYS_BIT);
        assert_eq!((TIMES.load(Ordering::SeqCst), mask()), (before + 1, 0));
        set(SYS, 0, 0, 0);
        assert_eq!(raw_open(), -2);
    });
}

#[test]
fn threads_copies_and_programs_begin_with_the_mask() {
    one_at_a_time(|| unsafe {
        change(SET, ALL);
        assert_eq!(std::thread::spawn(|| (mask(), raw_open())).join().unwrap(), (BLOCKABLE, -2));
        let pid = fork();
        if pid == 0 {
            _exit(if mask() == BLOCKABLE && raw_open() == -2 { 0 } else { 1 });
        }
        assert_eq!(status(pid), 0);
        // std's `Command` gives its children an open mask, so this one is started by hand.
        let program = CString::new(std::env::current_exe().unwrap().into_os_string().into_vec()).unwrap();
        let pid = fork();
        if pid == 0 {
            std::env::set_var("MASKS_STARTED", "1");
            dup2(open(c"/dev/null".as_ptr(), 1), 1);
            let name = c"a_started_program_finds_the_mask_of_the_one_that_started_it";
            let arguments = [c"masks".as_ptr(), c"--exact".as_ptr(), name.as_ptr(), std::ptr::null()];
            execv(program.as_ptr(), arguments.as_ptr());
            _exit(2);
        }
        assert_eq!(status(pid), 0);
        assert!(Command::new("true").status().unwrap().success());
    });
}

/// What a handler does may fall into the time in which a program is started.
#[test]
fn a_handler_may_call_past_libc_while_its_thread_starts_programs() {
    one_at_a_time(|| unsafe {
        set(USR1, looking(), 0, 0x1000_0000);
        change(SET, SYS_BIT);
        let (thread, before) = (raw(186, [0; 4]), TIMES.load(Ordering::SeqCst));
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    // One at a time, so that there is time for the rest.
                    let seen = TIMES.load(Ordering::SeqCst);
                    syscall(234, getpid(), thread, USR1);
                    while TIMES.load(Ordering::SeqCst) == seen && !over.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                }
            });
            for _ in 0..50 {
                assert!(Command::new("true").status().unwrap().success());
            }
            over.store(true, Ordering::SeqCst);
        });
        assert!(TIMES.load(Ordering::SeqCst) > before);
        assert_eq!((mask(), raw_open()), (SYS_BIT, -2));
        change(SET, 0);
        set(USR1, 0, 0, 0);
    });
}

#[test]
fn a_started_program_finds_the_mask_of_the_one_that_started_it() {
    if std::env::var_os("MASKS_STARTED").is_some() {
        assert_eq!((mask(), raw_open()), (BLOCKABLE, -2));
    }
}
