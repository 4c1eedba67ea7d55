//! External programs that are run for their output.

use std::path::Path;
use std::process::{Command, Stdio};

/// Returns the program's standard output when started in `dir`, or a sentence about the failure.
pub(super) fn output(program: &str, args: &[&str], dir: &Path) -> Result<Vec<u8>, String> {
    let shown = || format!("`{program} {}` in {}", args.join(" "), dir.display());
    #[expect(clippy::disallowed_methods, reason = "a short-lived tool that starts no test")]
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("could not start {}: {error}", shown()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} failed: {}", shown(), message.trim()))
}
