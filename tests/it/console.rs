//! ```` ```console ```` blocks: commands and their expected output.
//!
//! A line that begins with `$ ` is a command; `# exits 1` at its end is its exit code, 0 by default. A backslash at
//! the end of a line continues it. The lines below are its output, including standard error; without any, the output
//! is not compared. In it `...` alone on a line stands for any number of lines, and inside a line for any text; times
//! (`0.12s`, `3 ms`) are not compared.

use crate::markdown::Fence;

/// A command of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The line in the page, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) exits: i32,
    pub(crate) output: Vec<String>,
}

/// Returns the commands of a block, or an error with its line.
pub(crate) fn commands(fence: &Fence) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    let mut lines = (fence.line + 1..).zip(&fence.lines);
    while let Some((line, text)) = lines.next() {
        let Some(typed) = text.strip_prefix("$ ") else {
            let Some(last) = commands.last_mut() else {
                return Err(format!(
                    "line {line}: output without a command: a command begins with `$ `"
                ));
            };
            last.output.push(text.clone());
            continue;
        };
        let mut typed = typed.to_owned();
        while let Some(carried) = typed.strip_suffix('\\').map(str::to_owned) {
            let (_, more) = lines
                .next()
                .ok_or(format!("line {line}: nothing follows the backslash"))?;
            typed = carried + more.strip_prefix("> ").unwrap_or(more).trim_start();
        }
        let (text, exits) = match typed.rsplit_once("# exits ") {
            Some((text, code)) => {
                let code = code
                    .trim()
                    .parse()
                    .map_err(|_| format!("line {line}: `{code}` is no exit code"))?;
                (text.trim().to_owned(), code)
            }
            None => (typed.trim().to_owned(), 0),
        };
        let first = text.split_whitespace().next();
        if let (Some(word @ ("cd" | "export")), false) = (first, text.contains("&&")) {
            return Err(format!(
                "line {line}: `{word}` lasts for its line only: join it to the next with `&&`"
            ));
        }
        commands.push(Command {
            line,
            text,
            exits,
            output: Vec::new(),
        });
    }
    if commands.is_empty() {
        return Err(format!("line {}: no command: one begins with `$ `", fence.line));
    }
    Ok(commands)
}

impl Command {
    /// Compares the result of the command with the page. Returns the difference.
    pub(crate) fn breach(&self, exited: Option<i32>, output: &str) -> Option<String> {
        let expected = trimmed(self.output.iter().map(String::as_str));
        let found = trimmed(output.lines());
        if exited != Some(self.exits) {
            let exited = exited.map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
            return Some(format!(
                "exits {exited}, not {}; it printed:\n{}",
                self.exits,
                found.join("\n")
            ));
        }
        if expected.is_empty() || lines_match(&expected, &found) {
            return None;
        }
        Some(format!(
            "should print:\n{}\n---- it printed:\n{}",
            expected.join("\n"),
            found.join("\n")
        ))
    }
}

/// Removes times, trailing blanks, and blank lines at either end.
fn trimmed<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = lines.map(|line| without_times(line.trim_end())).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let blank = lines.iter().take_while(|line| line.is_empty()).count();
    lines.split_off(blank)
}

/// Replaces every number with a unit of time by `[time]`.
fn without_times(line: &str) -> String {
    const UNITS: [&str; 8] = ["ns", "µs", "us", "ms", "s", "min", "seconds", "second"];
    let mut text = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|sign: char| sign.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let inside_a_word = before.ends_with(|sign: char| sign.is_alphanumeric() || sign == '_');
        let length = number
            .find(|sign: char| !sign.is_ascii_digit() && sign != '.')
            .unwrap_or(number.len());
        let (number, after) = number.split_at(length);
        let unit = after.strip_prefix(' ').unwrap_or(after);
        let word = unit
            .find(|sign: char| !sign.is_alphanumeric() && sign != '_')
            .unwrap_or(unit.len());
        text.push_str(before);
        if !inside_a_word && UNITS.contains(&&unit[..word]) {
            text.push_str("[time]");
            rest = &unit[word..];
        } else {
            text.push_str(number);
            rest = after;
        }
    }
    text + rest
}

fn lines_match(expected: &[String], found: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((any, rest)) if any.trim() == "..." => {
            (0..=found.len()).any(|skip| lines_match(rest, &found[skip..]))
        }
        Some((line, rest)) => found
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    let mut pieces = expected.split("...");
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = found.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<_> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

fn block(lines: &[&str]) -> Fence {
    Fence {
        line: 10,
        info: "console".to_owned(),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        not_run: None,
    }
}

fn promise(exits: i32, output: &[&str]) -> Command {
    let output = output.iter().map(|line| (*line).to_owned()).collect();
    Command {
        line: 1,
        text: "x".to_owned(),
        exits,
        output,
    }
}

#[test]
fn a_block_is_commands_with_their_exit_codes_and_output() {
    let commands = commands(&block(&[
        "$ a --b  # exits 1",
        "one",
        "",
        "$ c \\",
        ">   d \\",
        "e",
        "$ f",
    ]))
    .unwrap();
    let seen: Vec<_> = commands
        .iter()
        .map(|command| (command.line, command.text.as_str(), command.exits))
        .collect();
    assert_eq!(seen, [(11, "a --b", 1), (14, "c d e", 0), (17, "f", 0)]);
    assert_eq!(commands[0].output, ["one", ""]);
}

#[test]
fn a_block_that_cannot_be_run_as_it_is_read_says_why() {
    for (lines, reason) in [
        (&["one", "$ a"][..], "line 11: output without a command"),
        (&["$ a # exits soon"], "line 11: `soon` is no exit code"),
        (&["$ a", "$ cd b"], "line 12: `cd` lasts for its line only"),
        (&["$ a \\"], "nothing follows the backslash"),
        (&[], "line 10: no command"),
    ] {
        let error = commands(&block(lines)).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    assert!(commands(&block(&["$ cd b && c"])).is_ok());
}

#[test]
fn the_exit_code_must_be_the_one_that_is_said() {
    assert_eq!(promise(1, &[]).breach(Some(1), "anything"), None);
    assert_eq!(
        promise(0, &[]).breach(Some(1), "why").unwrap(),
        "exits 1, not 0; it printed:\nwhy"
    );
    assert!(
        promise(0, &[])
            .breach(None, "")
            .unwrap()
            .starts_with("exits by a signal")
    );
}

#[test]
fn output_is_compared_but_for_what_is_left_open() {
    let breach = |expected: &[&str], found| promise(0, expected).breach(Some(0), found).is_some();
    assert!(!breach(&["a", "b", ""], "\na  \nb\n"));
    assert!(breach(&["a"], "a\nb"));
    assert!(breach(&["a", "b"], "a"));
    assert!(!breach(&["...", "b", "...", "d"], "a\nb\nd"));
    assert!(breach(&["...", "b", "..."], "a\nc"));
    assert!(!breach(&["at ...src/a.rs:... by ..."], "at x/src/a.rs:12 by y"));
    assert!(breach(&["at ...src/a.rs:... by z"], "at x/src/a.rs:12 by y"));
}

#[test]
fn times_are_not_compared_and_other_numbers_are() {
    assert_eq!(
        without_times("ok; finished in 0.12s, 3 ms, 40µs"),
        "ok; finished in [time], [time], [time]"
    );
    assert_eq!(
        without_times("12 passed, 3 services, w0s, 7"),
        "12 passed, 3 services, w0s, 7"
    );
}
