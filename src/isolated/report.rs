//! The report of an isolated test's process, and what follows from it: pure functions of data.

use super::process_error::{Ended, ProcessError};
use crate::json_value::Value;

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The test's body is about to run.
    Entered,
    /// The body returned a success or a failure.
    Returned { success: bool },
    /// The body panicked. The place is known unless the panic came from another thread.
    Panicked { message: String, place: Option<String> },
}

impl Report {
    pub(super) fn encode(&self) -> String {
        let fields = match self {
            Self::Entered => vec![("entered", true.into())],
            Self::Returned { success } => vec![("returned", (*success).into())],
            Self::Panicked { message, place } => {
                vec![
                    ("panicked", message.as_str().into()),
                    ("place", place.as_deref().into()),
                ]
            }
        };
        Value::object(fields).to_line() + "\n"
    }

    fn decode(line: &str) -> Option<Self> {
        let line = Value::read(line)?;
        let text = |value: &Value| value.as_text().map(str::to_owned);
        if let Some(success) = line.get("returned").as_bool() {
            return Some(Self::Returned { success });
        }
        match text(line.get("panicked")) {
            Some(message) => Some(Self::Panicked {
                message,
                place: text(line.get("place")),
            }),
            None => line.get("entered").as_bool().map(|_| Self::Entered),
        }
    }

    /// Returns the last complete line. The line of a process that was killed meanwhile is incomplete.
    pub(super) fn last_of(text: &str) -> Option<Self> {
        let mut lines = text.split_inclusive('\n').rev();
        lines.find_map(|line| Self::decode(line.strip_suffix('\n')?))
    }
}

/// The result of an isolated test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The body returned a success or a failure.
    Returned { success: bool },
    /// The body panicked.
    Panicked { message: String, place: Option<String> },
    /// The process did not do what a test does. A `#[should_panic]` test must not pass by that.
    Broken(String),
}

/// The exit codes of libtest.
const LIBTEST: [i32; 2] = [0, 101];

/// Returns the result that the last report and the end of the process mean.
pub(super) fn verdict(last: Option<Report>, ended: Ended) -> Verdict {
    let is_normal = matches!(ended, Ended::Code(code) if LIBTEST.contains(&code));
    match last {
        Some(Report::Returned { success: true }) if !is_normal => {
            Verdict::Broken(ProcessError::EndedAfter(ended).to_string())
        }
        Some(Report::Returned { success }) => Verdict::Returned { success },
        Some(Report::Panicked { message, place }) => Verdict::Panicked { message, place },
        Some(Report::Entered) => Verdict::Broken(ProcessError::EndedInside(ended).to_string()),
        None => Verdict::Broken(ProcessError::EndedBefore(ended).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked() -> Report {
        Report::Panicked {
            message: "a \"b\"\nc".to_owned(),
            place: Some("src/lib.rs:1:2".to_owned()),
        }
    }

    #[test]
    fn the_last_complete_line_counts() {
        let text = Report::Entered.encode() + &panicked().encode();
        assert_eq!(Report::last_of(&text), Some(panicked()));
        assert_eq!(Report::last_of(&text[..text.len() - 1]), Some(Report::Entered));
        assert_eq!(Report::last_of("{\"returned\":fal"), None);
        let failed = Report::Returned { success: false };
        assert_eq!(Report::last_of(&failed.encode()), Some(failed));
    }

    #[test]
    fn exit_codes_are_never_the_result() {
        for code in [0, 101] {
            let ended = Ended::Code(code);
            for success in [true, false] {
                let returned = Report::Returned { success };
                assert_eq!(verdict(Some(returned), ended), Verdict::Returned { success });
            }
            assert!(matches!(
                verdict(Some(panicked()), ended),
                Verdict::Panicked { .. }
            ));
            for last in [None, Some(Report::Entered)] {
                assert!(matches!(verdict(last, ended), Verdict::Broken(_)));
            }
        }
    }

    #[test]
    fn a_test_whose_process_ends_badly_after_it_fails() {
        for ended in [Ended::Code(23), Ended::Signal(11)] {
            let Verdict::Broken(why) = verdict(Some(Report::Returned { success: true }), ended) else {
                panic!("it passed")
            };
            assert!(why.contains(&ended.to_string()), "{why}");
        }
        assert_eq!(Ended::Signal(11).to_string(), "was ended by signal 11 (SIGSEGV)");
        assert_eq!(Ended::Signal(64).to_string(), "was ended by signal 64");
    }
}
