//! Starts what may be started, waits for whatever comes first, and keeps the limits.

use super::children::{Children, Sent, Told, Whom};
use super::event::{Ending, Event, Hold, Tally, Why};
use super::job::Job;
use super::memory_limits::{SAMPLE, Scales};
use super::options::{Options, Place};
use super::policy::OnError;
use super::queue::{Queue, Waiting};
use super::rate::Rate;
use super::running::{self, Running, World};
use super::sandbox::{Sandbox, Sandboxes};
use super::shortage::{self, Shortage};
use crate::child::Ended;
use crate::child::Starter;
use crate::processes::{self, Scan};
use std::io;
use std::time::{Duration, Instant};

/// So often there is time for what could wait, however much happens.
const REST: Duration = Duration::from_secs(1);

/// Signals that may come twice are one within this time.
const ONE_EVENT: Duration = Duration::from_millis(500);

/// What is there after an attempt.
#[derive(Default)]
struct Left {
    took: Duration,
    sandbox: Option<Sandbox>,
    stopped: u32,
    memory: Option<u64>,
}

pub(super) struct Pool<'a> {
    options: &'a Options,
    source: &'a mut dyn Iterator<Item = Job>,
    out: &'a mut dyn FnMut(&Event),
    starter: Starter,
    children: Children,
    /// The guard, which is one of our children, as long as it lives.
    guard: Option<u32>,
    queue: Queue,
    rate: Option<Rate>,
    scales: Scales,
    sandboxes: Option<Sandboxes>,
    running: Vec<Running>,
    tally: Tally,
    hold: Option<Hold>,
    /// The system has no room for a job more until one ends.
    is_full: bool,
    /// How many jobs the limit of open files has room for.
    room: usize,
    /// What was already said to be short.
    short: Vec<Shortage>,
    /// When a signal first came that would end us.
    signalled: Option<Instant>,
    /// When the next start, or the next look at memory, is due.
    next: Option<Instant>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        options: &'a Options,
        source: &'a mut dyn Iterator<Item = Job>,
        out: &'a mut dyn FnMut(&Event),
    ) -> io::Result<Self> {
        Ok(Self {
            options,
            source,
            out,
            starter: Starter::new(options.variables.clone()),
            children: Children::new(matches!(options.place, Place::Folders(_)))?,
            guard: None,
            signalled: None,
            queue: Queue::new(options.groups.clone()),
            rate: options.interval.and_then(Rate::new),
            scales: Scales::new(),
            sandboxes: match &options.place {
                Place::Foreground => None,
                Place::Folders(folders) => Some(Sandboxes::new(folders)),
            },
            running: Vec::new(),
            tally: Tally::default(),
            hold: None,
            is_full: false,
            room: usize::MAX,
            short: Vec::new(),
            next: None,
        })
    }

    pub(super) fn run(mut self, guard: Option<u32>) -> io::Result<Tally> {
        self.guard = guard;
        if self.sandboxes.is_some() {
            self.room = shortage::room();
        }
        let mut told = Vec::new();
        let mut rested = now();
        loop {
            self.start_what_may();
            if self.running.is_empty() && self.next.is_none() {
                return Ok(self.tally);
            }
            let now = now();
            let due = self.running.iter().filter_map(|running| running.due(now));
            let due = due.chain(self.next).chain(self.weigh_due(now)).min();
            let longest = due.map(|due| due.saturating_duration_since(now));
            told.clear();
            self.children.wait(longest, &mut told)?;
            if told.is_empty() || now >= rested + REST {
                rested = now;
                (self.out)(&Event::Rest);
            }
            for told in &told {
                self.hear(told);
            }
            self.weigh();
            self.advance();
        }
    }

    // --- starting ---------------------------------------------------------------------------------------------

    fn start_what_may(&mut self) {
        self.next = None;
        while self.tally.stopped.is_none() && !self.is_full && self.running.len() < self.options.ceiling.get()
        {
            if self.running.len() >= self.room {
                return self.tell_short(Shortage::Files);
            }
            while !self.queue.is_ready() {
                // Of rounds without an end one may wait for its group, and not all of them.
                if self.is_endless() && !self.queue.is_empty() {
                    return;
                }
                let Some(job) = self.source.next() else { return };
                self.queue.push(Waiting { job, attempt: 1 });
            }
            if self.is_held() {
                self.next = Some(now() + SAMPLE);
                return;
            }
            if let Some(rate) = &self.rate
                && let Err(wait) = rate.take()
            {
                self.next = Some(now() + wait);
                return;
            }
            if let Some(waiting) = self.queue.pop() {
                self.start(waiting);
            }
        }
    }

    /// One job may always run: it could be what frees the memory.
    fn is_held(&mut self) -> bool {
        let hold = if self.running.is_empty() {
            None
        } else {
            self.scales.hold(self.options, now())
        };
        match (self.hold, hold) {
            (None, Some(why)) => (self.out)(&Event::Held { why }),
            (Some(_), None) => (self.out)(&Event::Released),
            _ => {}
        }
        self.hold = hold;
        hold.is_some()
    }

    fn start(&mut self, Waiting { job, attempt }: Waiting) {
        let sandbox = self.sandboxes.as_mut().map(|all| all.make(&job, attempt));
        let sandbox = match sandbox.transpose() {
            Ok(sandbox) => sandbox,
            Err(error) => {
                let (text, short) = (error.to_string(), Shortage::of(&error.source));
                return self.not_started(Waiting { job, attempt }, None, text, short);
            }
        };
        let began = now();
        match running::start(&self.starter, &job, sandbox.as_ref()) {
            Ok(child) => {
                let pid = child.id();
                self.children.take(&mut Some(child));
                (self.out)(&Event::Started {
                    job: job.id,
                    name: job.name.clone(),
                    group: job.group.clone(),
                    attempt,
                    pid,
                    log: sandbox.as_ref().map(|sandbox| sandbox.log.path.clone()),
                });
                let timeout = job.timeout.or(self.options.timeout);
                let running = Running::new(job, attempt, sandbox, timeout, (pid, began));
                self.running.push(running);
                let at_once = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
                self.tally.most_at_once = self.tally.most_at_once.max(at_once);
            }
            Err(error) => {
                let (text, short) = (error.to_string(), Shortage::of(&error.source));
                self.not_started(Waiting { job, attempt }, sandbox, text, short);
            }
        }
    }

    /// For want of what another job will give back it waits; else it has failed.
    fn not_started(
        &mut self,
        Waiting { job, attempt }: Waiting,
        sandbox: Option<Sandbox>,
        mut error: String,
        short: Option<Shortage>,
    ) {
        if let Some(short) = short {
            if !self.running.is_empty() {
                self.queue.ended(job.group.as_deref());
                self.queue.push_front(Waiting { job, attempt });
                self.is_full = true;
                return self.tell_short(short);
            }
            error = format!("{error}: {}", short.text());
        }
        let left = Left {
            sandbox,
            ..Left::default()
        };
        self.over(job, attempt, Ending::NotStarted { error }, left);
    }

    fn tell_short(&mut self, of: Shortage) {
        if !self.short.contains(&of) {
            self.short.push(of);
            let at_once = self.running.len();
            (self.out)(&Event::Short { of, at_once });
        }
    }

    pub(super) fn tell(&mut self, event: &Event) {
        (self.out)(event);
    }

    // --- what comes -------------------------------------------------------------------------------------------

    fn hear(&mut self, told: &Told) {
        match *told {
            Told::Ended { pid, ended } => {
                self.is_full = false;
                self.guard.take_if(|guard| *guard == pid);
                // Of one that a job left to us there is nothing to note.
                let first = |running: &&mut Running| running.pid == pid && running.ended.is_none();
                if let Some(running) = self.running.iter_mut().find(first) {
                    running.ended = Some(ended);
                }
            }
            Told::Signal {
                number,
                from_terminal,
                may_come_twice,
            } => {
                let before = self.signalled;
                self.signalled = before.or_else(|| Some(now()));
                let is_another = |before: Instant| !may_come_twice || before.elapsed() >= ONE_EVENT;
                match self.options.place {
                    Place::Foreground => {
                        // The terminal's own signals reach the job as they reach us; once more would be twice.
                        for running in self
                            .running
                            .iter()
                            .filter(|running| running.ended.is_none() && !from_terminal)
                        {
                            self.children
                                .tell(Whom::Process(running.pid), Sent::Signal(number));
                        }
                    }
                    Place::Folders(_) if self.tally.stopped.is_none() => self.stop_all(Why::Signal(number)),
                    // Asked twice: at once.
                    Place::Folders(_) if before.is_some_and(is_another) => {
                        self.each(|running, world| running.kill(world));
                    }
                    Place::Folders(_) => {}
                }
            }
        }
    }

    fn stop_all(&mut self, why: Why) {
        self.tally.stopped = Some(why);
        (self.out)(&Event::Stopping { why });
        self.each(|running, world| running.stop(Ending::Cancelled, world));
        let mut left = self.queue.drain();
        if !self.is_endless() {
            left.extend(&mut *self.source);
        }
        for job in left {
            self.tally.cancelled += 1;
            (self.out)(&Event::Dropped {
                job: job.id,
                name: job.name,
                group: job.group,
            });
        }
    }

    /// Whether the source cannot be emptied.
    fn is_endless(&self) -> bool {
        self.source.size_hint().1.is_none()
    }

    fn each(&mut self, mut does: impl FnMut(&mut Running, &mut World<'_>)) {
        let mut world = World {
            now: now(),
            grace: self.options.grace,
            session: &self.options.session,
            children: &self.children,
            scan: Scan::default(),
        };
        for running in &mut self.running {
            does(running, &mut world);
        }
    }

    fn advance(&mut self) {
        let mut over = Vec::new();
        let mut index = 0;
        self.each(|running, world| {
            if running.advance(world) {
                over.push(index);
            }
            index += 1;
        });
        // All at once: what the end of the first one means for those that run is not meant for the others.
        let over = over.into_iter().rev();
        let over: Vec<Running> = over.map(|index| self.running.swap_remove(index)).collect();
        for running in over.into_iter().rev() {
            self.leave(running);
        }
    }

    fn leave(&mut self, running: Running) {
        self.is_full = false;
        let Running {
            job,
            attempt,
            began,
            mut sandbox,
            ended,
            verdict,
            stopped,
            memory,
            ..
        } = running;
        let ending = match (verdict, ended) {
            (Some(verdict), _) => verdict,
            (None, Some(Ended::Passed)) => Ending::Passed,
            (None, Some(Ended::Failed { code, signal })) => Ending::Failed {
                code,
                signal,
                critical: self.is_critical(code, sandbox.as_mut()),
            },
            // Killed, and still not gone.
            (None, None) => Ending::Cancelled,
        };
        let left = Left {
            took: began.elapsed(),
            sandbox,
            stopped,
            memory,
        };
        self.over(job, attempt, ending, left);
    }

    fn is_critical(&self, code: u8, sandbox: Option<&mut Sandbox>) -> bool {
        let policy = &self.options.policy;
        let critical = &policy.critical;
        if policy.on_error != OnError::StopCritical {
            return false;
        }
        let wrote = || match (&critical.pattern, sandbox) {
            (Some(pattern), Some(sandbox)) => sandbox.log.matches(pattern),
            _ => false,
        };
        critical.codes.contains(&code) || wrote()
    }

    fn over(&mut self, job: Job, attempt: u32, ending: Ending, left: Left) {
        let Left {
            took,
            sandbox,
            stopped,
            memory,
        } = left;
        self.queue.ended(job.group.as_deref());
        let may_again = match ending {
            Ending::Passed | Ending::Cancelled | Ending::NotStarted { .. } => false,
            Ending::Failed { critical, .. } => !critical,
            _ => true,
        };
        let again = may_again
            && self.tally.stopped.is_none()
            && self.signalled.is_none()
            && attempt <= job.retries.unwrap_or(self.options.retries);
        let (log, written) = match (&mut self.sandboxes, sandbox) {
            (Some(all), Some(sandbox)) => {
                // Whoever was left behind became our child.
                let known = self.running.iter().filter(|running| running.ended.is_none());
                let known = known.count() + usize::from(self.guard.is_some());
                let alone = stopped == 0 && processes::children().is_some_and(|children| children <= known);
                all.close(sandbox, alone)
            }
            _ => (None, 0),
        };
        (self.out)(&Event::Ended {
            job: job.id,
            name: job.name.clone(),
            group: job.group.clone(),
            attempt,
            ending: ending.clone(),
            took,
            log,
            written,
            stopped,
            memory,
            again,
        });
        if again {
            let attempt = attempt + 1;
            return self.queue.push_front(Waiting { job, attempt });
        }
        match ending {
            Ending::Passed => self.tally.passed += 1,
            Ending::Cancelled => self.tally.cancelled += 1,
            _ => self.tally.failed += 1,
        }
        if self.tally.stopped.is_none()
            && let Some(why) = self.options.policy.after(job.id, &ending, self.tally.failed)
        {
            self.stop_all(why);
        }
    }

    fn weigh_due(&self, now: Instant) -> Option<Instant> {
        let due = self.scales.due(self.options, now);
        due.filter(|_| !self.running.is_empty())
    }

    fn weigh(&mut self) {
        let now = now();
        if self.weigh_due(now).is_some_and(|due| now >= due) {
            let mut world = World {
                now,
                grace: self.options.grace,
                session: &self.options.session,
                children: &self.children,
                scan: Scan::default(),
            };
            self.scales.weigh(self.options, &mut self.running, &mut world);
        }
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "limits of time are kept here")]
    Instant::now()
}
