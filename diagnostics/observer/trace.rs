//! Where in the program a call comes from: return addresses, which the binary turns into source lines later.

use crate::sys::{self, c_char, c_int, c_void};
use crate::{log, modules};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicUsize};

/// As many frames are taken, without our own.
pub(crate) const MOST: usize = 32;

static WANTED: AtomicUsize = AtomicUsize::new(0);
static UNWIND: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
static ADDRESS: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Looks for the unwinder that the program brings along: every Rust program does.
pub(crate) fn prepare(frames: usize) {
    let find = |name: &str| {
        // SAFETY: the name ends with a zero.
        unsafe { sys::dlsym(sys::RTLD_DEFAULT, name.as_ptr().cast::<c_char>()) }
    };
    let (unwind, address) = (find("_Unwind_Backtrace\0"), find("_Unwind_GetIP\0"));
    if !unwind.is_null() && !address.is_null() {
        UNWIND.store(unwind, Relaxed);
        ADDRESS.store(address, Relaxed);
        WANTED.store(frames.min(MOST), Relaxed);
    }
}

struct Frames<'a> {
    into: &'a mut [usize],
    taken: usize,
    address: unsafe extern "C" fn(*mut c_void) -> usize,
}

/// The calls that led here, the innermost first.
pub(crate) fn take(into: &mut [usize; MOST]) -> &[usize] {
    let wanted = WANTED.load(Relaxed).min(MOST);
    // A copied process may have been copied in the midst of the loader's work.
    if wanted == 0 || !log::is_first() {
        return &[];
    }
    // SAFETY: the two functions of the Itanium ABI, found by their names.
    let (unwind, address) = unsafe {
        (
            core::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(
                    unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
                    *mut c_void,
                ) -> c_int,
            >(UNWIND.load(Relaxed)),
            core::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> usize>(
                ADDRESS.load(Relaxed),
            ),
        )
    };
    let mut frames = Frames {
        into: into.get_mut(..wanted).unwrap_or_default(),
        taken: 0,
        address,
    };
    // SAFETY: `one` is called with what is given here, while `frames` lives.
    unsafe { unwind(one, (&raw mut frames).cast()) };
    let taken = frames.taken;
    into.get(..taken).unwrap_or_default()
}

/// # Safety
/// Called by the unwinder with its context and a `Frames`.
unsafe extern "C" fn one(context: *mut c_void, frames: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const STOP: c_int = 4;
    // SAFETY: what `take` handed over.
    let frames = unsafe { &mut *frames.cast::<Frames<'_>>() };
    // SAFETY: the unwinder's own context.
    let address = unsafe { (frames.address)(context) };
    if modules::is_own(address) {
        return GO_ON;
    }
    match frames.into.get_mut(frames.taken) {
        Some(place) if address != 0 => {
            *place = address;
            frames.taken += 1;
            GO_ON
        }
        _ => STOP,
    }
}
