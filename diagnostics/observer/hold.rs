//! A pause after each of the first accesses to one resource, so that two tests without a lock between them meet.

use crate::format::Kind;
use crate::log::{self, Entry};
use crate::sys::{self, Timespec};
use crate::thread;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// As often a thread pauses.
const TIMES: u32 = 8;

/// In nanoseconds; 0 when nobody asked.
static PAUSE: AtomicU64 = AtomicU64::new(0);
/// What the resource is called, with a zero at its end: a path, a variable, a port, or nothing for the others.
static NAME: [AtomicU64; 512] = [const { AtomicU64::new(0) }; 512];
static SORT: AtomicU64 = AtomicU64::new(0);

/// `MILLISECONDS;SORT;NAME`, where the sort is `file`, `env`, `port`, `cwd`, `umask` or `name`.
pub(crate) fn ask(text: &[u8]) {
    let mut parts = text.splitn(3, |byte| *byte == b';');
    let (Some(pause), Some(sort), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let mut millis = 0_u64;
    for digit in pause {
        millis = millis
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit.wrapping_sub(b'0')));
    }
    if name.len() >= NAME.len() * 8 {
        return;
    }
    for (word, bytes) in NAME.iter().zip(name.chunks(8)) {
        let mut all = [0; 8];
        for (to, from) in all.iter_mut().zip(bytes) {
            *to = *from;
        }
        word.store(u64::from_ne_bytes(all), Relaxed);
    }
    SORT.store(u64::from(sort.first().copied().unwrap_or(0)), Relaxed);
    PAUSE.store(millis.min(60_000).wrapping_mul(1_000_000), Relaxed);
}

pub(crate) fn is_asked_for() -> bool {
    PAUSE.load(Relaxed) != 0
}

/// Pauses, if this was an access to the resource by a test.
pub(crate) fn after(entry: &Entry<'_>) {
    let pause = PAUSE.load(Relaxed);
    if pause == 0 || !log::is_free() || !is_it(entry) {
        return;
    }
    let thread = thread::current();
    if thread.slept.fetch_add(1, Relaxed) >= TIMES {
        return;
    }
    let time = Timespec {
        seconds: (pause / 1_000_000_000) as i64,
        nanos: (pause % 1_000_000_000) as i64,
    };
    // SAFETY: a valid time; what is left when a signal comes is not wanted.
    unsafe { sys::nanosleep(&raw const time, core::ptr::null_mut()) };
}

fn is_it(entry: &Entry<'_>) -> bool {
    use Kind as K;
    let sort = SORT.load(Relaxed) as u8;
    match entry.kind {
        K::GetVariable | K::SetVariable | K::UnsetVariable => sort == b'e' && is_named(entry.text[1]),
        K::ClearVariables => sort == b'e',
        K::ChangeFolder | K::GetFolder => sort == b'c',
        K::Mask => sort == b'u',
        K::BindTcp | K::BindUdp | K::ConnectTcp => {
            let mut digits = [0; 5];
            sort == b'p' && is_named(decimal(entry.value, &mut digits))
        }
        K::Other => sort == b'n' && is_named(entry.text[1]),
        kind if kind.is_access() => {
            sort == b'c' && entry.folder != 0
                || sort == b'f' && (is_path(&entry.text) || is_path(&entry.second))
        }
        _ => false,
    }
}

fn decimal(mut number: u64, digits: &mut [u8; 5]) -> &[u8] {
    let mut first = digits.len();
    while let Some(place) = first.checked_sub(1).and_then(|place| digits.get_mut(place)) {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

/// The name's byte there; 0 behind its end.
fn byte(at: usize) -> u8 {
    let word = NAME.get(at / 8).map_or(0, |word| word.load(Relaxed));
    word.to_ne_bytes().get(at % 8).copied().unwrap_or(0)
}

fn is_named(name: &[u8]) -> bool {
    byte(name.len()) == 0 && name.iter().enumerate().all(|(at, own)| byte(at) == *own)
}

/// Whether the name ends with this path: a relative one is not completed here, a pause too many does no harm.
fn is_path(parts: &[&[u8]; 2]) -> bool {
    let path = parts[1];
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path.is_empty() {
        return false;
    }
    let length = (0..NAME.len() * 8).find(|at| byte(*at) == 0).unwrap_or(0);
    let Some(start) = length.checked_sub(path.len()) else {
        return false;
    };
    let ends = path.iter().enumerate().all(|(at, own)| byte(start + at) == *own);
    ends && (start == 0 || path.starts_with(b"/") || byte(start - 1) == b'/')
}
