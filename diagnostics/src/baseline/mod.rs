//! The baseline: a file of known and allowed conflicts, so that only new ones fail a check.
//!
//! `baseline_file` reads and writes it, and `known_conflict` computes the key of a conflict, which is the same in every
//! run and on every machine.

mod baseline_file;
mod known_conflict;

pub(crate) use baseline_file::{Baseline, BaselineError, Known};
pub(crate) use known_conflict::{Roots, is_on_static};

use std::collections::BTreeSet;

/// The entry of a conflict in the baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is none.
    New,
    /// The conflict is known, but not these of its tests.
    NewTests(Vec<String>),
    Known,
    /// Allowed until the end of a day.
    Allowed {
        until: String,
        reason: String,
    },
    /// An allowance that has ended.
    Ended {
        until: String,
        reason: String,
    },
}

impl Standing {
    /// Returns its word in reports.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::NewTests(_) => "new-tests",
            Self::Known => "known",
            Self::Allowed { .. } => "allowed",
            Self::Ended { .. } => "ended",
        }
    }

    /// Returns whether the conflict fails a check.
    pub(crate) fn fails(&self) -> bool {
        matches!(self, Self::New | Self::NewTests(_) | Self::Ended { .. })
    }
}

impl Baseline {
    /// Returns the entry of a conflict on a day, like `2027-01-31`.
    pub(crate) fn standing(&self, conflict: &Known, today: &str) -> Standing {
        let allowed = self
            .allowed
            .iter()
            .filter(|one| one.conflict == conflict.conflict);
        let mut covering: Vec<_> = allowed
            .filter(|one| unknown(&one.tests, conflict).is_empty())
            .collect();
        // The latest end counts.
        covering.sort_by(|one, other| one.until.cmp(&other.until));
        if let Some(one) = covering.last() {
            let (until, reason) = (one.until.clone(), one.reason.clone());
            return if today <= until.as_str() {
                Standing::Allowed { until, reason }
            } else {
                Standing::Ended { until, reason }
            };
        }
        let mut known = self
            .known
            .iter()
            .filter(|one| one.conflict == conflict.conflict)
            .peekable();
        if known.peek().is_none() {
            return Standing::New;
        }
        let of_each = known.map(|one| unknown(&one.tests, conflict));
        match of_each.min_by_key(Vec::len) {
            Some(tests) if !tests.is_empty() => Standing::NewTests(tests),
            _ => Standing::Known,
        }
    }

    /// Returns the entry to write for a conflict of a recorded run. It depends on chance which tests such a run shows, so the
    /// entry is for all tests. If the existing entries name tests, it is for those and for the tests of this run.
    pub(crate) fn widened(&self, seen: &Known) -> Known {
        let entries = || self.known.iter().filter(|one| one.conflict == seen.conflict);
        let is_for_all = entries().next().is_none() || entries().any(|one| one.tests.is_empty());
        let mut tests = BTreeSet::new();
        if !is_for_all {
            tests.clone_from(&seen.tests);
            tests.extend(entries().flat_map(|one| one.tests.iter().cloned()));
        }
        Known {
            conflict: seen.conflict.clone(),
            tests,
        }
    }

    /// Returns the conflicts with an entry that did not occur.
    pub(crate) fn missing(&self, conflicts: &[Known]) -> Vec<String> {
        let is_present = |subject: &str| conflicts.iter().any(|one| one.conflict == subject);
        let subjects = self
            .known
            .iter()
            .map(|one| &one.conflict)
            .chain(self.allowed.iter().map(|one| &one.conflict));
        let missing: BTreeSet<&String> = subjects.filter(|subject| !is_present(subject)).collect();
        missing.into_iter().cloned().collect()
    }
}

/// Returns the tests of a conflict that an entry does not name. An entry without tests is for all.
fn unknown(known: &BTreeSet<String>, conflict: &Known) -> Vec<String> {
    if known.is_empty() {
        return Vec::new();
    }
    conflict
        .tests
        .iter()
        .filter(|test| !known.contains(*test))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const FILE: &str = r#"
version = 1
[[known]]
conflict = "file a"
tests = ["shop::one", "shop::two"]
[[known]]
conflict = "env HOME"
[[allowed]]
conflict = "port 1"
reason = "one simulator"
until = 2027-01-31
[[allowed]]
conflict = "port 2"
tests = ["shop::one"]
reason = "soon"
until = 2026-12-31
"#;

    fn standing(subject: &str, tests: &[&str], today: &str) -> Standing {
        let baseline = Baseline::parse(FILE, Path::new("b.toml")).unwrap();
        let conflict = Known {
            conflict: subject.to_owned(),
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
        };
        baseline.standing(&conflict, today)
    }

    #[test]
    fn a_conflict_without_an_entry_is_new_and_a_known_one_may_have_fewer_tests() {
        let day = "2027-01-01";
        assert_eq!(standing("file b", &["shop::one"], day), Standing::New);
        assert_eq!(standing("file a", &["shop::one"], day), Standing::Known);
        assert_eq!(
            standing("file a", &["shop::one", "shop::three"], day),
            Standing::NewTests(vec!["shop::three".to_owned()])
        );
        assert_eq!(standing("env HOME", &["shop::any"], day), Standing::Known);
    }

    #[test]
    fn an_allowance_includes_its_last_day() {
        let is_allowed = |today| matches!(standing("port 1", &["x"], today), Standing::Allowed { .. });
        assert!(is_allowed("2026-02-01") && is_allowed("2027-01-31") && !is_allowed("2027-02-01"));
        let ended = Standing::Ended {
            until: "2027-01-31".to_owned(),
            reason: "one simulator".to_owned(),
        };
        assert_eq!(standing("port 1", &["x"], "2027-02-01"), ended);
        assert!(ended.fails());
        // The entry is only for other tests.
        assert_eq!(standing("port 2", &["shop::two"], "2026-01-01"), Standing::New);
    }

    #[test]
    fn a_recorded_conflict_is_known_for_all_tests_if_one_of_its_entries_is() {
        let file = "version = 1\n[[known]]\nconflict = \"a\"\n[[known]]\nconflict = \"a\"\ntests = [\"shop::one\"]\n";
        let baseline = Baseline::parse(file, Path::new("b.toml")).unwrap();
        let seen = Known {
            conflict: "a".to_owned(),
            tests: BTreeSet::from(["shop::two".to_owned()]),
        };
        assert_eq!(baseline.widened(&seen).tests, BTreeSet::new());
    }

    #[test]
    fn entries_without_a_conflict_are_returned() {
        let baseline = Baseline::parse(FILE, Path::new("b.toml")).unwrap();
        let seen = Known {
            conflict: "file a".to_owned(),
            tests: BTreeSet::new(),
        };
        assert_eq!(baseline.missing(&[seen]), ["env HOME", "port 1", "port 2"]);
    }
}
