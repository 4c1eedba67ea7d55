//! The shards of a suite, and the arguments that select the tests of each.

use super::balance::{assume_median, balance};
use super::{ListedProgram, TestTimes, Tests, filterset};
use std::collections::HashMap;
use std::fmt;

/// The longest argument of a program on Linux, with its final zero (`MAX_ARG_STRLEN`).
const LONGEST_ARGUMENT: usize = 128 * 1024;

/// The time of a test, in microseconds, from which on it is worth splitting.
const WORTH_SPLITTING: u64 = 1_000_000;

/// A suite in shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) shards: Vec<Shard>,
    /// The number of tests. A program whose tests are not known counts as one.
    pub(crate) tests: usize,
    /// The number of tests without a recorded time.
    pub(crate) without_time: usize,
    /// The time that is assumed for those, in microseconds; `None` if all tests or none have a time.
    pub(crate) assumed: Option<u64>,
    /// The time of all tests, in microseconds; 0 if none has a time.
    pub(crate) micros: u64,
    /// Tests of a second or more that take longer than an equal part of that time: the slowest shard takes at least as long.
    pub(crate) too_long: Vec<LongTest>,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) tests: usize,
    /// The time of its tests one after the other, in microseconds; 0 if no test of the suite has a time.
    pub(crate) micros: u64,
    pub(crate) selection: Selection,
}

/// The arguments that select the tests of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The expression for nextest's `-E`.
    Filterset(String),
    /// The arguments of one `cargo test` for each program.
    Arguments(Vec<Vec<String>>),
}

/// A test, or a program whose tests run together, that is longer than a shard should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LongTest {
    pub(crate) binary: String,
    /// The name of the test; `None` for all tests of the program.
    pub(crate) test: Option<String>,
    pub(crate) micros: u64,
}

/// The reason the shards would not cover every test exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unaddressable {
    /// There are fewer tests than shards. A program that cannot be divided counts as one.
    TooFewTests { tests: usize, shards: usize },
    /// A filterset cannot name a test of this program.
    Name { binary: String },
    /// The filterset of this shard, from 1, is longer than an argument may be.
    TooLong { shard: usize, bytes: usize },
}

impl fmt::Display for Unaddressable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewTests { tests, shards } => write!(
                f,
                "{shards} shards need at least as many tests, and the command runs {tests}: ask for fewer shards"
            ),
            Self::Name { binary } => write!(
                f,
                "{binary} lists a test with an empty name, which no filterset can address, so it would be in no shard: name it"
            ),
            Self::TooLong { shard, bytes } => write!(
                f,
                "the filterset of shard {shard} has {bytes} bytes, and an argument may have {}: ask for more shards",
                LONGEST_ARGUMENT - 1
            ),
        }
    }
}

/// Tests that stay together: one, or all of a program.
#[derive(Clone, Copy, Debug)]
struct Unit<'a> {
    program: &'a ListedProgram,
    test: Option<&'a str>,
}

impl Unit<'_> {
    /// Returns the number of its tests, at least 1.
    fn tests(&self) -> usize {
        match self.test {
            Some(_) => 1,
            None => self.program.names().len().max(1),
        }
    }
}

impl Plan {
    /// Divides the tests of these programs among `shards`. `is_nextest` selects the runner.
    ///
    /// # Errors
    ///
    /// The shards would not cover every test exactly once.
    pub(crate) fn new(
        programs: &[ListedProgram],
        times: &TestTimes,
        shards: usize,
        is_nextest: bool,
    ) -> Result<Self, Unaddressable> {
        let units = units(programs);
        if units.len() < shards {
            let tests = units.len();
            return Err(Unaddressable::TooFewTests { tests, shards });
        }
        let mut programs_with: HashMap<&str, usize> = HashMap::new();
        for name in programs.iter().flat_map(ListedProgram::names) {
            *programs_with.entry(name).or_default() += 1;
        }
        let time_of = |program: &ListedProgram, test: &str| {
            times.of(program, test, programs_with.get(test) == Some(&1))
        };
        let recorded: Vec<Option<u64>> = units
            .iter()
            .map(|unit| match unit.test {
                Some(test) => time_of(unit.program, test),
                // In an undivided program, only tests with a time count.
                None => unit
                    .program
                    .names()
                    .iter()
                    .filter_map(|test| time_of(unit.program, test))
                    .reduce(u64::saturating_add),
            })
            .collect();
        let has_times = recorded.iter().any(Option::is_some);
        let assumed = assume_median(&recorded);
        let unknown = recorded.iter().position(Option::is_none);
        let time = |unit: usize| if has_times { assumed[unit] } else { 0 };
        let micros = (0..units.len()).map(time).sum();
        let divided = balance(&assumed, shards);
        let shards = divided.iter().enumerate().map(|(index, members)| {
            let of_shard: Vec<Unit<'_>> = members.iter().map(|unit| units[*unit]).collect();
            Ok(Shard {
                tests: of_shard.iter().map(Unit::tests).sum(),
                micros: members.iter().map(|unit| time(*unit)).sum(),
                selection: if is_nextest {
                    Selection::Filterset(filterset(index + 1, &of_shard)?)
                } else {
                    Selection::Arguments(arguments(&of_shard))
                },
            })
        });
        let number = divided.len() as u64;
        let is_too_long = |unit: &usize| {
            time(*unit) >= WORTH_SPLITTING && time(*unit).saturating_mul(number) > micros && number > 1
        };
        Ok(Self {
            shards: shards.collect::<Result<_, _>>()?,
            tests: units.iter().map(Unit::tests).sum(),
            without_time: units
                .iter()
                .zip(&recorded)
                .filter(|(_, time)| time.is_none())
                .map(|(unit, _)| unit.tests())
                .sum(),
            assumed: unknown.filter(|_| has_times).map(|unit| assumed[unit]),
            micros,
            too_long: (0..units.len())
                .filter(|unit| recorded[*unit].is_some() && is_too_long(unit))
                .map(|unit| LongTest {
                    binary: units[unit].program.id.clone(),
                    test: units[unit].test.map(str::to_owned),
                    micros: time(unit),
                })
                .collect(),
        })
    }
}

/// Returns the units to divide. Tests of one program with the same name cannot be distinguished, and stay together.
fn units(programs: &[ListedProgram]) -> Vec<Unit<'_>> {
    let mut units: Vec<Unit<'_>> = Vec::new();
    for program in programs {
        match &program.tests {
            Tests::Together(_) => units.push(Unit { program, test: None }),
            Tests::Each(names) => {
                let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
                names.sort_unstable();
                names.dedup();
                units.extend(names.into_iter().map(|name| Unit {
                    program,
                    test: Some(name),
                }));
            }
        }
    }
    units
}

/// Groups the units of a shard by program.
fn by_program<'a, 'u>(units: &'u [Unit<'a>]) -> impl Iterator<Item = (&'a ListedProgram, &'u [Unit<'a>])> {
    let chunks = units.chunk_by(|a, b| std::ptr::eq(a.program, b.program));
    chunks.filter_map(|units| Some((units.first()?.program, units)))
}

fn filterset(shard: usize, units: &[Unit<'_>]) -> Result<String, Unaddressable> {
    let mut text = String::new();
    for (program, units) in by_program(units) {
        let tests: Vec<&str> = units.iter().filter_map(|unit| unit.test).collect();
        let is_all = tests.is_empty() || (!program.is_filtered && tests.len() == program.names().len());
        if !is_all && !tests.iter().all(|test| filterset::can_address(test)) {
            let binary = program.id.clone();
            return Err(Unaddressable::Name { binary });
        }
        filterset::push(&mut text, program, (!is_all).then_some(&tests));
    }
    let bytes = text.len();
    if bytes < LONGEST_ARGUMENT {
        Ok(text)
    } else {
        Err(Unaddressable::TooLong { shard, bytes })
    }
}

fn arguments(units: &[Unit<'_>]) -> Vec<Vec<String>> {
    let of_program = |(program, units): (&ListedProgram, &[Unit<'_>])| {
        let mut arguments = program.selection.clone();
        let tests: Vec<&str> = units.iter().filter_map(|unit| unit.test).collect();
        if !tests.is_empty() {
            arguments.extend(["--", "--exact"].map(str::to_owned));
            arguments.extend(tests.into_iter().map(str::to_owned));
        } else if !program.harness_arguments.is_empty() {
            arguments.push("--".to_owned());
        }
        arguments.extend(program.harness_arguments.iter().cloned());
        arguments
    };
    by_program(units).map(of_program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn program(id: &str, tests: Tests) -> ListedProgram {
        ListedProgram {
            is_filtered: false,
            id: id.to_owned(),
            binary: id.to_owned(),
            dir: "/w".into(),
            selection: vec!["--test".to_owned(), id.to_owned()],
            harness_arguments: Vec::new(),
            tests,
        }
    }

    /// The tests that a filterset of simple names selects, as nextest reads it.
    fn selected(filterset: &str, programs: &[ListedProgram]) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut rest = filterset;
        while !rest.is_empty() {
            rest = rest.trim_start_matches(" | ").trim_start_matches('(');
            let (id, behind) = rest.strip_prefix("binary_id(=").unwrap().split_once(')').unwrap();
            let of_program = programs.iter().find(|program| program.id == id).unwrap();
            let names: Vec<String> = match behind.strip_prefix(" & (") {
                None => {
                    rest = behind;
                    of_program.names().to_vec()
                }
                Some(tests) => {
                    let (tests, behind) = tests.split_once("))").unwrap();
                    rest = behind.strip_prefix(')').unwrap();
                    let tests = tests
                        .split(") | ")
                        .map(|test| test.strip_prefix("test(=").unwrap());
                    tests.map(str::to_owned).collect()
                }
            };
            all.extend(names.into_iter().map(|name| (id.to_owned(), name)));
        }
        all
    }

    fn suites() -> impl Strategy<Value = BTreeMap<String, (BTreeSet<String>, bool)>> {
        let tests = prop::collection::btree_set("[a-z]{1,3}(::[a-z]{1,3})?", 1..20);
        prop::collection::btree_map("[a-z]{2,4}", (tests, any::<bool>()), 1..6)
    }

    proptest! {
        #[test]
        fn the_shards_of_both_runners_run_every_test_exactly_once(
            suite in suites(),
            shards in 1_usize..6,
            timed in prop::collection::vec(0_u64..1000, 0..40),
        ) {
            let programs: Vec<ListedProgram> = suite
                .iter()
                .map(|(id, (tests, together))| {
                    let tests: Vec<String> = tests.iter().cloned().collect();
                    program(id, if *together { Tests::Together(tests) } else { Tests::Each(tests) })
                })
                .collect();
            let mut wanted: Vec<(String, String)> = programs
                .iter()
                .flat_map(|program| program.names().iter().map(|name| (program.id.clone(), name.clone())))
                .collect();
            wanted.sort_unstable();
            let mut times = TestTimes::default();
            for ((id, name), micros) in wanted.iter().zip(timed) {
                times.add(id, "", name, micros);
            }
            for is_nextest in [true, false] {
                let Ok(plan) = Plan::new(&programs, &times, shards, is_nextest) else {
                    prop_assert!(units(&programs).len() < shards);
                    continue;
                };
                let mut found = Vec::new();
                for shard in &plan.shards {
                    let before = found.len();
                    match &shard.selection {
                        Selection::Filterset(filterset) => found.extend(selected(filterset, &programs)),
                        Selection::Arguments(commands) => for arguments in commands {
                            let id = &arguments[1];
                            let of_program = programs.iter().find(|program| program.id == *id).unwrap();
                            let names = match &arguments[2..] {
                                [] => of_program.names(),
                                names => &names[2..],
                            };
                            found.extend(names.iter().map(|name| (id.clone(), name.clone())));
                        }
                    }
                    prop_assert_eq!(found.len() - before, shard.tests);
                }
                found.sort_unstable();
                prop_assert_eq!(&found, &wanted);
                prop_assert_eq!(plan.micros, plan.shards.iter().map(|shard| shard.micros).sum::<u64>());
            }
        }
    }

    fn suite(names: &[&str]) -> [ListedProgram; 1] {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        [program("shop", Tests::Each(names))]
    }

    #[test]
    fn a_test_longer_than_an_equal_part_is_named_if_it_takes_a_second() {
        let plan = |unit: u64| {
            let mut times = TestTimes::default();
            for (name, units) in [("a", 5), ("b", 2), ("c", 2)] {
                times.add("shop", "", name, units * unit);
            }
            Plan::new(&suite(&["a", "b", "c", "d"]), &times, 3, true).unwrap()
        };
        let long = plan(200_000);
        // The unknown one counts as two units.
        assert_eq!(
            (long.micros, long.without_time, long.assumed),
            (2_200_000, 1, Some(400_000))
        );
        let wanted = LongTest {
            binary: "shop".to_owned(),
            test: Some("a".to_owned()),
            micros: 1_000_000,
        };
        assert_eq!(long.too_long, [wanted]);
        assert_eq!(plan(199_999).too_long, []);
    }

    #[test]
    fn shards_that_would_not_cover_every_test_once_are_refused() {
        let none = TestTimes::default();
        let refused = |names: &[&str], shards| Plan::new(&suite(names), &none, shards, true).unwrap_err();
        assert_eq!(
            refused(&["a"], 2),
            Unaddressable::TooFewTests { tests: 1, shards: 2 }
        );
        assert_eq!(
            refused(&["a", ""], 2),
            Unaddressable::Name {
                binary: "shop".to_owned()
            }
        );
        let long = "x".repeat(LONGEST_ARGUMENT);
        assert!(matches!(
            refused(&["a", &long], 2),
            Unaddressable::TooLong { shard: 2, .. }
        ));
        // In one shard, the program is named, and not its tests.
        assert!(Plan::new(&suite(&["a", ""]), &none, 1, true).is_ok());
    }
}
