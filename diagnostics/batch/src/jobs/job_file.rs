//! Jobs from a file of lines, or from standard input.

use super::spec::{self, Spec};
use crate::executor::job::{Job, JobId};
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

/// A line that is no job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Lines {
    pub jobs: Vec<Job>,
    pub bad: Vec<BadLine>,
}

/// The whole file, or standard input where it is `-`, and what to call it.
pub fn read(path: &Path) -> io::Result<(String, Vec<u8>)> {
    if path == Path::new("-") {
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text)?;
        return Ok(("standard input".to_owned(), text));
    }
    Ok((path.display().to_string(), std::fs::read(path)?))
}

/// One job a line; a line that begins with `{` is JSON, one that begins with `#` or is empty is none.
pub fn parse(file: &str, text: &[u8]) -> Lines {
    let mut lines = Lines::default();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let id = JobId(lines.jobs.len() as u64 + 1);
        match job(id, line) {
            Ok(job) => lines.jobs.push(job),
            Err(what) => lines.bad.push(BadLine {
                file: file.to_owned(),
                line: index + 1,
                what,
            }),
        }
    }
    lines
}

fn job(id: JobId, line: &[u8]) -> Result<Job, String> {
    if line.starts_with(b"{") {
        let text = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
        Spec::of_json(text)?.job(id)
    } else {
        spec::of_line(id, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_mix_lines_and_objects_and_each_bad_line_has_its_place() {
        let text =
            b"# first\n\ntrue\r\n{\"command\": [\"sh\"], \"name\": \"two\"}\nfalse | true\n{\n  echo three";
        let lines = parse("jobs.txt", text);
        let names: Vec<_> = lines
            .jobs
            .iter()
            .map(|job| (job.id.0, job.name.as_str()))
            .collect();
        assert_eq!(names, [(1, "true"), (2, "two"), (3, "echo")]);
        assert_eq!(lines.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [5, 6]);
        assert!(
            lines.bad[0]
                .to_string()
                .starts_with("jobs.txt:5: `|` is a shell's")
        );
    }

    #[test]
    fn a_hundred_thousand_lines_are_a_hundred_thousand_jobs() {
        let lines = parse("x", &b"true\n".repeat(100_000));
        assert_eq!(lines.jobs.len(), 100_000);
        assert_eq!(lines.jobs[99_999].id, JobId(100_000));
    }

    #[cfg(unix)]
    #[test]
    fn an_argument_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt as _;
        let lines = parse("x", b"echo \xff\xfe");
        assert_eq!(lines.jobs[0].command[1].as_bytes(), b"\xff\xfe");
    }
}
