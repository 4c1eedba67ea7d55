//! Waits for each child on a thread of its own. Process groups and signals are unknown here: Ctrl-C ends this process
//! together with the job.

use super::{ChildEvent, SignalTarget, StopSignal};
use crate::spawn::Ended;
use std::collections::HashMap;
use std::io;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Waits for all children that were handed to [`add`](Self::add).
pub(in crate::executor) struct Children {
    events: (Sender<ChildEvent>, Receiver<ChildEvent>),
    running: HashMap<u32, Arc<Mutex<Child>>>,
}

/// The time between two polls of a child. A blocking wait would hold its lock, so that it could not be killed.
const TICK: Duration = Duration::from_millis(10);

impl Children {
    pub(in crate::executor) fn new(_adopts: bool) -> io::Result<Self> {
        Ok(Self {
            events: channel(),
            running: HashMap::new(),
        })
    }

    pub(in crate::executor) fn add(&mut self, child: Child) {
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        self.running.insert(pid, Arc::clone(&child));
        let sender = self.events.0.clone();
        thread::spawn(move || {
            let (_alive, tick) = channel::<()>();
            let status = loop {
                let polled = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
                match polled {
                    Ok(Some(status)) => break status.code(),
                    Ok(None) => _ = tick.recv_timeout(TICK),
                    Err(_) => break None,
                }
            };
            let ended = Ended::new(status, None);
            let _ = sender.send(ChildEvent::Ended { pid, ended });
        });
    }

    pub(in crate::executor) fn wait(
        &mut self,
        longest: Option<Duration>,
        events: &mut Vec<ChildEvent>,
    ) -> io::Result<()> {
        let longest = longest.unwrap_or(Duration::from_secs(1));
        match self.events.1.recv_timeout(longest) {
            Ok(first) => events.push(first),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        events.extend(self.events.1.try_iter());
        for event in events {
            if let ChildEvent::Ended { pid, .. } = event {
                self.running.remove(pid);
            }
        }
        Ok(())
    }

    /// Kills the process: there is no other signal here.
    pub(in crate::executor) fn send(&self, target: SignalTarget, _signal: StopSignal) {
        let (SignalTarget::Process(pid) | SignalTarget::Group(pid)) = target;
        if let Some(child) = self.running.get(&pid) {
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
        }
    }

    pub(in crate::executor) fn has_group(&self, _leader: u32) -> bool {
        false
    }
}
