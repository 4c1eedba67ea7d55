//! Exit-time cleanup: the one `atexit` hook, newest first, bounded.
//!
//! Statics are never dropped and nothing tears a test process down, so whoever holds something that must end
//! with the process registers here once. At a normal end or `process::exit` the hook asks everyone for what is
//! left and lets it go, newest first, on a helper thread with a deadline. What is not done by then is abandoned and
//! named on standard error. Signals, `abort` and `_exit` run nothing: see Limitations in the crate page.

use crate::sys::{exit_hook, process, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

/// One thing to let go of.
pub(crate) struct Cleanup {
    /// Later things have higher numbers (`clock::unique`).
    pub(crate) order: u64,
    pub(crate) what: String,
    pub(crate) run: Box<dyn FnOnce() + Send>,
}

/// Gives up, once, everything that is to be cleaned.
pub(crate) type Source = fn() -> Vec<Cleanup>;

/// How long exit waits for all of it: a `Drop` that parks must not hang a green run.
const LIMIT: Duration = Duration::from_secs(5);

struct Hook {
    pid: u32,
    sources: Mutex<Vec<Source>>,
}

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Calls `source` when the process ends. Registering the same one again changes nothing.
pub(crate) fn register(source: Source) {
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
    // A forked child inherits the hook, not the right to end its parent's services.
    if hook.pid != process::id() {
        return;
    }
    // Held for a push and never while anything foreign runs: this cannot wait for long.
    let sources = lock(&hook.sources).clone();
    let told = catch_unwind(AssertUnwindSafe(|| {
        clean(&sources, |done| done.recv_timeout(LIMIT).is_ok())
    }));
    for line in told.unwrap_or_default() {
        stderr::line(&line);
    }
}

/// How far the helper thread is.
#[derive(Default)]
struct Progress {
    /// What is not dropped yet, the current one last.
    left: Vec<String>,
    told: Vec<String>,
}

/// Lets everything go, as long as `wait` says that it was done in time, and returns what has to be said about it.
fn clean(sources: &[Source], wait: impl FnOnce(&mpsc::Receiver<()>) -> bool) -> Vec<String> {
    let progress = Arc::new(Mutex::new(Progress::default()));
    let (done, finished) = mpsc::channel();
    let helper = {
        let progress = Arc::clone(&progress);
        let sources = sources.to_vec();
        std::thread::Builder::new()
            .name("cofferdam-exit".to_owned())
            .spawn(move || {
                drop_all(&sources, &progress);
                let _ = done.send(());
            })
    };
    if helper.is_err() {
        return vec!["no thread could be started at exit: nothing was cleaned up".to_owned()];
    }
    let in_time = wait(&finished);
    let mut progress = lock(&progress);
    let mut told = std::mem::take(&mut progress.told);
    if !in_time {
        let mut left = progress.left.clone();
        let busy = left.pop().unwrap_or_else(|| "what is left".to_owned());
        told.push(format!(
            "{busy} was still being dropped {} s after exit began: abandoned",
            LIMIT.as_secs()
        ));
        if !left.is_empty() {
            left.reverse();
            told.push(format!("not dropped because of that: {}", left.join(", ")));
        }
    }
    told
}

fn drop_all(sources: &[Source], progress: &Mutex<Progress>) {
    let caught = |what: &str, work: &mut dyn FnMut()| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            let words = message(&*panic);
            lock(progress)
                .told
                .push(format!("{what} panicked while it was dropped at exit: {words}"));
            // Its own drop may panic again.
            std::mem::forget(panic);
        }
    };
    let mut all = Vec::new();
    for source in sources {
        caught("a list of what is left", &mut || all.append(&mut source()));
    }
    all.sort_by_key(|cleanup| cleanup.order);
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

/// The words of a panic.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The words of a panic that ends here. If it carried something else, that is forgotten: its own drop may panic again.
pub(crate) fn into_message(panic: Box<dyn std::any::Any + Send>) -> String {
    let words = message(&*panic);
    if !panic.is::<&str>() && !panic.is::<String>() {
        std::mem::forget(panic);
    }
    words
}

#[cfg(all(test, unix, not(miri), not(loom)))]
mod children;

#[cfg(test)]
mod tests {
    use super::*;

    fn in_the_end(done: &mpsc::Receiver<()>) -> bool {
        done.recv().is_ok()
    }

    fn cleanup(order: u64, what: &str, run: impl FnOnce() + Send + 'static) -> Cleanup {
        Cleanup {
            order,
            what: what.to_owned(),
            run: Box::new(run),
        }
    }

    /// Never returns, and says when it was called.
    fn parked(order: u64, reached: &'static OnceLock<()>) -> Cleanup {
        cleanup(order, "parked", || {
            reached.get_or_init(|| ());
            loop {
                std::thread::park();
            }
        })
    }

    #[test]
    fn what_came_last_goes_first_across_all_sources() {
        static ORDER: Mutex<Vec<u64>> = Mutex::new(Vec::new());
        fn note(order: u64) -> Cleanup {
            cleanup(order, "note", move || lock(&ORDER).push(order))
        }
        let told = clean(
            &[|| vec![note(1), note(4)], || vec![note(3), note(2)]],
            in_the_end,
        );
        assert_eq!(*lock(&ORDER), [4, 3, 2, 1]);
        assert!(told.is_empty());
    }

    #[test]
    fn a_drop_that_panics_is_named_and_the_rest_still_goes() {
        static GONE: OnceLock<()> = OnceLock::new();
        let told = clean(
            &[|| {
                let rest = cleanup(1, "rest", || GONE.get_or_init(|| ()).to_owned());
                vec![rest, cleanup(2, "bad", || panic!("no"))]
            }],
            in_the_end,
        );
        assert_eq!(told, ["bad panicked while it was dropped at exit: no"]);
        assert!(GONE.get().is_some());
    }

    #[test]
    fn a_panic_whose_payload_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let told = clean(
            &[|| vec![cleanup(1, "bomb", || std::panic::panic_any(Bomb))]],
            in_the_end,
        );
        assert_eq!(
            told,
            ["bomb panicked while it was dropped at exit: a panic without a message"]
        );
    }

    #[test]
    fn a_list_that_cannot_be_had_is_told_and_the_others_still_go() {
        static GONE: OnceLock<()> = OnceLock::new();
        let told = clean(
            &[
                || panic!("no list"),
                || vec![cleanup(1, "rest", || GONE.get_or_init(|| ()).to_owned())],
            ],
            in_the_end,
        );
        assert_eq!(
            told,
            ["a list of what is left panicked while it was dropped at exit: no list"]
        );
        assert!(GONE.get().is_some());
    }

    #[test]
    fn a_drop_that_parks_is_abandoned_and_named_with_those_around_it() {
        static PARKED: OnceLock<()> = OnceLock::new();
        let told = clean(
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
                false
            },
        );
        assert_eq!(
            told,
            [
                "bad panicked while it was dropped at exit: no",
                "parked was still being dropped 5 s after exit began: abandoned",
                "not dropped because of that: behind",
            ]
        );
    }

    #[test]
    fn a_list_that_never_comes_is_abandoned() {
        static PARKED: OnceLock<()> = OnceLock::new();
        let told = clean(
            &[|| {
                (parked(1, &PARKED).run)();
                Vec::new()
            }],
            |_| {
                PARKED.wait();
                false
            },
        );
        assert_eq!(
            told,
            ["what is left was still being dropped 5 s after exit began: abandoned"]
        );
    }
}
