//! The layout of an observation's account: one slot for each program that is started with the observer, and the part of
//! the file that holds its log. Shared by the observer, the runner and the reader.
//!
//! The file is sparse. The first and last slots are allocated before the command begins, and each other one before it is
//! written, so that a full file system cannot hide a start.
//! Each log lies within the file's size, because a program with a limit on file sizes can still write there.

/// The target of the programs that this build observes: those of its own processor.
pub(crate) const TRIPLE: &str = if IS_AARCH64 {
    "aarch64-unknown-linux-gnu"
} else {
    "x86_64-unknown-linux-gnu"
};
/// Cargo's variable for the runner of such programs.
pub(crate) const RUNNER: &str = if IS_AARCH64 {
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER"
} else {
    "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
};
/// The number of the processor in a program's header.
const PROCESSOR: u64 = if IS_AARCH64 { 183 } else { 62 };
/// The beginning of the name of glibc's loader.
const LOADER: &str = if IS_AARCH64 {
    "ld-linux-aarch64"
} else {
    "ld-linux-x86-64"
};
const IS_AARCH64: bool = cfg!(target_arch = "aarch64");

/// The first eight bytes of the file.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"coffacc\n");
/// The file's name in the observation's folder.
pub(crate) const NAME: &str = "account";
/// The name of the file, on another file system, in which logs go on when the first has no room.
pub(crate) const SPILL: &str = "spill";
/// The name of a file that the runner removes if it cannot enter a program in the account.
pub(crate) const INTACT: &str = "intact";
/// The size of the header, which the slots follow.
pub(crate) const HEADER: usize = 4096;
/// The size of a slot: its state, its flags, and the end of its program's name.
pub(crate) const SLOT: usize = 128;
/// The position of the name in a slot.
pub(crate) const TEXT: usize = 16;
/// The maximum number of slots in a file.
pub(crate) const MOST_SLOTS: u64 = 1 << 16;
/// The number of slots that are allocated in advance at each end. To allocate all takes longer than most suites' reports.
pub(crate) const READY: u64 = 1 << 11;
/// The maximum size of a log, and the distance between the beginnings of two.
pub(crate) const LOG: u64 = 128 << 20;
/// In a slot's flags: the log is in the spill file from its beginning on.
pub(crate) const SPILLED: u64 = 1;

/// The positions of the words in the header.
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const SLOTS: usize = 1;
    /// The number of slots that the runner took, from the first on. It takes one at a time, under a lock on the file.
    pub(crate) const PROGRAMS: usize = 2;
    /// The number of slots that observed processes took, from the last down.
    pub(crate) const CHILDREN: usize = 3;
    /// The user who may open the file.
    pub(crate) const USER: usize = 4;
    /// The head of the list of slots whose start failed: the first slot's number plus one; in the upper half, the number
    /// of changes to this word. Each such slot has the number of the next, plus one, in place of its flags.
    pub(crate) const UNUSED: usize = 5;
}

/// Returns the size of the header and that many slots: the position of the next slot.
pub(crate) const fn table(slots: u64) -> u64 {
    HEADER as u64 + slots * SLOT as u64
}

/// Returns the position of a slot's log in its file.
pub(crate) const fn log(slots: u64, slot: u64) -> u64 {
    table(slots).next_multiple_of(1 << 21) + slot * LOG
}

/// The outcome of the start of a program so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Free = 0,
    /// The program was started, and its observer has not begun yet.
    Started,
    /// Its log has begun.
    Recording,
    /// It ended, or became another program, and its log is complete.
    Closed,
    /// It could not be started.
    Void,
    /// It was ended on purpose before its observer began.
    Ended,
    /// Its observer could not begin its log: a [`Reason`].
    Lost,
    /// The observer cannot be loaded into it: a [`Reason`].
    OutOfReach,
}

/// The reason why a program is not observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Reason {
    None = 0,
    Static,
    Setuid,
    Foreign,
    OtherLibc,
    OtherUser,
    Filter,
    NoRoom,
    NoMemory,
}

/// Returns a slot's first word.
pub(crate) const fn word(state: State, reason: Reason, pid: u32) -> u64 {
    state as u64 | (reason as u64) << 8 | (pid as u64) << 32
}

/// Returns the state in a slot's first word.
pub(crate) const fn state(word: u64) -> State {
    match word as u8 {
        1 => State::Started,
        2 => State::Recording,
        3 => State::Closed,
        4 => State::Void,
        5 => State::Ended,
        6 => State::Lost,
        7 => State::OutOfReach,
        _ => State::Free,
    }
}

/// Returns the reason in a slot's first word.
pub(crate) const fn reason(word: u64) -> Reason {
    match (word >> 8) as u8 {
        1 => Reason::Static,
        2 => Reason::Setuid,
        3 => Reason::Foreign,
        4 => Reason::OtherLibc,
        5 => Reason::OtherUser,
        6 => Reason::Filter,
        7 => Reason::NoRoom,
        8 => Reason::NoMemory,
        _ => Reason::None,
    }
}

/// Returns the process number in a slot's first word.
pub(crate) const fn pid(word: u64) -> u32 {
    (word >> 32) as u32
}

/// The number of bytes at a program's beginning that [`reach`] needs.
pub(crate) const HEAD: usize = 1024;

/// The outcome of [`reach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Yes,
    No(Reason),
    /// The program is a script. The path of its interpreter is in this range of `head`.
    Script {
        start: usize,
        end: usize,
    },
}

/// Determines from a program's first bytes whether the loader will load the observer into it.
pub(crate) fn reach(head: &[u8]) -> Reach {
    if head.starts_with(b"#!") {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let rest = head.get(2..).unwrap_or_default();
        let start = 2 + rest.iter().take_while(|byte| blank(byte)).count();
        let name = head.get(start..).unwrap_or_default();
        let length = name
            .iter()
            .take_while(|byte| !blank(byte) && !matches!(byte, b'\n' | 0))
            .count();
        return Reach::Script {
            start,
            end: start + length,
        };
    }
    if !head.starts_with(b"\x7fELF") {
        return Reach::Yes;
    }
    let half = |at: usize| number(head, at, 2);
    if head.get(4) != Some(&2) || half(18) != Some(PROCESSOR) {
        return Reach::No(Reason::Foreign);
    }
    let (Some(first), Some(size), Some(count)) = (number(head, 32, 8), half(54), half(56)) else {
        return Reach::Yes;
    };
    for index in 0..count {
        let at = first.saturating_add(index * size) as usize;
        match number(head, at, 4) {
            // Beyond the bytes that were read.
            None => return Reach::Yes,
            Some(3) => {
                let name = number(head, at.saturating_add(8), 8)
                    .zip(number(head, at.saturating_add(32), 8))
                    .and_then(|(start, length)| {
                        head.get(start as usize..start.saturating_add(length) as usize)
                    });
                let is_ours =
                    name.is_none_or(|name| name.windows(LOADER.len()).any(|part| part == LOADER.as_bytes()));
                return if is_ours {
                    Reach::Yes
                } else {
                    Reach::No(Reason::OtherLibc)
                };
            }
            Some(_) => {}
        }
    }
    Reach::No(Reason::Static)
}

/// Reads a number of that many bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}
