//! External programs that answer a question.

use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the program's standard output when started in `dir`, or a sentence about the failure.
pub(super) fn ask(program: &str, args: &[&str], dir: &Path) -> Result<Vec<u8>, String> {
    let shown = || format!("`{program} {}` in {}", args.join(" "), dir.display());
    #[expect(clippy::disallowed_methods, reason = "a tool that answers and is gone")]
    let told = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("could not start {}: {error}", shown()))?;
    if told.status.success() {
        return Ok(told.stdout);
    }
    let said = String::from_utf8_lossy(&told.stderr);
    Err(format!("{} failed: {}", shown(), said.trim()))
}
