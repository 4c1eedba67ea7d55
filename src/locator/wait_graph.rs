//! The graph of builds that wait for each other. One per process, so that a cycle is an error and never a deadlock.

use super::service::{Key, Lifetime};
use crate::worker::current;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};

/// The builds in progress in this process, of all locators, statics and workers.
#[derive(Default)]
pub(crate) struct WaitGraph {
    builds: HashMap<u64, Build>,
}

/// A build, with the requests of its factory so far.
pub(crate) struct Build {
    pub(crate) label: String,
    pub(crate) lane: String,
    pub(crate) lifetime: Lifetime,
    /// The thread that builds.
    pub(crate) thread: Thread,
    /// The labels of its direct requests.
    pub(crate) asked: Vec<String>,
    /// The numbers of the instances that it received.
    pub(crate) parts: Vec<u64>,
    /// The services that it is built from, at any depth.
    pub(crate) from: HashSet<Key>,
    /// The time of nested builds, in microseconds.
    pub(crate) nested: u64,
    waits_for: Vec<u64>,
}

impl WaitGraph {
    /// Begins a build, on behalf of the build `by` if there is one.
    pub(crate) fn begin(&mut self, id: u64, label: String, lane: &str, lifetime: Lifetime, by: Option<u64>) {
        let build = Build {
            label,
            lane: lane.to_owned(),
            lifetime,
            thread: thread::current(),
            asked: Vec::new(),
            parts: Vec::new(),
            from: HashSet::new(),
            nested: 0,
            waits_for: Vec::new(),
        };
        self.builds.insert(id, build);
        if let Some(by) = by.and_then(|by| self.builds.get_mut(&by)) {
            by.waits_for.push(id);
        }
    }

    /// Ends a build that took `micros`, and returns its requests.
    pub(crate) fn end(&mut self, id: u64, by: Option<u64>, micros: u64) -> Option<Build> {
        if let Some(by) = by {
            self.stop_waiting(by, id);
            if let Some(by) = self.builds.get_mut(&by) {
                by.nested = by.nested.saturating_add(micros);
            }
        }
        self.builds.remove(&id)
    }

    /// Records that build `by` waits for build `id`. If that would close a cycle, returns its path instead.
    pub(crate) fn wait(&mut self, by: u64, id: u64) -> Result<(), Vec<String>> {
        if let Some(path) = self.path(id, by) {
            let mut names: Vec<_> = path
                .iter()
                .filter_map(|id| self.builds.get(id))
                .map(|build| format!("{} ({})", build.label, build.lane))
                .collect();
            names.extend(names.first().cloned());
            return Err(names);
        }
        if let Some(by) = self.builds.get_mut(&by) {
            by.waits_for.push(id);
        }
        Ok(())
    }

    /// Records that build `by` no longer waits for `id`.
    pub(crate) fn stop_waiting(&mut self, by: u64, id: u64) {
        if let Some(by) = self.builds.get_mut(&by)
            && let Some(index) = by.waits_for.iter().position(|waited| *waited == id)
        {
            by.waits_for.swap_remove(index);
        }
    }

    /// Records that build `by` received a service.
    pub(crate) fn add_part(&mut self, by: u64, label: String, key: Key, number: u64, from: &HashSet<Key>) {
        if let Some(by) = self.builds.get_mut(&by) {
            if !by.asked.contains(&label) {
                by.asked.push(label);
            }
            if !by.parts.contains(&number) {
                by.parts.push(number);
            }
            by.from.extend(from.iter().cloned());
            by.from.insert(key);
        }
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Build> {
        self.builds.get(&id)
    }

    /// Returns the path from one build to another along the waits.
    fn path(&self, from: u64, to: u64) -> Option<Vec<u64>> {
        let mut path = Vec::new();
        let mut seen = HashSet::new();
        // Depth first: the builds still to visit, each with the length of the path that leads to it.
        let mut next = vec![(from, 0)];
        while let Some((id, depth)) = next.pop() {
            path.truncate(depth);
            if !seen.insert(id) {
                continue;
            }
            path.push(id);
            if id == to {
                return Some(path);
            }
            let waits_for = self.builds.get(&id).map_or(&[][..], |build| &build.waits_for);
            next.extend(waits_for.iter().map(|waited| (*waited, depth + 1)));
        }
        None
    }
}

pub(crate) fn graph() -> MutexGuard<'static, WaitGraph> {
    static GRAPH: OnceLock<Mutex<WaitGraph>> = OnceLock::new();
    let graph = GRAPH.get_or_init(Mutex::default);
    graph.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A build whose factory created a proxy: its instance is built from the proxy's service too.
#[derive(Clone, Debug)]
pub(crate) struct ProxyHolder {
    pub(crate) build: u64,
    pub(crate) lifetime: Lifetime,
    pub(crate) lane: String,
}

impl ProxyHolder {
    /// Returns the build in progress on this thread, if there is one.
    pub(crate) fn current() -> Option<Self> {
        let build = current::builds().last().copied()?;
        graph().get(build).map(|known| Self {
            build,
            lifetime: known.lifetime,
            lane: known.lane.clone(),
        })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn graph(builds: &[u64]) -> WaitGraph {
        let mut graph = WaitGraph::default();
        for id in builds {
            graph.begin(*id, format!("s{id}"), "w0", Lifetime::Worker, None);
        }
        graph
    }

    #[test]
    fn a_build_that_requests_itself_is_a_cycle() {
        assert_eq!(
            graph(&[1]).wait(1, 1),
            Err(vec!["s1 (w0)".to_owned(), "s1 (w0)".to_owned()])
        );
    }

    #[test]
    fn a_cycle_over_three_threads_is_named_in_the_order_of_waiting() {
        let mut graph = graph(&[1, 2, 3]);
        assert_eq!(graph.wait(1, 2), Ok(()));
        assert_eq!(graph.wait(2, 3), Ok(()));
        assert_eq!(
            graph.wait(3, 1),
            Err(["s1", "s2", "s3", "s1"]
                .map(|name| format!("{name} (w0)"))
                .to_vec())
        );
    }

    #[test]
    fn two_paths_to_the_same_build_are_no_cycle() {
        let mut graph = graph(&[1, 2, 3, 4]);
        for (by, id) in [(1, 2), (1, 3), (2, 4), (3, 4)] {
            assert_eq!(graph.wait(by, id), Ok(()), "{by} -> {id}");
        }
    }

    #[test]
    fn a_wait_that_has_ended_closes_no_cycle() {
        let mut graph = graph(&[1, 2]);
        assert_eq!(graph.wait(1, 2), Ok(()));
        graph.stop_waiting(1, 2);
        assert_eq!(graph.wait(2, 1), Ok(()));
    }

    #[test]
    fn a_build_waits_for_its_nested_builds() {
        let mut graph = graph(&[1]);
        graph.begin(2, "s2".to_owned(), "w0", Lifetime::Worker, Some(1));
        assert!(graph.wait(2, 1).is_err());
        graph.end(2, Some(1), 0);
        graph.begin(3, "s3".to_owned(), "w0", Lifetime::Worker, None);
        assert_eq!(graph.wait(3, 1), Ok(()));
    }
}

/// All schedules of two threads whose services request each other.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use crate::locator::lane::flight::{Flights, Role};
    use crate::sys::clock::Deadline;
    use crate::sys::sync::{Mutex, lock};
    use ::loom::model;
    use ::loom::thread;
    use std::sync::Arc;
    use std::time::Duration;

    type Outcome = Result<(), String>;

    /// Builds in one lane, assembled as in `resolve.rs`.
    struct Builds {
        graph: Mutex<WaitGraph>,
        flights: Mutex<Flights<&'static str, Outcome>>,
        /// The request of each service's factory.
        asks: fn(&'static str) -> Option<&'static str>,
    }

    impl Builds {
        fn new(asks: fn(&'static str) -> Option<&'static str>) -> Arc<Self> {
            Arc::new(Self {
                graph: Mutex::new(WaitGraph::default()),
                flights: Mutex::new(Flights::new()),
                asks,
            })
        }

        fn get(&self, service: &'static str, by: Option<u64>) -> Outcome {
            let role = lock(&self.flights).join(&service, crate::sys::clock::unique());
            match role {
                Role::Build(flight) => {
                    let id = flight.build;
                    lock(&self.graph).begin(id, service.to_owned(), "w0", Lifetime::Worker, by);
                    let outcome = (self.asks)(service).map_or(Ok(()), |asked| self.get(asked, Some(id)));
                    lock(&self.graph).end(id, by, 0);
                    lock(&self.flights).end(&service, &flight);
                    flight.land(outcome.clone());
                    outcome
                }
                Role::Wait(flight) => {
                    if let Some(by) = by {
                        let waits = lock(&self.graph).wait(by, flight.build);
                        waits.map_err(|path| path.join(" -> "))?;
                    }
                    let never = Deadline::after(Duration::from_secs(100_000));
                    let outcome = flight.outcome(never).expect("it lands");
                    if let Some(by) = by {
                        lock(&self.graph).stop_waiting(by, flight.build);
                    }
                    outcome
                }
            }
        }
    }

    fn both(asks: fn(&'static str) -> Option<&'static str>, first: [&'static str; 2]) -> [Outcome; 2] {
        let builds = Builds::new(asks);
        let other = {
            let builds = Arc::clone(&builds);
            thread::spawn(move || builds.get(first[1], None))
        };
        let own = builds.get(first[0], None);
        let outcomes = [own, other.join().unwrap()];
        assert!(lock(&builds.graph).builds.is_empty(), "a build never ends");
        outcomes
    }

    /// A deadlock would fail the model by itself.
    #[test]
    fn two_builds_in_opposite_order_get_the_cycle_as_an_error() {
        model(|| {
            let opposite = |service| Some(if service == "a" { "b" } else { "a" });
            for outcome in both(opposite, ["a", "b"]) {
                let path = outcome.unwrap_err();
                assert!(
                    ["a (w0) -> b (w0) -> a (w0)", "b (w0) -> a (w0) -> b (w0)"].contains(&path.as_str())
                );
            }
        });
    }

    #[test]
    fn two_requests_for_the_same_service_are_never_a_cycle() {
        model(|| {
            let below = |service| (service != "c").then_some("c");
            assert_eq!(both(below, ["a", "b"]), [Ok(()), Ok(())]);
            assert_eq!(both(below, ["a", "c"]), [Ok(()), Ok(())]);
        });
    }
}
