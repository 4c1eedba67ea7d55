//! The process of an isolated test: runs the body and reports.

use super::report::Report;
use crate::sys::preparation::{RedirectedOutput, inherited_file};
use crate::sys::process;
use crate::worker::mark_panicked;
use crate::{exit, run};
use std::cell::RefCell;
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;

thread_local! {
    /// The message and the place of this thread's last panic.
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Runs the body, and reports its beginning and its end to the parent.
pub(super) fn run(body: impl FnOnce() -> ExitCode) -> ExitCode {
    let Some(inherited) = run::inherited() else {
        return body();
    };
    let mut report = inherited_file(inherited.report);
    #[cfg(not(target_os = "linux"))]
    crate::sys::preparation::end_with_reader(inherited.report);
    let us = process::id();
    let mut send = |message: Report| {
        // A fork of this process is not the test.
        if process::id() == us {
            // If the parent has ended, so will this process.
            let _ = report.write_all(message.encode().as_bytes());
        }
    };
    note_places();
    let output = RedirectedOutput::to(inherited.output);
    send(Report::Entered);
    let ended = catch_unwind(AssertUnwindSafe(body));
    drop(output);
    match ended {
        Ok(code) => {
            let success = code == ExitCode::SUCCESS;
            send(Report::Returned { success });
            code
        }
        Err(panic) => {
            mark_panicked();
            let message = exit::message(&*panic);
            let last = PANIC.try_with(RefCell::take).ok().flatten();
            let place = last.filter(|(last, _)| *last == message).map(|(_, place)| place);
            send(Report::Panicked { message, place });
            resume_unwind(panic)
        }
    }
}

/// Notes the place of each panic. No other test is in this process whose hook this could be, and the hook before it still runs.
fn note_places() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(place) = info.location() {
            let last = (exit::message(info.payload()), place.to_string());
            let _ = PANIC.try_with(|panic| panic.replace(Some(last)));
        }
        before(info);
    }));
}
