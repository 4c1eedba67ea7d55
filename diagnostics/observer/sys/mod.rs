//! The few names of glibc that the observer needs: rustc alone compiles it, without the libc crate.
//!
//! All sizes and numbers are those of Linux with glibc on 64-bit processors; `processor` has those that differ.

pub(crate) mod interpose;
pub(crate) mod mapped_memory;
pub(crate) mod nr;
pub(crate) mod own_calls;
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
pub(crate) mod processor;

pub(crate) use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
pub(crate) use processor::{O_DIRECTORY, O_NOFOLLOW};

pub(crate) const AT_FDCWD: c_int = -100;
pub(crate) const AT_REMOVEDIR: c_int = 0x200;
pub(crate) const AT_EMPTY_PATH: c_int = 0x1000;

pub(crate) const ENOENT: c_int = 2;
pub(crate) const EINTR: c_int = 4;
pub(crate) const E2BIG: c_int = 7;
pub(crate) const EBADF: c_int = 9;
pub(crate) const EFAULT: c_int = 14;
pub(crate) const EBUSY: c_int = 16;
pub(crate) const EEXIST: c_int = 17;
pub(crate) const EINVAL: c_int = 22;
pub(crate) const ENOSYS: c_int = 38;
pub(crate) const ENOTEMPTY: c_int = 39;
pub(crate) const EADDRINUSE: c_int = 98;

pub(crate) const O_ACCMODE: c_int = 3;
pub(crate) const O_RDWR: c_int = 2;
pub(crate) const O_CREAT: c_int = 0o100;
pub(crate) const O_EXCL: c_int = 0o200;
pub(crate) const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
pub(crate) const O_TRUNC: c_int = 0o1000;
pub(crate) const O_NONBLOCK: c_int = 0o4000;
pub(crate) const O_CLOEXEC: c_int = 0o2_000_000;
pub(crate) const O_TMPFILE: c_int = 0o20_000_000 | O_DIRECTORY;
pub(crate) const O_PATH: c_int = 0o10_000_000;

/// Frees the room and keeps the file's size.
pub(crate) const FALLOC_FL_PUNCH_HOLE: c_int = 2 | 1;

pub(crate) const PROT_READ: c_int = 1;
pub(crate) const PROT_WRITE: c_int = 2;
pub(crate) const PROT_EXEC: c_int = 4;
pub(crate) const MAP_SHARED: c_int = 1;
pub(crate) const MAP_PRIVATE: c_int = 2;
pub(crate) const MAP_FIXED: c_int = 0x10;
pub(crate) const MAP_ANONYMOUS: c_int = 0x20;
pub(crate) const MAP_FIXED_NOREPLACE: c_int = 0x10_0000;
pub(crate) const MAP_NORESERVE: c_int = 0x4000;
pub(crate) const MAP_FAILED: *mut c_void = usize::MAX as *mut c_void;

pub(crate) const CLOCK_REALTIME: c_int = 0;
pub(crate) const CLOCK_MONOTONIC: c_int = 1;

pub(crate) const RTLD_DEFAULT: *mut c_void = core::ptr::null_mut();
pub(crate) const RTLD_NEXT: *mut c_void = usize::MAX as *mut c_void;

pub(crate) const SEEK_SET: c_int = 0;
pub(crate) const SEEK_CUR: c_int = 1;
pub(crate) const SEEK_END: c_int = 2;

pub(crate) const SIGTRAP: c_int = 5;
pub(crate) const SIGSYS: c_int = 31;
/// The bit of SIGSYS in a mask's first word.
pub(crate) const SIGSYS_BIT: u64 = bit(SIGSYS);

/// Returns the bit of a signal in a mask's first word.
pub(crate) const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

pub(crate) const SIG_BLOCK: c_int = 0;
pub(crate) const SIG_UNBLOCK: c_int = 1;
pub(crate) const SIG_SETMASK: c_int = 2;
pub(crate) const SA_SIGINFO: c_int = 4;
pub(crate) const SA_ONSTACK: c_int = 0x0800_0000;
pub(crate) const SA_NODEFER: c_int = 0x4000_0000;
pub(crate) const SA_RESTART: c_int = 0x1000_0000;
pub(crate) const SA_RESETHAND: c_int = 0x8000_0000_u32 as c_int;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Timespec {
    seconds: i64,
    nanos: i64,
}

impl Timespec {
    /// Returns a time of that many nanoseconds.
    pub(crate) fn of(nanos: u64) -> Self {
        Self {
            seconds: (nanos / 1_000_000_000) as i64,
            nanos: (nanos % 1_000_000_000) as i64,
        }
    }
}

/// `struct sigaction`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sigaction {
    /// `SIG_DFL`, `SIG_IGN` or a function.
    pub(crate) handler: usize,
    pub(crate) mask: Sigset,
    pub(crate) flags: c_int,
    pub(crate) restorer: usize,
}

impl Sigaction {
    /// `SIG_DFL`.
    pub(crate) const DEFAULT: Self = Self {
        handler: 0,
        mask: Sigset::EMPTY,
        flags: 0,
        restorer: 0,
    };
}

/// `sigset_t`: bit n - 1 for signal n.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sigset(pub(crate) [u64; 16]);

impl Sigset {
    pub(crate) const EMPTY: Self = Self([0; 16]);
}

/// The beginning of `struct dl_phdr_info`.
#[repr(C)]
pub(crate) struct ModuleInfo {
    pub(crate) base: usize,
    pub(crate) name: *const c_char,
    pub(crate) headers: *const ProgramHeader,
    pub(crate) count: u16,
}

/// `Elf64_Phdr`.
#[repr(C)]
pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) physical: u64,
    pub(crate) in_file: u64,
    pub(crate) in_memory: u64,
    pub(crate) align: u64,
}

/// `struct dl_find_object`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct FoundObject {
    flags: u64,
    start: usize,
    end: usize,
    module: usize,
    /// The address of the object's `.eh_frame_hdr`.
    pub(crate) index: usize,
    reserved: [u64; 7],
}

#[repr(C)]
pub(crate) struct Iovec {
    pub(crate) base: *mut c_void,
    pub(crate) length: usize,
}

#[link(name = "c")]
unsafe extern "C" {
    pub(crate) static mut environ: *mut *mut c_char;

    pub(crate) fn __errno_location() -> *mut c_int;
    #[cfg(panic = "abort")]
    pub(crate) fn abort() -> !;
    pub(crate) fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int;
    pub(crate) fn dl_iterate_phdr(
        callback: unsafe extern "C" fn(*const ModuleInfo, usize, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    pub(crate) fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub(crate) fn fileno(file: *mut c_void) -> c_int;
    pub(crate) fn fallocate(fd: c_int, mode: c_int, offset: i64, length: i64) -> c_int;
    pub(crate) fn getsockname(fd: c_int, address: *mut c_void, length: *mut c_uint) -> c_int;
    pub(crate) fn getsockopt(
        fd: c_int,
        level: c_int,
        name: c_int,
        value: *mut c_void,
        length: *mut c_uint,
    ) -> c_int;
    pub(crate) fn gnu_get_libc_version() -> *const c_char;
    pub(crate) fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
    pub(crate) fn mmap(
        at: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    pub(crate) fn mprotect(at: *mut c_void, length: usize, protection: c_int) -> c_int;
    pub(crate) fn munmap(at: *mut c_void, length: usize) -> c_int;
    pub(crate) fn nanosleep(time: *const Timespec, left: *mut Timespec) -> c_int;
    pub(crate) fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    pub(crate) fn posix_fallocate(fd: c_int, offset: i64, length: i64) -> c_int;
    pub(crate) fn process_vm_readv(
        pid: c_int,
        local: *const Iovec,
        locals: usize,
        remote: *const Iovec,
        remotes: usize,
        flags: usize,
    ) -> isize;
    pub(crate) fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> c_int;
    pub(crate) fn pthread_key_create(
        key: *mut c_uint,
        destructor: Option<extern "C" fn(*mut c_void)>,
    ) -> c_int;
    pub(crate) fn pthread_setspecific(key: c_uint, value: *const c_void) -> c_int;
    pub(crate) fn sched_yield() -> c_int;
    pub(crate) fn strlen(text: *const c_char) -> usize;
}

/// Returns the calling thread's `errno`.
pub(crate) fn errno() -> c_int {
    // SAFETY: glibc returns the address of the calling thread's own variable.
    unsafe { *__errno_location() }
}

pub(crate) fn set_errno(value: c_int) {
    // SAFETY: as above.
    unsafe { *__errno_location() = value }
}

/// Returns a clock's time in nanoseconds.
pub(crate) fn now(clock: c_int) -> u64 {
    let mut time = Timespec { seconds: 0, nanos: 0 };
    // SAFETY: `time` is a valid place for the result.
    unsafe { clock_gettime(clock, &raw mut time) };
    (time.seconds as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.nanos as u64)
}

/// Returns the bytes of a text that ends with a zero; none for a null pointer.
///
/// # Safety
/// `text` is null, or the program has just passed it to libc, which could read it.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise; the bytes are read before the hook returns to the program.
    unsafe { core::slice::from_raw_parts(text.cast::<u8>(), strlen(text)) }
}

/// Returns an address in libc's code.
pub(crate) fn libc_address() -> usize {
    gnu_get_libc_version as *const () as usize
}

/// The size of the longest path, with the zero at its end.
pub(crate) const PATH_MAX: usize = 4096;

/// Writes a number in decimal digits to the beginning of a buffer that is long enough. Returns the number of digits.
pub(crate) fn write_decimal(number: u32, to: &mut [u8]) -> usize {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut left = number;
    for place in to.iter_mut().take(digits).rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    digits
}
