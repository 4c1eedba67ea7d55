//! Weighs the jobs that run, holds starts back while memory is short, and stops who goes over a limit.

use super::event::{Ending, Hold};
use super::memory::{Available, Reading, resident, shares};
use super::options::Options;
use super::running::{Running, World};
use std::time::{Duration, Instant};

/// How often memory and output are looked at while they are limited.
pub(super) const SAMPLE: Duration = Duration::from_millis(100);

pub(super) struct Scales {
    available: Available,
    /// What the machine had left, and when it was looked.
    looked: Option<(Instant, Option<u64>)>,
    /// When the jobs were weighed.
    weighed: Option<Instant>,
    /// What they weighed together.
    used: u64,
}

impl Scales {
    pub(super) fn new() -> Self {
        Self {
            available: Available::new(),
            looked: None,
            weighed: None,
            used: 0,
        }
    }

    /// Whether nothing more may be started, going by what was true a moment ago at most.
    pub(super) fn hold(&mut self, options: &Options, now: Instant) -> Option<Hold> {
        let limits = &options.memory;
        if limits.keep_free == 0 && limits.in_all.is_none() {
            return None;
        }
        let known = self.looked.filter(|(at, _)| now < *at + SAMPLE);
        let (_, available) = *self
            .looked
            .insert(known.unwrap_or_else(|| (now, self.available.bytes())));
        let used = self.used;
        Reading { available, used }.hold(limits)
    }

    /// When the jobs have to be weighed next, if they are limited.
    pub(super) fn due(&self, options: &Options, now: Instant) -> Option<Instant> {
        let memory = &options.memory;
        let is_limited = memory.job.is_some() || memory.in_all.is_some() || options.output.is_some();
        is_limited.then(|| self.weighed.map_or(now, |at| at + SAMPLE))
    }

    /// Weighs them, and stops those that are over a limit.
    pub(super) fn weigh(&mut self, options: &Options, running: &mut [Running], world: &mut World<'_>) {
        self.weighed = Some(world.now);
        if let Some(limit) = options.output {
            for running in &mut *running {
                let written = running
                    .sandbox
                    .as_ref()
                    .map_or(0, |sandbox| sandbox.log.written());
                if written > limit {
                    running.stop(Ending::OverOutput { written, limit }, world);
                }
            }
        }
        let memory = &options.memory;
        if memory.job.is_none() && memory.in_all.is_none() {
            return;
        }
        // Shared pages are counted for each that has them, so this is the most that it can be.
        let mut weights: Vec<u64> = running
            .iter()
            .map(|running| resident(world.scan.all(), running.pid))
            .collect();
        let is_over_in_all = memory
            .in_all
            .is_some_and(|limit| weights.iter().sum::<u64>() > limit);
        for (running, weight) in running.iter_mut().zip(&mut weights) {
            let is_over = memory.job.is_some_and(|limit| *weight > limit);
            if is_over || is_over_in_all {
                *weight = shares(world.scan.all(), running.pid);
            }
            running.memory = running.memory.max(Some(*weight));
            if let Some(limit) = memory.job.filter(|limit| *weight > *limit) {
                running.stop(Ending::OverMemory { used: *weight, limit }, world);
            }
        }
        self.used = weights.iter().sum();
        let heaviest = running.iter_mut().zip(weights).max_by_key(|(_, weight)| *weight);
        if let (Some(limit), Some((heaviest, _))) = (memory.in_all, heaviest)
            && self.used > limit
        {
            let used = self.used;
            heaviest.stop(Ending::OverMemoryInAll { used, limit }, world);
        }
    }
}
