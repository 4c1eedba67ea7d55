//! A pause after each of the first accesses to some resources, so that tests without a lock between them meet.

use crate::format::{Kind, MOST_TARGETS, PAUSED, PAUSED_FIRST, RUN, TARGET_NAMES, Target};
use crate::hooks::{file_calls, process_calls};
use crate::log::{self, Entry};
use crate::record::{Noting, PATH_MAX};
use crate::stack::work_memory;
use crate::sys::{self, Timespec, c_char};
use crate::thread;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// The maximum number of a thread's pauses at one resource, and at all of them; at any variable it may be the latter.
const TIMES: u8 = 8;
const TIMES_IN_ALL: u32 = 24;
/// The same in a process that a test started, for there may be many of them.
const TIMES_OF_CHILD: u32 = 4;

/// Pauses in nanoseconds; 0 for none.
struct Pauses {
    /// After a thread's first access.
    first: AtomicU64,
    /// After each of the others.
    others: AtomicU64,
}

impl Pauses {
    const fn none() -> Self {
        Self {
            first: AtomicU64::new(0),
            others: AtomicU64::new(0),
        }
    }
}

/// The pauses of most tests of this process.
static USUAL: Pauses = Pauses::none();
/// The pauses of the test [`HELD`], and of processes that tests started.
static OF_HELD: Pauses = Pauses::none();
/// The number of the test with pauses of its own, once it began.
static HELD: AtomicU32 = AtomicU32::new(NO_TEST);
const NO_TEST: u32 = RUN - 1;
/// The names of the resources, each with a zero at its end: a path, a variable (empty for any), a port, or empty for the
/// others.
static NAMES: [AtomicU64; TARGET_NAMES / 8] = [const { AtomicU64::new(0) }; TARGET_NAMES / 8];
/// The requested targets; 0 after the last.
static TARGETS: [AtomicU32; MOST_TARGETS] = [const { AtomicU32::new(0) }; MOST_TARGETS];

/// A requested target, packed into a word: its sort, and the position and length of its name.
#[derive(Clone, Copy)]
struct Wanted(u32);

impl Wanted {
    fn new(target: Target, start: usize, length: usize) -> Self {
        Self((target as u32) << 24 | (start as u32) << 12 | length as u32)
    }

    fn target(self) -> Option<Target> {
        Target::of((self.0 >> 24) as u8)
    }

    fn start(self) -> usize {
        (self.0 >> 12 & 0xfff) as usize
    }

    fn len(self) -> usize {
        (self.0 & 0xfff) as usize
    }
}

/// Takes a request: `FIRST,OTHERS,HELD_FIRST,HELD_OTHERS;` in milliseconds, then `TARGET,LENGTH;NAME` for each target, with the
/// number of the [`Target`] and the length of the name in bytes. A Unix socket without a file is named from its `@` on.
/// [`Target::Test`] names the test that the last two pauses are for.
pub(crate) fn ask(text: &[u8]) {
    let Some((pauses, mut rest)) = split(text) else {
        return;
    };
    let mut pauses = pauses.split(|byte| *byte == b',').map(nanos);
    for pause in [&USUAL.first, &USUAL.others, &OF_HELD.first, &OF_HELD.others] {
        pause.store(pauses.next().unwrap_or(0), Relaxed);
    }
    let mut start = 0;
    for word in &TARGETS {
        let Some((said, names)) = split(rest) else { break };
        let mut said = said.split(|byte| *byte == b',').map(number);
        let (Some(target), Some(length)) = (said.next(), said.next()) else {
            return;
        };
        let Some(target) = u8::try_from(target).ok().and_then(Target::of) else {
            return;
        };
        let length = length as usize;
        let Some((name, after)) = names.split_at_checked(length) else {
            return;
        };
        // The zero at its end is there already.
        if start + length + 1 > TARGET_NAMES {
            return;
        }
        for (at, byte) in (start..).zip(name) {
            if let Some(word) = NAMES.get(at / 8) {
                let mut bytes = word.load(Relaxed).to_ne_bytes();
                if let Some(place) = bytes.get_mut(at % 8) {
                    *place = *byte;
                }
                word.store(u64::from_ne_bytes(bytes), Relaxed);
            }
        }
        word.store(Wanted::new(target, start, length).0, Relaxed);
        if target == Target::Env {
            NOTES_WAITS.store(1, Relaxed);
        }
        (start, rest) = (start + length + 1, after);
    }
}

/// Learns the number of a test that begins, in case it is the one with pauses of its own.
pub(crate) fn begins(test: u32, name: &[u8]) {
    let is_it = |wanted: Wanted| wanted.target() == Some(Target::Test) && is_named(wanted, &[name, &[]]);
    if wanted().any(is_it) {
        HELD.store(test, Relaxed);
    }
}

/// Splits at the first semicolon.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b';')?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

fn nanos(digits: &[u8]) -> u64 {
    number(digits).min(60_000).wrapping_mul(1_000_000)
}

fn wanted() -> impl Iterator<Item = Wanted> {
    TARGETS
        .iter()
        .map(|word| word.load(Relaxed))
        .take_while(|word| *word != 0)
        .map(Wanted)
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
    TARGETS[0].load(Relaxed) != 0
}

/// A pause that is due.
#[derive(Clone, Copy)]
pub(crate) struct Pause {
    nanos: u64,
    /// Says in the record which it is.
    pub(crate) flag: u8,
}

/// Returns the pause that is due after this access, if it is one to a requested resource.
pub(crate) fn due(entry: &Entry<'_>) -> Option<Pause> {
    if !is_asked_for() || !log::is_free() {
        return None;
    }
    let (position, wanted) = matching(entry)?;
    let thread = thread::current();
    let here = thread.slept_at.get(position)?;
    let is_any = wanted.target() == Some(Target::Env) && wanted.len() == 0;
    let before = thread.slept.load(Relaxed);
    let most = if process_calls::is_test() {
        TIMES_IN_ALL
    } else {
        TIMES_OF_CHILD
    };
    if before >= most || here.load(Relaxed) >= TIMES && !is_any {
        return None;
    }
    thread.slept.store(before + 1, Relaxed);
    here.store(here.load(Relaxed).saturating_add(1), Relaxed);
    let is_held = !process_calls::is_test() || thread.test.load(Relaxed) == HELD.load(Relaxed);
    let pauses = if is_held { &OF_HELD } else { &USUAL };
    // What a test starts may be many processes, each with a first access.
    let (nanos, flag) = if before == 0 && process_calls::is_test() {
        (&pauses.first, PAUSED_FIRST)
    } else {
        (&pauses.others, PAUSED)
    };
    let nanos = nanos.load(Relaxed);
    (nanos != 0).then_some(Pause { nanos, flag })
}

pub(crate) fn pause(pause: Pause) {
    let time = Timespec {
        seconds: (pause.nanos / 1_000_000_000) as i64,
        nanos: (pause.nanos % 1_000_000_000) as i64,
    };
    // SAFETY: a valid time; what is left when a signal comes is not wanted.
    unsafe { sys::nanosleep(&raw const time, core::ptr::null_mut()) };
}

/// Returns the first target that this is an access to, with its position.
fn matching(entry: &Entry<'_>) -> Option<(usize, Wanted)> {
    // Asked of the kernel once for all targets.
    let mut own = None;
    wanted()
        .enumerate()
        .find(|(_, wanted)| is_it(entry, *wanted, &mut own))
}

/// The file that an access was to, once it was looked up; `None` inside if it is not there.
type Own = Option<Option<(u64, u64)>>;

fn is_it(entry: &Entry<'_>, wanted: Wanted, own: &mut Own) -> bool {
    use Kind as K;
    let Some(target) = wanted.target() else {
        return false;
    };
    match entry.kind {
        K::GetVariable | K::SetVariable | K::UnsetVariable => {
            target == Target::Env && (wanted.len() == 0 || is_named(wanted, &entry.text))
        }
        K::ClearVariables => target == Target::Env,
        K::ChangeFolder | K::GetFolder => target == Target::Cwd,
        K::Mask => target == Target::Umask,
        K::BindTcp | K::BindUdp | K::ConnectTcp => {
            let mut digits = [0; 5];
            target == Target::Port && is_named(wanted, &[decimal(entry.value & 0xffff, &mut digits), &[]])
        }
        K::Other => target == Target::Name && is_named(wanted, &entry.text),
        K::BindUnix | K::ConnectUnix if target == Target::Name => is_named(wanted, &entry.text),
        kind if kind.is_access() => {
            target == Target::Cwd && entry.folder != 0
                || target == Target::Umask && makes_file(entry)
                || target == Target::File && is_of_file(entry, wanted, own)
        }
        _ => false,
    }
}

/// Whether this is done to the file, or to something in it; or the folder in which it lies is listed.
fn is_of_file(entry: &Entry<'_>, wanted: Wanted, own: &mut Own) -> bool {
    let length = wanted.len();
    if is_path(wanted, &entry.text, length) || is_path(wanted, &entry.second, length) {
        return true;
    }
    let folder = (0..length)
        .rev()
        .find(|at| byte(wanted, *at) == b'/')
        .unwrap_or(0);
    entry.kind == Kind::List && (entry.text[1] == b"." || is_path(wanted, &entry.text, folder))
        || leads_there(&entry.text, wanted, own)
}

/// Whether the path is another way to the file, through links.
fn leads_there(parts: &[&[u8]; 2], wanted: Wanted, own: &mut Own) -> bool {
    let Some(own) = *own.get_or_insert_with(|| file_at(parts)) else {
        return false;
    };
    let name = (&raw const NAMES).cast::<c_char>().wrapping_add(wanted.start());
    file_of(name) == Some(own)
}

fn file_at(parts: &[&[u8]; 2]) -> Option<(u64, u64)> {
    let mut scratch = work_memory::take()?;
    let path = &mut scratch.paths[0];
    path.fill(0);
    let bytes = parts.iter().flat_map(|part| part.iter());
    // A zero stands at its end.
    for (to, from) in path.iter_mut().take(PATH_MAX - 1).zip(bytes) {
        *to = *from;
    }
    file_of(path.as_ptr().cast())
}

/// What the kernel knows a file by: its device and its number.
fn file_of(path: *const c_char) -> Option<(u64, u64)> {
    // `struct stat` begins with them.
    let mut stat = [0_u64; 18];
    // SAFETY: a path with a zero at its end, and a place as big as the answer.
    let done = unsafe { file_calls::real::stat(path, stat.as_mut_ptr().cast()) };
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

/// Returns the name's byte there; 0 after its end.
fn byte(wanted: Wanted, at: usize) -> u8 {
    if at >= wanted.len() {
        return 0;
    }
    let at = wanted.start() + at;
    let word = NAMES.get(at / 8).map_or(0, |word| word.load(Relaxed));
    word.to_ne_bytes().get(at % 8).copied().unwrap_or(0)
}

fn is_named(wanted: Wanted, parts: &[&[u8]; 2]) -> bool {
    let name = parts.iter().flat_map(|part| part.iter());
    wanted.len() == parts[0].len() + parts[1].len()
        && name.enumerate().all(|(at, own)| byte(wanted, at) == *own)
}

/// Whether the name's first `length` bytes end with this path, or with a folder that it lies in: a relative one is not
/// completed here, a pause too many does no harm.
fn is_path(wanted: Wanted, parts: &[&[u8]; 2], length: usize) -> bool {
    let mut path = parts[1];
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"../")) {
        path = rest;
    }
    let ends = (1..=path.len()).filter(|end| path.get(*end).is_none_or(|next| *next == b'/'));
    ends.filter_map(|end| path.get(..end)).any(|path| {
        let Some(start) = length.checked_sub(path.len()) else {
            return false;
        };
        path.iter()
            .enumerate()
            .all(|(at, own)| byte(wanted, start + at) == *own)
            && (start == 0 || !path.starts_with(b"/") && byte(wanted, start - 1) == b'/')
    })
}
