//! Who starts which fixture, who waits for it, and what came of it: requests in, what to do out.

use super::request::{Definition, Reply};
use std::collections::BTreeMap;

/// A connection to a test process.
pub(super) type Caller = u64;

/// Replies to send, in order.
pub(super) type Replies = Vec<(Caller, Reply)>;

/// A test that wants a fixture.
#[derive(Clone, Copy, Debug)]
struct Asker {
    caller: Caller,
    attempt: u64,
    pid: u32,
}

#[derive(Debug)]
enum State {
    Starting {
        by: Asker,
        waiting: Vec<Asker>,
    },
    Ready,
    /// In the test's own attempt of that number: an attempt after it may try again.
    Failed {
        attempt: u64,
        reason: String,
    },
}

/// The fixtures of a run.
#[derive(Debug, Default)]
pub(super) struct Books {
    fixtures: BTreeMap<String, (Definition, State)>,
}

impl Books {
    /// Somebody wants a fixture.
    pub(super) fn want(&mut self, definition: Definition, caller: Caller, attempt: u64, pid: u32) -> Replies {
        let by = Asker { caller, attempt, pid };
        let mine = State::Starting {
            by,
            waiting: Vec::new(),
        };
        let Some((known, state)) = self.fixtures.get_mut(&definition.key) else {
            self.fixtures.insert(definition.key.clone(), (definition, mine));
            return vec![(caller, Reply::Yours)];
        };
        if !known.is(&definition) {
            let (place, handle) = (known.place.clone(), known.handle.clone());
            return vec![(caller, Reply::Other { place, handle })];
        }
        let reply = match state {
            State::Ready => Reply::Ready,
            State::Failed {
                attempt: failed,
                reason,
            } if attempt <= *failed => Reply::Failed {
                reason: reason.clone(),
            },
            State::Failed { .. } => {
                *state = mine;
                Reply::Yours
            }
            State::Starting { by: starter, waiting } => {
                waiting.push(by);
                Reply::Starting { pid: starter.pid }
            }
        };
        vec![(caller, reply)]
    }

    /// The fixture that a caller starts.
    pub(super) fn started_by(&self, caller: Caller) -> Option<&str> {
        let found = self
            .fixtures
            .iter()
            .find(|(_, (_, state))| matches!(state, State::Starting { by, .. } if by.caller == caller));
        found.map(|(key, _)| key.as_str())
    }

    /// It is complete: everybody who waits may have it.
    pub(super) fn keep(&mut self, key: &str) -> Replies {
        self.settle(key, State::Ready, |_| Reply::Ready)
    }

    /// It could not be started: everybody who waits hears why.
    pub(super) fn fail(&mut self, key: &str, reason: &str) -> Replies {
        let attempt = match self.fixtures.get(key) {
            Some((_, State::Starting { by, .. })) => by.attempt,
            _ => return Replies::new(),
        };
        let reason = reason.to_owned();
        let failed = State::Failed {
            attempt,
            reason: reason.clone(),
        };
        self.settle(key, failed, |_| Reply::Failed {
            reason: reason.clone(),
        })
    }

    fn settle(&mut self, key: &str, settled: State, reply: impl Fn(Caller) -> Reply) -> Replies {
        let Some((_, state)) = self.fixtures.get_mut(key) else {
            return Replies::new();
        };
        match std::mem::replace(state, settled) {
            State::Starting { waiting, .. } => waiting
                .iter()
                .map(|asker| (asker.caller, reply(asker.caller)))
                .collect(),
            _ => Replies::new(),
        }
    }

    /// A caller is gone. If it was starting a fixture, what it did is undone by now, and the next who waits starts.
    pub(super) fn gone(&mut self, caller: Caller) -> Replies {
        let mut replies = Replies::new();
        self.fixtures.retain(|_, (_, state)| {
            let State::Starting { by, waiting } = state else {
                return true;
            };
            waiting.retain(|asker| asker.caller != caller);
            if by.caller != caller {
                return true;
            }
            if waiting.is_empty() {
                return false;
            }
            *by = waiting.remove(0);
            replies.push((by.caller, Reply::Yours));
            true
        });
        replies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pg() -> Definition {
        Definition {
            key: "pg".to_owned(),
            place: "a.rs:1".to_owned(),
            handle: "Pg".to_owned(),
        }
    }

    fn failed(reason: &str) -> Reply {
        Reply::Failed {
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn the_first_starts_and_the_others_wait_for_it() {
        let mut books = Books::default();
        assert_eq!(books.want(pg(), 1, 1, 10), [(1, Reply::Yours)]);
        assert_eq!(books.want(pg(), 2, 1, 20), [(2, Reply::Starting { pid: 10 })]);
        assert_eq!(books.want(pg(), 3, 1, 30), [(3, Reply::Starting { pid: 10 })]);
        assert_eq!((books.started_by(1), books.started_by(2)), (Some("pg"), None));
        assert_eq!(books.keep("pg"), [(2, Reply::Ready), (3, Reply::Ready)]);
        assert_eq!(books.want(pg(), 4, 1, 40), [(4, Reply::Ready)]);
        assert!(books.gone(1).is_empty());
        assert_eq!(books.want(pg(), 5, 2, 50), [(5, Reply::Ready)]);
    }

    #[test]
    fn a_failed_start_is_told_to_all_of_that_attempt_and_tried_again_by_the_next() {
        let mut books = Books::default();
        books.want(pg(), 1, 1, 10);
        books.want(pg(), 2, 1, 20);
        assert_eq!(books.fail("pg", "no disk"), [(2, failed("no disk"))]);
        assert_eq!(books.want(pg(), 3, 1, 30), [(3, failed("no disk"))]);
        assert_eq!(books.want(pg(), 4, 2, 40), [(4, Reply::Yours)]);
        assert_eq!(books.want(pg(), 5, 1, 50), [(5, Reply::Starting { pid: 40 })]);
    }

    #[test]
    fn a_starter_that_is_gone_is_followed_by_the_next_who_waits() {
        let mut books = Books::default();
        books.want(pg(), 1, 1, 10);
        books.want(pg(), 2, 1, 20);
        books.want(pg(), 3, 1, 30);
        assert!(books.gone(2).is_empty());
        assert_eq!(books.gone(1), [(3, Reply::Yours)]);
        assert!(books.gone(3).is_empty());
        assert_eq!(books.want(pg(), 4, 1, 40), [(4, Reply::Yours)]);
    }

    #[test]
    fn another_definition_under_the_name_is_refused_with_the_first() {
        let mut books = Books::default();
        books.want(pg(), 1, 1, 10);
        let other = Definition {
            place: "b.rs:2".to_owned(),
            ..pg()
        };
        let (place, handle) = ("a.rs:1".to_owned(), "Pg".to_owned());
        assert_eq!(books.want(other, 2, 1, 20), [(2, Reply::Other { place, handle })]);
    }
}
