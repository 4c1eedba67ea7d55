//! Jobs from a file with one job per line, or from standard input.

use super::spec::{self, JobSpec};
use crate::executor::job::{Job, JobId};
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

/// A line that is not a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLine {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// The content of a job file.
#[derive(Debug, Default)]
pub struct JobFile {
    pub jobs: Vec<Job>,
    pub invalid: Vec<InvalidLine>,
}

/// Reads a file, or standard input for `-`. Returns its name in messages and its content.
pub fn read(path: &Path) -> io::Result<(String, Vec<u8>)> {
    if path == Path::new("-") {
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text)?;
        return Ok(("standard input".to_owned(), text));
    }
    Ok((path.display().to_string(), std::fs::read(path)?))
}

/// Parses one job per line. A line that begins with `{` is JSON; empty lines and lines that begin with `#` are ignored.
pub fn parse(file: &str, text: &[u8]) -> JobFile {
    let mut parsed = JobFile::default();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let id = JobId(parsed.jobs.len() as u64 + 1);
        match job(id, line) {
            Ok(job) => parsed.jobs.push(job),
            Err(reason) => parsed.invalid.push(InvalidLine {
                file: file.to_owned(),
                line: index + 1,
                reason,
            }),
        }
    }
    parsed
}

fn job(id: JobId, line: &[u8]) -> Result<Job, String> {
    if line.starts_with(b"{") {
        let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
        JobSpec::from_json(text)?.job(id)
    } else {
        spec::from_line(id, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_mix_words_and_json_and_invalid_lines_are_located() {
        let text =
            b"# first\n\ntrue\r\n{\"command\": [\"sh\"], \"name\": \"two\"}\nfalse | true\n{\n  echo three";
        let file = parse("jobs.txt", text);
        let names: Vec<_> = file
            .jobs
            .iter()
            .map(|job| (job.id.0, job.name.as_str()))
            .collect();
        assert_eq!(names, [(1, "true"), (2, "two"), (3, "echo")]);
        assert_eq!(
            file.invalid
                .iter()
                .map(|invalid| invalid.line)
                .collect::<Vec<_>>(),
            [5, 6]
        );
        assert!(
            file.invalid[0]
                .to_string()
                .starts_with("jobs.txt:5: `|` is shell syntax")
        );
    }

    #[test]
    fn a_hundred_thousand_lines_are_a_hundred_thousand_jobs() {
        let file = parse("x", &b"true\n".repeat(100_000));
        assert_eq!(file.jobs.len(), 100_000);
        assert_eq!(file.jobs[99_999].id, JobId(100_000));
    }

    #[cfg(unix)]
    #[test]
    fn an_argument_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let file = parse("x", b"echo \xff\xfe");
        assert_eq!(file.jobs[0].command[1].as_bytes(), b"\xff\xfe");
    }
}
