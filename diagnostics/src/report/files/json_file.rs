//! A file with the line of `--format json`.

use super::Reported;
#[cfg(has_observer)]
use crate::report::hunt_json;
use crate::report::json::Json;
use std::io::{self, Write};

pub(super) fn write(mut out: &mut dyn Write, reported: Reported<'_>) -> io::Result<()> {
    match reported {
        Reported::Outcome(outcome) => Json(outcome).write(&mut out),
        #[cfg(has_observer)]
        Reported::Hunt(hunted) => hunt_json::write(out, hunted),
    }
}
