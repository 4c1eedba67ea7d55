//! Starts jobs as the limits permit, waits for the next event, and applies the limits.

use super::JobSource;
use super::children::{ChildEvent, Children, SignalTarget, StopSignal};
use super::job::Job;
use super::job_event::{AttemptOutcome, Event, MemoryHold, StopReason, Tally};
use super::memory_limits::{MemoryMonitor, SAMPLE};
use super::options::{Options, Placement};
use super::policy::OnError;
use super::queue::{Queue, QueuedJob};
use super::rate::StartLimiter;
use super::running::{self, RunningJob, StepContext};
use super::sandbox::{Sandbox, Sandboxes};
use super::shortage::{self, Shortage};
use crate::proc;
use crate::processes::ProcessTable;
use crate::spawn::{Ended, Starter};
use std::io;
use std::time::{Duration, Instant};

/// The longest time between two idle events, however much happens.
const IDLE: Duration = Duration::from_secs(1);

/// The time within which two signals that may come twice count as one.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// The remains of an attempt.
#[derive(Default)]
struct EndedAttempt {
    duration: Duration,
    sandbox: Option<Sandbox>,
    stopped_processes: u32,
    memory: Option<u64>,
}

pub(super) struct Pool<'a> {
    options: &'a Options,
    source: &'a mut dyn JobSource,
    starter: Starter,
    children: Children,
    /// The guard, which is a child of this process, while it runs.
    guard: Option<u32>,
    queue: Queue,
    rate: Option<StartLimiter>,
    memory: MemoryMonitor,
    sandboxes: Option<Sandboxes>,
    running: Vec<RunningJob>,
    tally: Tally,
    hold: Option<MemoryHold>,
    /// The system permits no further job until one ends.
    is_full: bool,
    /// The number of jobs that the limit of open files permits.
    max_by_open_files: usize,
    /// The shortages that were already reported.
    reported: Vec<Shortage>,
    /// The first signal that would have ended this process.
    signalled: Option<Instant>,
    /// The time of the next start, or of the next look at memory.
    next: Option<Instant>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(options: &'a Options, source: &'a mut dyn JobSource) -> io::Result<Self> {
        let sandboxes = match &options.placement {
            Placement::Foreground => None,
            Placement::Sandboxed(dirs) => Some(Sandboxes::new(dirs)),
        };
        Ok(Self {
            options,
            source,
            starter: Starter::new(options.variables.clone()),
            children: Children::new(sandboxes.is_some())?,
            guard: None,
            signalled: None,
            queue: Queue::new(options.groups.clone()),
            rate: options.interval.and_then(StartLimiter::new),
            memory: MemoryMonitor::new(options.memory),
            sandboxes,
            running: Vec::new(),
            tally: Tally::default(),
            hold: None,
            is_full: false,
            max_by_open_files: usize::MAX,
            reported: Vec::new(),
            next: None,
        })
    }

    pub(super) fn run(mut self, guard: Option<u32>) -> io::Result<Tally> {
        self.guard = guard;
        if self.sandboxes.is_some() {
            // Counted here, because by now the guard's pipe is open.
            self.max_by_open_files = shortage::max_jobs_by_open_files();
        }
        let mut events = Vec::new();
        let mut last_idle = now();
        loop {
            self.start_jobs();
            if self.running.is_empty() && self.next.is_none() {
                return Ok(self.tally);
            }
            let now = now();
            let due = self.running.iter().filter_map(|running| running.due(now));
            let due = due.chain(self.next).chain(self.measurement_due(now)).min();
            let longest = due.map(|due| due.saturating_duration_since(now));
            events.clear();
            self.children.wait(longest, &mut events)?;
            if events.is_empty() || now >= last_idle + IDLE {
                last_idle = now;
                self.report(&Event::Idle);
            }
            for event in &events {
                self.handle(event);
            }
            self.measure();
            self.advance();
        }
    }

    pub(super) fn report(&mut self, event: &Event) {
        self.source.observe(event);
    }

    // --- starting ---------------------------------------------------------------------------------------------

    fn start_jobs(&mut self) {
        self.next = None;
        while self.tally.stopped.is_none() && !self.is_full && self.running.len() < self.options.at_once.get()
        {
            if self.running.len() >= self.max_by_open_files {
                return self.report_shortage(Shortage::Files);
            }
            while !self.queue.is_ready() {
                // Of endless rounds, one may wait for its group, but not all of them.
                if self.source.is_endless() && !self.queue.is_empty() {
                    return;
                }
                let Some(job) = self.source.next_job() else { return };
                self.queue.push(QueuedJob { job, attempt: 1 });
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
            if let Some(queued) = self.queue.pop() {
                self.start(queued);
            }
        }
    }

    /// Returns whether a shortage of memory forbids the next start. One job may always run: it may be the one that frees
    /// the memory.
    fn is_held(&mut self) -> bool {
        let hold = if self.running.is_empty() {
            None
        } else {
            self.memory.hold(now())
        };
        match (self.hold, hold) {
            (None, Some(reason)) => self.report(&Event::StartsPaused { reason }),
            (Some(_), None) => self.report(&Event::StartsResumed),
            _ => {}
        }
        self.hold = hold;
        hold.is_some()
    }

    fn start(&mut self, QueuedJob { job, attempt }: QueuedJob) {
        let sandbox = self.sandboxes.as_mut().map(|all| all.make(&job, attempt));
        let sandbox = match sandbox.transpose() {
            Ok(sandbox) => sandbox,
            Err(error) => {
                let (text, shortage) = (error.to_string(), Shortage::of(&error.source));
                return self.not_started(QueuedJob { job, attempt }, None, text, shortage);
            }
        };
        let began = now();
        match running::start(&self.starter, &job, sandbox.as_ref()) {
            Ok(child) => {
                let pid = child.id();
                self.children.add(child);
                self.report(&Event::Started {
                    job: job.id,
                    name: job.name.clone(),
                    group: job.group.clone(),
                    attempt,
                    pid,
                    log: sandbox.as_ref().map(|sandbox| sandbox.log.path.clone()),
                });
                let timeout = job.timeout.or(self.options.timeout);
                let running = RunningJob::new(job, attempt, sandbox, timeout, (pid, began));
                self.running.push(running);
                let at_once = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
                self.tally.most_at_once = self.tally.most_at_once.max(at_once);
            }
            Err(error) => {
                let (text, shortage) = (error.to_string(), Shortage::of(&error.source));
                self.not_started(QueuedJob { job, attempt }, sandbox, text, shortage);
            }
        }
    }

    /// Queues the job again if the end of another job can relieve the shortage; otherwise the job has failed.
    fn not_started(
        &mut self,
        QueuedJob { job, attempt }: QueuedJob,
        sandbox: Option<Sandbox>,
        mut error: String,
        shortage: Option<Shortage>,
    ) {
        if let Some(shortage) = shortage {
            if !self.running.is_empty() {
                self.queue.ended(job.group.as_deref());
                self.queue.push_front(QueuedJob { job, attempt });
                self.is_full = true;
                return self.report_shortage(shortage);
            }
            error = format!("{error}: {}", shortage.text());
        }
        let rest = EndedAttempt {
            sandbox,
            ..EndedAttempt::default()
        };
        self.end(job, attempt, AttemptOutcome::NotStarted { error }, rest);
    }

    fn report_shortage(&mut self, shortage: Shortage) {
        if !self.reported.contains(&shortage) {
            self.reported.push(shortage);
            let at_once = self.running.len();
            self.report(&Event::Limited { shortage, at_once });
        }
    }

    // --- events -----------------------------------------------------------------------------------------------

    fn handle(&mut self, event: &ChildEvent) {
        match *event {
            ChildEvent::Ended { pid, ended } => {
                self.is_full = false;
                self.guard.take_if(|guard| *guard == pid);
                // An adopted process needs no more than being waited for.
                let first = |running: &&mut RunningJob| running.pid == pid && running.ended.is_none();
                if let Some(running) = self.running.iter_mut().find(first) {
                    running.ended = Some(ended);
                }
            }
            ChildEvent::Signal {
                number,
                from_terminal,
                may_come_twice,
            } => self.handle_signal(number, from_terminal, may_come_twice),
        }
    }

    fn handle_signal(&mut self, number: i32, from_terminal: bool, may_come_twice: bool) {
        let before = self.signalled;
        self.signalled = before.or_else(|| Some(now()));
        let is_another = |before: Instant| !may_come_twice || before.elapsed() >= ONE_SIGNAL;
        match self.options.placement {
            Placement::Foreground => {
                // The terminal's signals reach the job directly; forwarding them would send them twice.
                let running = self.running.iter();
                for running in running.filter(|running| running.ended.is_none() && !from_terminal) {
                    let target = SignalTarget::Process(running.pid);
                    self.children.send(target, StopSignal::Forward(number));
                }
            }
            Placement::Sandboxed(_) if self.tally.stopped.is_none() => {
                self.stop_all(StopReason::Signal(number));
            }
            // A second request kills at once.
            Placement::Sandboxed(_) if before.is_some_and(is_another) => {
                self.each(|running, context| running.kill(context));
            }
            Placement::Sandboxed(_) => {}
        }
    }

    fn stop_all(&mut self, reason: StopReason) {
        self.tally.stopped = Some(reason);
        self.report(&Event::Stopping { reason });
        self.each(|running, context| running.stop(AttemptOutcome::Cancelled, context));
        let mut left = self.queue.drain();
        if !self.source.is_endless() {
            left.extend(std::iter::from_fn(|| self.source.next_job()));
        }
        for job in left {
            self.tally.cancelled += 1;
            self.report(&Event::Dropped {
                job: job.id,
                name: job.name,
                group: job.group,
            });
        }
    }

    fn advance(&mut self) {
        let mut over = Vec::new();
        let mut index = 0;
        self.each(|running, context| {
            if running.advance(context) {
                over.push(index);
            }
            index += 1;
        });
        // All are removed first: if the end of one stops the session, that must not affect the others that ended.
        let over = over.into_iter().rev();
        let over: Vec<RunningJob> = over.map(|index| self.running.swap_remove(index)).collect();
        for running in over.into_iter().rev() {
            self.leave(running);
        }
    }

    fn leave(&mut self, running: RunningJob) {
        self.is_full = false;
        let RunningJob {
            job,
            attempt,
            began,
            mut sandbox,
            ended,
            verdict,
            stopped_processes,
            memory,
            ..
        } = running;
        let outcome = match (verdict, ended) {
            (Some(verdict), _) => verdict,
            (None, Some(Ended::Passed)) => AttemptOutcome::Passed,
            (None, Some(Ended::Failed { code, signal })) => AttemptOutcome::Failed {
                code,
                signal,
                critical: self.is_critical(code, sandbox.as_mut()),
            },
            // It was killed and given up.
            (None, None) => AttemptOutcome::Cancelled,
        };
        let rest = EndedAttempt {
            duration: began.elapsed(),
            sandbox,
            stopped_processes,
            memory,
        };
        self.end(job, attempt, outcome, rest);
    }

    fn is_critical(&self, code: u8, sandbox: Option<&mut Sandbox>) -> bool {
        let policy = &self.options.policy;
        let critical = &policy.critical;
        if policy.on_error != OnError::StopCritical {
            return false;
        }
        let matches = || match (&critical.pattern, sandbox) {
            (Some(pattern), Some(sandbox)) => sandbox.log.matches(pattern),
            _ => false,
        };
        critical.codes.contains(&code) || matches()
    }

    fn end(&mut self, job: Job, attempt: u32, outcome: AttemptOutcome, rest: EndedAttempt) {
        let EndedAttempt {
            duration,
            sandbox,
            stopped_processes,
            memory,
        } = rest;
        self.queue.ended(job.group.as_deref());
        let may_retry = match outcome {
            AttemptOutcome::Passed | AttemptOutcome::Cancelled | AttemptOutcome::NotStarted { .. } => false,
            AttemptOutcome::Failed { critical, .. } => !critical,
            _ => true,
        };
        let retry = may_retry
            && self.tally.stopped.is_none()
            && self.signalled.is_none()
            && attempt <= job.retries.unwrap_or(self.options.retries);
        let (log, log_bytes) = match (&mut self.sandboxes, sandbox) {
            (Some(all), Some(sandbox)) => {
                // A process that survives its job becomes a child of this process.
                let known = self.running.iter().filter(|running| running.ended.is_none());
                let known = known.count() + usize::from(self.guard.is_some());
                let is_deserted =
                    stopped_processes == 0 && proc::child_count().is_some_and(|children| children <= known);
                all.close(sandbox, is_deserted)
            }
            _ => (None, 0),
        };
        self.report(&Event::Ended {
            job: job.id,
            name: job.name.clone(),
            group: job.group.clone(),
            attempt,
            outcome: outcome.clone(),
            duration,
            log,
            log_bytes,
            stopped_processes,
            memory,
            retry,
        });
        if retry {
            let attempt = attempt + 1;
            return self.queue.push_front(QueuedJob { job, attempt });
        }
        match outcome {
            AttemptOutcome::Passed => self.tally.passed += 1,
            AttemptOutcome::Cancelled => self.tally.cancelled += 1,
            _ => self.tally.failed += 1,
        }
        if self.tally.stopped.is_none()
            && let Some(reason) = self.options.policy.after(job.id, &outcome, self.tally.failed)
        {
            self.stop_all(reason);
        }
    }

    // --- all running jobs -------------------------------------------------------------------------------------

    fn each(&mut self, mut step: impl FnMut(&mut RunningJob, &mut StepContext<'_>)) {
        let mut context = context(self.options, &self.children);
        for running in &mut self.running {
            step(running, &mut context);
        }
    }

    fn measurement_due(&self, now: Instant) -> Option<Instant> {
        self.memory.due(now).filter(|_| !self.running.is_empty())
    }

    fn measure(&mut self) {
        let mut context = context(self.options, &self.children);
        if self
            .measurement_due(context.now)
            .is_some_and(|due| context.now >= due)
        {
            self.memory.measure(&mut self.running, &mut context);
        }
    }
}

fn context<'a>(options: &'a Options, children: &'a Children) -> StepContext<'a> {
    StepContext {
        now: now(),
        grace: options.grace,
        session: &options.session,
        children,
        table: ProcessTable::default(),
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "limits of time are kept here")]
    Instant::now()
}
