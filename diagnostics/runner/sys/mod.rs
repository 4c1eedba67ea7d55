//! System calls, and the functions that the compiler expects of a libc.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod processor;

use processor::nr;

/// Stands for the working directory.
const AT_FDCWD: usize = -100_isize as usize;

pub(crate) const O_RDONLY: usize = 0;
pub(crate) const O_WRONLY: usize = 1;
pub(crate) const O_RDWR: usize = 2;
pub(crate) const O_CREAT: usize = 0o100;
pub(crate) const O_TRUNC: usize = 0o1000;
pub(crate) const O_NONBLOCK: usize = 0o4000;
pub(crate) const O_CLOEXEC: usize = 0o2_000_000;

/// `sigaction` as the kernel has it.
#[cfg(panic = "abort")]
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// A failed call's number, as in `errno`.
pub(crate) type Errno = usize;

/// A path with a zero at its end.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a>(&'a [u8]);

impl<'a> Path<'a> {
    /// Returns `None` for a text without a zero at its end.
    pub(crate) fn new(text: &'a [u8]) -> Option<Self> {
        (text.last() == Some(&0)).then_some(Self(text))
    }

    fn address(self) -> usize {
        self.0.as_ptr() as usize
    }
}

/// # Safety
/// That of the call.
unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    let answer = unsafe { processor::call(number, arguments) };
    if (-4095..0).contains(&answer) {
        Err(answer.unsigned_abs())
    } else {
        Ok(answer as usize)
    }
}

/// A descriptor, closed by the exec.
#[derive(Clone, Copy)]
pub(crate) struct File(usize);

pub(crate) const STDERR: File = File(2);

impl File {
    pub(crate) fn open(path: Path<'_>, flags: usize, mode: usize) -> Result<Self, Errno> {
        // SAFETY: a path with a zero at its end.
        unsafe {
            call(
                nr::OPENAT,
                [AT_FDCWD, path.address(), flags | O_CLOEXEC, mode, 0, 0],
            )
        }
        .map(Self)
    }

    pub(crate) fn close(self) {
        // SAFETY: our own descriptor, which is not used again.
        let _ = unsafe { call(nr::CLOSE, [self.0, 0, 0, 0, 0, 0]) };
    }

    /// Waits for an exclusive lock of the file.
    pub(crate) fn lock(self) -> Result<(), Errno> {
        const EINTR: Errno = 4;
        loop {
            // SAFETY: reads and writes no memory.
            match unsafe { call(nr::FLOCK, [self.0, 2, 0, 0, 0, 0]) } {
                Err(EINTR) => {}
                answer => return answer.map(|_| ()),
            }
        }
    }

    /// Returns the number of bytes that were read.
    pub(crate) fn read_at(self, to: &mut [u8], at: u64) -> Result<usize, Errno> {
        // SAFETY: a buffer of that length.
        unsafe {
            call(
                nr::PREAD64,
                [self.0, to.as_mut_ptr() as usize, to.len(), at as usize, 0, 0],
            )
        }
    }

    pub(crate) fn write_at(self, bytes: &[u8], at: u64) -> Result<(), Errno> {
        // SAFETY: bytes of that length.
        let written = unsafe {
            call(
                nr::PWRITE64,
                [self.0, bytes.as_ptr() as usize, bytes.len(), at as usize, 0, 0],
            )
        }?;
        (written == bytes.len()).then_some(()).ok_or(0)
    }

    pub(crate) fn write_all(self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // SAFETY: bytes of that length.
            let written =
                unsafe { call(nr::WRITE, [self.0, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }?;
            bytes = bytes.get(written..).filter(|_| written > 0).ok_or(0_usize)?;
        }
        Ok(())
    }
}

pub(crate) fn exists(path: Path<'_>) -> bool {
    // SAFETY: a path with a zero at its end.
    unsafe { call(nr::FACCESSAT, [AT_FDCWD, path.address(), 0, 0, 0, 0]) }.is_ok()
}

pub(crate) fn remove(path: Path<'_>) {
    // SAFETY: as above.
    let _ = unsafe { call(nr::UNLINKAT, [AT_FDCWD, path.address(), 0, 0, 0, 0]) };
}

/// Returns the part of `to` with the target of a link.
pub(crate) fn target<'a>(path: Path<'_>, to: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: a path with a zero at its end, and a buffer of that length.
    let length = unsafe {
        call(
            nr::READLINKAT,
            [AT_FDCWD, path.address(), to.as_mut_ptr() as usize, to.len(), 0, 0],
        )
    };
    to.get(..length.ok()?)
}

/// Returns the part of `to` with the working directory.
pub(crate) fn working_directory(to: &mut [u8]) -> Option<&[u8]> {
    // SAFETY: a buffer of that length.
    let length = unsafe { call(nr::GETCWD, [to.as_mut_ptr() as usize, to.len(), 0, 0, 0, 0]) }.ok()?;
    // The kernel counts the zero at the end, and answers with another form for a directory outside of the root.
    to.get(..length.checked_sub(1)?)
        .filter(|path| path.starts_with(b"/"))
}

/// Returns the number of this process.
pub(crate) fn pid() -> u32 {
    // SAFETY: no arguments, no effect.
    unsafe { call(nr::GETPID, [0; 6]) }.unwrap_or_default() as u32
}

/// Returns new memory, filled with zeros.
pub(crate) fn memory(length: usize) -> Option<&'static mut [u8]> {
    // SAFETY: new private memory, readable and writable.
    let at = unsafe { call(nr::MMAP, [0, length, 3, 0x22, usize::MAX, 0]) }.ok()?;
    // SAFETY: the kernel gave these bytes to this call alone, and they are never given back.
    Some(unsafe { core::slice::from_raw_parts_mut(at as *mut u8, length) })
}

/// Becomes another program. Returns only if that fails.
///
/// # Safety
/// Both lists hold addresses of texts with a zero at their end.
pub(crate) unsafe fn exec(program: Path<'_>, arguments: &[usize], variables: &[usize]) -> Errno {
    // The kernel takes a null pointer for the end of a list.
    if arguments.last() != Some(&0) || variables.last() != Some(&0) {
        return 0;
    }
    let (arguments, variables) = (arguments.as_ptr() as usize, variables.as_ptr() as usize);
    // SAFETY: the caller's promise.
    unsafe { call(nr::EXECVE, [program.address(), arguments, variables, 0, 0, 0]) }
        .err()
        .unwrap_or_default()
}

pub(crate) fn exit(code: u8) -> ! {
    loop {
        // SAFETY: ends the process.
        let _ = unsafe { call(nr::EXIT_GROUP, [code.into(), 0, 0, 0, 0, 0]) };
    }
}

/// Makes a write beyond the limit of file sizes fail, and not end this process. A handler, unlike "ignored", does not
/// outlive the exec.
#[cfg(panic = "abort")]
pub(crate) fn fail_large_writes() {
    const SIGXFSZ: usize = 25;
    const SA_RESTORER: usize = 0x0400_0000;
    let mut known = Action {
        handler: 0,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    let own = Action {
        handler: do_nothing as *const () as usize,
        flags: SA_RESTORER,
        restorer: processor::end_handler as *const () as usize,
        mask: 0,
    };
    // SAFETY: actions as the kernel has them; the handler only returns, and the restorer ends it.
    unsafe {
        let asked = call(nr::RT_SIGACTION, [SIGXFSZ, 0, (&raw mut known) as usize, 8, 0, 0]);
        if asked.is_ok() && known.handler == 0 {
            let _ = call(nr::RT_SIGACTION, [SIGXFSZ, (&raw const own) as usize, 0, 8, 0, 0]);
        }
    }
}

#[cfg(panic = "abort")]
extern "C" fn do_nothing() {}

/// Returns the length of a text with a zero at its end.
///
/// # Safety
/// It has one.
pub(crate) unsafe fn length(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller's promise.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

/// The functions that the compiler calls for copies and comparisons.
#[cfg(panic = "abort")]
mod of_libc {
    use super::processor;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        // SAFETY: the compiler's call.
        unsafe { processor::copy(to, from, length) };
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        if to.addr().wrapping_sub(from.addr()) >= length {
            // SAFETY: the compiler's call; copying forward overwrites no byte that is still to be read.
            return unsafe { memcpy(to, from, length) };
        }
        for at in (0..length).rev() {
            // SAFETY: the compiler's call.
            unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
        for at in 0..length {
            // SAFETY: the compiler's call.
            unsafe { to.add(at).write_volatile(byte as u8) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
        for at in 0..length {
            // SAFETY: the compiler's call.
            let (one, other) = unsafe { (one.add(at).read_volatile(), other.add(at).read_volatile()) };
            if one != other {
                return i32::from(one) - i32::from(other);
            }
        }
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
        // SAFETY: the compiler's call.
        unsafe { memcmp(one, other, length) }
    }
}
