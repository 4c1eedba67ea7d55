//! A thread for each child that waits for it. Groups and signals are unknown here: Ctrl-C ends us with the job.

use super::{Sent, Told, Whom};
use crate::child;
use std::collections::HashMap;
use std::io;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Every child that was handed over is waited for here.
pub(in crate::executor) struct Children {
    ended: (Sender<Told>, Receiver<Told>),
    running: HashMap<u32, Arc<Mutex<Child>>>,
}

/// How often a child is asked whether it is over: while it is asked it cannot be killed.
const TICK: Duration = Duration::from_millis(10);

impl Children {
    pub(in crate::executor) fn new(_adopts: bool) -> io::Result<Self> {
        Ok(Self {
            ended: channel(),
            running: HashMap::new(),
        })
    }

    pub(in crate::executor) fn take(&mut self, child: &mut Option<Child>) {
        let Some(child) = child.take() else { return };
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        self.running.insert(pid, Arc::clone(&child));
        let sender = self.ended.0.clone();
        thread::spawn(move || {
            let (_alive, tick) = channel::<()>();
            let status = loop {
                let asked = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
                match asked {
                    Ok(Some(status)) => break status.code(),
                    Ok(None) => _ = tick.recv_timeout(TICK),
                    Err(_) => break None,
                }
            };
            let ended = child::ended(status, None);
            let _ = sender.send(Told::Ended { pid, ended });
        });
    }

    pub(in crate::executor) fn wait(
        &mut self,
        longest: Option<Duration>,
        told: &mut Vec<Told>,
    ) -> io::Result<()> {
        let longest = longest.unwrap_or(Duration::from_secs(1));
        match self.ended.1.recv_timeout(longest) {
            Ok(first) => told.push(first),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        told.extend(self.ended.1.try_iter());
        for one in told {
            if let Told::Ended { pid, .. } = one {
                self.running.remove(pid);
            }
        }
        Ok(())
    }

    /// There is but one way to end a process here.
    pub(in crate::executor) fn tell(&self, whom: Whom, _sent: Sent) {
        let (Whom::Process(pid) | Whom::Group(pid)) = whom;
        if let Some(child) = self.running.get(&pid) {
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
        }
    }

    pub(in crate::executor) fn has_group(&self, _leader: u32) -> bool {
        false
    }
}
