//! The parts of the program in memory, as the loader knows them.

use crate::format::Kind;
use crate::log::{self, Entry};
use crate::sys::{self, ModuleInfo, c_int, c_void};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

const PT_LOAD: u32 = 1;
const EXECUTABLE: u32 = 1;

/// From where to where code is.
struct Code {
    start: AtomicUsize,
    end: AtomicUsize,
}

impl Code {
    const fn new() -> Self {
        Self {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    fn set(&self, (start, end): (usize, usize)) {
        self.start.store(start, Relaxed);
        self.end.store(end, Relaxed);
    }

    fn contains(&self, address: usize) -> bool {
        self.start.load(Relaxed) <= address && address < self.end.load(Relaxed)
    }
}

static OWN: Code = Code::new();
static LIBC: Code = Code::new();
static LOADER: Code = Code::new();

/// Whether the address lies in the observer's code.
pub(crate) fn is_own(address: usize) -> bool {
    OWN.contains(address)
}

pub(crate) fn is_loader(address: usize) -> bool {
    LOADER.contains(address)
}

/// libc's code: its start and length.
pub(crate) fn libc() -> (usize, usize) {
    let start = LIBC.start.load(Relaxed);
    (start, LIBC.end.load(Relaxed).wrapping_sub(start))
}

/// Finds the parts that matter, and notes those that a source line may be in.
pub(crate) fn look() {
    // SAFETY: the loader calls `one` with what it knows, while this call lasts.
    unsafe { sys::dl_iterate_phdr(one, core::ptr::null_mut()) };
}

/// # Safety
/// Called by the loader.
unsafe extern "C" fn one(info: *const ModuleInfo, _size: usize, _data: *mut c_void) -> c_int {
    // SAFETY: the loader's own description, valid during the call.
    let info = unsafe { &*info };
    // SAFETY: null, or a text of the loader's.
    let name = unsafe { sys::text(info.name) };
    let code = code_of(info);
    let contains = |address: usize| code.0 <= address && address < code.1;
    if contains(look as *const () as usize) {
        OWN.set(code);
    } else if contains(sys::libc_address()) {
        LIBC.set(code);
    } else if name.windows(5).any(|part| part == b"/ld-l") {
        LOADER.set(code);
    } else if !is_of_the_system(name) {
        let mut entry = Entry::new(Kind::Module, name);
        // Too big for a number of 32 bits, so it stands as text.
        let base = info.base.to_ne_bytes();
        entry.second = [&[], &base];
        log::append(&entry, false);
    }
    0
}

/// Where nobody's tests are. The program itself has no name here.
fn is_of_the_system(name: &[u8]) -> bool {
    name.starts_with(b"/lib") || name.starts_with(b"/usr/lib") || name.starts_with(b"linux-vdso")
}

fn code_of(info: &ModuleInfo) -> (usize, usize) {
    for place in 0..info.count {
        // SAFETY: `count` headers lie there.
        let header = unsafe { &*info.headers.add(usize::from(place)) };
        if header.kind == PT_LOAD && header.flags & EXECUTABLE != 0 {
            let start = info.base.wrapping_add(header.address as usize);
            return (start, start.wrapping_add(header.in_memory as usize));
        }
    }
    (0, 0)
}
