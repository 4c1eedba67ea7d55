//! A job between its start and the end of its last process.

use super::children::{Children, Sent, Whom};
use super::event::Ending;
use super::job::Job;
use super::sandbox::Sandbox;
use crate::child::Ended;
use crate::child::{ChildError, Starter, Streams};
use crate::processes::{self, Scan};
use std::ffi::OsStr;
use std::process::Child;
use std::time::{Duration, Instant};

/// One attempt.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: Job,
    pub(super) attempt: u32,
    /// Of its first process, which leads its group if it has a sandbox.
    pub(super) pid: u32,
    pub(super) began: Instant,
    pub(super) timeout: Option<Duration>,
    /// `None` where it has our streams, our folders and our process group.
    pub(super) sandbox: Option<Sandbox>,
    pub(super) stage: Stage,
    /// How its first process ended.
    pub(super) ended: Option<Ended>,
    /// It has been, and its group is empty: the number may be another's by now.
    pub(super) is_number_free: bool,
    /// Why it was stopped.
    pub(super) verdict: Option<Ending>,
    /// Processes that outlived the first one and were stopped.
    pub(super) stopped: u32,
    /// The most that it was seen to use.
    pub(super) memory: Option<u64>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Runs,
    /// Its first process is over, others of its group are not. They may be about to end.
    Outlived {
        until: Instant,
    },
    /// All its processes were told to end.
    Told {
        until: Instant,
    },
    /// They were killed, and it is looked again whether they are gone.
    Killed {
        again: Instant,
        give_up: Instant,
    },
}

/// How long what outlives a job's first process may take to end by itself.
const LEAVING: Duration = Duration::from_millis(100);

/// How often it is looked whether those are gone whose end nobody tells us.
const LOOK: Duration = Duration::from_millis(20);

/// How long a killed process may take. One that takes longer hangs in the kernel.
const GIVE_UP: Duration = Duration::from_secs(5);

/// What a job's next step needs to know.
pub(super) struct World<'a> {
    pub(super) now: Instant,
    pub(super) grace: Duration,
    pub(super) session: &'a str,
    pub(super) children: &'a Children,
    pub(super) scan: Scan,
}

/// Starts an attempt's first process.
pub(super) fn start(starter: &Starter, job: &Job, sandbox: Option<&Sandbox>) -> Result<Child, ChildError> {
    let own = job
        .env
        .iter()
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let folders = sandbox.into_iter().flat_map(Sandbox::variables);
    let variables = folders.map(|(name, value)| (OsStr::new(name), value)).chain(own);
    let streams = sandbox.map_or(Streams::Ours, |sandbox| Streams::Log(&sandbox.log.file));
    starter.start(&job.command, variables, job.cwd.as_deref(), &streams)
}

impl Running {
    /// An attempt whose first process has this number since then.
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
            is_number_free: false,
            verdict: None,
            stopped: 0,
            memory: None,
        }
    }

    /// Tells all its processes to end. How its first one ended, if it has, stays what the job came to.
    pub(super) fn stop(&mut self, why: Ending, world: &mut World<'_>) {
        if self.ended.is_none() {
            self.verdict.get_or_insert(why);
        }
        if matches!(self.stage, Stage::Runs | Stage::Outlived { .. }) {
            if self.ended.is_some() && self.sandbox.is_some() {
                self.stopped = world.scan.in_group(self.pid);
            }
            self.send(Sent::Stop, world);
            self.stage = Stage::Told {
                until: world.now + world.grace,
            };
        }
    }

    /// Ends all its processes.
    pub(super) fn kill(&mut self, world: &mut World<'_>) {
        self.send(Sent::Kill, world);
        self.stage = Stage::Killed {
            again: world.now + LOOK,
            give_up: match self.stage {
                Stage::Killed { give_up, .. } => give_up,
                _ => world.now + GIVE_UP,
            },
        };
    }

    /// Does what is due. Returns whether it is over.
    pub(super) fn advance(&mut self, world: &mut World<'_>) -> bool {
        let now = world.now;
        match self.stage {
            Stage::Runs if self.ended.is_some() => {
                if self.sandbox.is_none() || !self.has_company(world) {
                    return true;
                }
                self.stage = Stage::Outlived { until: now + LEAVING };
            }
            Stage::Runs => {
                if let Some(limit) = self.timeout.filter(|limit| now >= self.began + *limit) {
                    self.stop(Ending::TimedOut { limit }, world);
                }
            }
            Stage::Outlived { until } => {
                if !self.has_company(world) {
                    return true;
                }
                if now >= until {
                    self.stopped = world.scan.in_group(self.pid);
                    self.send(Sent::Stop, world);
                    self.stage = Stage::Told {
                        until: now + world.grace,
                    };
                }
            }
            Stage::Told { until } => {
                if self.is_gone(world) {
                    return true;
                }
                if now >= until {
                    self.kill(world);
                }
            }
            Stage::Killed { again, give_up } => {
                if self.is_gone(world) || now >= give_up {
                    return true;
                }
                if now >= again {
                    self.kill(world);
                }
            }
        }
        false
    }

    /// When it has to be looked at again, whatever happens.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self.stage {
            Stage::Runs => Some(self.began + self.timeout?),
            Stage::Outlived { until } => Some(until.min(now + LOOK)),
            // Its strays are not our children, so nobody tells of their end.
            Stage::Told { until } if self.ended.is_some() => Some(until.min(now + LOOK)),
            Stage::Told { until } => Some(until),
            Stage::Killed { again, .. } => Some(again),
        }
    }

    /// The living in its group besides the first process.
    fn has_company(&self, world: &mut World<'_>) -> bool {
        // The second look tells the living from those that wait for being waited for.
        world.children.has_group(self.pid) && (!HAS_TABLE || world.scan.in_group(self.pid) > 0)
    }

    fn is_gone(&mut self, world: &mut World<'_>) -> bool {
        if self.ended.is_none() {
            return false;
        }
        if HAS_TABLE {
            self.members(world).is_empty()
        } else {
            self.sandbox.is_none() || !world.children.has_group(self.pid)
        }
    }

    fn members(&mut self, world: &mut World<'_>) -> Vec<u32> {
        self.is_number_free |= self.ended.is_some() && !world.children.has_group(self.pid);
        let leader = (!self.is_number_free).then_some(self.pid);
        let name = self.sandbox.as_ref().map_or("", |sandbox| &sandbox.name);
        world.scan.of_job(leader, world.session, name)
    }

    fn send(&mut self, sent: Sent, world: &mut World<'_>) {
        let members = self.members(world);
        if self.sandbox.is_some() {
            if !self.is_number_free {
                world.children.tell(Whom::Group(self.pid), sent);
            }
        } else if self.ended.is_none() {
            world.children.tell(Whom::Process(self.pid), sent);
        }
        for pid in members {
            let in_group =
                self.sandbox.is_some() && processes::one(pid).is_some_and(|one| one.group == self.pid);
            if !in_group && pid != self.pid {
                world.children.tell(Whom::Process(pid), sent);
            }
        }
    }
}

/// Whether there is a table of processes, so that those are found which left their group.
const HAS_TABLE: bool = cfg!(target_os = "linux");
