//! A suite that is a model: tests as lists of steps over the state of processes, the disk, the load and chance.

#[cfg(test)]
pub(super) use model::{SimulatedSuite, Step};

#[cfg(test)]
mod model {
    use crate::hunt::Scenes;
    use crate::scene::{Arrangement, Outcome, Scene, SceneResult, TestId};
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

    /// A step of a test. Variables belong to the process, or, with a name that begins with a slash, to the disk.
    #[derive(Clone, Debug)]
    pub(in crate::hunt) enum Step {
        Set(&'static str),
        Clear(&'static str),
        /// Sets the second if the first is set.
        SetIf(&'static str, &'static str),
        FailIf(&'static str),
        /// Fails if both are set.
        FailIfBoth(&'static str, &'static str),
        FailUnless(&'static str),
        /// Fails with this probability.
        Fail(f64),
        /// Fails with this probability while the other test runs at the same time.
        FailBeside(usize, f64),
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
            self.result(&Scene {
                tests: self.tests.clone(),
                arrangement: Arrangement::Parallel,
                load: 0,
                twice: false,
                empty_temp: false,
            })
        }

        fn result(&mut self, scene: &Scene) -> SceneResult {
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
                self.run_copy(scene, &tests, &mut result);
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

        fn run_copy(&mut self, scene: &Scene, tests: &[usize], result: &mut SceneResult) {
            let mut variables: BTreeSet<&'static str> = BTreeSet::new();
            let mut poisoned: BTreeSet<&'static str> = BTreeSet::new();
            let mut program: Option<String> = None;
            for test in tests {
                let id = self.tests[*test].clone();
                if scene.arrangement == Arrangement::Alone || program.as_ref() != Some(&id.binary) {
                    variables.clear();
                    poisoned.clear();
                }
                program = Some(id.binary.clone());
                let (mut failed, mut by_poison) = (false, false);
                let mut held = Vec::new();
                for step in &self.steps[*test] {
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
                        Step::FailUnless(name) => !is_set(name),
                        Step::Fail(probability) => self.chance.happens(*probability),
                        Step::FailBeside(other, probability) => {
                            scene.arrangement == Arrangement::Parallel
                                && tests.contains(other)
                                && self.chance.happens(*probability)
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

    impl Scenes for SimulatedSuite {
        fn run(&mut self, scene: &Scene) -> Option<SceneResult> {
            self.budget = self.budget.checked_sub(1)?;
            self.scenes.push(scene.clone());
            Some(self.result(scene))
        }

        fn suspects(&self, test: &TestId) -> Vec<TestId> {
            self.suspects.get(test).cloned().unwrap_or_default()
        }
    }
}
