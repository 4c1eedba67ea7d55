//! The modules of the program in memory, as the loader knows them.

use crate::log::{self, Record};
use crate::log_format::Kind;
use crate::sys::{self, FoundObject, ModuleInfo, ProgramHeader, c_int, c_void};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicUsize};

const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const EXECUTABLE: u32 = 1;

/// A range of addresses with code.
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
/// The address at which the program itself is loaded.
static PROGRAM: AtomicUsize = AtomicUsize::new(0);

/// Returns the address at which the program itself is loaded.
pub(crate) fn program() -> usize {
    PROGRAM.load(Relaxed)
}

/// Returns whether the address is in the observer's code.
pub(crate) fn is_own(address: usize) -> bool {
    OWN.contains(address)
}

pub(crate) fn is_loader(address: usize) -> bool {
    LOADER.contains(address)
}

/// Returns the start and length of libc's code.
pub(crate) fn libc() -> (usize, usize) {
    let start = LIBC.start.load(Relaxed);
    (start, LIBC.end.load(Relaxed).wrapping_sub(start))
}

/// The code of a module, and the index of its unwind table.
struct Indexed {
    code: Code,
    index: AtomicUsize,
}

/// The modules at the start of the program. The loader is asked for later ones, and for those that have no place here.
static INDEXED: [Indexed; 32] = [const {
    Indexed {
        code: Code::new(),
        index: AtomicUsize::new(0),
    }
}; 32];
/// `_dl_find_object`, which glibc has from 2.35 on: it takes no lock and may be called in a signal handler.
static FIND_OBJECT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Returns the address of the index (`.eh_frame_hdr`) for the code at that address.
#[inline(never)]
pub(crate) fn index_of(address: usize) -> Option<usize> {
    let known = INDEXED.iter().take_while(|known| known.index.load(Relaxed) != 0);
    if let Some(known) = known.into_iter().find(|known| known.code.contains(address)) {
        return Some(known.index.load(Relaxed));
    }
    let find = FIND_OBJECT.load(Relaxed);
    if find.is_null() {
        return None;
    }
    let mut found = FoundObject::default();
    // SAFETY: the loader's function of that name, and a place for its answer.
    let failed = unsafe {
        core::mem::transmute::<*mut c_void, unsafe extern "C" fn(usize, *mut FoundObject) -> c_int>(find)(
            address,
            &raw mut found,
        )
    };
    (failed == 0 && found.index != 0).then_some(found.index)
}

/// Returns whether the code at that address stays there: the loader keeps the modules that a program starts with.
pub(crate) fn is_permanent(address: usize) -> bool {
    INDEXED.iter().any(|known| known.code.contains(address))
}

/// Finds all modules, and records those that may contain the suite's code.
pub(crate) fn find() {
    // SAFETY: the name ends with a zero. During this call the loader calls `add_module` for each module.
    unsafe {
        FIND_OBJECT.store(
            sys::dlsym(sys::RTLD_DEFAULT, c"_dl_find_object".as_ptr()),
            Relaxed,
        );
        sys::dl_iterate_phdr(add_module, core::ptr::null_mut());
    }
}

/// # Safety
/// Called by the loader.
unsafe extern "C" fn add_module(info: *const ModuleInfo, _size: usize, _data: *mut c_void) -> c_int {
    // SAFETY: the loader's own description, valid during the call.
    let info = unsafe { &*info };
    // SAFETY: null, or a text of the loader's.
    let name = unsafe { sys::text(info.name) };
    let code = code_of(info);
    let free = INDEXED.iter().find(|known| known.index.load(Relaxed) == 0);
    if let (Some(known), Some(index)) = (free, header(info, PT_GNU_EH_FRAME, 0)) {
        known.code.set(code);
        known
            .index
            .store(info.base.wrapping_add(index.address as usize), Relaxed);
    }
    if name.is_empty() && PROGRAM.load(Relaxed) == 0 {
        PROGRAM.store(info.base, Relaxed);
    }
    let contains = |address: usize| code.0 <= address && address < code.1;
    if contains(find as *const () as usize) {
        OWN.set(code);
    } else if contains(sys::libc_address()) {
        LIBC.set(code);
    } else if name.windows(5).any(|part| part == b"/ld-l") {
        LOADER.set(code);
    } else if !is_of_the_system(name) {
        let mut record = Record::new(Kind::Module, name);
        // Too big for the record's number, which has 32 bits.
        let base = info.base.to_ne_bytes();
        record.second = [&[], &base];
        log::write(&record, 0, 0);
    }
    0
}

/// Returns whether this is a library of the system, which contains no tests. The program itself has no name here.
fn is_of_the_system(name: &[u8]) -> bool {
    name.starts_with(b"/lib") || name.starts_with(b"/usr/lib") || name.starts_with(b"linux-vdso")
}

fn code_of(info: &ModuleInfo) -> (usize, usize) {
    header(info, PT_LOAD, EXECUTABLE).map_or((0, 0), |header| {
        let start = info.base.wrapping_add(header.address as usize);
        (start, start.wrapping_add(header.in_memory as usize))
    })
}

/// Returns the module's first header of that kind with these flags.
fn header(info: &ModuleInfo, kind: u32, flags: u32) -> Option<&ProgramHeader> {
    (0..info.count)
        // SAFETY: `count` headers lie there.
        .map(|place| unsafe { &*info.headers.add(usize::from(place)) })
        .find(|header| header.kind == kind && header.flags & flags == flags)
}
