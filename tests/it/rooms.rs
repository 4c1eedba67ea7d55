//! Checks the imports of a crate against the list of rooms in docs/design/architecture.md.

use crate::source;

/// A room: a file or directory of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// `worker/` or `journal.rs`.
    pub(crate) name: String,
    /// The files that its line in the list names.
    files: Vec<String>,
}

/// Returns the rooms in the list below a heading, the topmost first.
pub(crate) fn read(page: &str, heading: &str) -> Vec<Room> {
    let section = page.lines().skip_while(|line| *line != heading).skip(1);
    let section = section.take_while(|line| !line.starts_with("## "));
    let rows = section.filter(|line| line.starts_with("- `"));
    rows.filter_map(|row| {
        let mut names = row.split('`').skip(1).step_by(2);
        let name = names.next()?.to_owned();
        let files = names.filter(|name| name.ends_with(".rs") && !name.contains('/'));
        Some(Room {
            files: files.map(str::to_owned).collect(),
            name,
        })
    })
    .collect()
}

/// Returns the places where the sources (paths below the source directory, with their texts) do not follow the list.
pub(crate) fn breaches(rooms: &[Room], sources: &[(String, String)]) -> Vec<String> {
    let mut breaches = Vec::new();
    for room in rooms {
        let is_there = |path: &str| sources.iter().any(|(known, _)| known == path);
        let exists = sources.iter().any(|(path, _)| room_of(path) == room.name);
        if !exists {
            breaches.push(format!("{} is in the list, not in the sources", room.name));
        }
        let missing = room
            .files
            .iter()
            .filter(|file| !is_there(&format!("{}{file}", room.name)));
        breaches.extend(
            missing
                .filter(|_| exists)
                .map(|file| format!("{} has no {file}", room.name)),
        );
    }
    for (path, text) in sources {
        let Some(own) = rooms.iter().position(|room| room.name == room_of(path)) else {
            breaches.push(format!("{path} belongs to no room of the list"));
            continue;
        };
        let module = module_of(path);
        for (name, line) in source::roots_named(&source::tokens(text), &module) {
            let known = rooms.iter().position(|room| stem(&room.name) == name);
            match known {
                None => breaches.push(format!(
                    "{path}:{line}: `{name}` is no room: name the room it is in"
                )),
                Some(other) if other < own => {
                    breaches.push(format!(
                        "{path}:{line}: {} knows {}, which is above it",
                        rooms[own].name, rooms[other].name
                    ));
                }
                Some(_) => {}
            }
        }
    }
    breaches
}

/// Returns the room of a file: `worker/` for `worker/current.rs`, `journal.rs` for itself.
fn room_of(path: &str) -> &str {
    path.find('/').map_or(path, |slash| &path[..=slash])
}

fn stem(room: &str) -> &str {
    room.trim_end_matches('/').trim_end_matches(".rs")
}

/// Returns the module of a file: `["worker", "current"]` for `worker/current.rs`, nothing for the root.
fn module_of(path: &str) -> Vec<&str> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/')
        .filter(|part| !matches!(*part, "lib" | "main"))
        .collect()
}

const PAGE: &str = "\
## Other
- `no.rs`: not this list
## Rooms
- `lib.rs`: the root
- `high/`: `one.rs` does it, see `low/` and `a::b`
- `low/`:
## Next
- `no.rs`:
";

fn found(sources: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<_> = sources
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    breaches(&read(PAGE, "## Rooms"), &sources)
}

const GOOD: [(&str, &str); 4] = [
    ("lib.rs", "mod high; mod low; pub use high::A;"),
    ("high/mod.rs", "mod one; use crate::low::B;"),
    (
        "high/one.rs",
        "use super::super::low; use super::C; use crate::high::D;",
    ),
    ("low/mod.rs", "use std::fmt;"),
];

#[test]
fn code_that_goes_down_the_table_is_left_alone() {
    assert_eq!(found(&GOOD), Vec::<String>::new());
}

#[test]
fn an_import_that_goes_up_is_named_with_its_line() {
    for upward in [
        "use std::fmt;\nuse crate::high::A;",
        "fn f() {\n crate::{low::X, high}::f() }",
        "\nuse super::high;",
    ] {
        let mut sources = GOOD;
        sources[3].1 = upward;
        assert_eq!(
            found(&sources),
            ["low/mod.rs:2: low/ knows high/, which is above it"]
        );
    }
}

#[test]
fn an_import_by_way_of_the_root_is_named() {
    let mut sources = GOOD;
    sources[3].1 = "use crate::A;";
    assert_eq!(
        found(&sources),
        ["low/mod.rs:1: `A` is no room: name the room it is in"]
    );
}

#[test]
fn rooms_and_files_without_each_other_are_named() {
    assert_eq!(found(&GOOD[..3]), ["low/ is in the list, not in the sources"]);
    let mut sources = GOOD;
    sources[2].0 = "util.rs";
    assert_eq!(
        found(&sources)[..2],
        ["high/ has no one.rs", "util.rs belongs to no room of the list"]
    );
}
