//! A job as people write it: a line of words, or an object with fields.

use super::values::TimeLimit;
use crate::executor::job::{Job, JobId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The fields of a job, in JSON and in TOML.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    name: Option<String>,
    command: Command,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
    timeout: Option<TimeLimit>,
    group: Option<String>,
    retries: Option<u32>,
}

/// A line is split into words as a shell would; in a list nothing is special.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum Command {
    Line(String),
    Words(Vec<String>),
}

impl Spec {
    /// Of one line of JSON.
    pub fn of_json(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error: serde_json::Error| {
            let told = error.to_string();
            // It knows one line, and the file's is told before.
            let place = format!(" at line {} column {}", error.line(), error.column());
            let what = told.strip_suffix(&place).unwrap_or(&told);
            format!("{}, at column {}", without_values(what), error.column())
        })
    }

    /// A job as one line of JSON, which [`of_json`](Self::of_json) reads.
    pub fn write(job: &Job) -> Result<String, String> {
        let text =
            |text: &std::ffi::OsStr| text.to_str().map(str::to_owned).ok_or("an argument is not UTF-8");
        let command = job
            .command
            .iter()
            .map(|word| text(word))
            .collect::<Result<Vec<_>, _>>()?;
        let mut env = BTreeMap::new();
        for (name, value) in &job.env {
            env.insert(text(name)?, text(value)?);
        }
        let cwd = job.cwd.as_deref().map(|cwd| text(cwd.as_os_str())).transpose()?;
        Ok(serde_json::json!({
            "name": job.name, "command": command, "env": env, "cwd": cwd, "group": job.group, "retries": job.retries,
            "timeout": job.timeout.map(|timeout| timeout.as_secs_f64()),
        })
        .to_string())
    }

    /// The job, or what is wrong with it.
    pub fn job(self, id: JobId) -> Result<Job, String> {
        let command: Vec<OsString> = match self.command {
            Command::Words(words) => words.into_iter().map(OsString::from).collect(),
            Command::Line(line) => words(line.as_bytes())?,
        };
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err("a variable's name is empty or has a `=` in it".to_owned());
            }
        }
        if self.env.values().any(|value| value.contains('\0')) {
            return Err("a variable's value has a zero byte in it".to_owned());
        }
        let mut job = of_words(id, command)?;
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

/// A job of these words alone.
pub fn of_words(id: JobId, command: Vec<OsString>) -> Result<Job, String> {
    if command.first().is_none_or(|program| program.is_empty()) {
        return Err("there is no command".to_owned());
    }
    if command.iter().any(|word| word.as_encoded_bytes().contains(&0)) {
        return Err("the command has a zero byte in it".to_owned());
    }
    Ok(Job {
        id,
        name: summary(&command),
        group: None,
        env: Vec::new(),
        cwd: None,
        timeout: None,
        retries: None,
        keeps_temp: false,
        command,
    })
}

/// Programs whose first word names what they do, and holds no secret.
const TOOLS: [&str; 9] = [
    "cargo", "git", "go", "just", "make", "mdbook", "npm", "pnpm", "yarn",
];

/// Options of cargo that say what it builds and tests, as flags and with the name that follows.
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

/// Returns what is shown and kept of a command: its program, and of a known tool what it is to do. Other arguments may
/// hold secrets.
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

/// Whether a word can only be the name of an action.
fn is_plain(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && word
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter))
}

/// A job of one plain line.
pub fn of_line(id: JobId, line: &[u8]) -> Result<Job, String> {
    of_words(id, words(line)?)
}

/// A name that can be kept and shown.
pub fn checked_name(name: String) -> Result<String, String> {
    const LONGEST: usize = 200;
    if name.is_empty() || name.len() > LONGEST {
        return Err(format!("a job's name has 1 to {LONGEST} bytes"));
    }
    Ok(name)
}

/// What a person who writes it expects a shell to do.
const SHELL_S: [&str; 9] = ["&&", "||", "|", "&", ">", ">>", "<", "2>", "2>&1"];

/// The words of a line, quoted as for a shell.
fn words(line: &[u8]) -> Result<Vec<OsString>, String> {
    let words = split(line)?;
    if let Some(word) = words.iter().find(|word| SHELL_S.iter().any(|sign| word == sign)) {
        let word = word.to_string_lossy();
        return Err(format!(
            "`{word}` is a shell's, and commands are started without one: write sh -c '…', or a list of words in JSON"
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
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8")?;
    let words = shlex::split(line).ok_or(UNCLOSED)?;
    Ok(words.into_iter().map(OsString::from).collect())
}

const UNCLOSED: &str = "a quotation mark is not closed, or nothing follows the last backslash";

/// The message without what was found, which may be an argument or a variable's value.
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
        of_line(JobId(1), text.as_bytes()).map(|job| job.command)
    }

    #[test]
    fn a_line_is_words_as_for_a_shell() {
        assert_eq!(
            line(r#"sh -c 'echo "a b"' c\ d"#).unwrap(),
            ["sh", "-c", "echo \"a b\"", "c d"]
        );
        let job = of_line(JobId(4), b"/usr/bin/curl.exe -H 'token: x'").unwrap();
        assert_eq!(job.name, "curl", "no argument is in the name");
    }

    #[test]
    fn a_job_is_called_by_what_tells_it_from_others_and_by_nothing_that_may_be_secret() {
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
            assert_eq!(of_line(JobId(1), line.as_bytes()).unwrap().name, name);
        }
    }

    #[test]
    fn a_line_that_can_only_be_meant_for_a_shell_or_is_no_command_is_refused() {
        for (text, reason) in [
            ("a && b", "`&&` is a shell's"),
            ("a > b", "`>` is a shell's"),
            ("a 'b", "not closed"),
            ("", "no command"),
            ("'' a", "no command"),
            ("a \0", "zero byte"),
        ] {
            let told = line(text).unwrap_err();
            assert!(told.contains(reason), "{text:?}: {told}");
        }
    }

    #[test]
    fn an_object_has_all_that_a_job_can_have() {
        let spec = Spec::of_json(
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
                keeps_temp: false,
            }
        );
        let written = Spec::write(&job).unwrap();
        assert_eq!(Spec::of_json(&written).unwrap().job(JobId(7)).unwrap(), job);
        let short = Spec::of_json(r#"{"command": "sh -c 'exit 1'"}"#).unwrap();
        assert_eq!(short.job(JobId(1)).unwrap().command, ["sh", "-c", "exit 1"]);
    }

    #[test]
    fn what_is_wrong_with_an_object_is_told_without_what_is_in_it() {
        for (text, reason) in [
            (r#"{"command": "a", "colour": 1}"#, "unknown field `colour`"),
            (r#"{"name": "hunter2"}"#, "missing field `command`"),
            (
                r#"{"command": "a", "retries": "hunter2"}"#,
                "invalid type, expected u32",
            ),
            (r#"{"command": {"hunter2": 1}}"#, "a text or a list of texts"),
            (
                r#"{"command": "a", "timeout": "hunter2"}"#,
                "a span of time is written as",
            ),
            (
                r#"{"command": "a", "env": {"A=B": "hunter2"}}"#,
                "a variable's name",
            ),
            (r#"{"command": "a", "name": ""}"#, "a job's name has"),
            (r#"{"command": []}"#, "no command"),
            (r#"{"command": "a""#, "EOF while parsing"),
        ] {
            let told = Spec::of_json(text)
                .and_then(|spec| spec.job(JobId(1)))
                .unwrap_err();
            assert!(
                told.contains(reason) && !told.contains("hunter2"),
                "{text}: {told}"
            );
        }
    }
}
