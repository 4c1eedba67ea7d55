//! The running process of an isolated test.

use super::output::{Stream, take_text};
use super::process_error::{Ended, ProcessError};
use super::report::{Report, Verdict, verdict};
use crate::lock::{self, machine};
use crate::run::{self, Inherited};
#[cfg(target_os = "linux")]
use crate::sys::child::Handle;
use crate::sys::clock::{self, Deadline};
use crate::sys::preparation::{Limits, Preparation, kill, prepare};
use crate::sys::{poll, process};
use crate::worker::Worker;
use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The time in which the test's body has to begin.
const START: Duration = Duration::from_secs(10);
/// The number of reads after the end of the process. A pipe has 64 KiB on Linux, if the test does not enlarge it.
const LAST_READS: u32 = 64;
/// The greatest number of isolated processes, each started by the one before.
const DEEPEST: u64 = 8;

/// A process to start.
pub(super) struct Plan {
    /// The test's path.
    pub(super) test: &'static str,
    pub(super) command: Command,
    pub(super) umask: Option<u32>,
    pub(super) limits: Limits,
    pub(super) timeout: Option<Duration>,
}

/// Runs the test in a process of its own.
pub(super) fn result_of(plan: Plan) -> Verdict {
    match Running::start(plan) {
        Ok(mut running) => running.finish(),
        Err(why) => Verdict::Broken(why),
    }
}

/// A running process of a test, killed on drop.
struct Running {
    child: Child,
    output: Stream,
    errors: Stream,
    report: Stream,
    reported: Vec<u8>,
    unprinted: [Vec<u8>; 2],
    /// The part of standard error that was printed.
    printed: String,
    end: End,
    entered_by: Deadline,
    timeout: Option<(Duration, Deadline)>,
    has_ended: bool,
}

impl Running {
    fn start(plan: Plan) -> Result<Self, String> {
        let depth = run::depth() + 1;
        if depth > DEEPEST {
            return Err(ProcessError::TooDeep { depth: DEEPEST }.to_string());
        }
        let worker = Worker::try_current().map_err(|error| error.to_string())?;
        let failed = |source: io::Error| ProcessError::NotStarted(source).to_string();
        let (output, to_output) = io::pipe().map_err(failed)?;
        let (report, to_report) = io::pipe().map_err(failed)?;
        let (errors, to_errors) = io::pipe().map_err(failed)?;
        let facts = Inherited {
            parent: process::id(),
            depth,
            run: run::run().clone(),
            execution: worker.execution(),
            recorded_as: run::recorded_as(),
            worker: worker.id().to_owned(),
            index: worker.index(),
            test: plan.test.to_owned(),
            attempt: worker.attempt(),
            locks: lock::held_by(&worker),
            report: to_report.as_raw_fd(),
            output: to_output.as_raw_fd(),
        };
        let mut command = plan.command;
        prepare(
            &mut command,
            Preparation {
                inherited: [facts.report, facts.output],
                umask: plan.umask,
                limits: plan.limits,
            },
        );
        if plan.timeout.is_some() {
            // The test's processes are killed together.
            command.process_group(0);
        }
        // Both may be relative to a directory or a variable that differs in the child.
        if let Ok(base) = run::base_dir(None) {
            command.env("COFFERDAM_DIR", base);
        }
        if let Ok(locks) = machine::folder() {
            command.env("COFFERDAM_MACHINE_DIR", locks.parent().unwrap_or(&locks));
        }
        command
            .args(["--exact", plan.test, "--nocapture", "--include-ignored"])
            .env(run::VARIABLE, facts.encode())
            // libtest's lines. The test's own output has a pipe.
            .stdout(Stdio::null())
            .stderr(to_errors);
        // The command holds a writer of a pipe, and ends here.
        let child = command.spawn().map_err(failed);
        drop(command);
        let child = child?;
        Ok(Self::new(child, [output, errors, report], plan.timeout))
    }

    fn new(child: Child, [output, errors, report]: [PipeReader; 3], timeout: Option<Duration>) -> Self {
        Self {
            end: End::of(child.id()),
            child,
            output: Stream::new(output),
            errors: Stream::new(errors),
            report: Stream::new(report),
            reported: Vec::new(),
            unprinted: [Vec::new(), Vec::new()],
            printed: String::new(),
            entered_by: Deadline::after(START),
            timeout: timeout.map(|timeout| (timeout, Deadline::after(timeout))),
            has_ended: false,
        }
    }

    /// Repeats the output until the process has ended, and returns the result.
    fn finish(&mut self) -> Verdict {
        let ended = self.wait();
        // What a program that the test left behind writes later is lost, so this reads no more than a pipe holds.
        for _ in 0..LAST_READS {
            if !self.forward(Duration::ZERO) {
                break;
            }
        }
        self.print(true);
        match ended {
            Err(why) => Verdict::Broken(why),
            Ok(status) => {
                let last = Report::last_of(&String::from_utf8_lossy(&self.reported));
                let result = verdict(last, how(status));
                if let Verdict::Panicked { message, place } = &result {
                    self.complete(message, place.as_deref());
                }
                result
            }
        }
    }

    /// Prints what a panic hook of the test did not print.
    fn complete(&self, message: &str, place: Option<&str>) {
        let is_printed = |text: &str| self.printed.contains(text);
        if !is_printed(message) || !place.is_none_or(is_printed) {
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            print_error(&format!("the test panicked{place}: {message}\n"));
        }
    }

    /// Waits for the end of the process, or says why it was killed.
    fn wait(&mut self) -> Result<ExitStatus, String> {
        let mut patience = Duration::from_millis(1);
        loop {
            if let Some((timeout, deadline)) = self.timeout
                && deadline.left().is_none()
            {
                self.kill();
                return Err(ProcessError::TimedOut(timeout).to_string());
            }
            if self.reported.is_empty() && self.entered_by.left().is_none() {
                self.kill();
                return Err(ProcessError::NotReached(START).to_string());
            }
            let next = self.next_check();
            let is_running = self.end.fd().is_some() || self.report.fd().is_some();
            self.forward(if is_running { next } else { next.min(patience) });
            if self.end.has_come() || self.report.fd().is_none() {
                if let Ok(Some(status)) = self.child.try_wait() {
                    self.has_ended = true;
                    return Ok(status);
                }
                // Without a handle, the end of the report is the end of the process, except if the test closed it.
                patience = (patience * 2).min(Duration::from_millis(50));
            }
        }
    }

    fn next_check(&self) -> Duration {
        let mut next = Duration::from_secs(3600);
        if let Some((_, deadline)) = self.timeout {
            next = next.min(deadline.left().unwrap_or_default());
        }
        if self.reported.is_empty() {
            next = next.min(self.entered_by.left().unwrap_or_default());
        }
        next
    }

    /// Waits until the process writes or closes something, and repeats its output. Returns whether there was anything.
    fn forward(&mut self, limit: Duration) -> bool {
        let [unprinted_output, unprinted_errors] = &mut self.unprinted;
        let streams = [
            (&mut self.output, unprinted_output),
            (&mut self.errors, unprinted_errors),
            (&mut self.report, &mut self.reported),
        ];
        let mut open: Vec<_> = streams
            .into_iter()
            .filter_map(|(stream, into)| Some((stream.fd()?, stream, into)))
            .collect();
        let mut fds: Vec<_> = open.iter().map(|(fd, ..)| *fd).collect();
        fds.extend(self.end.fd());
        if fds.is_empty() {
            if !limit.is_zero() {
                clock::pause(limit);
            }
            return false;
        }
        let ready = poll::ready(&fds, limit);
        for ((_, stream, into), is_ready) in open.iter_mut().zip(&ready) {
            if *is_ready {
                stream.read(into);
            }
        }
        if ready.len() > open.len() && ready.last() == Some(&true) {
            self.end.come();
        }
        let has_read = ready[..open.len()].contains(&true);
        self.print(false);
        has_read
    }

    /// Prints what has arrived, by the macros whose output libtest captures.
    fn print(&mut self, is_last: bool) {
        let [output, errors] = &mut self.unprinted;
        let text = |bytes: &mut Vec<u8>| {
            if is_last {
                String::from_utf8_lossy(&std::mem::take(bytes)).into_owned()
            } else {
                take_text(bytes)
            }
        };
        let (output, errors) = (text(output), text(errors));
        if !output.is_empty() {
            #[expect(clippy::print_stdout, reason = "it is the test's own output")]
            {
                print!("{output}");
            }
        }
        if !errors.is_empty() {
            print_error(&errors);
            self.printed.push_str(&errors);
        }
    }

    fn kill(&mut self) {
        if !self.has_ended {
            self.has_ended = true;
            kill(self.child.id(), self.timeout.is_some());
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a child process, as far as the system has a handle to wait for it.
struct End {
    #[cfg(target_os = "linux")]
    handle: Option<Handle>,
    has_come: bool,
}

impl End {
    #[cfg_attr(
        not(target_os = "linux"),
        expect(unused_variables, reason = "there is no handle")
    )]
    fn of(child: u32) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            handle: Handle::open(child).ok(),
            has_come: false,
        }
    }

    /// Returns the descriptor until the end has come.
    fn fd(&self) -> Option<RawFd> {
        #[cfg(target_os = "linux")]
        return self.handle.as_ref().filter(|_| !self.has_come).map(Handle::fd);
        #[cfg(not(target_os = "linux"))]
        None
    }

    fn come(&mut self) {
        self.has_come = true;
    }

    fn has_come(&self) -> bool {
        self.has_come
    }
}

#[expect(clippy::print_stderr, reason = "it is the test's own output")]
fn print_error(text: &str) {
    eprint!("{text}");
}

fn how(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, Some(signal)) => Ended::Signal(signal),
        (None, None) => Ended::Code(-1),
    }
}
