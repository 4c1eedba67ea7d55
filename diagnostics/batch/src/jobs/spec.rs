//! Parses jobs: a line of words, or an object with fields.

use super::values::TimeLimit;
use crate::executor::job::{Job, JobId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The fields of a job, in JSON and in TOML.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    name: Option<String>,
    command: CommandSpec,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
    timeout: Option<TimeLimit>,
    group: Option<String>,
    retries: Option<u32>,
}

/// A command: a line that is split into words like in a shell, or a list of words.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged, expecting = "a string or a list of strings")]
enum CommandSpec {
    Line(String),
    Words(Vec<String>),
}

impl JobSpec {
    /// Parses one line of JSON.
    pub fn from_json(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error: serde_json::Error| {
            let message = error.to_string();
            // Its line is always 1; the caller reports the line of the file.
            let position = format!(" at line {} column {}", error.line(), error.column());
            let reason = message.strip_suffix(&position).unwrap_or(&message);
            format!("{}, at column {}", without_values(reason), error.column())
        })
    }

    /// Writes a job as one line of JSON for [`from_json`](Self::from_json).
    pub fn to_json(job: &Job) -> Result<String, String> {
        let text = |text: &OsStr| text.to_str().map(str::to_owned).ok_or("an argument is not UTF-8");
        let words = job.command.iter().map(|word| text(word));
        let env = job
            .env
            .iter()
            .map(|(name, value)| Ok::<_, &str>((text(name)?, text(value)?)));
        let cwd = job.cwd.as_deref().map(|cwd| text(cwd.as_os_str())).transpose()?;
        let spec = Self {
            name: Some(job.name.clone()),
            command: CommandSpec::Words(words.collect::<Result<_, _>>()?),
            env: env.collect::<Result<_, _>>()?,
            cwd: cwd.map(PathBuf::from),
            timeout: job.timeout.map(TimeLimit),
            group: job.group.clone(),
            retries: job.retries,
        };
        serde_json::to_string(&spec).map_err(|error| error.to_string())
    }

    /// Converts the fields to a job, or returns the reason why they are invalid.
    pub fn job(self, id: JobId) -> Result<Job, String> {
        let command: Vec<OsString> = match self.command {
            CommandSpec::Words(words) => words.into_iter().map(OsString::from).collect(),
            CommandSpec::Line(line) => words(line.as_bytes())?,
        };
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err("a variable's name is empty or contains `=`".to_owned());
            }
        }
        if self.env.values().any(|value| value.contains('\0')) {
            return Err("a variable's value contains a zero byte".to_owned());
        }
        let mut job = from_words(id, command)?;
        if let Some(name) = self.name {
            job.name = checked_name(name)?;
        }
        job.group = self.group;
        job.env = self
            .env
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        job.cwd = self.cwd;
        job.timeout = self.timeout.map(|limit| limit.0);
        job.retries = self.retries;
        Ok(job)
    }
}

/// Creates a job from a command alone.
pub fn from_words(id: JobId, command: Vec<OsString>) -> Result<Job, String> {
    if command.first().is_none_or(|program| program.is_empty()) {
        return Err("the command is empty".to_owned());
    }
    if command.iter().any(|word| word.as_encoded_bytes().contains(&0)) {
        return Err("the command contains a zero byte".to_owned());
    }
    Ok(Job {
        id,
        name: summary(&command),
        group: None,
        env: Vec::new(),
        cwd: None,
        timeout: None,
        retries: None,
        inherits_temp: false,
        command,
    })
}

/// Programs whose first argument names an action and cannot be secret.
const TOOLS: [&str; 9] = [
    "cargo", "git", "go", "just", "make", "mdbook", "npm", "pnpm", "yarn",
];

/// Options of cargo that select targets: flags, and options with a name.
const FLAGS: [&str; 8] = [
    "--all-targets",
    "--benches",
    "--bins",
    "--doc",
    "--examples",
    "--lib",
    "--tests",
    "--workspace",
];
const NAMED: [&str; 6] = ["--bench", "--bin", "--example", "--package", "--test", "-p"];

/// Returns the part of a command that is displayed and stored: the program, and the action of a known tool. Other
/// arguments may be secret.
pub fn summary(command: &[OsString]) -> String {
    const LONGEST: usize = 80;
    let program = command.first().map_or(OsStr::new(""), OsString::as_os_str);
    let stem = Path::new(program)
        .file_stem()
        .unwrap_or(program)
        .to_string_lossy();
    let mut words = vec![stem.as_ref()];
    if TOOLS.contains(&stem.as_ref()) {
        let rest: Vec<&str> = command.iter().skip(1).map_while(|word| word.to_str()).collect();
        let rest = rest.split(|word| *word == "--").next().unwrap_or_default();
        let is_cargo = stem == "cargo";
        let toolchain = usize::from(is_cargo && rest.first().is_some_and(|word| word.starts_with('+')));
        let mut rest = rest.iter().skip(toolchain).copied().peekable();
        words.extend(rest.next_if(|word| is_plain(word)));
        if is_cargo && words.get(1) == Some(&"nextest") {
            words.extend(rest.next_if(|word| is_plain(word)));
        }
        while let Some(word) = rest.next().filter(|_| is_cargo && words.len() > 1) {
            let option = word.split('=').next().unwrap_or_default();
            if FLAGS.contains(&word) {
                words.push(word);
            } else if NAMED.contains(&option) {
                words.push(word);
                if word == option {
                    words.extend(rest.next());
                }
            }
        }
    }
    let mut summary = words.join(" ");
    while summary.len() > LONGEST {
        words.pop();
        summary = words.join(" ");
    }
    summary
}

/// Returns whether a word can only be the name of an action.
fn is_plain(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && word
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter))
}

/// Creates a job from a line of words.
pub fn from_line(id: JobId, line: &[u8]) -> Result<Job, String> {
    from_words(id, words(line)?)
}

/// Checks that a name can be stored and displayed.
pub fn checked_name(name: String) -> Result<String, String> {
    const LONGEST: usize = 200;
    if name.is_empty() || name.len() > LONGEST {
        return Err(format!("a job's name must have 1 to {LONGEST} bytes"));
    }
    Ok(name)
}

/// Operators of shells.
const OPERATORS: [&str; 9] = ["&&", "||", "|", "&", ">", ">>", "<", "2>", "2>&1"];

/// Splits a line into words, with the quoting of shells.
fn words(line: &[u8]) -> Result<Vec<OsString>, String> {
    let words = split(line)?;
    if let Some(word) = words
        .iter()
        .find(|word| OPERATORS.iter().any(|sign| word == sign))
    {
        let word = word.to_string_lossy();
        return Err(format!(
            "`{word}` is shell syntax, but no shell is involved: write sh -c '…', or a list of words in JSON"
        ));
    }
    Ok(words)
}

#[cfg(unix)]
fn split(line: &[u8]) -> Result<Vec<OsString>, String> {
    use std::os::unix::ffi::OsStringExt as _;
    let words = shlex::bytes::split(line).ok_or(UNCLOSED)?;
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

#[cfg(not(unix))]
fn split(line: &[u8]) -> Result<Vec<OsString>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let words = shlex::split(line).ok_or(UNCLOSED)?;
    Ok(words.into_iter().map(OsString::from).collect())
}

const UNCLOSED: &str = "a quotation mark is not closed, or the line ends with a backslash";

/// Removes the offending value from a message: it may be an argument or the value of a variable.
pub(super) fn without_values(message: &str) -> String {
    match message.split_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => {
            let kind = found.split(':').next().unwrap_or_default();
            format!("{kind}, expected {expected}")
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Vec<OsString>, String> {
        from_line(JobId(1), text.as_bytes()).map(|job| job.command)
    }

    #[test]
    fn a_line_is_split_like_in_a_shell() {
        assert_eq!(
            line(r#"sh -c 'echo "a b"' c\ d"#).unwrap(),
            ["sh", "-c", "echo \"a b\"", "c d"]
        );
        let job = from_line(JobId(4), b"/usr/bin/curl.exe -H 'token: x'").unwrap();
        assert_eq!(job.name, "curl", "no argument is in the name");
    }

    #[test]
    fn a_job_s_name_identifies_it_without_anything_that_may_be_secret() {
        for (line, name) in [
            ("cargo test --lib", "cargo test --lib"),
            (
                "/bin/cargo +nightly test --release --doc -- hunter2",
                "cargo test --doc",
            ),
            (
                "cargo test -p shop --test=api hunter2",
                "cargo test -p shop --test=api",
            ),
            (
                "cargo nextest run --test api --token hunter2",
                "cargo nextest run --test api",
            ),
            ("cargo --config a=hunter2 test", "cargo"),
            ("make docs KEY=hunter2", "make docs"),
            ("make KEY=hunter2", "make"),
            ("git clone https://hunter2@host", "git clone"),
            ("deploy hunter2", "deploy"),
            ("sh -c 'echo hunter2'", "sh"),
        ] {
            assert_eq!(from_line(JobId(1), line.as_bytes()).unwrap().name, name);
        }
    }

    #[test]
    fn shell_syntax_and_empty_commands_are_refused() {
        for (text, reason) in [
            ("a && b", "`&&` is shell syntax"),
            ("a > b", "`>` is shell syntax"),
            ("a 'b", "not closed"),
            ("", "command is empty"),
            ("'' a", "command is empty"),
            ("a \0", "zero byte"),
        ] {
            let error = line(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_object_can_set_every_field_of_a_job() {
        let spec = JobSpec::from_json(
            r#"{"name": "unit", "command": ["a", "&&"], "env": {"A": "1"}, "cwd": "x", "timeout": "2m", "group": "g",
                "retries": 2}"#,
        );
        let job = spec.unwrap().job(JobId(7)).unwrap();
        assert_eq!(
            job,
            Job {
                id: JobId(7),
                name: "unit".to_owned(),
                group: Some("g".to_owned()),
                command: vec!["a".into(), "&&".into()],
                env: vec![("A".into(), "1".into())],
                cwd: Some("x".into()),
                timeout: Some(std::time::Duration::from_secs(120)),
                retries: Some(2),
                inherits_temp: false,
            }
        );
        let written = JobSpec::to_json(&job).unwrap();
        assert_eq!(JobSpec::from_json(&written).unwrap().job(JobId(7)).unwrap(), job);
        let short = JobSpec::from_json(r#"{"command": "sh -c 'exit 1'"}"#).unwrap();
        assert_eq!(short.job(JobId(1)).unwrap().command, ["sh", "-c", "exit 1"]);
    }

    #[test]
    fn errors_about_an_object_do_not_contain_its_values() {
        for (text, reason) in [
            (r#"{"command": "a", "colour": 1}"#, "unknown field `colour`"),
            (r#"{"name": "hunter2"}"#, "missing field `command`"),
            (
                r#"{"command": "a", "retries": "hunter2"}"#,
                "invalid type, expected u32",
            ),
            (r#"{"command": {"hunter2": 1}}"#, "a string or a list of strings"),
            (
                r#"{"command": "a", "timeout": "hunter2"}"#,
                "expected a time like",
            ),
            (
                r#"{"command": "a", "env": {"A=B": "hunter2"}}"#,
                "a variable's name",
            ),
            (r#"{"command": "a", "name": ""}"#, "a job's name must have"),
            (r#"{"command": []}"#, "command is empty"),
            (r#"{"command": "a""#, "EOF while parsing"),
        ] {
            let error = JobSpec::from_json(text)
                .and_then(|spec| spec.job(JobId(1)))
                .unwrap_err();
            assert!(
                error.contains(reason) && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }
}
