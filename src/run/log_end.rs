//! The end of a fixture's log.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// The number of bytes to read.
const LONGEST: u64 = 2000;

/// Returns the last lines of a log for a message: at most 20 lines and 2,000 bytes, none from before the offset `begin`.
/// Returns an empty text if the log cannot be read.
pub(crate) fn last_lines(log: &Path, begin: u64) -> String {
    let bytes = last_bytes(log, begin).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn last_bytes(log: &Path, begin: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(begin.max(length.saturating_sub(LONGEST))))?;
    let mut bytes = Vec::new();
    // A server may write on while this reads.
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_cut_to_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert_eq!(last_lines(&log, 0), "");
        let lines = (0..1000).map(|line| format!("line {line}\n")).collect::<String>();
        std::fs::write(&log, &lines).unwrap();
        let last = last_lines(&log, 0);
        assert_eq!(last.lines().count(), 20);
        assert!(
            last.starts_with("line 980\n") && last.ends_with("line 999"),
            "{last}"
        );
        assert_eq!(last_lines(&log, lines.len() as u64 - 9), "line 999");
        assert_eq!(last_lines(&log, lines.len() as u64), "");
    }
}
