//! Which lane a thread works in: facts in, identity or a reasoned refusal out.
//!
//! Nothing is guessed. A thread that cannot be told to be a test's own gets an error that says how to hand a
//! worker to it; a guess would hand it another worker's database.

use crate::error::Error;
use crate::place::{Facts, Run, Runner};

/// The thread that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker<'a> {
    Main,
    Thread(&'a str),
    Nameless,
}

/// Where the number of a lane comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Known for the whole process: every thread works in it.
    Fixed(String),
    /// Leased by the test that asks, `prefix` before its number.
    Leased { prefix: String },
}

/// A thread's lane and the test it works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) lane: Lane,
    pub(crate) test: Option<String>,
    pub(crate) attempt: u64,
    /// Whether the test ends when this thread does.
    pub(crate) owns_test: bool,
}

/// The lane of `asker` in a process with these facts, in this order: `COFFERDAM_WORKER`, nextest's slot, a lease.
/// (A scope that was entered comes before all of them; the caller knows it.)
pub(crate) fn identify(facts: &Facts, run: &Run, asker: Asker<'_>) -> Result<Identity, Error> {
    let env = facts.env;
    let job = match env("COFFERDAM_JOB") {
        Some(job) => format!("{}.", checked("COFFERDAM_JOB", job)?),
        None => String::new(),
    };
    let nextest = matches!(run.runner, Runner::Nextest);
    let named = nextest
        .then(|| env("NEXTEST_TEST_NAME"))
        .flatten()
        .or_else(|| exact_argument(&facts.args));
    let attempt = nextest
        .then(|| env("NEXTEST_ATTEMPT"))
        .flatten()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let slot = env("NEXTEST_TEST_GLOBAL_SLOT").and_then(|text| text.parse::<u32>().ok());

    let fixed = match (env("COFFERDAM_WORKER"), slot) {
        (Some(worker), _) => Some(format!("{job}{}", checked("COFFERDAM_WORKER", worker)?)),
        (None, Some(slot)) if nextest => Some(format!("{job}w{slot}")),
        (None, _) => None,
    };
    if let Some(worker) = fixed {
        let owns_test = match asker {
            Asker::Main => true,
            Asker::Thread(name) => named.as_deref() == Some(name) || (named.is_none() && is_test_name(name)),
            Asker::Nameless => false,
        };
        let test = named.or_else(|| test_of(asker));
        return Ok(Identity {
            lane: Lane::Fixed(worker),
            test,
            attempt,
            owns_test,
        });
    }
    let prefix = match (run.runner, slot) {
        // A process below a nextest test: a lane of its own, under its test's.
        (Runner::UnderNextest, Some(slot)) => format!("{job}w{slot}."),
        _ => format!("{job}w"),
    };
    match asker {
        Asker::Main => Ok(Identity {
            lane: Lane::Leased { prefix },
            test: named,
            attempt,
            owns_test: true,
        }),
        Asker::Thread(name) if is_test_name(name) => Ok(Identity {
            lane: Lane::Leased { prefix },
            test: Some(name.to_owned()),
            attempt,
            owns_test: true,
        }),
        Asker::Thread(name) => Err(Error::no_worker(format!("the thread {name:?}"))),
        Asker::Nameless => Err(Error::no_worker("a thread without a name")),
    }
}

fn test_of(asker: Asker<'_>) -> Option<String> {
    match asker {
        Asker::Thread(name) if is_test_name(name) => Some(name.to_owned()),
        _ => None,
    }
}

/// libtest names a test's thread by the test's path, and a path is what pools' names (`tokio-rt-worker`) are not.
fn is_test_name(name: &str) -> bool {
    let is_identifier = |part: &str| {
        let part = part.strip_prefix("r#").unwrap_or(part);
        let mut chars = part.chars();
        chars
            .next()
            .is_some_and(|first| first == '_' || first.is_alphabetic())
            && chars.all(|next| next == '_' || next.is_alphanumeric())
    };
    name.split("::").all(is_identifier)
}

fn exact_argument(args: &[String]) -> Option<String> {
    if !args.iter().any(|arg| arg == "--exact") {
        return None;
    }
    let mut names = args.iter().skip(1).filter(|arg| !arg.starts_with('-'));
    names.next().filter(|_| names.next().is_none()).cloned()
}

/// A worker's name is part of paths, database names and reports.
fn checked(variable: &'static str, value: String) -> Result<String, Error> {
    let reason = if value.len() > 64 {
        "it is longer than 64 bytes"
    } else if value.starts_with('.') {
        "it starts with a dot"
    } else if !value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        "only letters, digits, `.`, `_` and `-` can stand in it"
    } else {
        return Ok(value);
    };
    Err(Error::bad_variable(variable, &value, reason))
}
