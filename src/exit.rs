//! Exit-time cleanup: the one `atexit` hook, newest first, bounded.
//!
//! Statics are never dropped and nothing tears a test process down, so whoever holds something that must end
//! with the process registers here once. At a normal end or `process::exit` the hook asks everyone for what is
//! left and lets it go, newest first, on a helper thread with a deadline. What is not done by then is abandoned and
//! named on standard error. Signals, `abort` and `_exit` run nothing: see Limitations in the crate page.

use crate::sys::{clock, exit_hook, process, stderr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

/// One thing to let go of.
pub(crate) struct Cleanup {
    /// Later things have higher numbers ([`clock::unique`]).
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
    let Ok(sources) = hook.sources.try_lock() else {
        return;
    };
    let sources = sources.clone();
    let told = catch_unwind(AssertUnwindSafe(|| clean(&sources, LIMIT)));
    for line in told.unwrap_or_default() {
        stderr::line(&line);
    }
}

/// Lets everything go and returns what has to be said about it.
fn clean(sources: &[Source], limit: Duration) -> Vec<String> {
    let deadline = clock::Deadline::after(limit);
    // What is not dropped yet, the current one last.
    let left = Arc::new(Mutex::new(Vec::new()));
    let (done, finished) = mpsc::channel();
    let helper = {
        let left = Arc::clone(&left);
        let sources = sources.to_vec();
        std::thread::Builder::new()
            .name("cofferdam-exit".to_owned())
            .spawn(move || {
                let mut all: Vec<Cleanup> = sources
                    .into_iter()
                    .flat_map(|source| catch_unwind(source).unwrap_or_default())
                    .collect();
                all.sort_by_key(|cleanup| cleanup.order);
                *lock(&left) = all.iter().map(|cleanup| cleanup.what.clone()).collect();
                let mut told = Vec::new();
                while let Some(cleanup) = all.pop() {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(cleanup.run)) {
                        told.push(format!(
                            "{} panicked while it was dropped at exit: {}",
                            cleanup.what,
                            message(&*panic)
                        ));
                        // Its own drop may panic again.
                        std::mem::forget(panic);
                    }
                    lock(&left).pop();
                }
                let _ = done.send(told);
            })
    };
    if helper.is_err() {
        return vec!["no thread could be started at exit: nothing was cleaned up".to_owned()];
    }
    finished
        .recv_timeout(deadline.left().unwrap_or_default())
        .unwrap_or_else(|_| {
            let mut left = lock(&left).clone();
            let busy = left.pop().unwrap_or_else(|| "what is left".to_owned());
            let mut told = vec![format!(
                "{busy} was still being dropped {} s after exit began: abandoned",
                limit.as_secs_f64()
            )];
            if !left.is_empty() {
                left.reverse();
                told.push(format!("not dropped because of that: {}", left.join(", ")));
            }
            told
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    static ORDER: Mutex<Vec<u64>> = Mutex::new(Vec::new());

    fn note(order: u64) -> Cleanup {
        Cleanup {
            order,
            what: format!("number {order}"),
            run: Box::new(move || lock(&ORDER).push(order)),
        }
    }

    #[test]
    fn what_came_last_goes_first_across_all_sources() {
        let told = clean(
            &[|| vec![note(1), note(4)], || vec![note(3), note(2)]],
            Duration::from_secs(60),
        );
        assert_eq!(*lock(&ORDER), [4, 3, 2, 1]);
        assert!(told.is_empty());
    }

    #[test]
    fn a_drop_that_panics_is_named_and_the_rest_still_goes() {
        static GONE: OnceLock<()> = OnceLock::new();
        let told = clean(
            &[|| {
                let run: Box<dyn FnOnce() + Send> = Box::new(|| panic!("no"));
                let rest: Box<dyn FnOnce() + Send> = Box::new(|| GONE.get_or_init(|| ()).to_owned());
                vec![
                    Cleanup {
                        order: 1,
                        what: "rest".to_owned(),
                        run: rest,
                    },
                    Cleanup {
                        order: 2,
                        what: "bad".to_owned(),
                        run,
                    },
                ]
            }],
            Duration::from_secs(60),
        );
        assert_eq!(told, ["bad panicked while it was dropped at exit: no"]);
        assert!(GONE.get().is_some());
    }

    #[test]
    fn a_drop_that_parks_is_abandoned_and_named_with_those_behind_it() {
        let told = clean(
            &[|| {
                let park: Box<dyn FnOnce() + Send> = Box::new(|| {
                    loop {
                        std::thread::park()
                    }
                });
                vec![
                    note(0),
                    Cleanup {
                        order: 2,
                        what: "parked".to_owned(),
                        run: park,
                    },
                ]
            }],
            Duration::from_millis(20),
        );
        assert_eq!(
            told,
            [
                "parked was still being dropped 0.02 s after exit began: abandoned",
                "not dropped because of that: number 0",
            ]
        );
    }
}
