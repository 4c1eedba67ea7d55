//! Signals that would end this process, while somebody listens to them, and afterwards.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

/// Those that end us. One that is ignored since before we were started is not among them: under `nohup` a closed
/// terminal ends nobody, and in the background of a script Ctrl-C does not.
static ENDING: LazyLock<Vec<i32>> = LazyLock::new(|| {
    let ignored = ignored();
    let mut all = vec![SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    all.retain(|signal| ignored >> (signal - 1) & 1 == 0);
    all
});

/// Whether they do so: a handler stays when nobody is left whom it tells, and would swallow them.
static IS_MORTAL: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let is_mortal = Arc::new(AtomicBool::new(false));
    for signal in ENDING.iter() {
        // Refused, the signal would be swallowed later on: no reason to do nothing now.
        let _ = flag::register_conditional_default(*signal, Arc::clone(&is_mortal));
    }
    is_mortal
});

/// Makes a write beyond the limit of file sizes (`ulimit -f`) fail with an error instead of ending this process.
///
/// It is done by a handler and not by ignoring the signal: a handler does not outlive `exec`, so commands find the
/// signal as this process found it.
pub fn fail_large_writes() {
    if ignored() >> (SIGXFSZ - 1) & 1 == 0 {
        // Where it is refused, such a write ends the process, as before.
        let _ = flag::register(SIGXFSZ, Arc::default());
    }
}

/// Until it is dropped, signals end this process only if whoever listens to them does so. One at a time.
#[derive(Debug)]
pub struct Heard(());

impl Heard {
    pub fn new() -> Self {
        IS_MORTAL.store(false, Ordering::SeqCst);
        Self(())
    }

    /// What is to be listened to.
    #[expect(clippy::unused_self, reason = "who listens without it is ended all the same")]
    pub fn signals(&self) -> &'static [i32] {
        &ENDING
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        IS_MORTAL.store(true, Ordering::SeqCst);
    }
}

/// A bit for each signal, the lowest for the first; none where the system does not tell.
fn ignored() -> u64 {
    let told = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
