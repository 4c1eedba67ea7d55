//! The entry of a program in the observation's account.

use crate::account_layout::{self as layout, Reach, Reason, State, header};
use crate::buffer::Buffer;
use crate::sys::{self, File, O_NONBLOCK, O_RDONLY, O_RDWR, Path};

/// Enters a program that is about to be started, and returns its slot. On `None` it must not be observed, and the account
/// reports it as missing.
pub(crate) fn enter(buffer: &mut Buffer, folder: &[u8], program: Path<'_>, name: &[u8]) -> Option<u64> {
    let path = buffer.path(&[folder, b"/", layout::NAME.as_bytes()])?;
    let entered = File::open(path, O_RDWR, 0).ok().and_then(|file| {
        let entered = enter_in(buffer, file, program, name);
        file.close();
        entered
    });
    if entered.is_none() {
        // Needs neither room nor a descriptor.
        sys::remove(buffer.path(&[folder, b"/", layout::INTACT.as_bytes()])?);
    }
    entered
}

/// Runners start at the same time, and each has the lock only as long as it takes to write one slot.
fn enter_in(buffer: &mut Buffer, file: File, program: Path<'_>, name: &[u8]) -> Option<u64> {
    let reason = out_of_reach(buffer, program).unwrap_or(Reason::None);
    let state = match reason {
        Reason::None => State::Started,
        _ => State::OutOfReach,
    };
    let mut slot = [0; layout::SLOT];
    // The program gets this number with the process.
    let first = layout::word(state, reason, sys::pid()).to_ne_bytes();
    slot.get_mut(..first.len())?.copy_from_slice(&first);
    let name = name.get(name.len().saturating_sub(layout::SLOT - layout::TEXT)..)?;
    slot.get_mut(layout::TEXT..layout::TEXT + name.len())?
        .copy_from_slice(name);
    file.lock().ok()?;
    let slots = word(file, header::SLOTS as u64 * 8)?;
    let taken = word(file, header::PROGRAMS as u64 * 8)?;
    let at = layout::table(taken);
    if taken >= slots || word(file, at)? != 0 {
        return None;
    }
    file.write_at(&slot, at).ok()?;
    let taken_now = (taken + 1).to_ne_bytes();
    file.write_at(&taken_now, header::PROGRAMS as u64 * 8).ok()?;
    Some(taken)
}

fn word(file: File, at: u64) -> Option<u64> {
    let mut word = [0; 8];
    let length = file.read_at(&mut word, at).ok()?;
    (length == word.len()).then(|| u64::from_ne_bytes(word))
}

/// Returns why the observer cannot be loaded into the program.
fn out_of_reach(buffer: &mut Buffer, program: Path<'_>) -> Option<Reason> {
    let mut beginning = [0; layout::HEAD];
    let mut reach = reach(program, &mut beginning)?;
    if let Reach::Script { start, end } = reach {
        let interpreter = buffer.path(&[beginning.get(start..end)?])?;
        reach = self::reach(interpreter, &mut beginning)?;
    }
    match reach {
        Reach::No(reason) => Some(reason),
        Reach::Yes | Reach::Script { .. } => None,
    }
}

fn reach(program: Path<'_>, beginning: &mut [u8; layout::HEAD]) -> Option<Reach> {
    // Opening a FIFO would wait for its other end.
    let file = File::open(program, O_RDONLY | O_NONBLOCK, 0).ok()?;
    let length = file.read_at(beginning, 0);
    file.close();
    Some(layout::reach(beginning.get(..length.ok()?)?))
}
