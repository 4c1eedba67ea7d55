//! Where in the program a call comes from: return addresses, which the binary turns into source lines later.

use crate::format::Kind;
use crate::log::{self, Entry};
use crate::modules;
use crate::seen::hash_of;
use crate::sys::{self, c_char, c_int, c_void};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

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

/// Stacks that were noted, by the place that their hash has found; a place and one is a stack's number.
static KNOWN: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];

/// The number of the calls that led here, noted when they are new; 0 if they are not noted.
pub(crate) fn number() -> u32 {
    let mut frames = [0; MOST];
    let frames = take(&mut frames);
    if frames.is_empty() {
        return 0;
    }
    // SAFETY: numbers are bytes as well.
    let bytes = unsafe { core::slice::from_raw_parts(frames.as_ptr().cast::<u8>(), size_of_val(frames)) };
    let hash = hash_of(bytes);
    for probe in 0..PROBES {
        let place = hash.wrapping_add(probe) % KNOWN.len() as u64;
        let Some(known) = KNOWN.get(place as usize) else {
            return 0;
        };
        let number = place as u32 + 1;
        match known.compare_exchange(0, hash, Relaxed, Relaxed) {
            Ok(_) => {
                let mut entry = Entry::new(Kind::Stack, bytes);
                entry.value = u64::from(number);
                log::append(&entry, false);
                return number;
            }
            Err(there) if there == hash => return number,
            Err(_) => {}
        }
    }
    0
}

const PROBES: u64 = 32;

/// The calls that led here, the innermost first.
fn take(into: &mut [usize; MOST]) -> &[usize] {
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
