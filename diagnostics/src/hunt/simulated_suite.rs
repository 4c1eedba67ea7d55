//! A suite that is a model: tests as lists of steps over the state of processes, the disk, the load and chance.

#[cfg(test)]
pub(super) use model::{SimulatedSuite, Step};

#[cfg(test)]
mod model {
    use crate::hunt::Scenes;
    use crate::scene::{Arrangement, BY_SIGNAL, Outcome, Scene, SceneResult, StaticId, StaticsPlan, TestId};
    use std::collections::{BTreeMap, BTreeSet};

    /// Random numbers (SplitMix64).
    #[derive(Clone)]
    pub(in crate::hunt) struct Chance(pub(in crate::hunt) u64);

    impl Chance {
        pub(in crate::hunt) fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        pub(in crate::hunt) fn below(&mut self, end: usize) -> usize {
            (self.next() % end as u64) as usize
        }

        pub(in crate::hunt) fn happens(&mut self, probability: f64) -> bool {
            ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
        }

        pub(in crate::hunt) fn shuffle<T>(&mut self, list: &mut [T]) {
            for end in (1..list.len()).rev() {
                list.swap(end, self.below(end + 1));
            }
        }
    }

    /// A step of a test. Variables and locks are statics of the process, or, with a name that begins with a slash, on the disk.
    #[derive(Clone, Debug)]
    pub(in crate::hunt) enum Step {
        Set(&'static str),
        /// Uses a variable, whatever it is.
        Use(&'static str),
        Clear(&'static str),
        /// Sets the second if the first is set.
        SetIf(&'static str, &'static str),
        FailIf(&'static str),
        /// Fails if both are set.
        FailIfBoth(&'static str, &'static str),
        /// Fails if one of them is set.
        FailIfAny(&'static str, &'static str),
        FailUnless(&'static str),
        /// Fails with this probability.
        Fail(f64),
        /// Fails with this probability while the other test runs at the same time.
        FailBeside(usize, f64),
        /// The same, but in a pause nearly always at the second use of this variable, and never elsewhere.
        FailBesideAt(usize, &'static str, f64),
        FailUnderLoad(f64),
        FailTwice(f64),
        /// The same if a second copy of the other test runs.
        FailTwiceWith(usize, f64),
        /// Takes a lock until the end: fails if it is poisoned, poisons it by failing.
        Lock(&'static str),
        /// Poisons a lock without failing.
        Poison(&'static str),
    }

    pub(in crate::hunt) struct SimulatedSuite {
        pub(in crate::hunt) tests: Vec<TestId>,
        pub(in crate::hunt) steps: Vec<Vec<Step>>,
        pub(in crate::hunt) suspects: BTreeMap<TestId, Vec<TestId>>,
        pub(in crate::hunt) chance: Chance,
        /// The number of scenes that may still run.
        pub(in crate::hunt) budget: usize,
        /// The probability that a scene is void, and that a test has no result.
        pub(in crate::hunt) noise: f64,
        /// Tests that run in parallel begin in the order of the list.
        pub(in crate::hunt) keeps_order: bool,
        /// Set if the harness runs one test or all.
        pub(in crate::hunt) takes_one_name: bool,
        /// Set if the uses of statics are not observed.
        pub(in crate::hunt) hides_statics: bool,
        /// The static without which the last test crashes.
        pub(in crate::hunt) crashes: Option<&'static str>,
        /// Set if tests take longer than each pause.
        pub(in crate::hunt) overlaps: bool,
        /// Statics that cannot be put back.
        pub(in crate::hunt) too_large: Vec<&'static str>,
        pub(in crate::hunt) scenes: Vec<Scene>,
        disk: BTreeSet<&'static str>,
    }

    impl SimulatedSuite {
        /// Makes a suite with the given number of tests in each program; the tests do nothing.
        pub(in crate::hunt) fn new(programs: &[usize], seed: u64) -> Self {
            let tests: Vec<TestId> = programs
                .iter()
                .enumerate()
                .flat_map(|(program, tests)| {
                    (0..*tests).map(move |test| TestId {
                        binary: format!("program{program}"),
                        name: format!("test{test:04}"),
                    })
                })
                .collect();
            Self {
                steps: vec![Vec::new(); tests.len()],
                tests,
                suspects: BTreeMap::new(),
                chance: Chance(seed),
                budget: usize::MAX,
                noise: 0.0,
                keeps_order: false,
                takes_one_name: false,
                hides_statics: false,
                crashes: None,
                overlaps: false,
                too_large: Vec::new(),
                scenes: Vec::new(),
                disk: BTreeSet::new(),
            }
        }

        /// Records these as suspects of a test, among some that have nothing to do with it.
        pub(in crate::hunt) fn suspect(&mut self, test: usize, suspects: &[usize]) {
            let mut all: Vec<TestId> = suspects.iter().map(|other| self.tests[*other].clone()).collect();
            for _ in 0..2 {
                let other = self.chance.below(self.tests.len());
                let at = self.chance.below(all.len() + 1);
                all.insert(at, self.tests[other].clone());
            }
            self.suspects.insert(self.tests[test].clone(), all);
        }

        /// Runs the user's command: in parallel.
        pub(in crate::hunt) fn as_is(&mut self) -> SceneResult {
            let scene = Scene::of(self.tests.clone(), Arrangement::Parallel);
            self.result(&scene, &StaticsPlan::default())
        }

        fn result(&mut self, scene: &Scene, plan: &StaticsPlan) -> SceneResult {
            let numbers: BTreeMap<&TestId, usize> = self
                .tests
                .iter()
                .enumerate()
                .map(|(number, test)| (test, number))
                .collect();
            let mut tests: Vec<usize> = scene.tests.iter().map(|test| numbers[test]).collect();
            if scene.arrangement == Arrangement::Parallel {
                if !self.keeps_order {
                    self.chance.shuffle(&mut tests);
                }
                tests.sort_by_key(|test| self.tests[*test].binary.clone());
            }
            let mut result = SceneResult::default();
            for _ in 0..if scene.twice { 2 } else { 1 } {
                self.run_copy(scene, plan, &tests, &mut result);
            }
            let is_some = (2..self.tests.len()).contains(&scene.tests.len());
            if self.takes_one_name && is_some && scene.arrangement != Arrangement::Alone {
                result.void = Some("its harness runs one chosen test or all".to_owned());
            }
            if self.chance.happens(self.noise) {
                result.void = Some("the order could not be enforced".to_owned());
            }
            for outcome in result.outcomes.values_mut() {
                if self.chance.happens(self.noise) {
                    *outcome = Outcome::Unknown;
                }
            }
            result
        }

        fn run_copy(&mut self, scene: &Scene, plan: &StaticsPlan, tests: &[usize], result: &mut SceneResult) {
            let mut variables: BTreeSet<&'static str> = BTreeSet::new();
            let mut poisoned: BTreeSet<&'static str> = BTreeSet::new();
            let mut program: Option<String> = None;
            result.statics.has_overlapped = plan.pause.is_some() && self.overlaps;
            result.statics.paused = plan.pause.as_ref().is_some_and(|pause| pause.skipped < 3);
            for (place, test) in tests.iter().enumerate() {
                let id = self.tests[*test].clone();
                if scene.arrangement == Arrangement::Alone || program.as_ref() != Some(&id.binary) {
                    variables.clear();
                    poisoned.clear();
                }
                program = Some(id.binary.clone());
                let is_last = place + 1 == tests.len();
                if place > 0 && is_last {
                    let is_put_back = |name: &&'static str| plan.put_back.contains(&static_of(name));
                    variables.retain(|name| !is_put_back(name));
                    poisoned.retain(|name| !is_put_back(name));
                }
                let (mut failed, mut by_poison) = (false, false);
                let mut held = Vec::new();
                for step in &self.steps[*test] {
                    if plan.observes && !self.hides_statics {
                        let used = result.statics.uses.entry(id.clone()).or_default();
                        for (name, changes) in uses(step) {
                            used.entry(static_of(name)).or_default().changed |= changes;
                        }
                    }
                    let is_set = |name: &&str| variables.contains(name) || self.disk.contains(name);
                    failed = match step {
                        Step::Set(name) => {
                            if name.starts_with('/') {
                                &mut self.disk
                            } else {
                                &mut variables
                            }
                            .insert(name);
                            false
                        }
                        Step::Use(_) => false,
                        Step::SetIf(name, other) => {
                            if is_set(name) {
                                variables.insert(other);
                            }
                            false
                        }
                        Step::Clear(name) => {
                            if name.starts_with('/') {
                                &mut self.disk
                            } else {
                                &mut variables
                            }
                            .remove(name);
                            false
                        }
                        Step::FailIf(name) => is_set(name),
                        Step::FailIfBoth(a, b) => is_set(a) && is_set(b),
                        Step::FailIfAny(a, b) => is_set(a) || is_set(b),
                        Step::FailUnless(name) => !is_set(name),
                        Step::Fail(probability) => self.chance.happens(*probability),
                        Step::FailBeside(other, probability) => {
                            plan.pause.is_none()
                                && scene.arrangement == Arrangement::Parallel
                                && tests.contains(other)
                                && self.chance.happens(*probability)
                        }
                        Step::FailBesideAt(other, name, probability) => {
                            let probability = match &plan.pause {
                                None => *probability,
                                Some(pause) if pause.at == static_of(name) && pause.skipped == 1 => 0.95,
                                Some(_) => 0.0,
                            };
                            scene.arrangement == Arrangement::Parallel
                                && tests.contains(other)
                                && self.chance.happens(probability)
                        }
                        Step::FailUnderLoad(probability) => {
                            scene.load > 0 && self.chance.happens(*probability)
                        }
                        Step::FailTwice(probability) => scene.twice && self.chance.happens(*probability),
                        Step::FailTwiceWith(other, probability) => {
                            scene.twice && tests.contains(other) && self.chance.happens(*probability)
                        }
                        Step::Poison(name) => {
                            poisoned.insert(name);
                            false
                        }
                        Step::Lock(name) => {
                            held.push(*name);
                            by_poison = poisoned.contains(name);
                            by_poison
                        }
                    };
                    if failed {
                        break;
                    }
                }
                if failed {
                    poisoned.extend(held);
                }
                if is_last
                    && self
                        .crashes
                        .is_some_and(|name| plan.put_back.contains(&static_of(name)))
                {
                    failed = true;
                    result.failures.insert(id.clone(), format!("{BY_SIGNAL}11"));
                }
                let outcome = if failed { Outcome::Failed } else { Outcome::Passed };
                let known = result.outcomes.entry(id.clone()).or_insert(outcome);
                if failed {
                    *known = Outcome::Failed;
                }
                if by_poison {
                    result.failures.insert(id, "PoisonError { .. }".to_owned());
                }
            }
        }
    }

    fn static_of(name: &str) -> StaticId {
        StaticId {
            name: name.to_owned(),
            line: format!("{name}.rs:1"),
        }
    }

    /// The statics that a step uses, and whether it changes them.
    fn uses(step: &Step) -> Vec<(&'static str, bool)> {
        let all = match step {
            Step::Set(name) | Step::Clear(name) | Step::Poison(name) => vec![(*name, true)],
            Step::Use(name) | Step::FailIf(name) | Step::FailUnless(name) | Step::Lock(name) => {
                vec![(*name, false)]
            }
            Step::FailBesideAt(_, name, _) => vec![(*name, false)],
            Step::SetIf(a, b) => vec![(*a, false), (*b, true)],
            Step::FailIfBoth(a, b) | Step::FailIfAny(a, b) => vec![(*a, false), (*b, false)],
            Step::Fail(_)
            | Step::FailBeside(..)
            | Step::FailUnderLoad(_)
            | Step::FailTwice(_)
            | Step::FailTwiceWith(..) => Vec::new(),
        };
        all.into_iter()
            .filter(|(name, _)| !name.starts_with('/'))
            .collect()
    }

    impl Scenes for SimulatedSuite {
        fn run(&mut self, scene: &Scene) -> Option<SceneResult> {
            self.budget = self.budget.checked_sub(1)?;
            self.scenes.push(scene.clone());
            Some(self.result(scene, &StaticsPlan::default()))
        }

        fn run_with_statics(&mut self, scene: &Scene, plan: &StaticsPlan) -> Option<SceneResult> {
            self.budget = self.budget.checked_sub(1)?;
            let mut result = self.result(scene, plan);
            result.statics.too_large = self.too_large.iter().map(|name| static_of(name)).collect();
            if self.hides_statics {
                result.statics.unobserved = Some("its statics".to_owned());
            }
            Some(result)
        }

        fn suspects(&self, test: &TestId) -> Vec<TestId> {
            self.suspects.get(test).cloned().unwrap_or_default()
        }
    }
}
