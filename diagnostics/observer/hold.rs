//! A pause after each of the first accesses to one resource, so that two tests without a lock between them meet.

use crate::format::{Kind, PAUSED, PAUSED_FIRST, Target};
use crate::log::{self, Entry};
use crate::note::{Noting, PATH_MAX};
use crate::sys::{self, Timespec, c_char};
use crate::{files, processes, scratch, thread};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU64};

/// As often a thread pauses: at one resource, or at all variables.
const TIMES: u32 = 8;
const TIMES_EVERYWHERE: u32 = 24;

/// After a thread's first access and after each of the others, in nanoseconds; 0 when nobody asked.
static FIRST: AtomicU64 = AtomicU64::new(0);
static OTHERS: AtomicU64 = AtomicU64::new(0);
/// What the resource is called, with a zero at its end: a path, a variable (nothing for all of them), a port, or nothing for
/// the others.
static NAME: [AtomicU64; 512] = [const { AtomicU64::new(0) }; 512];
/// The [`Target`].
static TARGET: AtomicU8 = AtomicU8::new(0);

/// `FIRST,OTHERS;TARGET;NAME`: milliseconds, the number of the [`Target`], and the name. A Unix socket without a file is
/// named from its `@` on.
pub(crate) fn ask(text: &[u8]) {
    let mut parts = text.splitn(3, |byte| *byte == b';');
    let (Some(pauses), Some(target), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let mut pauses = pauses.split(|byte| *byte == b',').map(nanos);
    let (Some(first), Some(others)) = (pauses.next(), pauses.next()) else {
        return;
    };
    let [number @ b'0'..=b'9'] = target else { return };
    let Some(target) = Target::of(number - b'0') else {
        return;
    };
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
    TARGET.store(target as u8, Relaxed);
    OTHERS.store(others, Relaxed);
    FIRST.store(first, Relaxed);
    NOTES_WAITS.store(u8::from(target == Target::Env), Relaxed);
}

fn nanos(digits: &[u8]) -> u64 {
    let millis = digits.iter().fold(0_u64, |millis, digit| {
        millis
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit.wrapping_sub(b'0')))
    });
    millis.min(60_000).wrapping_mul(1_000_000)
}

/// Whether those who wait for another thread are noted: read by `syscall`, in which nearly all calls are such.
pub(crate) static NOTES_WAITS: AtomicU8 = AtomicU8::new(0);

/// Notes that a test begins to wait, if it does. std has a lock around all variables, within which a test pauses here: who
/// waits for that lock is at the variable already.
pub(crate) fn waits(operation: usize) {
    const WAIT: usize = 0;
    const WAIT_BITSET: usize = 9;
    if !matches!(operation & 0x7f, WAIT | WAIT_BITSET) || thread::current().test.load(Relaxed) == 0 {
        return;
    }
    if let Some(_noting) = Noting::begin() {
        log::append(&Entry::new(Kind::Waits, &[]), true);
    }
}

pub(crate) fn is_asked_for() -> bool {
    FIRST.load(Relaxed) != 0
}

/// A pause that is due.
#[derive(Clone, Copy)]
pub(crate) struct Pause {
    nanos: u64,
    /// Says in the record which it is.
    pub(crate) flag: u8,
}

/// The pause that is due after this access, if it is one to the resource.
pub(crate) fn due(entry: &Entry<'_>) -> Option<Pause> {
    if !is_asked_for() || !log::is_free() || !is_it(entry) {
        return None;
    }
    let before = thread::current().slept.fetch_add(1, Relaxed);
    let everywhere = target() == Some(Target::Env) && byte(0) == 0;
    if before >= if everywhere { TIMES_EVERYWHERE } else { TIMES } {
        return None;
    }
    // What a test starts may be many processes, each with a first access.
    Some(if before == 0 && processes::is_test() {
        Pause {
            nanos: FIRST.load(Relaxed),
            flag: PAUSED_FIRST,
        }
    } else {
        Pause {
            nanos: OTHERS.load(Relaxed),
            flag: PAUSED,
        }
    })
}

pub(crate) fn pause(pause: Pause) {
    let time = Timespec {
        seconds: (pause.nanos / 1_000_000_000) as i64,
        nanos: (pause.nanos % 1_000_000_000) as i64,
    };
    // SAFETY: a valid time; what is left when a signal comes is not wanted.
    unsafe { sys::nanosleep(&raw const time, core::ptr::null_mut()) };
}

fn target() -> Option<Target> {
    Target::of(TARGET.load(Relaxed))
}

fn is_it(entry: &Entry<'_>) -> bool {
    use Kind as K;
    let Some(target) = target() else { return false };
    match entry.kind {
        K::GetVariable | K::SetVariable | K::UnsetVariable => {
            target == Target::Env && (byte(0) == 0 || is_named(&entry.text))
        }
        K::ClearVariables => target == Target::Env,
        K::ChangeFolder | K::GetFolder => target == Target::Cwd,
        K::Mask => target == Target::Umask,
        K::BindTcp | K::BindUdp | K::ConnectTcp => {
            let mut digits = [0; 5];
            target == Target::Port && is_named(&[decimal(entry.value & 0xffff, &mut digits), &[]])
        }
        K::Other => target == Target::Name && is_named(&entry.text),
        K::BindUnix | K::ConnectUnix if target == Target::Name => is_named(&entry.text),
        kind if kind.is_access() => {
            target == Target::Cwd && entry.folder != 0
                || target == Target::Umask && makes_file(entry)
                || target == Target::File && is_of_file(entry)
        }
        _ => false,
    }
}

/// What is done to the file, or to something in it; or the folder in which it lies is listed.
fn is_of_file(entry: &Entry<'_>) -> bool {
    let length = (0..NAME.len() * 8).find(|at| byte(*at) == 0).unwrap_or(0);
    if is_path(&entry.text, length) || is_path(&entry.second, length) {
        return true;
    }
    let folder = (0..length).rev().find(|at| byte(*at) == b'/').unwrap_or(0);
    entry.kind == Kind::List && (entry.text[1] == b"." || is_path(&entry.text, folder))
        || leads_there(&entry.text)
}

/// Whether the path is another way to the file, through links.
fn leads_there(parts: &[&[u8]; 2]) -> bool {
    let Some(mut scratch) = scratch::take() else {
        return false;
    };
    let path = &mut scratch.paths[0];
    path.fill(0);
    let bytes = parts.iter().flat_map(|part| part.iter());
    // A zero stands at its end.
    for (to, from) in path.iter_mut().take(PATH_MAX - 1).zip(bytes) {
        *to = *from;
    }
    let file = file_of((&raw const NAME).cast());
    file.is_some() && file == file_of(path.as_ptr().cast())
}

/// What the kernel knows a file by: its device and its number.
fn file_of(path: *const c_char) -> Option<(u64, u64)> {
    // `struct stat` begins with them.
    let mut stat = [0_u64; 18];
    // SAFETY: a path with a zero at its end, and a place as big as the answer.
    let done = unsafe { files::real::stat(path, stat.as_mut_ptr().cast()) };
    (done == 0).then_some((stat[0], stat[1]))
}

/// What depends on the mask.
fn makes_file(entry: &Entry<'_>) -> bool {
    entry.kind == Kind::MakeFolder || entry.kind == Kind::Open && entry.value & sys::O_CREAT as u64 != 0
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

fn is_named(parts: &[&[u8]; 2]) -> bool {
    let name = parts.iter().flat_map(|part| part.iter());
    byte(parts[0].len() + parts[1].len()) == 0 && name.enumerate().all(|(at, own)| byte(at) == *own)
}

/// Whether the name, which is so long, ends with this path, or with a folder that it lies in: a relative one is not completed here, a pause
/// too many does no harm.
fn is_path(parts: &[&[u8]; 2], length: usize) -> bool {
    let mut path = parts[1];
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"../")) {
        path = rest;
    }
    let ends = (1..=path.len()).filter(|end| path.get(*end).is_none_or(|next| *next == b'/'));
    ends.filter_map(|end| path.get(..end)).any(|path| {
        let Some(start) = length.checked_sub(path.len()) else {
            return false;
        };
        path.iter().enumerate().all(|(at, own)| byte(start + at) == *own)
            && (start == 0 || !path.starts_with(b"/") && byte(start - 1) == b'/')
    })
}
