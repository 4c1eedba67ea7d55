//! `fix`: proposes or applies changes that end the observed conflicts, and proves that they do.

mod applying;
mod change_proof;
mod migrating;
#[cfg(has_observer)]
mod observed_uses;
mod order_dependence;
#[cfg(has_observer)]
mod proven_changes;
#[cfg(has_observer)]
mod relaxing;

use crate::cli::{FixArgs, With};
use crate::exit_code;
use crate::findings::{Account, Entry, Observation};
use crate::fix::Family;
use crate::fix::own_statics::OwnStatics;
use crate::fix::proposal::{self, Mechanism, Proposal};
use crate::fix::test_sources::Sources;
use crate::fix::unused_attributes::{self, ExecutedFunction, UnusedAttribute};
use crate::rates::FailureRate;
use crate::scene::TestId;
use applying::{Applied, permissions};
pub(crate) use change_proof::{Proof, ProofOutcome};
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Kind, Runner, Test};
pub(crate) use migrating::{Migrated, migrate};
pub(crate) use order_dependence::{OrderDependence, PlacedTest};
#[cfg(has_observer)]
pub(crate) use relaxing::{Measured, Relaxed, relax};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The result of `fix`.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// The directory that reported paths are relative to.
    pub(crate) root: PathBuf,
    /// The command that proves the changes, as it was given.
    pub(crate) command: Vec<OsString>,
    /// A checkout of cofferdam for packages that lack it.
    library: Option<PathBuf>,
    pub(crate) proposal: Proposal,
    pub(crate) advice: Vec<(Resource, Advice)>,
    pub(crate) unneeded: Vec<UnusedAttribute>,
    pub(crate) ineffective_under_nextest: BTreeSet<UnusedAttribute>,
    /// Source files that could not be read.
    pub(crate) problems: Vec<String>,
    /// The number of observed tests.
    pub(crate) tests: u64,
    /// The number of conflicts to end.
    pub(crate) conflicts: usize,
    pub(crate) written: bool,
    /// The results of repeating failures with the changes; empty without a command.
    pub(crate) proofs: Vec<Proof>,
    /// Tests that depend on the order. Nothing is written for them.
    pub(crate) order_dependent: Vec<OrderDependence>,
    /// The account of the observation.
    pub(crate) account: Account,
    /// The reason the observation cannot show that nothing else needs to change.
    pub(crate) unknown: Option<String>,
    /// The commands that failed when the declared fixtures were torn down.
    pub(crate) failed_teardowns: Vec<Conflict>,
}

/// Advice that is better than waiting, but cannot be applied automatically.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Set for an order leak, which no attribute ends.
    pub(crate) is_leak: bool,
    pub(crate) help: String,
    /// The lines that write the resource.
    pub(crate) places: Vec<String>,
}

impl Fixed {
    pub(crate) fn exit_code(&self) -> u8 {
        let is_left = !self.proposal.manual_steps.is_empty()
            || !self.proposal.missing_crates.is_empty()
            || !self.order_dependent.is_empty()
            || !self.failed_teardowns.is_empty()
            || self.proofs.iter().any(|proof| !proof.is_kept)
            || !self.written && !self.proposal.changes.is_empty();
        if is_left {
            exit_code::CONFLICTS
        } else if self.unknown.is_some() {
            exit_code::UNKNOWN
        } else {
            exit_code::NONE
        }
    }
}

/// The progress of `fix` while it repeats what had failed.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(has_observer),
    expect(dead_code, reason = "without an observer, nothing is repeated")
)]
pub(crate) enum FixEvent<'a> {
    /// A run of the scene in which this test had failed begins.
    Repeating {
        test: &'a TestId,
        run: u32,
        /// The number of runs that prove the changes.
        needed: u32,
    },
    /// All its runs ended.
    Repeated { test: &'a TestId, rate: FailureRate },
    /// A run of tests without the removed attributes begins.
    RunningTogether { tests: usize, run: u32, needed: u32 },
    /// A test failed without an attribute, and the search for the tests beside which it fails begins.
    LookingForCause,
    /// A run of the suite with and without the changes begins, whose times are compared.
    Measuring { run: usize, needed: usize },
}

#[cfg_attr(
    not(has_observer),
    expect(unused_variables, reason = "without an observer, nothing is repeated")
)]
pub(crate) fn fix(args: &FixArgs, see: &mut dyn FnMut(FixEvent<'_>)) -> Result<Fixed, Box<dyn Error>> {
    let dir = super::here::working_dir();
    let report = match &args.report {
        Some(report) => report.clone(),
        None => Observation::last(&cofferdam::diagnostics::base_dir(Some(&dir))?),
    };
    let all = here(Observation::read(&report)?, &dir);
    let sources = sources(&all, &dir)?;
    let library = args.cofferdam.as_deref().map(std::path::absolute).transpose()?;
    let own = mechanism(args.with).own_statics(&all, &sources, library.as_deref());
    let observation = order_dependence::without(&all, &own);
    let proposal = proposal::propose(
        &observation,
        &sources,
        mechanism(args.with),
        library.as_deref(),
        &own,
    )?;
    let mut fixed = Fixed {
        advice: advice(&observation, &own),
        unneeded: unneeded(&all, &sources),
        ineffective_under_nextest: unused_attributes::ineffective_under_nextest(sources.programs()),
        problems: sources.problems().into_iter().map(str::to_owned).collect(),
        tests: observation.tests,
        conflicts: observation
            .conflicts
            .iter()
            .filter(|conflict| proposal::is_fixable(conflict, &own))
            .count(),
        written: false,
        proofs: Vec::new(),
        order_dependent: order_dependence::of(&all, &sources, &own),
        library,
        command: args.command.clone(),
        unknown: None,
        failed_teardowns: Vec::new(),
        account: observation.account.clone(),
        root: dir,
        proposal,
    };
    fixed.unknown = unknown(&observation, fixed.conflicts, args.strict);
    let is_empty = fixed.proposal.changes.is_empty() && fixed.proposal.missing_crates.is_empty();
    if args.apply && !is_empty {
        if args.command.is_empty() {
            let applied = Applied::write(
                permissions(args),
                &fixed.proposal.changes,
                &fixed.proposal.missing_crates,
                &sources,
            )?;
            if !args.no_check {
                applied.check()?;
            }
            fixed.written = true;
        } else {
            #[cfg(has_observer)]
            proven_changes::apply(args, &mut fixed, &observation, &sources, own, see)?;
            #[cfg(not(has_observer))]
            return Err(super::unobservable());
        }
    }
    #[cfg(has_observer)]
    fixed.failed_teardowns.extend(super::end_fixtures());
    Ok(fixed)
}

/// Returns the path below the directory.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Returns the reason an observation with this number of conflicts may be incomplete.
fn unknown(observation: &Observation, conflicts: usize, is_strict: bool) -> Option<String> {
    let named = |entry: &Entry| format!("{}: {}", entry.name, entry.reason);
    let account = &observation.account;
    if let Some(lost) = account.lost.first() {
        let (count, all) = (account.lost_count(), account.started.max(account.lost_count()));
        return Some(format!(
            "{count} of {all} programs were lost in the observed run ({})",
            named(lost)
        ));
    }
    if observation.tests == 0 {
        return Some(
            "no test was observed: run `cargo cofferdam observe --confirm -- cargo test` first".to_owned(),
        );
    }
    if observation.ended_early {
        return Some(format!(
            "the observed command failed (exit code {}), and tests after the first failure may not have run: observe with \
             `--no-fail-fast`",
            observation.command
        ));
    }
    if observation.command != 0 && conflicts == 0 && observation.reproductions.is_empty() {
        return Some(format!(
            "the observed command failed (exit code {}), and no cause was found",
            observation.command
        ));
    }
    let left_out = account.out_of_reach.first().filter(|_| is_strict)?;
    Some(format!("not everything could be observed ({})", named(left_out)))
}

fn mechanism(with: With) -> Mechanism {
    match with {
        With::Attributes => Mechanism::OfSuite,
        With::Cofferdam => Mechanism::Attributes(Family::Cofferdam),
        With::SerialTest => Mechanism::Attributes(Family::SerialTest),
        With::TestGroup => Mechanism::TestGroups,
    }
}

/// Returns the observation with its directories moved to `dir` if it comes from another machine.
fn here(mut observation: Observation, dir: &Path) -> Observation {
    let there = PathBuf::from(&observation.dir);
    if there.is_dir() {
        return observation;
    }
    observation.dir = dir.to_string_lossy().into_owned();
    let moved = |folder: &mut String| {
        if let Ok(rest) = Path::new(&*folder).strip_prefix(&there) {
            *folder = dir.join(rest).to_string_lossy().trim_end_matches('/').to_owned();
        }
    };
    let all = observation.conflicts.iter_mut().chain(&mut observation.locked);
    all.flat_map(|conflict| &mut conflict.tests)
        .for_each(|test| moved(&mut test.package));
    observation
        .ran
        .iter_mut()
        .for_each(|program| moved(&mut program.package));
    observation
}

fn all_tests(observation: &Observation) -> impl Iterator<Item = &Test> {
    observation
        .conflicts
        .iter()
        .chain(&observation.locked)
        .flat_map(|conflict| &conflict.tests)
}

/// Reads the workspaces of the observed tests, or the one around `dir` if none of them exists.
pub(super) fn sources(observation: &Observation, dir: &Path) -> Result<Sources, String> {
    let of_tests = all_tests(observation).map(|test| test.package.as_str());
    let folders: BTreeSet<&str> = of_tests
        .chain(observation.ran.iter().map(|ran| ran.package.as_str()))
        .collect();
    let mut folders: Vec<&Path> = folders
        .into_iter()
        .map(Path::new)
        .filter(|folder| folder.is_dir())
        .collect();
    if folders.is_empty() {
        folders.push(dir);
    }
    Sources::read(folders.into_iter())
}

impl Fixed {
    /// Returns a path relative to the root, if it is below.
    pub(crate) fn shown(&self, path: &Path) -> String {
        shown(&self.root, path)
    }

    pub(crate) fn shown_resource(&self, resource: &Resource) -> String {
        // Only paths change: no other name begins with the directory.
        let name = self.shown(Path::new(resource.as_str()));
        Resource::new(resource.kind(), name).to_string()
    }
}

/// The number of lines to name.
const PLACES: usize = 3;

fn advice(observation: &Observation, own: &OwnStatics) -> Vec<(Resource, Advice)> {
    let one = |conflict: &Conflict| {
        let written = conflict
            .uses()
            .filter(|(_, used)| used.access == Some(Access::Write));
        let places: BTreeSet<&String> = written.filter_map(|(_, used)| used.place.as_ref()).collect();
        Advice {
            is_leak: conflict.kind == Kind::OrderLeak,
            // The rest is the attribute, which the diff shows.
            help: conflict
                .help
                .split("; where ")
                .next()
                .unwrap_or_default()
                .to_owned(),
            places: places.into_iter().take(PLACES).cloned().collect(),
        }
    };
    let conflicts = observation.conflicts.iter();
    conflicts
        .filter(|conflict| proposal::is_fixable(conflict, own) || conflict.kind == Kind::OrderLeak)
        // The diff is the better change.
        .filter(|conflict| !own.has(conflict))
        .filter_map(|conflict| Some((conflict.resource.clone()?, one(conflict))))
        .collect()
}

/// Returns the attributes that separate no conflicting tests among those observed.
fn unneeded(observation: &Observation, sources: &Sources) -> Vec<UnusedAttribute> {
    let mut shared_resources = HashMap::new();
    let mut uses: HashMap<(&str, &str, &str), BTreeMap<usize, bool>> = HashMap::new();
    for (number, conflict) in observation
        .conflicts
        .iter()
        .chain(&observation.locked)
        .enumerate()
    {
        for test in &conflict.tests {
            // Under cargo test, only tests of one program run at the same time.
            let program = (test.runner == Some(Runner::CargoTest)).then_some((&test.package, &test.binary));
            let next = shared_resources.len();
            let shared = *shared_resources.entry((number, program)).or_insert(next);
            let of_test = uses
                .entry((&test.package, &test.binary, test.name()))
                .or_default();
            *of_test.entry(shared).or_default() |= test.writes();
        }
    }
    let tests = observation.ran.iter().flat_map(|program| {
        let names = program.tests.iter().map(String::as_str);
        names.map(|name| (program.package.as_str(), program.binary.as_str(), name))
    });
    let mut executed = Vec::new();
    for (number, test) in tests.enumerate() {
        let positions = sources.find(test.0, test.1, test.2).unwrap_or_default();
        executed.extend(positions.into_iter().map(|position| ExecutedFunction {
            test: number,
            function: position.function,
            uses: uses.get(&test).cloned().unwrap_or_default(),
        }));
    }
    unused_attributes::unneeded(&executed)
}
