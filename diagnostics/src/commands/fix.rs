//! `fix`: what ends the conflicts that were seen, shown or written.

use crate::cli::{FixArgs, With};
use crate::exit_code;
use crate::findings::{Access, Account, Entry, Finding, Findings, Kind, Runner, Test};
use crate::fix::Family;
use crate::fix::idle::{self, Idle, Ran};
use crate::fix::mending::{self, Means, Mending};
use crate::fix::sources::{Package, Sources};
use crate::fix::tree::{self, Allowed, LockFile};
use cofferdam::Resource;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};

/// What came of it.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// Files are named from here on.
    pub(crate) root: PathBuf,
    pub(crate) mending: Mending,
    pub(crate) advice: Vec<(Resource, Advice)>,
    pub(crate) guarding_nothing: Vec<Idle>,
    pub(crate) nothing_under_nextest: BTreeSet<Idle>,
    /// What could not be read of the source.
    pub(crate) problems: Vec<String>,
    /// Tests that were seen in all.
    pub(crate) tests: u64,
    /// Findings that are to be ended.
    pub(crate) findings: usize,
    pub(crate) written: bool,
    /// What was started when the suite was observed, and what of it was recorded.
    pub(crate) account: Account,
    /// Why the observation cannot show that nothing else is to be changed.
    pub(crate) unknown: Option<String>,
}

/// What is better than to wait for each other, and no edit that a program can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Whether nothing else is said of it: its tests follow one another.
    pub(crate) is_leak: bool,
    pub(crate) help: String,
    /// Where the resource is changed.
    pub(crate) places: Vec<String>,
}

impl Fixed {
    pub(crate) fn exit_code(&self) -> u8 {
        let is_left = !self.mending.by_hand.is_empty()
            || !self.mending.missing.is_empty()
            || !self.written && !self.mending.changes.is_empty();
        if is_left {
            exit_code::CONFLICTS
        } else if self.unknown.is_some() {
            exit_code::UNKNOWN
        } else {
            exit_code::NONE
        }
    }
}

pub(crate) fn fix(args: &FixArgs) -> Result<Fixed, Box<dyn Error>> {
    let dir = super::here::working_dir();
    let report = match &args.report {
        Some(report) => report.clone(),
        None => Findings::last(&cofferdam::diagnostics::base_dir(Some(&dir))?),
    };
    let findings = here(Findings::read(&report)?, &dir);
    let sources = sources(&findings, &dir)?;
    let library = args.cofferdam.as_deref().map(std::path::absolute).transpose()?;
    let mending = mending::mend(&findings, &sources, means(args.with), library.as_deref())?;
    let mut fixed = Fixed {
        advice: advice(&findings),
        guarding_nothing: guarding_nothing(&findings, &sources),
        nothing_under_nextest: idle::doing_nothing_under_nextest(sources.programs()),
        problems: sources.problems().into_iter().map(str::to_owned).collect(),
        tests: findings.tests,
        findings: findings
            .findings
            .iter()
            .filter(|finding| mending::is_to_be_ended(finding))
            .count(),
        written: false,
        unknown: None,
        account: findings.account.clone(),
        root: dir,
        mending,
    };
    fixed.unknown = unknown(&findings, fixed.findings, args.strict);
    if args.apply && !fixed.mending.changes.is_empty() {
        apply(args, &fixed, &sources)?;
        fixed.written = true;
    }
    Ok(fixed)
}

/// Why an observation with so many conflicts does not show all there is.
fn unknown(findings: &Findings, conflicts: usize, is_strict: bool) -> Option<String> {
    let named = |entry: &Entry| format!("{}: {}", entry.name, entry.reason);
    let account = &findings.account;
    if let Some(lost) = account.lost.first() {
        let (count, all) = (account.lost_count(), account.started.max(account.lost_count()));
        return Some(format!(
            "{count} of {all} programs were lost in the observed run ({})",
            named(lost)
        ));
    }
    if findings.tests == 0 {
        return Some("no test was seen in the observed run".to_owned());
    }
    if findings.command != 0 && conflicts == 0 {
        return Some(format!(
            "the observed command failed (exit code {}), and no cause was found",
            findings.command
        ));
    }
    let left_out = account.out_of_reach.first().filter(|_| is_strict)?;
    Some(format!("not everything could be observed ({})", named(left_out)))
}

fn means(with: With) -> Means {
    match with {
        With::Attributes => Means::Attributes,
        With::Cofferdam => Means::Of(Family::Cofferdam),
        With::SerialTest => Means::Of(Family::SerialTest),
        With::TestGroup => Means::Groups,
    }
}

/// The findings with their folders as they are here: they may come from another machine.
fn here(mut findings: Findings, dir: &Path) -> Findings {
    let there = PathBuf::from(&findings.dir);
    if there.is_dir() {
        return findings;
    }
    let moved = |folder: &mut String| {
        if let Ok(rest) = Path::new(&*folder).strip_prefix(&there) {
            *folder = dir.join(rest).to_string_lossy().trim_end_matches('/').to_owned();
        }
    };
    let all = findings.findings.iter_mut().chain(&mut findings.locked);
    all.flat_map(|finding| &mut finding.tests)
        .for_each(|test| moved(&mut test.package));
    findings
        .ran
        .iter_mut()
        .for_each(|program| moved(&mut program.package));
    findings
}

fn all_tests(findings: &Findings) -> impl Iterator<Item = &Test> {
    findings
        .findings
        .iter()
        .chain(&findings.locked)
        .flat_map(|finding| &finding.tests)
}

/// The workspaces that the tests are in; else the one that we are in.
pub(super) fn sources(findings: &Findings, dir: &Path) -> Result<Sources, String> {
    let of_tests = all_tests(findings).map(|test| test.package.as_str());
    let folders: BTreeSet<&str> = of_tests
        .chain(findings.ran.iter().map(|ran| ran.package.as_str()))
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

fn apply(args: &FixArgs, fixed: &Fixed, sources: &Sources) -> Result<(), Box<dyn Error>> {
    let changes = &fixed.mending.changes;
    if let Some((manifest, missing)) = fixed.mending.missing.first_key_value() {
        let missing = missing.sentence(&fixed.shown(manifest));
        return Err(format!("nothing was written: {missing}").into());
    }
    let allowed = Allowed {
        dirty: args.allow_dirty,
        no_vcs: args.allow_no_vcs,
    };
    let mut roots: Vec<&Path> = changes
        .iter()
        .filter_map(|change| existing_folder(&change.path))
        .collect();
    // One look at each tree: what is below another is looked at with it.
    roots.sort_unstable();
    roots.dedup_by(|later, first| later.starts_with(*first));
    for root in roots {
        tree::may_change(root, allowed)?;
    }
    let packages: BTreeSet<&Path> = changes
        .iter()
        .filter_map(|change| sources.package_around(&change.path))
        .map(Package::dir)
        .collect();
    let workspaces = packages
        .iter()
        .filter_map(|package| sources.root(sources.package(package)?))
        .collect::<BTreeSet<_>>();
    let locks: Vec<LockFile> = workspaces.into_iter().map(LockFile::read).collect();
    tree::write(changes)?;
    if !args.no_check {
        let packages: Vec<&Path> = packages.into_iter().collect();
        tree::check(&packages, changes, &locks)?;
    }
    Ok(())
}

fn existing_folder(path: &Path) -> Option<&Path> {
    path.ancestors().skip(1).find(|folder| folder.is_dir())
}

impl Fixed {
    /// From here on, if it is below.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    pub(crate) fn shown_resource(&self, resource: &Resource) -> String {
        // Only a path changes by this, for no other name begins with the directory.
        let name = self.shown(Path::new(resource.as_str()));
        Resource::new(resource.kind(), name).to_string()
    }
}

/// As many places are named.
const PLACES: usize = 3;

fn advice(findings: &Findings) -> Vec<(Resource, Advice)> {
    let told = findings
        .findings
        .iter()
        .filter(|finding| mending::is_to_be_ended(finding) || finding.kind == Kind::OrderLeak);
    let one = |finding: &Finding| {
        let uses = finding.tests.iter().flat_map(|test| &test.uses);
        let written = uses.filter(|one| one.access == Access::Write);
        let places: BTreeSet<&String> = written.filter_map(|one| one.place.as_ref()).collect();
        Advice {
            is_leak: finding.kind == Kind::OrderLeak,
            // What follows is the attribute, of which the diff is.
            help: finding
                .help
                .split("; where ")
                .next()
                .unwrap_or_default()
                .to_owned(),
            places: places.into_iter().take(PLACES).cloned().collect(),
        }
    };
    told.map(|finding| (finding.resource.clone(), one(finding)))
        .collect()
}

/// Those that keep nobody apart, as far as their tests were seen.
fn guarding_nothing(findings: &Findings, sources: &Sources) -> Vec<Idle> {
    let mut meetings = HashMap::new();
    let mut uses: HashMap<(&str, &str, &str), BTreeMap<usize, bool>> = HashMap::new();
    for (number, finding) in findings.findings.iter().chain(&findings.locked).enumerate() {
        for test in &finding.tests {
            // The threads of one program meet each other, and not those of the next.
            let program = (test.runner == Runner::CargoTest).then_some((&test.package, &test.binary));
            let next = meetings.len();
            let meeting = *meetings.entry((number, program)).or_insert(next);
            let of_test = uses.entry((&test.package, &test.binary, &test.name)).or_default();
            *of_test.entry(meeting).or_default() |= mending::writes(test);
        }
    }
    let tests = findings.ran.iter().flat_map(|program| {
        let names = program.tests.iter().map(String::as_str);
        names.map(|name| (program.package.as_str(), program.binary.as_str(), name))
    });
    let mut ran = Vec::new();
    for (number, test) in tests.enumerate() {
        let spots = sources.find(test.0, test.1, test.2).unwrap_or_default();
        ran.extend(spots.into_iter().map(|spot| Ran {
            test: number,
            function: spot.function,
            uses: uses.get(&test).cloned().unwrap_or_default(),
        }));
    }
    idle::guarding_nothing(&ran)
}
