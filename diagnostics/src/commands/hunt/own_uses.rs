//! The resources that one test shares with other runs of the suite: the cause of a leftover and of a collision of two runs.

use crate::findings::SharedUse;
use crate::hunt::Class;
use crate::scene::TestId;
use cofferdam::format::ResourceKind;
use cofferdam::format::Scope;
use cofferdam::{Access, Resource};
use serde::Deserialize;
use std::env;

/// A line of the observer's list of accesses.
#[derive(Deserialize)]
struct AccessLine<'a> {
    test: &'a str,
    binary: String,
    access: &'a str,
    kind: &'a str,
    name: String,
    place: Option<String>,
}

/// Returns what the test of a leftover or of two runs uses, from the observer's list of accesses. Of files, these are the ones
/// that it changes; if it failed before it changed any, those below the temporary directory that it looked at.
pub(super) fn of(test: &TestId, class: &Class, accesses: &str) -> Vec<SharedUse> {
    // The tests had the same one.
    let temp = env::temp_dir();
    let (mut nameless, mut changed, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for line in accesses.lines() {
        let Ok(line) = serde_json::from_str::<AccessLine<'_>>(line) else {
            continue;
        };
        let Some(kind) = ResourceKind::from_key(line.kind) else {
            continue;
        };
        if !test.is_named(&line.binary, line.test) || kind.scope() == Scope::Process {
            continue;
        }
        let resource = Resource::new(kind, line.name);
        let test_writes = line.access == Access::Write.as_str();
        let uses = match resource.path() {
            None => &mut nameless,
            Some(_) if test_writes => &mut changed,
            Some(path) if path.starts_with(&temp) && path != temp => &mut seen,
            Some(_) => continue,
        };
        if !uses.iter().any(|known: &SharedUse| known.resource == resource) {
            uses.push(SharedUse {
                resource,
                culprit_place: None,
                culprit_writes: false,
                test_place: line.place,
                test_writes,
                help: String::new(),
            });
        }
    }
    let files = if changed.is_empty() { seen } else { changed };
    match class {
        // Only a file outlives its process.
        Class::Leftover => files,
        Class::TwoRuns => nameless.into_iter().chain(files).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(test: &str, access: &str, kind: &str, name: &str) -> String {
        let line = serde_json::json!({
            "test": test, "binary": "shop", "access": access, "kind": kind, "name": name, "place": "a.rs:3",
        });
        format!("{line}\n")
    }

    fn names(class: &Class, accesses: &str) -> Vec<String> {
        let id = TestId {
            binary: "desk::shop".to_owned(),
            name: "opens".to_owned(),
        };
        let uses = of(&id, class, accesses);
        uses.iter().map(|one| one.resource.to_string()).collect()
    }

    #[test]
    fn the_files_of_a_leftover_are_those_that_its_test_changed_or_else_looked_at() {
        let temp = env::temp_dir();
        let path = |name: &str| temp.join(name).display().to_string();
        let looked = line("opens", "read", "file", &path("db"))
            + &line("opens", "read", "directory", &path(""))
            + &line("opens", "read", "file", "/elsewhere")
            + &line("opens", "write", "env", "HOME")
            + &line("other", "write", "file", &path("else"));
        assert_eq!(names(&Class::Leftover, &looked), [format!("file {}", path("db"))]);
        let changed =
            looked + &line("opens", "write", "file", "/w/log") + &line("opens", "write", "port", "80");
        assert_eq!(names(&Class::Leftover, &changed), ["file /w/log"]);
    }

    #[test]
    fn two_runs_meet_at_ports_and_names_too() {
        let accesses = line("opens", "write", "file", "/w/log")
            + &line("opens", "write", "port", "27481")
            + &line("opens", "write", "port", "27481")
            + &line("opens", "write", "unix-socket", "@shop");
        assert_eq!(
            names(&Class::TwoRuns, &accesses),
            ["port 27481", "Unix socket @shop", "file /w/log"]
        );
    }
}
