//! What is known of a suite's conflicts, so that only new ones fail: a file for people and for CI.
//!
//! `file` is its form, `identity` what makes a conflict the same one tomorrow and elsewhere. Data in, data out.

mod file;
mod identity;

pub(crate) use file::{Baseline, Known};
pub(crate) use identity::Roots;

use std::collections::BTreeSet;

/// What the file says of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    New,
    /// It is known, and these of its tests are not.
    NewTests(Vec<String>),
    Known,
    /// Until that day, for that reason.
    Allowed {
        until: String,
        reason: String,
    },
    /// It was, until that day.
    Ended {
        until: String,
        reason: String,
    },
}

impl Standing {
    /// Whether it makes a check fail.
    pub(crate) fn fails(&self) -> bool {
        matches!(self, Self::New | Self::NewTests(_) | Self::Ended { .. })
    }
}

impl Baseline {
    /// What the file says of that conflict on that day (`2027-01-31`).
    pub(crate) fn standing(&self, conflict: &Known, today: &str) -> Standing {
        let allowed = self
            .allowed
            .iter()
            .filter(|one| one.conflict == conflict.conflict);
        let mut covering: Vec<_> = allowed
            .filter(|one| unknown(&one.tests, conflict).is_empty())
            .collect();
        // The one that lasts longest counts.
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

    /// What is to be known of a conflict of a recorded run. Who met whom there is chance: it is for all tests, unless
    /// the file says which. Then it is for those, and for them that were seen.
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

    /// What the file holds and is not there any more.
    pub(crate) fn gone(&self, conflicts: &[Known]) -> Vec<String> {
        let is_there = |subject: &str| conflicts.iter().any(|one| one.conflict == subject);
        let subjects = self
            .known
            .iter()
            .map(|one| &one.conflict)
            .chain(self.allowed.iter().map(|one| &one.conflict));
        let gone: BTreeSet<&String> = subjects.filter(|subject| !is_there(subject)).collect();
        gone.into_iter().cloned().collect()
    }
}

/// The tests that an entry does not name. One without tests is for all.
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
    fn what_is_not_in_the_file_is_new_and_what_is_known_may_have_fewer_tests() {
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
    fn what_is_allowed_is_so_to_the_end_of_its_day() {
        let is_allowed = |today| matches!(standing("port 1", &["x"], today), Standing::Allowed { .. });
        assert!(is_allowed("2026-02-01") && is_allowed("2027-01-31") && !is_allowed("2027-02-01"));
        let ended = Standing::Ended {
            until: "2027-01-31".to_owned(),
            reason: "one simulator".to_owned(),
        };
        assert_eq!(standing("port 1", &["x"], "2027-02-01"), ended);
        assert!(ended.fails());
        // For these tests and no others.
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
    fn what_is_not_seen_any_more_is_told() {
        let baseline = Baseline::parse(FILE, Path::new("b.toml")).unwrap();
        let seen = Known {
            conflict: "file a".to_owned(),
            tests: BTreeSet::new(),
        };
        assert_eq!(baseline.gone(&[seen]), ["env HOME", "port 1", "port 2"]);
    }
}
