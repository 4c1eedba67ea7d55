//! Reads journals line by line, in bounded memory, and reports every line that is wrong.
//!
//! A process that is killed in mid-write leaves a torn line. The next process in the lane ends it with the newline
//! that begins its first write, so a torn line is directly above a `process` line or at the end of the file
//! without a newline. There, and only there, a line that does not parse is skipped and counted.

use crate::read_error::ReadError;
use crate::record;
use cofferdam::format::{Event, JOURNAL_VERSION, Record};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{self, BufRead, Read as _};
use std::path::Path;

/// The maximum length of a line in bytes. Lines of journals have a few hundred.
const LONGEST: usize = 1 << 20;

/// Reads a journal, passes each record or error to `sink` in the file's order, and returns the number of torn lines.
pub(super) fn read(
    file: &Path,
    source: impl BufRead,
    mut sink: impl FnMut(Result<(u64, Record), ReadError>),
) -> u64 {
    let mut lines = Lines {
        source,
        line: Vec::with_capacity(512),
        number: 0,
    };
    let mut torn = 0;
    // A line that did not parse, until the next line shows whether it was torn.
    let mut doubtful: Option<ReadError> = None;
    // Processes that write in another version.
    let mut newer = HashSet::new();
    loop {
        let found = match lines.next() {
            Ok(found) => found,
            Err(source) => {
                doubtful.into_iter().for_each(|error| sink(Err(error)));
                sink(Err(ReadError::io("read", file, source)));
                return torn;
            }
        };
        let (parsed, ended) = match found {
            Found::End => break,
            Found::Line { ended } if lines.line.iter().all(u8::is_ascii_whitespace) => {
                // Each process's first write begins with a newline, so empty lines are usual.
                if ended && let Some(error) = doubtful.take() {
                    sink(Err(error));
                }
                continue;
            }
            Found::Line { ended } => (parse(&lines.line, &mut newer), ended),
            // No line of a journal is as long, so this one is not torn.
            Found::TooLong => {
                let reason =
                    format!("the line is longer than {LONGEST} bytes, so this is no journal of ours");
                doubtful.take().into_iter().for_each(|error| sink(Err(error)));
                sink(Err(ReadError::unreadable(file, Some(lines.number), reason)));
                continue;
            }
        };
        let begins = matches!(&parsed, Parsed::Newer { begins: true, .. })
            || matches!(
                &parsed,
                Parsed::Good(Record {
                    event: Event::Process { .. },
                    ..
                })
            );
        if let Some(error) = doubtful.take() {
            if begins {
                torn += 1;
            } else {
                sink(Err(error));
            }
        }
        match parsed {
            Parsed::Good(record) => sink(Ok((lines.number, record))),
            Parsed::Newer { version, begins } => {
                if begins {
                    sink(Err(ReadError::newer(file, version, JOURNAL_VERSION)));
                }
            }
            Parsed::Bad(_) if !ended => torn += 1,
            Parsed::Bad(reason) => doubtful = Some(ReadError::unreadable(file, Some(lines.number), reason)),
        }
    }
    doubtful.into_iter().for_each(|error| sink(Err(error)));
    torn
}

enum Parsed {
    Good(Record),
    /// A line of a process with another version; `begins` if it is the first.
    Newer {
        version: u64,
        begins: bool,
    },
    Bad(String),
}

fn parse(line: &[u8], newer: &mut HashSet<u64>) -> Parsed {
    let Ok(text) = std::str::from_utf8(line) else {
        return Parsed::Bad("not UTF-8".to_owned());
    };
    let reason = match record::read(text) {
        Ok(record) => match record.event {
            Event::Process { version, .. } if version > JOURNAL_VERSION => String::new(),
            Event::Process { .. } => {
                // A reused process ID belongs to the later process.
                newer.remove(&u64::from(record.pid));
                return Parsed::Good(record);
            }
            _ if newer.contains(&u64::from(record.pid)) => String::new(),
            _ => return Parsed::Good(record),
        },
        Err(reason) => reason,
    };
    // Other versions may have other fields, but event, version and process are in all of them.
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let pid = value["pid"].as_u64();
    match (value["event"].as_str(), value["version"].as_u64(), pid) {
        (Some("process"), Some(version), Some(pid)) if version > JOURNAL_VERSION => {
            newer.insert(pid);
            Parsed::Newer {
                version,
                begins: true,
            }
        }
        (_, _, Some(pid)) if newer.contains(&pid) => Parsed::Newer {
            version: 0,
            begins: false,
        },
        _ => Parsed::Bad(reason),
    }
}

struct Lines<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
}

enum Found {
    End,
    /// A line, in `self.line` without its newline; `ended` if it had one.
    Line {
        ended: bool,
    },
    /// A line that was skipped up to its newline.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Found> {
        self.line.clear();
        self.number += 1;
        if self.more()? == 0 {
            return Ok(Found::End);
        }
        if self.line.ends_with(b"\n") {
            self.line.pop();
            return Ok(Found::Line { ended: true });
        }
        if self.line.len() <= LONGEST {
            return Ok(Found::Line { ended: false });
        }
        while !self.line.ends_with(b"\n") {
            self.line.clear();
            if self.more()? == 0 {
                break;
            }
        }
        Ok(Found::TooLong)
    }

    fn more(&mut self) -> io::Result<usize> {
        let limit = LONGEST as u64 + 1;
        self.source.by_ref().take(limit).read_until(b'\n', &mut self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"at":1,"pid":7,"event":"process","version":1,"run":"r","session":"s","runner":"cargo","binary":"b","worker":"w0","started":5,"boot":"m"}"#;
    const TEST: &str = r#"{"at":2,"pid":7,"event":"test","execution":1,"test":"a","attempt":1}"#;
    const END: &str = r#"{"at":3,"pid":7,"event":"end","execution":1}"#;

    fn read(bytes: &[u8]) -> (Vec<u64>, Vec<String>, u64) {
        let (mut lines, mut errors) = (Vec::new(), Vec::new());
        let torn = super::read(Path::new("j.ndjson"), bytes, |found| match found {
            Ok((line, _)) => lines.push(line),
            Err(error) => errors.push(error.to_string()),
        });
        (lines, errors, torn)
    }

    #[test]
    fn a_whole_journal_is_read_without_complaint() {
        let text = format!("\n{HEAD}\n{TEST}\n{END}\n\n{HEAD}\n{TEST}\n");
        assert_eq!(read(text.as_bytes()), (vec![2, 3, 4, 6, 7], vec![], 0));
    }

    #[test]
    fn a_line_torn_by_a_killed_predecessor_is_skipped_anywhere() {
        for cut in 1..END.len() {
            let half = &END[..cut];
            let text = format!("\n{HEAD}\n{half}\n{HEAD}\n{TEST}\n{half}");
            assert_eq!(read(text.as_bytes()), (vec![2, 4, 5], vec![], 2), "{half}");
        }
    }

    #[test]
    fn a_line_torn_within_a_letter_is_skipped_too() {
        let mut bytes = format!("\n{HEAD}\n{{\"at\":2,\"test\":\"").into_bytes();
        bytes.push("ü".as_bytes()[0]);
        bytes.extend_from_slice(format!("\n{HEAD}\n").as_bytes());
        assert_eq!(read(&bytes), (vec![2, 4], vec![], 1));
    }

    #[test]
    fn a_bad_line_anywhere_else_is_an_error_with_file_and_line() {
        for (text, line) in [
            (format!("{HEAD}\n{{\"at\"\n{TEST}\n"), 2),
            (format!("{HEAD}\n{TEST}\n{{\"at\"\n"), 3),
            // The newline is its own, so the line is not torn.
            (format!("{HEAD}\n{{\"at\"\n\n{HEAD}\n"), 2),
        ] {
            let (_, errors, torn) = read(text.as_bytes());
            assert_eq!((errors.len(), torn), (1, 0), "{text}");
            assert!(
                errors[0].starts_with(&format!("j.ndjson:{line}: not JSON")),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn garbage_is_reported_line_by_line_and_the_rest_is_read() {
        let mut bytes = format!("{HEAD}\n").into_bytes();
        bytes.extend_from_slice(b"\xff\xfe\0\0\n[1]\nnull\n{\"pid\":{}}\n");
        bytes.extend_from_slice(format!("{TEST}\n").as_bytes());
        let (lines, errors, torn) = read(&bytes);
        assert_eq!((lines, torn), (vec![1, 6], 0));
        assert_eq!(errors.len(), 4);
        assert_eq!(errors[0], "j.ndjson:2: not UTF-8");
    }

    #[test]
    fn an_endless_line_is_an_error_without_an_allocation() {
        let mut bytes = vec![b'['; LONGEST * 3];
        bytes.extend_from_slice(format!("\n{HEAD}\n").as_bytes());
        let (lines, errors, torn) = read(&bytes);
        assert_eq!((lines, torn), (vec![2], 0));
        assert!(
            errors[0].starts_with("j.ndjson:1: the line is longer than"),
            "{errors:?}"
        );
    }

    #[test]
    fn deep_nesting_is_an_error_without_a_stack_overflow() {
        let text = format!("{HEAD}\n{}\n", "[".repeat(LONGEST - 1));
        assert_eq!(read(text.as_bytes()).1.len(), 1);
    }

    #[test]
    fn a_newer_process_is_one_error_and_the_others_are_read() {
        let newer = r#"{"at":1,"pid":8,"event":"process","version":9,"shape":"new"}"#;
        let theirs = r#"{"at":2,"pid":8,"event":"flown"}"#;
        let text = format!("{newer}\n{theirs}\n{HEAD}\n{theirs}\n{TEST}\n");
        let (lines, errors, torn) = read(text.as_bytes());
        assert_eq!((lines, torn), (vec![3, 5], 0));
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].contains("j.ndjson: written in format version 9, this build reads up to 1"),
            "{errors:?}"
        );
    }

    #[test]
    fn the_page_lists_every_event_with_its_fields_and_their_shapes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/journal.md");
        let page = std::fs::read_to_string(path).unwrap();
        let table = page.split("| event | meaning | fields |").nth(1).unwrap();
        let mut listed: Vec<(String, Vec<(String, String)>)> = Vec::new();
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').skip(1).map(str::trim).collect();
            let word = |cell: &str| cell.trim_matches('`').to_owned();
            // `execution`; `test` text
            let fields = cells[2].split("; ").filter(|field| !field.is_empty());
            let fields = fields.map(|field| field.split_once(' ').unwrap_or((field, "number")));
            let fields = fields.map(|(field, shape)| (word(field), shape.to_owned()));
            listed.push((word(cells[0]), fields.collect()));
        }
        let owned = |fields: &[(&str, &str)]| {
            fields
                .iter()
                .map(|(field, shape)| ((*field).to_owned(), (*shape).to_owned()))
                .collect()
        };
        let known: Vec<(String, Vec<(String, String)>)> = record::TABLE
            .iter()
            .map(|(event, fields)| ((*event).to_owned(), owned(fields)))
            .collect();
        assert_eq!(listed, known);
    }
}
