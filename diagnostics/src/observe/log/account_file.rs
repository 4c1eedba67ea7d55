//! The account of an observation: a file created before the command starts and read after it has ended.

use crate::findings::Account;
use crate::observe::format::header as log_header;
use crate::observe::layout::{self, Reason, State, header};
use crate::observe::log::{Log, Unreadable};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The fewest slots with which an observation begins.
const FEWEST: u64 = 256;

/// Creates the account in `folder` with room for `slots` slots. Only the first and last ones are allocated: the runner takes
/// slots from the first on, and observed processes from the last down.
pub(crate) fn create(folder: &Path, slots: u64) -> io::Result<()> {
    let path = folder.join(layout::NAME);
    let file = new_file(&path)?;
    let mut slots = slots.min(layout::MOST_SLOTS);
    // The file is sparse, but not every file system supports its length.
    while let Err(error) = file.set_len(layout::log(slots, slots)) {
        if slots <= FEWEST {
            return Err(error);
        }
        slots /= 2;
    }
    let ready = layout::READY.min(slots);
    let last = layout::table(slots - ready);
    fallocate(&file, FallocateFlags::empty(), 0, layout::table(ready))?;
    fallocate(&file, FallocateFlags::empty(), last, layout::table(slots) - last)?;
    for (place, value) in [
        (header::SLOTS, slots),
        (header::USER, rustix::process::geteuid().as_raw().into()),
        (header::MAGIC, layout::MAGIC),
    ] {
        write_word(&file, place as u64 * 8, value)?;
    }
    File::create_new(folder.join(layout::INTACT))?;
    Ok(())
}

/// Creates a file in `elsewhere` for logs that find no room in the account of `folder`.
pub(crate) fn create_spill(folder: &Path, elsewhere: &Path) -> io::Result<()> {
    let slots = read_word(&File::open(folder.join(layout::NAME))?, header::SLOTS as u64 * 8)?;
    let path = elsewhere.join(layout::SPILL);
    new_file(&path)?.set_len(layout::log(slots, slots))?;
    std::os::unix::fs::symlink(path, folder.join(layout::SPILL))
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn read_word(file: &File, at: u64) -> io::Result<u64> {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, at)?;
    Ok(u64::from_ne_bytes(word))
}

fn write_word(file: &File, at: u64, value: u64) -> io::Result<()> {
    file.write_all_at(&value.to_ne_bytes(), at)
}

/// Reads the fate of every start, and all logs, the oldest first.
pub(crate) fn read(folder: &Path) -> (Account, Vec<Log>) {
    let mut account = Account::default();
    let mut logs = Vec::new();
    if let Err(error) = read_into(folder, &mut account, &mut logs) {
        account.lose(
            "the observed programs",
            &format!("their account could not be read: {error}"),
            1,
        );
    }
    if !folder.join(layout::INTACT).exists() {
        account.lose(
            "a test program",
            "it could not be entered in the account, and was not observed",
            1,
        );
    }
    logs.sort_by_key(Log::began);
    (account, logs)
}

fn read_into(folder: &Path, account: &mut Account, logs: &mut Vec<Log>) -> io::Result<()> {
    let file = File::open(folder.join(layout::NAME))?;
    let spill = File::open(folder.join(layout::SPILL)).ok();
    let mut table = vec![0; layout::HEADER];
    file.read_exact_at(&mut table, 0)?;
    let word = |bytes: &[u8], place: usize| {
        let bytes = bytes
            .get(place * 8..place * 8 + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    };
    if word(&table, header::MAGIC) != layout::MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged"));
    }
    let slots = word(&table, header::SLOTS);
    let programs = word(&table, header::PROGRAMS).min(slots);
    let taken = word(&table, header::CHILDREN);
    let children = taken.min(slots - programs);
    for number in (0..programs).chain((slots - children..slots).rev()) {
        let mut slot = [0; layout::SLOT];
        file.read_exact_at(&mut slot, layout::table(number))?;
        let begins = layout::log(slots, number);
        let log = || {
            let is_spilled = word(&slot, 1) & layout::SPILLED != 0;
            let whole = if is_spilled { spill.as_ref() } else { Some(&file) };
            read_log(whole, spill.as_ref(), begins)
        };
        // The runner takes the first slots, for the programs that cargo and nextest start.
        logs.extend(one(account, &slot, word(&slot, 0), number < programs, log));
    }
    if taken > children {
        account.lose(
            "child processes",
            &format!("more than {slots} programs were started, for which the account has no room"),
            taken - children,
        );
    }
    Ok(())
}

/// Accounts for one start, and returns its log.
fn one(
    account: &mut Account,
    slot: &[u8],
    first: u64,
    is_test: bool,
    log: impl FnOnce() -> io::Result<Result<Log, Unreadable>>,
) -> Option<Log> {
    let text = &slot[layout::TEXT..];
    let text = String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default());
    let name = match &*text {
        "" => format!("process {}", layout::pid(first)),
        text => text.to_owned(),
    };
    let state = layout::state(first);
    if state == State::Void {
        return None;
    }
    account.started += 1;
    let pid = layout::pid(first);
    match state {
        State::Recording | State::Closed => {}
        State::Ended => {
            account.incomplete += 1;
            return None;
        }
        State::OutOfReach => {
            let why = reason(layout::reason(first));
            account.leave_out(&name, why, 1);
            if is_test {
                account.leave_out_test(&name, why);
            }
            account.add_unseen(pid, &name, why);
            return None;
        }
        State::Lost => {
            lose(account, pid, &name, reason(layout::reason(first)));
            return None;
        }
        State::Free | State::Started | State::Void => {
            lose(
                account,
                pid,
                &name,
                "it was started, and its observer never began",
            );
            return None;
        }
    }
    let log = match log() {
        Ok(Ok(log)) => log,
        Ok(Err(Unreadable::Unfinished)) => {
            lose(account, pid, &name, "it ended before its log was begun");
            return None;
        }
        Ok(Err(Unreadable::Version(version))) => {
            lose(account, pid, &name, &format!("its log is of version {version}"));
            return None;
        }
        Err(error) => {
            lose(
                account,
                pid,
                &name,
                &format!("its log could not be read: {error}"),
            );
            return None;
        }
    };
    account.recorded += 1;
    let (dropped, threads) = (
        log.header(log_header::DROPPED),
        log.header(log_header::UNKNOWN_THREADS),
    );
    if dropped > 0 {
        let why = format!("its log has no room for {dropped} of its records");
        lose(account, pid, &name, &why);
    } else if threads > 0 {
        let why = format!("{threads} of its threads belong to no known test");
        lose(account, pid, &name, &why);
    } else if state == State::Closed {
        account.complete += 1;
    } else {
        account.incomplete += 1;
    }
    Some(log)
}

fn lose(account: &mut Account, pid: u32, name: &str, why: &str) {
    account.lose(name, why, 1);
    account.add_unseen(pid, name, why);
}

fn read_log(whole: Option<&File>, spill: Option<&File>, begins: u64) -> io::Result<Result<Log, Unreadable>> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let file = whole.ok_or_else(gone)?;
    let mut bytes = vec![0; crate::observe::format::HEADER];
    file.read_exact_at(&mut bytes, begins)?;
    let log = match Log::new(bytes.clone()) {
        Ok(log) => log,
        Err(error) => return Ok(Err(error)),
    };
    let header = |place| log.header(place);
    // Bytes beyond the allocated room read as zeros, which are no records.
    let end = header(log_header::CURSOR).min(layout::LOG);
    let spilled_at = match header(log_header::SPILLED_AT) {
        0 => end,
        at => at.min(end),
    };
    let length = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(0);
    bytes.resize(length(0, spilled_at), 0);
    file.read_exact_at(&mut bytes, begins)?;
    if spilled_at < end {
        let mut rest = vec![0; length(spilled_at, end)];
        spill
            .ok_or_else(gone)?
            .read_exact_at(&mut rest, begins + spilled_at)?;
        bytes.append(&mut rest);
    }
    Ok(Log::new(bytes))
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::None => "the reason is not known",
        Reason::Static => "it is linked statically",
        Reason::Setuid => "it runs with more rights than its parent",
        Reason::Foreign => "it is for another kind of processor",
        Reason::OtherLibc => "it is linked with another libc than glibc",
        Reason::OtherUser => "it runs as another user",
        Reason::Filter => "its parent is under a seccomp filter",
        Reason::NoRoom => "there was no room for its log",
        Reason::NoMemory => "its log could not be mapped into memory",
    }
}
