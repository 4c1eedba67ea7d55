//! What ends what `COFFERDAM_KEEP` left standing, as a script for whoever left it.

use super::request::Stop;
use crate::place::order::Order;
use crate::place::{self, sweep::MARK};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Begins the text. A process number may be another's by the time that the script is run: what was started for a fixture
/// says so in its environment, and while its group has members nobody else has the number of one that is gone.
const BEGINNING: &str = r#"#!/bin/sh
# Ends what a run with COFFERDAM_KEEP left, and removes its folder.
all=true
here="$(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/pid)"
alive() { [ "$here" = "$space" ] && kill -0 "-$1" 2>/dev/null; }
ours() { [ ! -e "/proc/$1" ] || tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null | grep -qxF -- "$2"; }
end() {
    alive "$1" && ours "$1" "$2" || return 0
    kill "-$3" "-$1"
    n=0
    while alive "$1" && [ "$n" -lt "$4" ]; do sleep 0.1; n=$((n + 1)); done
    kill -9 "-$1" 2>/dev/null
}
marked() {
    for p in /proc/[0-9]*; do
        { tr '\0' '\n' <"$p/environ"; } 2>/dev/null | grep -qxF -- "$1" && echo "${p#/proc/}"
    done
}
rest() {
    [ "$here" = "$space" ] || return 0
    for p in $(marked "$1"); do kill "-$2" "$p" 2>/dev/null; done
    n=0
    while [ -n "$(marked "$1")" ] && [ "$n" -lt "$3" ]; do sleep 0.1; n=$((n + 1)); done
    for p in $(marked "$1"); do kill -9 "$p" 2>/dev/null; done
    return 0
}
"#;

/// Ends it, with the folder as `$run`.
const END: &str = r#"if $all; then rm -rf -- "$run"; exit; fi
echo "not all of it could be done, so $run stays" >&2
exit 1
"#;

pub(super) struct Script {
    text: String,
    is_empty: bool,
    path: PathBuf,
}

impl Script {
    pub(super) fn new(run: &Path) -> Self {
        let space = &place::facts().space;
        let space = format!("{} pid:[{}]", space.boot, space.namespace);
        let (space, folder) = (quoted(space.as_ref()), quoted(run.as_os_str()));
        Self {
            text: format!("{BEGINNING}space={space}\nrun={folder}\n"),
            is_empty: true,
            path: run.join(super::SCRIPT),
        }
    }

    /// Ends a group that was started for the fixture with this folder.
    pub(super) fn end(&mut self, fixture: &Path, leader: u32, stop: Stop) {
        let (mark, signal, tenths) = words(fixture, stop);
        self.line(&format!("end {leader} {mark} {signal} {tenths}"));
    }

    /// Ends what was started for the fixture with this folder and left its group.
    pub(super) fn end_rest(&mut self, fixture: &Path, stop: Stop) {
        let (mark, signal, tenths) = words(fixture, stop);
        self.line(&format!("rest {mark} {signal} {tenths}"));
    }

    /// Runs a command of the teardown as the keeper would.
    pub(super) fn run(&mut self, order: &Order) {
        let variables = order.env.iter().map(|(name, value)| {
            let mut word = name.clone();
            word.push("=");
            word.push(value);
            quoted(&word)
        });
        let words = std::iter::once(&order.program).chain(&order.args);
        let words: Vec<_> = variables.chain(words.map(|word| quoted(word))).collect();
        let dir = quoted(order.dir.as_os_str());
        self.line(&format!("(cd {dir} && env -i {}) || all=false", words.join(" ")));
    }

    fn line(&mut self, line: &str) {
        self.is_empty = false;
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// For its owner alone, for it has the values of variables. Where nothing was left, there is none.
    pub(super) fn write(self) {
        if self.is_empty {
            let _ = std::fs::remove_file(self.path);
            return;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(self.path);
        let _ = file.and_then(|mut file| file.write_all((self.text + END).as_bytes()));
    }
}

/// The mark of a fixture's processes, quoted, the signal, and the grace in tenths of a second.
fn words(fixture: &Path, stop: Stop) -> (String, i32, u128) {
    let mut mark = std::ffi::OsString::from(format!("{MARK}="));
    mark.push(fixture);
    (quoted(&mark), stop.signal, stop.grace.as_millis() / 100)
}

fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}
