//! A conflict, or the cause of an unstable test, as annotations and report files show it.

use super::confirmed::pair_lines;
#[cfg(has_observer)]
use super::hunt;
use super::observed::{places, static_lines};
use super::reported::Reported;
use super::source_place::{SourcePlace, Sources, main_use};
use super::text::count;
use crate::baseline::{Known, Roots, Standing};
#[cfg(has_observer)]
use crate::commands::hunt::{Cause, Hunted};
use crate::findings::SharedStatic;
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use cofferdam_conflicts::{Conflict, HelpContext, Kind, Severity, Test, Use};

/// The number of tests whose source lines are listed.
const LISTED: usize = 8;

/// The rule that a finding breaks.
#[derive(Clone, Copy, Debug)]
enum About {
    Conflict(Kind),
    /// The cause of an unstable test, in a sentence.
    #[cfg(has_observer)]
    Cause(&'static str),
    SharedStatic,
}

#[derive(Clone, Debug)]
pub(super) struct Finding<'a> {
    about: About,
    /// The name of its kind, the same in every version: `shared-resource`, `hunt/victim`.
    pub(super) kind: String,
    /// Its kind with the grade: `shared-resource, reproduced`.
    pub(super) title: String,
    /// The resource's kind, if there is one resource.
    pub(super) resource: Option<ResourceKind>,
    pub(super) severity: Severity,
    /// Its subject, the same in every run and on every machine.
    pub(super) subject: String,
    /// The problem, in one sentence.
    pub(super) message: String,
    /// The last lines of a command that failed, then each use by a test, and what is known of a static and of reruns.
    pub(super) details: Vec<String>,
    pub(super) help: String,
    /// The source lines, those of the first two tests first.
    pub(super) places: Vec<SourcePlace>,
    /// Its entry in the baseline, if one was used.
    pub(super) standing: Option<&'a Standing>,
}

impl<'a> Finding<'a> {
    /// Returns the findings that count, then those that the baseline accepts.
    pub(super) fn all(reported: Reported<'a>) -> Vec<Self> {
        match reported {
            Reported::Outcome(outcome) => {
                let (roots, sources) = (Roots::of(&outcome.dir), Sources::of(&outcome.dir));
                let baseline = outcome.findings.baseline.as_ref();
                let new = baseline.map(|_| &Standing::New);
                let conflicts = outcome.findings.conflicts.iter().map(|one| (one, new));
                let accepted = baseline.into_iter().flat_map(|compared| &compared.accepted);
                let accepted = accepted.map(|(conflict, standing)| (conflict, Some(standing)));
                let all = conflicts.chain(accepted);
                all.map(|(conflict, standing)| Self::of_conflict(conflict, standing, &roots, &sources))
                    .collect()
            }
            #[cfg(has_observer)]
            Reported::Hunt(hunted) => {
                let (roots, sources) = (Roots::of(&hunted.dir), Sources::of(&hunted.dir));
                let causes = hunted.causes.iter();
                let causes = causes.map(|cause| Self::of_cause(cause, hunted, &sources));
                let teardowns = hunted.failed_teardowns.iter();
                causes
                    .chain(teardowns.map(|conflict| Self::of_conflict(conflict, None, &roots, &sources)))
                    .collect()
            }
        }
    }

    /// Returns a note for each static that tests share, if they are to be listed.
    pub(super) fn shared_statics(reported: Reported<'a>) -> Vec<Self> {
        let outcome = match reported {
            Reported::Outcome(outcome) => outcome,
            #[cfg(has_observer)]
            Reported::Hunt(_) => return Vec::new(),
        };
        let sources = Sources::of(&outcome.dir);
        let observed = outcome.findings.observed.iter();
        let listed = observed.filter(|observed| observed.lists_statics);
        let shared = listed
            .flat_map(|observed| &observed.statics)
            .flat_map(|statics| &statics.shared);
        shared.map(|one| Self::of_static(one, &sources)).collect()
    }

    fn of_static(one: &SharedStatic, sources: &Sources) -> Self {
        let all = one.writers.iter().map(|used| (used, "write"));
        let all = all.chain(one.readers.iter().map(|used| (used, "read")));
        let places = all.take(LISTED).filter_map(|(used, access)| {
            let what = format!("{} ({access})", used.test);
            SourcePlace::new(used.place.as_deref()?, &what, sources)
        });
        Self {
            about: About::SharedStatic,
            kind: "shared-static".to_owned(),
            title: "shared-static".to_owned(),
            resource: None,
            severity: Severity::Note,
            subject: format!("static {}", one.name),
            message: format!(
                "static {} is changed by {} and used by {}, which is no conflict by itself",
                one.name,
                count(one.writers.len() as u64, "test"),
                count(one.readers.len() as u64, "other test"),
            ),
            details: Vec::new(),
            help: "`observe --confirm` tries whether a test fails through it".to_owned(),
            places: places.collect(),
            standing: None,
        }
    }

    fn of_conflict(
        conflict: &'a Conflict,
        standing: Option<&'a Standing>,
        roots: &Roots,
        sources: &Sources,
    ) -> Self {
        let output = conflict.output.iter().flat_map(|output| output.lines());
        let mut details: Vec<String> = output.map(|line| format!("| {line}")).collect();
        details.extend(conflict.uses().map(|(test, used)| use_line(test, used)));
        details.extend(static_lines(conflict));
        details.extend(pair_lines(conflict));
        let mut places = Vec::new();
        for test in conflict.tests.iter().take(LISTED) {
            let Some(used) = main_use(test) else { continue };
            let access = used.access.map(|access| format!(" ({access})"));
            let what = format!("{test}{}", access.unwrap_or_default());
            let lines = [&used.place, &used.test_place];
            for line in lines.into_iter().flatten() {
                let place = SourcePlace::new(line, &what, sources);
                places.extend(place.filter(|place| !places.contains(place)));
            }
        }
        Self {
            about: About::Conflict(conflict.kind),
            kind: conflict.kind.to_string(),
            title: match conflict.grade {
                Some(grade) => format!("{}, {grade}", conflict.kind),
                None => conflict.kind.to_string(),
            },
            resource: conflict.resource.as_ref().map(Resource::kind),
            severity: conflict.severity(),
            subject: Known::of(conflict, roots).conflict,
            message: conflict.message.clone(),
            details,
            help: conflict.help.clone(),
            places,
            standing,
        }
    }

    #[cfg(has_observer)]
    fn of_cause(cause: &Cause, hunted: &Hunted, sources: &Sources) -> Self {
        let first = &cause.verdicts[0];
        let mut places: Vec<SourcePlace> = Vec::new();
        for shared in &cause.uses {
            let resource = &shared.resource;
            let culprits = first.culprits.iter().map(|test| test.name.as_str());
            let culprits = culprits.collect::<Vec<_>>().join(", ");
            for (line, user) in [
                (&shared.test_place, first.test.name.as_str()),
                (&shared.culprit_place, culprits.as_str()),
            ] {
                let what = format!("{user} uses {resource}");
                let place = line
                    .as_deref()
                    .and_then(|line| SourcePlace::new(line, &what, sources));
                places.extend(place.filter(|place| !places.contains(place)));
            }
        }
        let culprits = first.culprits.iter().map(ToString::to_string);
        let names: Vec<String> = std::iter::once(first.test.to_string()).chain(culprits).collect();
        Self {
            about: About::Cause(first.class.about()),
            title: first.class.id().to_owned(),
            kind: format!("hunt/{}", first.class.id()),
            resource: match cause.uses.as_slice() {
                [one] => Some(one.resource.kind()),
                _ => None,
            },
            severity: if first.is_unexplained() {
                Severity::Warning
            } else {
                Severity::Conflict
            },
            subject: names.join(" and "),
            message: hunt::summary(cause),
            details: hunt::details(cause, hunted),
            help: hunt::help(cause, hunted),
            places,
            standing: None,
        }
    }

    /// Returns whether it makes the command fail: a conflict that no baseline accepts.
    pub(super) fn fails(&self) -> bool {
        self.severity == Severity::Conflict && self.standing.is_none_or(Standing::fails)
    }

    /// Returns the documentation page that describes its rule.
    pub(super) fn page(&self) -> &'static str {
        match self.about {
            About::Conflict(_) => "docs/reference/reports.md",
            #[cfg(has_observer)]
            About::Cause(_) => "docs/hunt/classes.md",
            About::SharedStatic => "docs/observe/memory.md",
        }
    }

    /// Returns the name of its rule, which is the same in every version: `shared-resource/file`, `hunt/victim`.
    pub(super) fn rule(&self) -> String {
        match (self.about, self.resource) {
            (About::Conflict(kind), Some(resource)) => format!("{kind}/{}", resource.key()),
            _ => self.kind.clone(),
        }
    }

    /// Returns a sentence about its rule.
    pub(super) fn about(&self) -> String {
        let text = match self.about {
            About::Conflict(kind) => about_conflict(kind),
            #[cfg(has_observer)]
            About::Cause(text) => text,
            About::SharedStatic => "Tests of one process share a static that one of them changes",
        };
        match (self.about, self.resource) {
            (About::Conflict(_), Some(resource)) => format!("{text} ({})", resource.label()),
            _ => text.to_owned(),
        }
    }

    /// Returns the help for every finding of its rule.
    pub(super) fn help_of_rule(&self) -> String {
        match (self.about, self.resource) {
            (About::Conflict(Kind::SharedResource), Some(kind)) => {
                HelpContext::default().help(&Resource::new(kind, "NAME"))
            }
            _ => "Each result names the change that ends it.".to_owned(),
        }
    }

    /// Returns the message, at most `most` details, and the help, line by line.
    pub(super) fn lines(&self, most: usize) -> Vec<String> {
        let mut lines = vec![format!("{}.", self.message)];
        lines.extend(self.details.iter().take(most).cloned());
        if self.details.len() > most {
            lines.push(format!("and {} more", self.details.len() - most));
        }
        lines.push(format!("Help: {}", self.help));
        lines
    }
}

/// Returns a sentence that defines a kind of conflict.
pub(super) fn about_conflict(kind: Kind) -> &'static str {
    match kind {
        Kind::SharedInstance => "Two workers use one instance that is not declared as shared",
        Kind::SharedResource => {
            "Tests use one resource, at least one of them writes, and they have no lock in common"
        }
        Kind::WorkerTwice => "One worker of a run is alive in two processes",
        Kind::ForeignUse => "A lazy proxy is used by a worker other than its owner",
        Kind::TeardownFailed => "A command of a fixture's teardown failed",
        Kind::TwoEpochs => "An old instance was held when its service was rebuilt in the same test",
        Kind::OrderLeak => "A later test program finds what an earlier one left",
        Kind::Leaked => "An instance was held after its test, locator or process ended",
        Kind::Thrashing => "A service was evicted and rebuilt repeatedly",
        Kind::Quarantined => "A test ended while its threads still ran",
        Kind::Rebuilt => "A service was built in many tests, at a cost",
    }
}

/// Returns `orders::stores_one on w0 in shop, write, src/store.rs:12, from tests/shop.rs:7`.
fn use_line(test: &Test, used: &Use) -> String {
    let access = used.access.map(|access| format!(", {access}"));
    let place = match places(used).as_str() {
        "" => String::new(),
        place => format!(", {place}"),
    };
    let (worker, binary) = (part("on", &test.worker), part("in", &test.binary));
    format!("{test}{worker}{binary}{}{place}", access.unwrap_or_default())
}

/// Returns ` on w0`, or nothing without a name: a test that was observed from outside has no worker.
fn part(word: &str, name: &str) -> String {
    match name {
        "" => String::new(),
        name => format!(" {word} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_not_known_is_left_out() {
        assert_eq!(
            (part("on", "w0"), part("on", "")),
            (" on w0".to_owned(), String::new())
        );
    }
}
