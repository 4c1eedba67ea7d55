//! The resources that one test shares with other runs of the suite: the cause of a leftover and of a collision of two runs.

use crate::findings::SharedUse;
use crate::hunt::Class;
use crate::observe::ListedAccess;
use crate::scene::TestId;
use cofferdam::Access;
use cofferdam::format::Scope;
use std::env;

/// Returns what the test of a leftover or of two runs uses, from the observer's list of accesses. Of files, these are the ones
/// that it changes; if it failed before it changed any, those below the temporary directory that it looked at.
pub(super) fn of(test: &TestId, class: &Class, accesses: &[ListedAccess]) -> Vec<SharedUse> {
    // The tests had the same one.
    let temp = env::temp_dir();
    let (mut nameless, mut changed, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for one in accesses {
        let resource = &one.resource;
        if !test.is_named(&one.binary, &one.test) || resource.kind().scope() == Scope::Process {
            continue;
        }
        let test_writes = one.access == Access::Write;
        let uses = match resource.path() {
            None => &mut nameless,
            Some(_) if test_writes => &mut changed,
            Some(path) if path.starts_with(&temp) && path != temp => &mut seen,
            Some(_) => continue,
        };
        if !uses.iter().any(|known: &SharedUse| known.resource == *resource) {
            uses.push(SharedUse {
                resource: resource.clone(),
                culprit_place: None,
                culprit_writes: false,
                test_place: one.place.clone(),
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
    use cofferdam::Resource;
    use cofferdam::format::ResourceKind;

    fn used(test: &str, access: Access, resource: Resource) -> ListedAccess {
        ListedAccess {
            test: test.to_owned(),
            binary: "shop".to_owned(),
            package: "/w".into(),
            resource,
            access,
            place: Some("a.rs:3".to_owned()),
            declared: None,
            window: (1, 2),
        }
    }

    fn names(class: &Class, accesses: &[ListedAccess]) -> Vec<String> {
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
        let mut accesses = vec![
            used("opens", Access::Read, Resource::file(path("db"))),
            used(
                "opens",
                Access::Read,
                Resource::new(ResourceKind::Directory, path("")),
            ),
            used("opens", Access::Read, Resource::file("/elsewhere")),
            used("opens", Access::Write, Resource::env("HOME")),
            used("other", Access::Write, Resource::file(path("else"))),
        ];
        assert_eq!(
            names(&Class::Leftover, &accesses),
            [format!("file {}", path("db"))]
        );
        accesses.push(used("opens", Access::Write, Resource::file("/w/log")));
        accesses.push(used("opens", Access::Write, Resource::port(80)));
        assert_eq!(names(&Class::Leftover, &accesses), ["file /w/log"]);
    }

    #[test]
    fn two_runs_meet_at_ports_and_names_too() {
        let accesses = [
            used("opens", Access::Write, Resource::file("/w/log")),
            used("opens", Access::Write, Resource::port(27481)),
            used("opens", Access::Write, Resource::port(27481)),
            used(
                "opens",
                Access::Write,
                Resource::new(ResourceKind::UnixSocket, "@shop"),
            ),
        ];
        assert_eq!(
            names(&Class::TwoRuns, &accesses),
            ["port 27481", "Unix socket @shop", "file /w/log"]
        );
    }
}
