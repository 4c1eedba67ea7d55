//! Tests that use a static with every signal blocked, in handlers, in copies of the process, and on other stacks. All pass,
//! observed or not.

use std::arch::asm;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};

unsafe extern "C" {
    static __executable_start: u8;
    static etext: u8;
    fn __xpg_sigpause(signal: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
    fn atexit(last: extern "C" fn()) -> c_int;
    fn backtrace(frames: *mut usize, most: c_int) -> c_int;
    fn dladdr(address: usize, to: *mut [usize; 4]) -> c_int;
    fn execv(path: *const c_char, arguments: *const *const c_char) -> c_int;
    fn fork() -> c_int;
    fn getcontext(to: *mut [u64; 128]) -> c_int;
    fn makecontext(context: *mut [u64; 128], start: extern "C" fn(), count: c_int, ...);
    fn mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut u8;
    fn mprotect(at: *mut u8, length: usize, protection: c_int) -> c_int;
    fn ppoll(files: *mut c_void, count: u64, time: *const [i64; 2], mask: *const u64) -> c_int;
    fn pthread_atfork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> c_int;
    fn pthread_create(thread: *mut u64, attributes: *const c_void, start: extern "C" fn(*mut c_void) -> *mut c_void, argument: *mut c_void) -> c_int;
    fn pthread_join(thread: u64, answer: *mut *mut c_void) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
    fn ptrace(request: c_long, ...) -> c_long;
    fn raise(signal: c_int) -> c_int;
    fn setitimer(which: c_int, new: *const [i64; 4], old: *mut c_void) -> c_int;
    fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int;
    fn sigaltstack(new: *const [usize; 3], old: *mut [usize; 3]) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn sighold(signal: c_int) -> c_int;
    fn sigset(signal: c_int, handler: usize) -> usize;
    fn sigsuspend(mask: *const u64) -> c_int;
    fn swapcontext(back: *mut [u64; 128], to: *mut [u64; 128]) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn vfork() -> c_int;
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

const BLOCK: c_int = 0;
const SET: c_int = 2;
const TRAP: c_int = 5;
const USR1: c_int = 10;
const PROF: c_int = 27;
const SYS: c_int = 31;
const TRAP_BIT: u64 = 1 << 4;
const USR1_BIT: u64 = 1 << 9;
const SIGINFO: c_int = 4;
const ONSTACK: c_int = 0x0800_0000;

/// Runs one test at a time, because handlers belong to the process.
static ONE: Mutex<()> = Mutex::new(());

fn alone(test: impl FnOnce()) {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    test();
}

/// Declares a static and a function that adds to it: each test has its own instructions.
macro_rules! used {
    ($($name:ident by $touch:ident;)*) => {
        $(
            static $name: AtomicU32 = AtomicU32::new(0);
            #[inline(never)]
            extern "C" fn $touch() {
                $name.store($name.load(SeqCst) + 1, SeqCst);
            }
        )*
    };
}

used! {
    RAW by touch_raw; MASKED by touch_masked; POLLED by touch_polled; SUSPENDED by touch_suspended;
    IN_SYS by touch_in_sys; IN_TRAP by touch_in_trap; STEPPED by touch_stepped; PROFILED by touch_profiled;
    BY_VFORK by touch_by_vfork; AT_FORK by touch_at_fork; LAST by touch_last; SMALL by touch_small;
    IGNORED by touch_ignored; EARLY by touch_early; LATE by touch_late; TRACED by touch_traced;
    COPIED by touch_copied; ON_STACK by touch_on_stack; STARTED by touch_started; EXECUTED by touch_executed;
    IN_CONTEXT by touch_in_context; PAUSED by touch_paused;
}

fn status(pid: c_int) -> c_int {
    let mut status = 0;
    while unsafe { waitpid(pid, &mut status, 0) } < 0 {}
    status
}

fn mask() -> u64 {
    let mut old = [0; 16];
    unsafe { pthread_sigmask(BLOCK, std::ptr::null(), old.as_mut_ptr()) };
    old[0]
}

fn set_mask(mask: u64) {
    unsafe { pthread_sigmask(SET, [mask; 16].as_ptr(), std::ptr::null_mut()) };
}

fn set_handler(signal: c_int, handler: usize, mask: u64, flags: c_int) {
    let action = Action { handler, mask: [mask; 16], flags, restorer: 0 };
    assert_eq!(unsafe { sigaction(signal, &action, std::ptr::null_mut()) }, 0);
}

/// `rt_sigprocmask` by an instruction of the program's own.
fn raw_mask(how: usize, set: Option<&u64>) -> u64 {
    let (mut old, set) = (0_u64, set.map_or(std::ptr::null(), std::ptr::from_ref));
    unsafe {
        asm!("syscall", inlateout("rax") 14_usize => _, in("rdi") how, in("rsi") set, in("rdx") &mut old, in("r10") 8,
             lateout("rcx") _, lateout("r11") _);
    }
    old
}

#[test]
fn all_signals_are_blocked_by_a_raw_call() {
    let before = raw_mask(0, Some(&!0));
    touch_raw();
    assert_eq!(raw_mask(2, Some(&before)) & TRAP_BIT, TRAP_BIT);
    touch_raw();
    assert_eq!((raw_mask(0, None), RAW.load(SeqCst)), (before, 2));
}

extern "C" fn on_masked(_: c_int) {
    assert_eq!(mask() & TRAP_BIT, TRAP_BIT);
    touch_masked();
}

#[test]
fn a_handler_blocks_all_signals() {
    alone(|| {
        set_handler(USR1, on_masked as *const () as usize, !0, 0);
        unsafe { raise(USR1) };
        let mut found = Action { handler: 0, mask: [0; 16], flags: 0, restorer: 0 };
        unsafe { sigaction(USR1, std::ptr::null(), &mut found) };
        assert_eq!((found.mask[0] & TRAP_BIT, MASKED.load(SeqCst)), (TRAP_BIT, 1));
        set_handler(USR1, 0, 0, 0);
    });
}

extern "C" fn on_polled(_: c_int) {
    touch_polled();
}

extern "C" fn on_suspended(_: c_int) {
    touch_suspended();
}

#[test]
fn a_handler_interrupts_a_call_that_waits_with_a_mask_of_its_own() {
    alone(|| {
        let before = mask();
        set_mask(before | USR1_BIT);
        set_handler(USR1, on_polled as *const () as usize, 0, 0);
        unsafe { raise(USR1) };
        assert_eq!(unsafe { ppoll(std::ptr::null_mut(), 0, std::ptr::null(), [!USR1_BIT; 16].as_ptr()) }, -1);
        set_handler(USR1, on_suspended as *const () as usize, 0, 0);
        unsafe { raise(USR1) };
        assert_eq!(unsafe { sigsuspend([!USR1_BIT; 16].as_ptr()) }, -1);
        assert_eq!((POLLED.load(SeqCst), SUSPENDED.load(SeqCst)), (1, 1));
        set_mask(before);
        set_handler(USR1, 0, 0, 0);
    });
}

#[test]
fn a_context_blocks_all_signals() {
    const LINK: usize = 1;
    const STACK: usize = 2;
    const MASK: usize = 37;
    let (mut back, mut context) = ([0; 128], [0; 128]);
    let before = mask();
    unsafe {
        assert_eq!(getcontext(&mut context), 0);
        context[LINK] = (&raw mut back) as u64;
        context[STACK] = stack(16) as u64 - (16 << 12);
        context[STACK + 2] = 16 << 12;
        context[MASK] = !0;
        makecontext(&mut context, touch_in_context, 0);
        assert_eq!(swapcontext(&mut back, &mut context), 0);
    }
    assert_eq!((mask(), IN_CONTEXT.load(SeqCst)), (before, 1));
}

extern "C" fn on_pause(_: c_int) {
    touch_paused();
}

#[test]
fn functions_of_system_v_change_handlers_and_masks() {
    alone(|| {
        const HOLD: usize = 2;
        let handler = on_pause as *const () as usize;
        let before = mask();
        unsafe {
            assert_eq!((sigset(USR1, handler), sighold(TRAP), sigset(USR1, HOLD)), (0, 0, handler));
            raise(USR1);
            assert_eq!((PAUSED.load(SeqCst), mask() & (TRAP_BIT | USR1_BIT)), (0, TRAP_BIT | USR1_BIT));
            assert_eq!((__xpg_sigpause(USR1), PAUSED.load(SeqCst)), (-1, 1));
            assert_eq!((sigset(USR1, 0), sigset(USR1, 0)), (HOLD, 0));
        }
        set_mask(before);
    });
}

extern "C" fn on_sys(_: c_int) {
    touch_in_sys();
}

extern "C" fn on_trap(_: c_int) {
    touch_in_trap();
}

#[test]
fn handlers_of_the_observer_s_signals_use_statics() {
    alone(|| {
        set_handler(SYS, on_sys as *const () as usize, !0, 0);
        set_handler(TRAP, on_trap as *const () as usize, !0, 0);
        unsafe {
            raise(SYS);
            raise(TRAP);
            asm!("int3");
        }
        touch_in_trap();
        assert_eq!((IN_SYS.load(SeqCst), IN_TRAP.load(SeqCst)), (1, 3));
        set_handler(SYS, 0, 0, 0);
        set_handler(TRAP, 0, 0, 0);
    });
}

static STEPS: AtomicUsize = AtomicUsize::new(0);
static STRAY_STEPS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_step(_: c_int, _: *const c_int, context: *mut usize) {
    const RIP: usize = 21;
    let at = unsafe { *context.add(RIP) };
    let (start, end) = (&raw const __executable_start as usize, &raw const etext as usize);
    STEPS.fetch_add(1, SeqCst);
    STRAY_STEPS.fetch_add(usize::from(!(start..end).contains(&at)), SeqCst);
}

/// Returns the number of instructions of a call, as SIGTRAP counts them.
fn steps() -> usize {
    let before = STEPS.load(SeqCst);
    unsafe {
        asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "call {touch}", "pushfq", "and qword ptr [rsp], -257",
             "popfq", touch = sym touch_stepped, clobber_abi("C"));
    }
    STEPS.load(SeqCst) - before
}

#[test]
fn a_program_that_steps_through_itself_sees_its_own_addresses() {
    alone(|| {
        set_handler(TRAP, on_step as *const () as usize, 0, SIGINFO);
        // With a breakpoint and, at the latest after these, without.
        let counts: Vec<usize> = (0..40).map(|_| steps()).collect();
        set_handler(TRAP, 0, 0, 0);
        assert!(counts.iter().all(|count| *count == counts[39]), "{counts:?}");
        assert_eq!((STRAY_STEPS.load(SeqCst), STEPPED.load(SeqCst)), (0, 40));
    });
}

static SAMPLES: AtomicUsize = AtomicUsize::new(0);
static STRAY_SAMPLES: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_profile(_: c_int, _: *const c_int, context: *mut usize) {
    const RIP: usize = 21;
    let mut frames = [0; 64];
    let found = unsafe { backtrace(frames.as_mut_ptr(), 64) };
    let is_stray = found < 2 || unsafe { dladdr(*context.add(RIP), &mut [0; 4]) } == 0;
    SAMPLES.fetch_add(1, SeqCst);
    STRAY_SAMPLES.fetch_add(usize::from(is_stray), SeqCst);
}

#[test]
fn a_profiler_sees_the_program_s_own_addresses() {
    alone(|| {
        // The first call loads a library.
        unsafe { backtrace([0; 4].as_mut_ptr(), 4) };
        set_handler(PROF, on_profile as *const () as usize, 0, SIGINFO);
        unsafe { setitimer(2, &[0, 1000, 0, 1000], std::ptr::null_mut()) };
        while SAMPLES.load(SeqCst) < 20 {
            touch_profiled();
        }
        unsafe { setitimer(2, &[0; 4], std::ptr::null_mut()) };
        set_handler(PROF, 1, 0, 0);
        assert_eq!(STRAY_SAMPLES.load(SeqCst), 0);
    });
}

#[test]
fn a_child_by_vfork_uses_its_parent_s_static() {
    let pid = unsafe { vfork() };
    if pid == 0 {
        touch_by_vfork();
        unsafe { _exit(3) };
    }
    assert_eq!((status(pid), BY_VFORK.load(SeqCst)), (3 << 8, 1));
}

#[test]
fn handlers_around_a_fork_use_statics() {
    unsafe { pthread_atfork(touch_at_fork, touch_at_fork, touch_at_fork) };
    alone(|| {
        let before = AT_FORK.load(SeqCst);
        let pid = unsafe { fork() };
        if pid == 0 {
            unsafe { _exit((AT_FORK.load(SeqCst) - before) as c_int) };
        }
        assert_eq!((status(pid), AT_FORK.load(SeqCst) - before), (2 << 8, 2));
    });
}

#[test]
fn a_copy_past_libc_has_a_static_of_its_own() {
    let pid = unsafe { syscall(57) } as c_int;
    if pid == 0 {
        (0..100).for_each(|_| touch_copied());
        unsafe { _exit(COPIED.load(SeqCst) as c_int) };
    }
    assert_eq!((status(pid), COPIED.load(SeqCst)), (100 << 8, 0));
}

#[test]
fn a_traced_copy_uses_a_static() {
    alone(|| {
        let pid = unsafe { fork() };
        if pid == 0 {
            unsafe {
                ptrace(0, 0, 0, 0);
                raise(19);
                touch_traced();
                _exit(TRACED.load(SeqCst) as c_int);
            }
        }
        let mut found = status(pid);
        while found & 0x7f == 0x7f {
            unsafe { ptrace(24, pid, 0, 0) };
            found = status(pid);
        }
        assert_eq!(found, 1 << 8);
    });
}

#[test]
fn a_breakpoint_of_the_program_s_own_ends_it() {
    alone(|| {
        let pid = unsafe { fork() };
        if pid == 0 {
            unsafe { asm!("int3") };
        }
        assert_eq!(status(pid) & 0x7f, TRAP);
    });
}

struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        touch_last();
    }
}

#[test]
fn a_thread_uses_a_static_at_its_end() {
    thread_local! { static AT_END: Last = const { Last }; }
    for _ in 0..20 {
        std::thread::spawn(|| AT_END.with(|_| ())).join().unwrap();
    }
    assert_eq!(LAST.load(SeqCst), 20);
}

/// Memory of that many pages, below which nothing may be accessed. Returns its end.
fn stack(pages: usize) -> *mut u8 {
    unsafe {
        let memory = mmap(std::ptr::null_mut(), (pages + 1) * 4096, 3, 0x22, -1, 0);
        mprotect(memory, 4096, 0);
        memory.add((pages + 1) * 4096)
    }
}

#[test]
fn a_stack_has_4_kib() {
    for _ in 0..3 {
        unsafe {
            asm!("mov r12, rsp", "mov rsp, {stack}", "call {touch}", "mov rsp, r12", stack = in(reg) stack(1),
                 touch = sym touch_small, out("r12") _, clobber_abi("C"));
        }
    }
    assert_eq!(SMALL.load(SeqCst), 3);
}

#[test]
fn the_signal_is_ignored() {
    alone(|| {
        assert_eq!(unsafe { signal(TRAP, 1) }, 0);
        touch_ignored();
        unsafe { raise(TRAP) };
        assert_eq!((unsafe { signal(TRAP, 0) }, IGNORED.load(SeqCst)), (1, 1));
    });
}

fn alternate() -> [usize; 3] {
    let mut found = [0; 3];
    assert_eq!(unsafe { sigaltstack(std::ptr::null(), &mut found) }, 0);
    found[1] &= 0xffff_ffff;
    found
}

static FLAGS_IN_HANDLER: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_stack(_: c_int) {
    touch_on_stack();
    FLAGS_IN_HANDLER.store(alternate()[1], SeqCst);
    // Not while it is in use.
    assert_eq!(unsafe { sigaltstack(&[0, 2, 0], std::ptr::null_mut()) }, -1);
}

extern "C" fn without_std(_: *mut c_void) -> *mut c_void {
    const DISABLED: usize = 2;
    touch_on_stack();
    assert_eq!(alternate(), [0, DISABLED, 0]);
    let own = [stack(16) as usize - (16 << 12), 0, 16 << 12];
    unsafe {
        assert_eq!(sigaltstack(&own, std::ptr::null_mut()), 0);
        assert_eq!(alternate(), own);
        touch_on_stack();
        raise(USR1);
        assert_eq!(FLAGS_IN_HANDLER.load(SeqCst), 1);
        // Too small.
        assert_eq!(sigaltstack(&[own[0], 0, 100], std::ptr::null_mut()), -1);
        assert_eq!(alternate(), own);
        let mut before = [0; 3];
        assert_eq!(syscall(131, &[0, DISABLED, 0], &mut before), 0);
        assert_eq!((before[0], before[2]), (own[0], own[2]));
        assert_eq!(alternate(), [0, DISABLED, 0]);
        let (mut found, own) = ([0_usize; 3], own.as_ptr());
        asm!("syscall", inlateout("rax") 131_usize => _, in("rdi") own, in("rsi") &mut found, lateout("rcx") _,
             lateout("r11") _);
        assert_eq!(found[1] & 0xffff_ffff, DISABLED);
    }
    touch_on_stack();
    assert_eq!(alternate()[2], 16 << 12);
    std::ptr::null_mut()
}

#[test]
fn an_alternate_stack_reads_back_as_it_was_set() {
    alone(|| {
        set_handler(USR1, on_stack as *const () as usize, 0, ONSTACK);
        let (mut thread, mut answer) = (0, std::ptr::null_mut());
        unsafe {
            assert_eq!(pthread_create(&mut thread, std::ptr::null(), without_std, std::ptr::null_mut()), 0);
            assert_eq!(pthread_join(thread, &mut answer), 0);
        }
        set_handler(USR1, 0, 0, 0);
        assert_eq!(ON_STACK.load(SeqCst), 4);
    });
}

#[test]
fn a_program_inherits_the_mask() {
    let script = c"case $(grep SigBlk /proc/self/status) in *0000000000000010) exit 7;; esac".as_ptr();
    let arguments = [c"sh".as_ptr(), c"-c".as_ptr(), script, std::ptr::null()];
    let pid = unsafe { fork() };
    if pid == 0 {
        set_mask(TRAP_BIT);
        touch_executed();
        unsafe {
            execv(c"/bin/sh".as_ptr(), arguments.as_ptr());
            _exit(9);
        }
    }
    assert_eq!(status(pid), 7 << 8);
}

#[used]
#[unsafe(link_section = ".preinit_array")]
static BEFORE_ALL: extern "C" fn() = touch_early;
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = touch_early;
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_END: extern "C" fn() = touch_late;

#[test]
fn code_runs_before_and_after_the_tests() {
    assert_eq!(EARLY.load(SeqCst), 2);
    touch_early();
    touch_late();
    unsafe { atexit(touch_late) };
}

#[test]
fn threads_share_an_instruction() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..2000).for_each(|_| _ = STARTED.fetch_add(1, SeqCst)));
        }
    });
    assert_eq!(STARTED.load(SeqCst), 16_000);
    touch_started();
}
