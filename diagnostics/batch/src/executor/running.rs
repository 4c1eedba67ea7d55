//! An attempt, from its start to the end of its last process.

use super::children::{Children, SignalTarget, StopSignal};
use super::job::Job;
use super::job_event::AttemptOutcome;
use super::sandbox::Sandbox;
use crate::proc;
use crate::processes::ProcessTable;
use crate::spawn::{ChildError, Ended, Starter, Streams};
use std::ffi::OsStr;
use std::process::Child;
use std::time::{Duration, Instant};

/// An attempt at a job.
#[derive(Debug)]
pub(super) struct RunningJob {
    pub(super) job: Job,
    pub(super) attempt: u32,
    /// The first process, which leads a group of its own if the job is sandboxed.
    pub(super) pid: u32,
    pub(super) began: Instant,
    timeout: Option<Duration>,
    /// `None` if the job has the streams, folders and process group of this process.
    pub(super) sandbox: Option<Sandbox>,
    stage: Stage,
    /// The end of the first process.
    pub(super) ended: Option<Ended>,
    /// The first process was waited for and its group is empty: the number may belong to another process by now.
    is_pid_free: bool,
    /// The reason why it was stopped.
    pub(super) verdict: Option<AttemptOutcome>,
    /// Processes that outlived the first one and were stopped.
    pub(super) stopped_processes: u32,
    /// The highest memory use measured.
    pub(super) memory: Option<u64>,
}

/// The progress of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Runs,
    /// The first process ended, others of its group have not. They may be about to end by themselves.
    Outlived {
        until: Instant,
    },
    /// All processes were asked to end.
    Terminating {
        until: Instant,
    },
    /// All processes were killed; `again` is the time to check for survivors.
    Killed {
        again: Instant,
        give_up: Instant,
    },
}

/// The time in which processes may end by themselves after the job's first process.
const LEAVING: Duration = Duration::from_millis(100);

/// The time between two checks for processes that are not children of this process.
const RECHECK: Duration = Duration::from_millis(20);

/// The time until a killed process is given up. One that takes longer is stuck in the kernel.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The surroundings of a step.
pub(super) struct StepContext<'a> {
    pub(super) now: Instant,
    pub(super) grace: Duration,
    pub(super) session: &'a str,
    pub(super) children: &'a Children,
    pub(super) table: ProcessTable,
}

/// Starts the first process of an attempt.
pub(super) fn start(starter: &Starter, job: &Job, sandbox: Option<&Sandbox>) -> Result<Child, ChildError> {
    let own = job
        .env
        .iter()
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let folders = sandbox.into_iter().flat_map(Sandbox::variables);
    let variables = folders.map(|(name, value)| (OsStr::new(name), value)).chain(own);
    let streams = sandbox.map_or(Streams::Inherited, |sandbox| Streams::Log(&sandbox.log.file));
    starter.start(&job.command, variables, job.cwd.as_deref(), &streams)
}

impl RunningJob {
    /// Describes an attempt whose first process started as `pid` at `began`.
    pub(super) fn new(
        job: Job,
        attempt: u32,
        sandbox: Option<Sandbox>,
        timeout: Option<Duration>,
        (pid, began): (u32, Instant),
    ) -> Self {
        Self {
            job,
            attempt,
            pid,
            began,
            timeout,
            sandbox,
            stage: Stage::Runs,
            ended: None,
            is_pid_free: false,
            verdict: None,
            stopped_processes: 0,
            memory: None,
        }
    }

    /// Asks all processes to end. If the first one ended before, its end stays the outcome of the attempt.
    pub(super) fn stop(&mut self, reason: AttemptOutcome, context: &mut StepContext<'_>) {
        if self.ended.is_none() {
            self.verdict.get_or_insert(reason);
        }
        if matches!(self.stage, Stage::Runs | Stage::Outlived { .. }) {
            if self.ended.is_some() && self.sandbox.is_some() {
                self.stopped_processes = context.table.group_size(self.pid);
            }
            self.terminate(context);
        }
    }

    fn terminate(&mut self, context: &mut StepContext<'_>) {
        self.send(StopSignal::Terminate, context);
        self.stage = Stage::Terminating {
            until: context.now + context.grace,
        };
    }

    /// Kills all processes.
    pub(super) fn kill(&mut self, context: &mut StepContext<'_>) {
        self.send(StopSignal::Kill, context);
        self.stage = Stage::Killed {
            again: context.now + RECHECK,
            give_up: match self.stage {
                Stage::Killed { give_up, .. } => give_up,
                _ => context.now + GIVE_UP,
            },
        };
    }

    /// Takes the steps that are due, and returns whether the attempt is over.
    pub(super) fn advance(&mut self, context: &mut StepContext<'_>) -> bool {
        let now = context.now;
        match self.stage {
            Stage::Runs if self.ended.is_some() => {
                if self.sandbox.is_none() || !self.has_survivors(context) {
                    return true;
                }
                self.stage = Stage::Outlived { until: now + LEAVING };
            }
            Stage::Runs => {
                if let Some(limit) = self.timeout.filter(|limit| now >= self.began + *limit) {
                    self.stop(AttemptOutcome::TimedOut { limit }, context);
                }
            }
            Stage::Outlived { until } => {
                if !self.has_survivors(context) {
                    return true;
                }
                if now >= until {
                    self.stopped_processes = context.table.group_size(self.pid);
                    self.terminate(context);
                }
            }
            Stage::Terminating { until } => {
                if self.is_gone(context) {
                    return true;
                }
                if now >= until {
                    self.kill(context);
                }
            }
            Stage::Killed { again, give_up } => {
                if self.is_gone(context) || now >= give_up {
                    return true;
                }
                if now >= again {
                    self.kill(context);
                }
            }
        }
        false
    }

    /// Returns when the next step is due, whatever happens until then.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self.stage {
            Stage::Runs => Some(self.began + self.timeout?),
            Stage::Outlived { until } => Some(until.min(now + RECHECK)),
            // The remaining processes are not our children, so their end is not reported.
            Stage::Terminating { until } if self.ended.is_some() => Some(until.min(now + RECHECK)),
            Stage::Terminating { until } => Some(until),
            Stage::Killed { again, .. } => Some(again),
        }
    }

    /// Returns whether the group has running processes besides the first one.
    fn has_survivors(&self, context: &mut StepContext<'_>) -> bool {
        // The first check is cheap, but counts zombies; the process table tells them apart.
        context.children.has_group(self.pid) && (!HAS_TABLE || context.table.group_size(self.pid) > 0)
    }

    fn is_gone(&mut self, context: &mut StepContext<'_>) -> bool {
        if self.ended.is_none() {
            return false;
        }
        if HAS_TABLE {
            self.members(context).is_empty()
        } else {
            self.sandbox.is_none() || !context.children.has_group(self.pid)
        }
    }

    fn members(&mut self, context: &mut StepContext<'_>) -> Vec<u32> {
        self.is_pid_free |= self.ended.is_some() && !context.children.has_group(self.pid);
        let leader = (!self.is_pid_free).then_some(self.pid);
        let name = self.sandbox.as_ref().map_or("", |sandbox| &sandbox.name);
        context.table.of_job(leader, context.session, name)
    }

    fn send(&mut self, signal: StopSignal, context: &mut StepContext<'_>) {
        let members = self.members(context);
        if self.sandbox.is_some() {
            if !self.is_pid_free {
                context.children.send(SignalTarget::Group(self.pid), signal);
            }
        } else if self.ended.is_none() {
            context.children.send(SignalTarget::Process(self.pid), signal);
        }
        for pid in members {
            let is_in_group =
                self.sandbox.is_some() && proc::process(pid).is_some_and(|found| found.group == self.pid);
            if !is_in_group && pid != self.pid {
                context.children.send(SignalTarget::Process(pid), signal);
            }
        }
    }
}

/// Whether the system has a process table, which also shows the processes that left their group.
const HAS_TABLE: bool = cfg!(target_os = "linux");
