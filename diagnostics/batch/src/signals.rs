//! The signals that end this process, and the time in which a session handles them itself.

use crate::proc::ignored_signals;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// The signals that end this process. Signals that were ignored at its start are not among them: under `nohup`, closing
/// the terminal must end nothing, and neither must Ctrl-C in a script's background job.
static ENDING: LazyLock<Vec<i32>> = LazyLock::new(|| {
    let ignored = ignored_signals();
    let mut all = vec![SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    all.retain(|signal| ignored >> (signal - 1) & 1 == 0);
    all
});

/// Whether these signals have their default effect. A handler stays installed after the session that needed it, and
/// would otherwise swallow the signal.
static HAS_DEFAULT_EFFECT: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let has_default_effect = Arc::new(AtomicBool::new(false));
    for signal in ENDING.iter() {
        // If it fails, the signal is swallowed after the session: no reason to refuse the session.
        let _ = flag::register_conditional_default(*signal, Arc::clone(&has_default_effect));
    }
    has_default_effect
});

/// Makes a write beyond the file size limit (`ulimit -f`) fail with an error instead of ending this process.
///
/// A handler does this, not the disposition "ignored": handlers do not survive `exec`, so commands start with the
/// disposition that this process was started with.
pub fn fail_large_writes() {
    if ignored_signals() >> (SIGXFSZ - 1) & 1 == 0 {
        // If it fails, such a write ends the process, as before.
        let _ = flag::register(SIGXFSZ, Arc::default());
    }
}

/// The number of scopes: a command may run within one.
static SCOPES: AtomicUsize = AtomicUsize::new(0);

/// A scope in which signals end this process only if its own handler decides so.
#[derive(Debug)]
pub struct SignalScope(());

impl SignalScope {
    pub fn enter() -> Self {
        SCOPES.fetch_add(1, Ordering::SeqCst);
        HAS_DEFAULT_EFFECT.store(false, Ordering::SeqCst);
        Self(())
    }

    /// Returns the signals to handle.
    pub fn signals(&self) -> &'static [i32] {
        &ENDING
    }
}

impl Drop for SignalScope {
    fn drop(&mut self) {
        if SCOPES.fetch_sub(1, Ordering::SeqCst) == 1 {
            HAS_DEFAULT_EFFECT.store(true, Ordering::SeqCst);
        }
    }
}
