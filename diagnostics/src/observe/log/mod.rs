//! Parsing of an observer's log into records.

pub(crate) mod account_file;
pub(crate) mod attribution;
pub(crate) mod backtraces;
mod libtest_output;
mod process_facts;
pub(crate) mod results;
pub(crate) mod source_lines;
pub(crate) mod test_order;

pub(crate) use process_facts::ProcessFacts;

use super::format::{
    self, ABSENT, DONE, FAILED, Kind, MARK, PAUSED, PAUSED_FIRST, RECORD, SAME, TAKEN, header,
};
use std::borrow::Cow;

/// The number of calls recorded per access.
pub(crate) const FRAMES: u32 = 24;

/// The log of one process.
#[derive(Debug)]
pub(crate) struct Log {
    bytes: Vec<u8>,
}

/// The reason a log cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The process was killed before it had written the header.
    Unfinished,
    Version(u64),
}

/// One recorded event.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    flags: u8,
    /// Microseconds since 1970.
    pub(crate) at: u64,
    /// The number of the test's thread in its process; 0 if the thread is no test.
    pub(crate) test: u32,
    /// The thread among those that tests have started; 0 for a test's own thread, `u16::MAX` for one of several.
    pub(crate) helper: u16,
    /// Its place in the log: records of one thread are in order.
    pub(crate) position: usize,
    /// The process, which may be a fork of the one that began the log.
    pub(crate) pid: u32,
    pub(crate) value: u32,
    /// The number of the working directory the paths are relative to; 0 if they are not relative.
    pub(crate) folder: u32,
    pub(crate) text: &'a [u8],
    pub(crate) second: &'a [u8],
    /// The number of the call stack; 0 if it was not recorded.
    pub(crate) stack: u32,
}

impl<'a> Record<'a> {
    pub(crate) fn failed(&self) -> bool {
        self.flags & FAILED != 0
    }

    /// Returns whether the call failed because the object exists.
    pub(crate) fn taken(&self) -> bool {
        self.flags & TAKEN != 0
    }

    /// Returns whether the call failed because the object does not exist.
    pub(crate) fn absent(&self) -> bool {
        self.flags & ABSENT != 0
    }

    pub(crate) fn same(&self) -> bool {
        self.flags & SAME != 0
    }

    /// Returns `Some` if the thread paused afterwards on request, with whether that was its first pause.
    pub(crate) fn pause(&self) -> Option<bool> {
        let first = self.flags & PAUSED_FIRST != 0;
        (first || self.flags & PAUSED != 0).then_some(first)
    }

    pub(crate) fn words(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.text)
    }

    /// Returns the second text as a number.
    pub(crate) fn number(&self) -> Option<u64> {
        self.second.try_into().ok().map(u64::from_ne_bytes)
    }
}

impl Log {
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, Unreadable> {
        let log = Self { bytes };
        if log.header(header::MAGIC) != format::MAGIC {
            return Err(Unreadable::Unfinished);
        }
        match log.header(header::VERSION) {
            format::VERSION => Ok(log),
            version => Err(Unreadable::Version(version)),
        }
    }

    pub(crate) fn header(&self, word: usize) -> u64 {
        number(&self.bytes, word * 8)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.header(header::PID) as u32
    }

    pub(crate) fn parent(&self) -> u32 {
        self.header(header::PARENT) as u32
    }

    pub(crate) fn is_test(&self) -> bool {
        self.header(header::IS_TEST) != 0
    }

    /// Returns the status with which the process exited; `None` if it has not, or was ended by a signal.
    pub(crate) fn exit_status(&self) -> Option<u8> {
        let status = self.header(header::STATUS);
        (status & format::EXITED != 0).then_some(status as u8)
    }

    /// Returns the time at which the process exited, in microseconds since 1970, or its start if it did not exit.
    pub(crate) fn exited_at(&self) -> u64 {
        self.moment(self.header(header::EXITED_AT))
    }

    /// Returns the start of the process, in microseconds since 1970.
    pub(crate) fn began(&self) -> u64 {
        self.header(header::REAL_TIME) / 1000
    }

    /// Returns the complete records in the order of their places in the log.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let end = (self.header(header::CURSOR) as usize).min(self.bytes.len());
        let mut at = format::HEADER;
        std::iter::from_fn(move || {
            while at + RECORD <= end {
                let here = at;
                let first = number(&self.bytes, at);
                let (length, mark) = (usize::from(first as u16), (first >> 48) as u16);
                if mark & !DONE != MARK || length < RECORD || !length.is_multiple_of(8) || here + length > end
                {
                    // Reserved and never written, because its thread was killed. Continue at the next mark.
                    at += 8;
                    continue;
                }
                at += length;
                if mark & DONE != 0
                    && let Some(record) = self.record(here, length, first)
                {
                    return Some(record);
                }
            }
            None
        })
    }

    fn record(&self, at: usize, length: usize, first: u64) -> Option<Record<'_>> {
        let word = |place: usize| number(&self.bytes, at + place * 8);
        let (attribution, sizes, value) = (word(2), word(3), word(4));
        let start = at + RECORD;
        let text = start..start + sizes as u16 as usize;
        let second = text.end..text.end + (sizes >> 16) as u16 as usize;
        if second.end > at + length {
            return None;
        }
        Some(Record {
            kind: Kind::of((first >> 32) as u8)?,
            flags: (first >> 40) as u8,
            at: self.moment(word(1)),
            test: attribution as u32,
            helper: (first >> 16) as u16,
            position: at,
            pid: (attribution >> 32) as u32,
            value: value as u32,
            folder: (value >> 32) as u32,
            stack: (sizes >> 32) as u32,
            text: self.bytes.get(text)?,
            second: self.bytes.get(second)?,
        })
    }

    fn moment(&self, monotonic: u64) -> u64 {
        let since = monotonic.saturating_sub(self.header(header::MONOTONIC));
        self.header(header::REAL_TIME).saturating_add(since) / 1000
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
pub(crate) mod test_log {
    //! Logs for tests, record by record.

    use super::*;

    pub(crate) struct LogBuilder {
        bytes: Vec<u8>,
        pid: u32,
    }

    impl LogBuilder {
        pub(crate) fn new(pid: u32, parent: u32, is_test: bool) -> Self {
            let mut bytes = vec![0; format::HEADER];
            let mut set = |word: usize, value: u64| {
                bytes[word * 8..word * 8 + 8].copy_from_slice(&value.to_ne_bytes());
            };
            set(header::MAGIC, format::MAGIC);
            set(header::VERSION, format::VERSION);
            set(header::PID, pid.into());
            set(header::PARENT, parent.into());
            set(header::IS_TEST, is_test.into());
            Self { bytes, pid }
        }

        /// Adds a record at microsecond `at`.
        pub(crate) fn record(
            &mut self,
            at: u64,
            test: u32,
            kind: Kind,
            value: u64,
            text: &str,
            second: &[u8],
        ) -> &mut Self {
            self.flagged(at, test, kind, 0, value, text.as_bytes(), second)
        }

        /// Adds a record whose text is arbitrary bytes.
        pub(crate) fn bytes(&mut self, at: u64, test: u32, kind: Kind, value: u64, text: &[u8]) -> &mut Self {
            self.flagged(at, test, kind, 0, value, text, b"")
        }

        #[expect(clippy::too_many_arguments, reason = "a record has as many parts")]
        pub(crate) fn flagged(
            &mut self,
            at: u64,
            test: u32,
            kind: Kind,
            flags: u8,
            value: u64,
            text: &[u8],
            second: &[u8],
        ) -> &mut Self {
            let length = (RECORD + text.len() + second.len()).next_multiple_of(8);
            let first =
                length as u64 | (kind as u64) << 32 | u64::from(flags) << 40 | u64::from(MARK | DONE) << 48;
            let attribution = u64::from(test) | u64::from(self.pid) << 32;
            let sizes = text.len() as u64 | (second.len() as u64) << 16;
            let start = self.bytes.len();
            for word in [first, at * 1000, attribution, sizes, value] {
                self.bytes.extend(word.to_ne_bytes());
            }
            self.bytes.extend(text);
            self.bytes.extend(second);
            self.bytes.resize(start + length, 0);
            self
        }

        /// Sets the status with which the process exited.
        pub(crate) fn exits(&mut self, status: Option<u8>) -> &mut Self {
            let status = status.map_or(0, |status| format::EXITED | u64::from(status));
            self.bytes[header::STATUS * 8..header::STATUS * 8 + 8].copy_from_slice(&status.to_ne_bytes());
            self
        }

        /// Sets the moment at which the process exited, in microseconds.
        pub(crate) fn exits_at(&mut self, at: u64) -> &mut Self {
            let nanos = at * 1000;
            self.bytes[header::EXITED_AT * 8..header::EXITED_AT * 8 + 8]
                .copy_from_slice(&nanos.to_ne_bytes());
            self
        }

        /// Adds room that was reserved and never written.
        pub(crate) fn torn(&mut self, length: usize) -> &mut Self {
            self.bytes.resize(self.bytes.len() + length, 0);
            self
        }

        pub(crate) fn log(&self) -> Log {
            let mut bytes = self.bytes.clone();
            let cursor = (bytes.len() as u64).to_ne_bytes();
            bytes[header::CURSOR * 8..header::CURSOR * 8 + 8].copy_from_slice(&cursor);
            Log::new(bytes).unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::test_log::LogBuilder;
    use super::*;

    fn texts(log: &Log) -> Vec<String> {
        log.records().map(|record| record.words().into_owned()).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        let mut test_log = LogBuilder::new(7, 3, true);
        test_log.record(5, 2, Kind::Rename, 9, "/a", b"/b");
        let log = test_log.log();
        assert_eq!((log.pid(), log.parent(), log.is_test()), (7, 3, true));
        let record = log.records().next().unwrap();
        assert_eq!((record.at, record.test, record.pid, record.value), (5, 2, 7, 9));
        assert_eq!((record.text, record.second), (&b"/a"[..], &b"/b"[..]));
    }

    #[test]
    fn a_place_that_a_killed_thread_took_and_never_filled_is_passed_over() {
        let mut test_log = LogBuilder::new(7, 3, true);
        test_log
            .record(1, 1, Kind::Open, 0, "/a", b"")
            .torn(72)
            .record(2, 1, Kind::Open, 0, "/b", b"")
            .torn(16);
        assert_eq!(texts(&test_log.log()), ["/a", "/b"]);
    }

    #[test]
    fn a_log_cut_anywhere_is_read_as_far_as_it_goes() {
        let mut test_log = LogBuilder::new(7, 3, true);
        for name in ["/a", "/bb", "/ccc"] {
            test_log.record(1, 1, Kind::Open, 0, name, b"second");
        }
        let whole = test_log.log().bytes;
        for length in 0..whole.len() {
            if let Ok(log) = Log::new(whole[..length].to_vec()) {
                assert!(log.records().count() <= 3);
            } else {
                assert!(length < 16);
            }
        }
    }

    #[test]
    fn another_version_is_told_from_a_process_that_was_killed_early() {
        assert_eq!(Log::new(vec![0; 200]).unwrap_err(), Unreadable::Unfinished);
        let mut bytes = LogBuilder::new(1, 1, true).log().bytes;
        bytes[8] = 9;
        assert_eq!(Log::new(bytes).unwrap_err(), Unreadable::Version(9));
    }
}
