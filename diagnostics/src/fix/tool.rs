//! Programs that are asked something.

use std::path::Path;
use std::process::{Command, Stdio};

/// What the program says when it is started in `dir`, or a sentence that says why it says nothing.
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
