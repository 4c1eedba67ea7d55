//! Cleanup at exit: one `atexit` hook, newest first, with a time limit.
//!
//! Statics are never dropped, and no runner tears a test process down, so modules with values that must be dropped at exit
//! register here. At a normal end or `process::exit`, the hook collects these values and drops them, newest first, on a
//! helper thread with a deadline. Values that are not dropped by then are abandoned and named on standard error. Signals,
//! `abort` and `_exit` run nothing; see Limitations in the crate documentation.

use crate::sys::{exit_hook, process, sorted, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// One value to drop.
pub(crate) struct Cleanup {
    /// Newer values have higher numbers (`clock::unique`).
    pub(crate) order: u64,
    pub(crate) what: String,
    pub(crate) run: Box<dyn FnOnce() + Send>,
}

/// Takes the values to drop from the module that registered it. Called once, at exit.
pub(crate) type CleanupSource = fn() -> Vec<Cleanup>;

/// The time limit for all cleanups. A `Drop` that blocks must not hang a passing run.
const LIMIT: Duration = Duration::from_secs(5);

struct Hook {
    pid: u32,
    sources: Mutex<Vec<CleanupSource>>,
}

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Registers a source to be called at exit. Registering it again has no effect.
pub(crate) fn register(source: CleanupSource) {
    let hook = HOOK.get_or_init(|| {
        exit_hook::at_exit(at_exit);
        Hook {
            pid: process::id(),
            sources: Mutex::new(Vec::new()),
        }
    });
    let mut sources = lock(&hook.sources);
    if !sources.iter().any(|known| std::ptr::fn_addr_eq(*known, source)) {
        sources.push(source);
    }
}

extern "C" fn at_exit() {
    let Some(hook) = HOOK.get() else { return };
    // A forked child inherits the hook, but must not drop its parent's services.
    if hook.pid != process::id() {
        return;
    }
    // Only held for a push and never while foreign code runs, so this does not block.
    let sources = lock(&hook.sources).clone();
    let messages = catch_unwind(AssertUnwindSafe(|| {
        clean(&sources, |helper| {
            drop(
                helper
                    .has_ended
                    .wait_timeout_while(lock(&helper.progress), LIMIT, |progress| !progress.is_done),
            );
        })
    }));
    for line in messages.unwrap_or_default() {
        stderr::line(&line);
    }
}

/// The helper thread, as the exiting thread sees it.
#[derive(Default)]
struct Helper {
    progress: Mutex<Progress>,
    has_ended: Condvar,
}

#[derive(Default)]
struct Progress {
    is_done: bool,
    /// The values that are not dropped yet, the current one last.
    left: Vec<String>,
    messages: Vec<String>,
}

/// Drops everything and returns messages for standard error. `wait` waits for the helper, up to the limit.
fn clean(sources: &[CleanupSource], wait: impl FnOnce(&Helper)) -> Vec<String> {
    let helper = Arc::new(Helper::default());
    let thread = {
        let helper = Arc::clone(&helper);
        let sources = sources.to_vec();
        std::thread::Builder::new()
            .name("cofferdam-exit".to_owned())
            .spawn(move || {
                drop_all(&sources, &helper.progress);
                lock(&helper.progress).is_done = true;
                helper.has_ended.notify_one();
            })
    };
    if thread.is_err() {
        return vec!["no thread could be started at exit: nothing was cleaned up".to_owned()];
    }
    wait(&helper);
    let mut progress = lock(&helper.progress);
    let mut messages = std::mem::take(&mut progress.messages);
    if !progress.is_done {
        let mut left = progress.left.clone();
        let busy = left.pop().unwrap_or_else(|| "a cleanup".to_owned());
        messages.push(format!(
            "{busy} was still being dropped {} s after exit began: abandoned",
            LIMIT.as_secs()
        ));
        if !left.is_empty() {
            left.reverse();
            messages.push(format!("not dropped because of that: {}", left.join(", ")));
        }
    }
    messages
}

fn drop_all(sources: &[CleanupSource], progress: &Mutex<Progress>) {
    let caught = |what: &str, work: &mut dyn FnMut()| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            let text = message(&*panic);
            lock(progress)
                .messages
                .push(format!("{what} panicked while it was dropped at exit: {text}"));
            // Its drop may panic again.
            std::mem::forget(panic);
        }
    };
    let mut all = Vec::new();
    for source in sources {
        caught("a list of cleanups", &mut || {
            for cleanup in source() {
                sorted::insert(&mut all, cleanup, |a, b| a.order < b.order);
            }
        });
    }
    lock(progress).left = all.iter().map(|cleanup| cleanup.what.clone()).collect();
    while let Some(Cleanup { what, run, .. }) = all.pop() {
        let mut run = Some(run);
        caught(&what, &mut || {
            if let Some(run) = run.take() {
                run();
            }
        });
        lock(progress).left.pop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the message of a panic.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Returns the message of a panic and consumes its payload. Other payloads are leaked, because their drop may panic again.
pub(crate) fn into_message(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = message(&*panic);
    if !panic.is::<&str>() && !panic.is::<String>() {
        std::mem::forget(panic);
    }
    text
}

#[cfg(all(test, unix, not(miri), not(loom)))]
mod children;

#[cfg(test)]
mod tests {
    use super::*;

    fn in_the_end(helper: &Helper) {
        let progress = lock(&helper.progress);
        drop(
            helper
                .has_ended
                .wait_while(progress, |progress| !progress.is_done),
        );
    }

    fn cleanup(order: u64, what: &str, run: impl FnOnce() + Send + 'static) -> Cleanup {
        Cleanup {
            order,
            what: what.to_owned(),
            run: Box::new(run),
        }
    }

    /// A cleanup that never returns and signals that it was called.
    fn parked(order: u64, reached: &'static OnceLock<()>) -> Cleanup {
        cleanup(order, "parked", || {
            reached.get_or_init(|| ());
            loop {
                std::thread::park();
            }
        })
    }

    #[test]
    fn the_newest_is_dropped_first_across_all_sources() {
        static ORDER: Mutex<Vec<u64>> = Mutex::new(Vec::new());
        fn note(order: u64) -> Cleanup {
            cleanup(order, "note", move || lock(&ORDER).push(order))
        }
        let messages = clean(
            &[|| vec![note(1), note(4)], || vec![note(3), note(2)]],
            in_the_end,
        );
        assert_eq!(*lock(&ORDER), [4, 3, 2, 1]);
        assert!(messages.is_empty());
    }

    #[test]
    fn a_drop_that_panics_is_reported_and_the_rest_is_dropped() {
        static DROPPED: OnceLock<()> = OnceLock::new();
        let messages = clean(
            &[|| {
                let rest = cleanup(1, "rest", || DROPPED.get_or_init(|| ()).to_owned());
                vec![rest, cleanup(2, "bad", || panic!("no"))]
            }],
            in_the_end,
        );
        assert_eq!(messages, ["bad panicked while it was dropped at exit: no"]);
        assert!(DROPPED.get().is_some());
    }

    #[test]
    fn a_panic_whose_payload_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let messages = clean(
            &[|| vec![cleanup(1, "bomb", || std::panic::panic_any(Bomb))]],
            in_the_end,
        );
        assert_eq!(
            messages,
            ["bomb panicked while it was dropped at exit: a panic without a message"]
        );
    }

    #[test]
    fn a_source_that_panics_is_reported_and_the_others_are_dropped() {
        static DROPPED: OnceLock<()> = OnceLock::new();
        let messages = clean(
            &[
                || panic!("no list"),
                || vec![cleanup(1, "rest", || DROPPED.get_or_init(|| ()).to_owned())],
            ],
            in_the_end,
        );
        assert_eq!(
            messages,
            ["a list of cleanups panicked while it was dropped at exit: no list"]
        );
        assert!(DROPPED.get().is_some());
    }

    #[test]
    fn a_drop_that_blocks_is_abandoned_and_reported_with_those_behind_it() {
        static PARKED: OnceLock<()> = OnceLock::new();
        let messages = clean(
            &[|| {
                let behind = cleanup(1, "behind", || ());
                vec![
                    behind,
                    parked(2, &PARKED),
                    cleanup(3, "bad", || panic!("no")),
                    cleanup(4, "good", || ()),
                ]
            }],
            |_| {
                PARKED.wait();
            },
        );
        assert_eq!(
            messages,
            [
                "bad panicked while it was dropped at exit: no",
                "parked was still being dropped 5 s after exit began: abandoned",
                "not dropped because of that: behind",
            ]
        );
    }

    #[test]
    fn a_source_that_never_returns_is_abandoned() {
        static PARKED: OnceLock<()> = OnceLock::new();
        let messages = clean(
            &[|| {
                (parked(1, &PARKED).run)();
                Vec::new()
            }],
            |_| {
                PARKED.wait();
            },
        );
        assert_eq!(
            messages,
            ["a cleanup was still being dropped 5 s after exit began: abandoned"]
        );
    }
}
