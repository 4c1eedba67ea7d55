//! Tests with little stack left for the functions they call, which measure how much is used. All pass, observed or
//! not.

use std::arch::asm;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

unsafe extern "C" {
    fn bind(fd: c_int, address: *const c_void, length: u32) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn execl(path: *const c_char, ...) -> c_int;
    fn execve(path: *const c_char, arguments: *const *const c_char, variables: *const *const c_char) -> c_int;
    fn flock(fd: c_int, how: c_int) -> c_int;
    fn ftruncate(fd: c_int, length: i64) -> c_int;
    fn getauxval(kind: u64) -> u64;
    fn getenv(name: *const c_char) -> *const c_char;
    fn mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut u8;
    fn mprotect(at: *mut u8, length: usize, protection: c_int) -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn raise(signal: c_int) -> c_int;
    fn rename(from: *const c_char, to: *const c_char) -> c_int;
    fn setenv(name: *const c_char, value: *const c_char, replace: c_int) -> c_int;
    fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int;
    fn sigaltstack(new: *const AlternateStack, old: *mut AlternateStack) -> c_int;
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn stat(path: *const c_char, to: *mut [u64; 18]) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int;
}

#[repr(C)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

#[repr(C)]
struct AlternateStack {
    start: *mut u8,
    flags: c_int,
    size: usize,
}

const USR1: c_int = 10;
const ON_ALTERNATE: c_int = 0x0800_0000;
const PAGE: usize = 4096;

/// A path that does not exist.
macro_rules! none {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/met/none/", $name, "\0").as_ptr().cast::<c_char>()
    };
}

/// A system call by an instruction of our own.
fn raw(number: i64, arguments: [u64; 4]) -> i64 {
    let result: i64;
    unsafe {
        asm!(
            "syscall", inlateout("rax") number => result, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], out("rcx") _, out("r11") _,
        );
    }
    result
}

/// Memory of that many bytes up to the end of a page, with a page that cannot be touched below.
fn guarded(size: usize) -> *mut u8 {
    unsafe {
        let whole = size.next_multiple_of(PAGE);
        let memory = mmap(std::ptr::null_mut(), whole + PAGE, 3, 0x22, -1, 0);
        assert_eq!(mprotect(memory, PAGE, 0), 0);
        memory.add(PAGE + whole - size)
    }
}

unsafe extern "C" fn call(what: *mut &mut dyn FnMut()) {
    unsafe { (*what)() }
}

/// Calls the function on another stack.
fn on(stack: *mut u8, size: usize, mut what: impl FnMut()) {
    let mut what: &mut dyn FnMut() = &mut what;
    unsafe {
        let top = stack.add(size);
        asm!(
            "push rbx", "mov rbx, rsp", "mov rsp, {top}", "call {call}", "mov rsp, rbx", "pop rbx",
            top = in(reg) top, call = sym call, in("rdi") &raw mut what, clobber_abi("C"),
        );
    }
}

/// The bytes of stack that the call writes to.
fn taken(what: impl FnMut()) -> usize {
    const SIZE: usize = 64 << 10;
    const UNTOUCHED: u8 = 0xa5;
    let stack = guarded(SIZE);
    unsafe { stack.write_bytes(UNTOUCHED, SIZE) };
    on(stack, SIZE, what);
    let first = (0..SIZE).find(|place| unsafe { stack.add(*place).read() } != UNTOUCHED);
    SIZE - first.unwrap_or(SIZE)
}

/// The size of the kernel's signal frame, which a reported raw call needs.
fn frame() -> usize {
    const AT_MINSIGSTKSZ: u64 = 51;
    (unsafe { getauxval(AT_MINSIGSTKSZ) } as usize).max(2048)
}

#[test]
fn a_hooked_call_takes_at_most_two_kilobytes_of_stack() {
    // The stack that libc itself uses.
    const LIBC: usize = 600;
    let folder = unsafe { open(concat!(env!("CARGO_MANIFEST_DIR"), "/met\0").as_ptr().cast(), 0o200_000) };
    let path = std::env::temp_dir().join(format!("stacks-{}\0", std::process::id()));
    let file = unsafe { open(path.to_str().unwrap().as_ptr().cast(), 0o102, 0o600) };
    let own = path.to_str().unwrap().trim_end_matches('\0').to_owned();
    let mut answer = [0; 18];
    let calls: &mut [(&str, &mut dyn FnMut())] = &mut [
        ("open", &mut || unsafe { _ = open(none!("stack-open"), 0) }),
        ("stat", &mut || unsafe { _ = stat(none!("stack-stat"), &mut answer) }),
        ("unlinkat", &mut || unsafe { _ = unlinkat(folder, c"none-stack".as_ptr(), 0) }),
        ("rename", &mut || unsafe { _ = rename(none!("a"), none!("b")) }),
        ("getenv", &mut || unsafe { _ = getenv(c"STACKS_READ".as_ptr()) }),
        ("setenv", &mut || unsafe { _ = setenv(c"STACKS_SET".as_ptr(), c"1".as_ptr(), 1) }),
        ("ftruncate", &mut || unsafe { _ = ftruncate(file, 0) }),
        ("flock", &mut || unsafe { _ = flock(file, 2) }),
        ("close", &mut || unsafe { _ = close(file) }),
        ("bind", &mut || unsafe {
            let fd = socket(2, 1, 0);
            bind(fd, [2_u32, 0x0100_007f, 0, 0].as_ptr().cast(), 16);
            close(fd);
        }),
        ("execve", &mut || unsafe {
            let program = [none!("stack-execve"), std::ptr::null()];
            _ = execve(program[0], program.as_ptr(), program[1..].as_ptr())
        }),
        ("execl", &mut || unsafe { _ = execl(none!("stack-execl"), none!("name"), std::ptr::null::<c_char>()) }),
        ("syscall", &mut || unsafe { _ = syscall(2, none!("stack-syscall"), 0, 0) }),
    ];
    for (name, call) in calls {
        let taken = taken(call);
        assert!(taken <= LIBC + 2048, "{name}: {taken}");
    }
    std::fs::remove_file(own).unwrap();
}

#[test]
fn a_raw_call_takes_at_most_the_kernel_s_frame_and_a_kilobyte_of_stack() {
    // The kernel skips the caller's red zone and aligns the frame.
    const AROUND: usize = 256;
    let folder = unsafe { open(concat!(env!("CARGO_MANIFEST_DIR"), "/met\0").as_ptr().cast(), 0o200_000) } as u64;
    let mut buffer = [0_u8; 256];
    for (number, arguments) in [
        (39, [0; 4]),
        (2, [none!("stack-raw") as u64, 0, 0, 0]),
        (79, [buffer.as_mut_ptr() as u64, 256, 0, 0]),
        (263, [folder, c"none-raw".as_ptr() as u64, 0, 0]),
        (14, [0, [0_u64; 2].as_ptr() as u64, 0, 8]),
    ] {
        let taken = taken(|| _ = raw(number, arguments));
        assert!(taken <= frame() + 1024 + AROUND, "call {number}: {taken}, the frame is {}", frame());
    }
}

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn opens(_: c_int) {
    unsafe { close(open(c"/etc/hostname".as_ptr(), 0)) };
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn opens_past_libc(_: c_int) {
    raw(2, [c"/etc/passwd".as_ptr() as u64, 0, 0, 0]);
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn handlers_on_small_alternate_stacks_come_back() {
    let least = frame();
    for (handler, size) in [
        (opens as *const () as usize, least + 3072),
        (opens as *const () as usize, least.max(8192) + 1024),
        (opens_past_libc as *const () as usize, 2 * least + 4096),
        (opens_past_libc as *const () as usize, 2 * least + 32_768),
    ] {
        let thread = std::thread::spawn(move || unsafe {
            let stack = AlternateStack {
                start: guarded(size),
                flags: 0,
                size,
            };
            assert_eq!(sigaltstack(&stack, std::ptr::null_mut()), 0);
            let action = Action {
                handler,
                mask: [0; 16],
                flags: ON_ALTERNATE,
                restorer: 0,
            };
            assert_eq!(sigaction(USR1, &action, std::ptr::null_mut()), 0);
            let before = HANDLED.load(Ordering::SeqCst);
            for _ in 0..10 {
                raise(USR1);
            }
            assert_eq!(HANDLED.load(Ordering::SeqCst), before + 10);
        });
        thread.join().unwrap();
    }
}

#[test]
fn what_runs_on_a_stack_of_its_own_may_be_small() {
    for size in [2048, 4096, 8192, 16_384] {
        let stack = guarded(size);
        let mut fd = -1;
        on(stack, size, || fd = unsafe { open(c"/etc/hostname".as_ptr(), 0) });
        assert!(fd >= 0);
        unsafe { close(fd) };
    }
}

#[test]
fn a_call_with_hardly_any_stack_left_comes_back() {
    // Each offset in a page, down to where the call alone fits.
    for room in (640..2800).step_by(16) {
        let stack = guarded(room);
        on(stack, room, || {
            let path = [b'/', b'n', b'/', b'a' + (room / 16 % 26) as u8, b'a' + (room / 416) as u8, 0];
            unsafe { close(open(path.as_ptr().cast(), 0)) };
        });
    }
}

#[test]
fn a_thread_with_the_smallest_stack_may_open_files() {
    let begin = std::thread::Builder::new().stack_size(16 << 10);
    let thread = begin.spawn(|| unsafe {
        close(open(c"/etc/hostname".as_ptr(), 0));
        open(none!("small"), 0)
    });
    assert_eq!(thread.unwrap().join().unwrap(), -1);
}

/// The values of registers must not matter to the observer, even if they do not look like a stack.
#[test]
fn any_value_may_be_in_a_register() {
    let paths = [none!("1"), none!("2"), none!("3"), none!("4"), none!("5"), none!("6")];
    let values = [0, 1, 8, 0xdead_beef_0000, 0xffff_ffff_ffff_fff8, 0x4141_4141_4141_4141];
    for (path, value) in paths.into_iter().zip(values) {
        let (mut past, through): (i64, i32);
        let mut kept: u64;
        unsafe {
            asm!(
                "push rbp", "mov rbp, {value}", "syscall", "mov {kept}, rbp", "pop rbp",
                value = in(reg) value, kept = out(reg) kept, inlateout("rax") 2_i64 => past,
                in("rdi") path, in("rsi") 0, in("rdx") 0, out("rcx") _, out("r11") _,
            );
            assert_eq!((past, kept), (-2, value));
            past = 0;
            asm!(
                "push rbp", "push rbx", "mov rbx, rsp", "and rsp, -16", "mov rbp, r12", "call r13",
                "mov rdx, rbp", "mov rsp, rbx", "pop rbx", "pop rbp",
                in("r12") value, in("r13") open as *const (), lateout("rdx") kept,
                in("rdi") path, in("esi") 1, inlateout("eax") 0 => through, clobber_abi("C"),
            );
            assert_eq!((through, kept, past), (-1, value, 0));
        }
    }
}
