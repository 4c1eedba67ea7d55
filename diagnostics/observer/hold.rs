//! The hold: a pause after each of the first accesses to some resources, so that tests without a lock between them
//! overlap.

use crate::log::Record;
use crate::log_format::{Kind, MOST_TARGETS, PAUSED, PAUSED_FIRST, RUN, TARGET_NAMES, Target};
use crate::stack::work_memory;
use crate::sys::{self, PATH_MAX, Timespec, c_char, nr, own_calls};
use crate::{this_process, thread};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// The maximum number of a thread's pauses at one resource. At a target that is any variable only the total counts.
const MOST_AT_ONE: u8 = 8;
const MOST_IN_TOTAL: u32 = 24;
/// The total in a process that a test started, of which there may be many.
const MOST_OF_CHILD: u32 = 4;

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
/// The number of the test with pauses of its own, once it has begun.
static HELD: AtomicU32 = AtomicU32::new(NO_TEST);
/// The number of the test that begins late, once its thread is created.
static LATE: AtomicU32 = AtomicU32::new(NO_TEST);
/// The number of uses of statics before the only one with a pause; [`ALL_PAUSE`] if each use has one.
static SKIPPED: AtomicU32 = AtomicU32::new(ALL_PAUSE);
const ALL_PAUSE: u32 = u32::MAX;
/// The number of uses of statics so far by the test [`HELD`], if some are skipped.
static USES: AtomicU32 = AtomicU32::new(0);
/// The number of uses of statics by the test [`LATE`] before the one at which it waits for the end of the other; [`ALL_PAUSE`] if
/// it does not wait.
static LATE_SKIPPED: AtomicU32 = AtomicU32::new(ALL_PAUSE);
/// The number of uses of statics so far by the test [`LATE`].
static LATE_USES: AtomicU32 = AtomicU32::new(0);
/// 1 once the test that begins late has ended or waits itself: a futex.
static LATE_HAS_RUN: AtomicU32 = AtomicU32::new(0);
/// 1 once the test with the single pause has ended: a futex.
static HELD_IS_OVER: AtomicU32 = AtomicU32::new(0);
/// 1 once a test pauses after it set a variable or before it uses a static: a futex.
static HAS_SET: AtomicU32 = AtomicU32::new(0);
const NO_TEST: u32 = RUN - 1;
/// The names of the targets, each with a zero at its end: a path, a variable (empty for any), a port, or empty for the
/// other kinds.
static NAMES: [AtomicU64; TARGET_NAMES / 8] = [const { AtomicU64::new(0) }; TARGET_NAMES / 8];
/// The requested targets; 0 after the last.
static TARGETS: [AtomicU32; MOST_TARGETS] = [const { AtomicU32::new(0) }; MOST_TARGETS];

/// A requested target, packed into a word: its kind, and the position and length of its name.
#[derive(Clone, Copy)]
struct Requested(u32);

impl Requested {
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
/// [`Target::Test`] names the test that the last two pauses are for, [`Target::Late`] one that begins late.
pub(crate) fn request(text: &[u8]) {
    let Some((pauses, mut rest)) = split(text) else {
        return;
    };
    let mut pauses = pauses.split(|byte| *byte == b',').map(nanos);
    for pause in [&USUAL.first, &USUAL.others, &OF_HELD.first, &OF_HELD.others] {
        pause.store(pauses.next().unwrap_or(0), Relaxed);
    }
    let mut start = 0;
    for word in &TARGETS {
        let Some((numbers, names)) = split(rest) else {
            break;
        };
        let mut numbers = numbers.split(|byte| *byte == b',').map(number);
        let (Some(target), Some(length)) = (numbers.next(), numbers.next()) else {
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
        word.store(Requested::new(target, start, length).0, Relaxed);
        if target == Target::Env {
            RECORDS_WAITS.store(1, Relaxed);
        } else if target == Target::Skipped {
            let mut numbers = name.split(|byte| *byte == b',').map(self::number);
            SKIPPED.store(numbers.next().unwrap_or(0) as u32, Relaxed);
            LATE_SKIPPED.store(numbers.next().map_or(ALL_PAUSE, |number| number as u32), Relaxed);
        }
        (start, rest) = (start + length + 1, after);
    }
}

/// Remembers the number of a test that begins, if it is the one with pauses of its own or the one that begins late.
pub(crate) fn test_begins(test: u32, name: &[u8]) {
    for named in requested().filter(|target| is_named(*target, &[name, &[]])) {
        match named.target() {
            Some(Target::Test) => HELD.store(test, Relaxed),
            Some(Target::Late) => LATE.store(test, Relaxed),
            _ => {}
        }
    }
}

/// Ends the wait of the other test, if the request is for a single pause in which that one runs.
pub(crate) fn test_ends() {
    if !has_one_pause() {
        return;
    }
    let test = thread::current().test.load(Relaxed);
    if test == HELD.load(Relaxed) {
        let_late_begin();
        set(&HELD_IS_OVER);
    } else if test == LATE.load(Relaxed) {
        set(&LATE_HAS_RUN);
    }
}

fn set(futex: &'static AtomicU32) {
    futex.store(1, Release);
    own_calls::futex(futex, own_calls::FUTEX_WAKE, 1, None);
}

fn has_one_pause() -> bool {
    SKIPPED.load(Relaxed) != ALL_PAUSE
}

/// Waits until the futex is set, for at most this time. Returns whether it is.
fn wait_until_set(futex: &'static AtomicU32, nanos: u64) -> bool {
    let deadline = sys::now(sys::CLOCK_MONOTONIC).saturating_add(nanos);
    while futex.load(Acquire) == 0 {
        let left = deadline.saturating_sub(sys::now(sys::CLOCK_MONOTONIC));
        if left == 0 || !this_process::may_call() {
            return false;
        }
        own_calls::futex(futex, own_calls::FUTEX_WAIT, 0, Some(&Timespec::of(left)));
    }
    true
}

fn let_late_begin() {
    if HAS_SET.swap(1, Release) == 0 {
        own_calls::futex(&HAS_SET, own_calls::FUTEX_WAKE, 1, None);
    }
}

/// Makes the test that begins late wait until another one pauses after it set a variable or before it uses a static: for at
/// most three seconds, or a minute if the test with the single pause has begun and so will pause or end.
pub(crate) fn wait_for_change(test: u32) {
    if test != LATE.load(Relaxed) {
        return;
    }
    const SECOND: u64 = 1_000_000_000;
    let has_begun = has_one_pause() && HELD.load(Relaxed) != NO_TEST;
    wait_until_set(&HAS_SET, if has_begun { 60 * SECOND } else { 3 * SECOND });
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

fn requested() -> impl Iterator<Item = Requested> {
    TARGETS
        .iter()
        .map(|word| word.load(Relaxed))
        .take_while(|word| *word != 0)
        .map(Requested)
}

/// Set while waits for other threads are recorded. Read by the hook of `syscall`, whose calls are nearly all waits.
pub(crate) static RECORDS_WAITS: AtomicU8 = AtomicU8::new(0);

pub(crate) fn is_requested() -> bool {
    TARGETS[0].load(Relaxed) != 0
}

/// A pause that is due.
#[derive(Clone, Copy)]
pub(crate) struct Pause {
    nanos: u64,
    /// The record's flag for such a pause.
    pub(crate) flag: u8,
}

/// Returns the pause that is due after this access, if it is one to a requested resource.
pub(crate) fn due(record: &Record<'_>) -> Option<Pause> {
    if !is_requested() || !this_process::may_call() {
        return None;
    }
    let (position, target) = matching(record)?;
    let thread = thread::current();
    let here = thread.pauses_at.get(position)?;
    if target.target() == Some(Target::Static) && !is_its_use(thread.test.load(Relaxed)) {
        return None;
    }
    let is_any = target.target() == Some(Target::Env) && target.len() == 0;
    let before = thread.pauses.load(Relaxed);
    let is_test = this_process::is_test();
    let most = if is_test { MOST_IN_TOTAL } else { MOST_OF_CHILD };
    if before >= most || here.load(Relaxed) >= MOST_AT_ONE && !is_any {
        return None;
    }
    thread.pauses.store(before + 1, Relaxed);
    here.store(here.load(Relaxed).saturating_add(1), Relaxed);
    let is_held = !is_test || thread.test.load(Relaxed) == HELD.load(Relaxed);
    let pauses = if is_held { &OF_HELD } else { &USUAL };
    // A test may start many processes, each with a first access.
    let (nanos, flag) = if before == 0 && is_test {
        (&pauses.first, PAUSED_FIRST)
    } else {
        (&pauses.others, PAUSED)
    };
    let mut nanos = nanos.load(Relaxed);
    // In step, no test would start a process while another writes its program.
    if target.target() == Some(Target::Executable) && thread.test.load(Relaxed) % 2 == 1 {
        nanos += nanos / 2;
    }
    (nanos != 0).then_some(Pause { nanos, flag })
}

/// Returns whether to pause at this use of a static: at each, unless some are skipped.
fn is_its_use(test: u32) -> bool {
    let is_it = |of: &AtomicU32, uses: &AtomicU32, skipped: &AtomicU32| {
        test == of.load(Relaxed) && uses.fetch_add(1, Relaxed) == skipped.load(Relaxed)
    };
    !has_one_pause() || is_it(&HELD, &USES, &SKIPPED) || is_it(&LATE, &LATE_USES, &LATE_SKIPPED)
}

/// Pauses. Returns `false` if a test was to run in this pause and has neither ended nor paused itself.
pub(crate) fn pause(pause: Pause, at: Kind) -> bool {
    let nanos = pause.nanos;
    if matches!(at, Kind::SetVariable | Kind::UseStatic) {
        let_late_begin();
    }
    if at == Kind::Execute && this_process::is_original() {
        // Not at once: the other test may be about to open its program.
        sleep(nanos / 4);
        start_copy(3 * nanos);
        sleep(nanos - nanos / 4);
    } else if at == Kind::UseStatic && has_one_pause() {
        if thread::current().test.load(Relaxed) == LATE.load(Relaxed) {
            set(&LATE_HAS_RUN);
            return wait_until_set(&HELD_IS_OVER, nanos);
        }
        return wait_until_set(&LATE_HAS_RUN, nanos);
    } else {
        sleep(nanos);
    }
    if matches!(at, Kind::GetVariable | Kind::SetVariable | Kind::UnsetVariable) {
        thread::current().yields_after_wake.store(1, Relaxed);
    }
    true
}

/// Lets a thread that this futex operation woke take std's lock around the variables, if the caller paused at one.
///
/// That lock is not fair: without a break the caller would take it again for its next variable, and the other thread would
/// reach its own only after the caller has used all of its variables.
pub(crate) fn after_wake(operation: usize) {
    const WAKE: usize = 1;
    const WAKE_BITSET: usize = 10;
    const BREAK: u64 = 5_000_000;
    if matches!(operation & 0x7f, WAKE | WAKE_BITSET)
        && thread::current().yields_after_wake.swap(0, Relaxed) != 0
        && this_process::may_call()
    {
        let errno = sys::errno();
        sleep(BREAK);
        sys::set_errno(errno);
    }
}

/// Starts a copy of this process that ends after this time: what a process is between its start and its execution, for longer.
/// It keeps open what the process has open now.
///
/// A wait for any child does not see it, since no signal announces its end.
fn start_copy(nanos: u64) {
    let errno = sys::errno();
    // SAFETY: the copy has its own memory, where it sleeps and ends. It is not told from the original by any of its state, so
    // it runs no other code.
    unsafe {
        if own_calls::syscall(nr::CLONE, [0; 5]) == 0 {
            sleep(nanos);
            own_calls::syscall(nr::EXIT_GROUP, [0]);
        }
    }
    sys::set_errno(errno);
}

fn sleep(nanos: u64) {
    let time = Timespec::of(nanos);
    // SAFETY: a valid time; the rest that a signal leaves is not needed.
    unsafe { sys::nanosleep(&raw const time, core::ptr::null_mut()) };
}

/// Returns whether this is an access to a requested resource.
pub(crate) fn is_target(record: &Record<'_>) -> bool {
    matching(record).is_some()
}

/// Returns the first target that this is an access to, with its position.
fn matching(record: &Record<'_>) -> Option<(usize, Requested)> {
    // Looked up once for all targets.
    let mut file = None;
    requested()
        .enumerate()
        .find(|(_, target)| is_access_to(record, *target, &mut file))
}

/// The device and number of the file that an access was to, once they are looked up; `None` inside if there is no file.
type LookedUp = Option<Option<(u64, u64)>>;

fn is_access_to(record: &Record<'_>, requested: Requested, file: &mut LookedUp) -> bool {
    use Kind as K;
    let Some(target) = requested.target() else {
        return false;
    };
    match record.kind {
        K::GetVariable | K::SetVariable | K::UnsetVariable => {
            target == Target::Env && (requested.len() == 0 || is_named(requested, &record.first))
        }
        K::ClearVariables => target == Target::Env,
        K::ChangeFolder | K::GetFolder => target == Target::Cwd,
        K::Mask => target == Target::Umask,
        K::SetLocale | K::GetLocale => target == Target::Locale,
        K::SetSignal | K::GetSignal => target == Target::Signal && is_named(requested, &record.first),
        K::BindTcp | K::BindUdp | K::ConnectTcp => {
            let mut digits = [0; 5];
            let length = sys::write_decimal(record.value as u32 & 0xffff, &mut digits);
            let port = digits.get(..length).unwrap_or_default();
            target == Target::Port && is_named(requested, &[port, &[]])
        }
        K::CloseTwice => target == Target::Descriptors,
        K::Execute => target == Target::Executable,
        K::UseStatic => {
            let with_line = [record.first[1], record.second[1]];
            target == Target::Static
                && (is_named(requested, &record.first) || is_named(requested, &with_line))
        }
        K::WaitAny | K::WaitChild => target == Target::Children,
        K::Other => target == Target::Name && is_named(requested, &record.first),
        K::BindUnix | K::ConnectUnix if target == Target::Name => is_named(requested, &record.first),
        kind if kind.is_access() => {
            target == Target::Cwd && record.folder != 0
                || target == Target::Umask && creates_file(record)
                || target == Target::Descriptors && matches!(kind, K::Open | K::List)
                || target == Target::Executable && is_open_for_writing(record)
                || target == Target::File && is_access_to_file(record, requested, file)
        }
        _ => false,
    }
}

/// Returns whether this is an access to the file or to something below it, or a listing of the folder that holds it.
fn is_access_to_file(record: &Record<'_>, target: Requested, file: &mut LookedUp) -> bool {
    let length = target.len();
    if is_path(target, &record.first, length) || is_path(target, &record.second, length) {
        return true;
    }
    let folder = (0..length)
        .rev()
        .find(|at| byte(target, *at) == b'/')
        .unwrap_or(0);
    record.kind == Kind::List && (record.first[1] == b"." || is_path(target, &record.first, folder))
        || leads_to(&record.first, target, file)
}

/// Returns whether the path leads to the target's file by another name, through links.
fn leads_to(parts: &[&[u8]; 2], target: Requested, file: &mut LookedUp) -> bool {
    let Some(file) = *file.get_or_insert_with(|| file_at_parts(parts)) else {
        return false;
    };
    let name = (&raw const NAMES).cast::<c_char>().wrapping_add(target.start());
    file_at(name) == Some(file)
}

fn file_at_parts(parts: &[&[u8]; 2]) -> Option<(u64, u64)> {
    let mut memory = work_memory::take()?;
    let path = &mut memory.paths[0];
    path.fill(0);
    let bytes = parts.iter().flat_map(|part| part.iter());
    // The last byte stays zero.
    for (to, from) in path.iter_mut().take(PATH_MAX - 1).zip(bytes) {
        *to = *from;
    }
    file_at(path.as_ptr().cast())
}

/// Returns the device and the number by which the kernel knows the file.
fn file_at(path: *const c_char) -> Option<(u64, u64)> {
    // `struct stat` begins with them.
    let mut stat = [0_u64; 18];
    // SAFETY: a path with a zero at its end, and a place as big as the answer.
    let done = unsafe { own_calls::stat(path, stat.as_mut_ptr().cast()) };
    (done == 0).then_some((stat[0], stat[1]))
}

/// Returns whether the result depends on the file mode mask.
fn creates_file(record: &Record<'_>) -> bool {
    record.kind == Kind::MakeFolder || record.kind == Kind::Open && record.value & sys::O_CREAT as u64 != 0
}

/// Returns whether a process that starts before the file is closed inherits it open for writing.
fn is_open_for_writing(record: &Record<'_>) -> bool {
    record.kind == Kind::Open && record.value & sys::O_ACCMODE as u64 != 0
}

/// Returns a byte of the target's name; 0 after its end.
fn byte(target: Requested, at: usize) -> u8 {
    if at >= target.len() {
        return 0;
    }
    let at = target.start() + at;
    let word = NAMES.get(at / 8).map_or(0, |word| word.load(Relaxed));
    word.to_ne_bytes().get(at % 8).copied().unwrap_or(0)
}

fn is_named(target: Requested, parts: &[&[u8]; 2]) -> bool {
    let name = parts.iter().flat_map(|part| part.iter());
    target.len() == parts[0].len() + parts[1].len()
        && name.enumerate().all(|(at, own)| byte(target, at) == *own)
}

/// Returns whether the first `length` bytes of the target's name end with this path, or with a folder that it lies in. A
/// relative path is not completed here: an extra pause does no harm.
fn is_path(target: Requested, parts: &[&[u8]; 2], length: usize) -> bool {
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
            .all(|(at, own)| byte(target, start + at) == *own)
            && (start == 0 || !path.starts_with(b"/") && byte(target, start - 1) == b'/')
    })
}
