//! A trace for Perfetto (ui.perfetto.dev): workers over time, their tests as slices, and the accesses of each conflict as
//! instants that an arrow connects.

use super::Reported;
use super::lanes::Lanes;
use super::protobuf::Message;
use crate::report::observed::places;
use crate::report::source_place::main_use;
use crate::report::text::plain;
use cofferdam_conflicts::{Conflict, Use};
use std::io::{self, Write};

/// Fields of `perfetto.protos.TracePacket` and the messages in it.
mod field {
    pub(super) const PACKET: u64 = 1;
    pub(super) const TIMESTAMP: u64 = 8;
    pub(super) const SEQUENCE: u64 = 10;
    pub(super) const EVENT: u64 = 11;
    pub(super) const SEQUENCE_FLAGS: u64 = 13;
    pub(super) const DESCRIPTOR: u64 = 60;
    // TrackDescriptor
    pub(super) const UUID: u64 = 1;
    pub(super) const TRACK_NAME: u64 = 2;
    pub(super) const PROCESS: u64 = 3;
    pub(super) const PARENT: u64 = 5;
    pub(super) const CHILD_ORDERING: u64 = 11;
    pub(super) const RANK: u64 = 12;
    // ProcessDescriptor
    pub(super) const PID: u64 = 1;
    pub(super) const PROCESS_NAME: u64 = 6;
    // TrackEvent
    pub(super) const ANNOTATION: u64 = 4;
    pub(super) const TYPE: u64 = 9;
    pub(super) const TRACK: u64 = 11;
    pub(super) const CATEGORY: u64 = 22;
    pub(super) const NAME: u64 = 23;
    pub(super) const FLOW: u64 = 47;
    pub(super) const TERMINATING_FLOW: u64 = 48;
    // DebugAnnotation
    pub(super) const TEXT: u64 = 6;
    pub(super) const KEY: u64 = 10;
}

/// `ChildTracksOrdering.EXPLICIT`.
const EXPLICIT: u64 = 3;
/// `SEQ_INCREMENTAL_STATE_CLEARED`.
const FIRST_OF_SEQUENCE: u64 = 1;
/// The ID of the only packet sequence.
const SEQUENCE: u64 = 1;

/// The type of a track event, in the order within one moment: a slice ends before the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    End,
    Begin,
    Instant,
}

impl Phase {
    fn number(self) -> u64 {
        match self {
            Self::Begin => 1,
            Self::End => 2,
            Self::Instant => 3,
        }
    }
}

pub(super) fn write(out: &mut dyn Write, reported: Reported<'_>) -> io::Result<()> {
    let mut trace = Trace::default();
    let executions = reported.executions();
    if let Some(lanes) = Lanes::of(&executions) {
        let process = trace.describe_process(1, "tests");
        let workers = (0..).zip(&lanes.all);
        let tracks: Vec<u64> = workers
            .map(|(rank, lane)| trace.describe_worker(process, rank, &format!("worker {}", lane.name)))
            .collect();
        trace.add_tests(&lanes, &tracks);
        for (flow, conflict) in (1..).zip(reported.conflicts()) {
            trace.add_uses(&lanes, &tracks, flow, conflict);
        }
    }
    trace.write(out)
}

fn name(conflict: &Conflict, used: &Use) -> String {
    let access = used.access.map(|access| format!("{access} "));
    let subject = match &conflict.resource {
        Some(resource) => resource.to_string(),
        None => conflict.kind.to_string(),
    };
    format!("{}{subject}", access.unwrap_or_default())
}

fn event(phase: Phase, track: u64, name: &str) -> Message {
    Message::default()
        .number(field::TYPE, phase.number())
        .number(field::TRACK, track)
        .text(field::NAME, &plain(name))
}

fn annotated(event: Message, key: &str, value: &str) -> Message {
    let annotation = Message::default()
        .text(field::KEY, key)
        .text(field::TEXT, &plain(value));
    event.message(field::ANNOTATION, &annotation)
}

/// The packets of a trace.
#[derive(Default)]
struct Trace {
    tracks: Vec<Message>,
    /// Events with their times in microseconds.
    events: Vec<(u64, Phase, Message)>,
}

impl Trace {
    fn describe_process(&mut self, pid: u64, name: &str) -> u64 {
        let process = Message::default()
            .number(field::PID, pid)
            .text(field::PROCESS_NAME, name);
        let track = Message::default()
            .message(field::PROCESS, &process)
            .number(field::CHILD_ORDERING, EXPLICIT);
        self.describe(track)
    }

    fn describe_worker(&mut self, process: u64, rank: u64, name: &str) -> u64 {
        let track = Message::default()
            .text(field::TRACK_NAME, name)
            .number(field::PARENT, process)
            .number(field::RANK, rank);
        self.describe(track)
    }

    /// Adds a track, and returns its UUID.
    fn describe(&mut self, track: Message) -> u64 {
        let uuid = self.tracks.len() as u64 + 1;
        self.tracks.push(track.number(field::UUID, uuid));
        uuid
    }

    fn add(&mut self, at: u64, phase: Phase, event: Message) {
        self.events.push((at, phase, event));
    }

    /// Adds a slice for each test.
    fn add_tests(&mut self, lanes: &Lanes<'_>, tracks: &[u64]) {
        for (index, test) in lanes.tests.iter().enumerate() {
            let track = tracks[lanes.number(index)];
            let mut begin = event(Phase::Begin, track, &test.name).text(field::CATEGORY, "test");
            for (key, value) in [
                ("program", test.binary.as_str()),
                ("result", test.result.as_str()),
                ("process", &test.pid.to_string()),
            ] {
                begin = annotated(begin, key, value);
            }
            self.add(test.began, Phase::Begin, begin);
            let end = Message::default()
                .number(field::TYPE, Phase::End.number())
                .number(field::TRACK, track);
            self.add(lanes.end(test), Phase::End, end);
        }
    }

    /// Adds an instant for each test of a conflict that ran when it used the resource.
    fn add_uses(&mut self, lanes: &Lanes<'_>, tracks: &[u64], flow: u64, conflict: &Conflict) {
        let uses = conflict.tests.iter().filter_map(|test| {
            let used = main_use(test)?;
            Some((lanes.find(test.pid, test.name(), used.from)?, used))
        });
        let mut uses: Vec<(usize, &Use)> = uses.collect();
        uses.sort_by_key(|(_, used)| used.from);
        let last = uses.len().saturating_sub(1);
        for (at, (test, used)) in uses.into_iter().enumerate() {
            let track = tracks[lanes.number(test)];
            let mut instant =
                event(Phase::Instant, track, &name(conflict, used)).text(field::CATEGORY, "conflict");
            instant = annotated(instant, "conflict", &conflict.message);
            instant = annotated(instant, "place", &places(used));
            let is_end = at == last && at > 0;
            let direction = if is_end {
                field::TERMINATING_FLOW
            } else {
                field::FLOW
            };
            self.add(used.from, Phase::Instant, instant.fixed(direction, flow));
        }
    }

    fn write(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.events.sort_by_key(|(at, phase, _)| (*at, *phase));
        let first = Message::default().number(field::SEQUENCE_FLAGS, FIRST_OF_SEQUENCE);
        let tracks = self.tracks.iter();
        let tracks = tracks.map(|track| Message::default().message(field::DESCRIPTOR, track));
        let events = self.events.iter().map(|(at, _, event)| {
            Message::default()
                // In nanoseconds.
                .number(field::TIMESTAMP, at.saturating_mul(1000))
                .message(field::EVENT, event)
        });
        for packet in std::iter::once(first).chain(tracks).chain(events) {
            let packet = packet.number(field::SEQUENCE, SEQUENCE);
            out.write_all(Message::default().message(field::PACKET, &packet).as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::protobuf::{Field, decoded};
    use super::*;
    use crate::commands::Outcome;
    use crate::findings::{ReportedOutcome, TestResult, TestTime};
    use crate::report::sample::{self, HOSTILE};
    use proptest::prelude::*;

    /// A decoded message.
    struct Decoded(Vec<(u64, Field)>);

    impl Decoded {
        fn number(&self, wanted: u64) -> Option<u64> {
            self.0.iter().find_map(|(field, value)| match value {
                Field::Number(number) if *field == wanted => Some(*number),
                _ => None,
            })
        }

        fn bytes(&self, wanted: u64) -> Option<&[u8]> {
            self.0.iter().find_map(|(field, value)| match value {
                Field::Bytes(bytes) if *field == wanted => Some(bytes.as_slice()),
                _ => None,
            })
        }

        fn text(&self, wanted: u64) -> &str {
            std::str::from_utf8(self.bytes(wanted).unwrap_or_default()).unwrap()
        }

        fn message(&self, wanted: u64) -> Option<Self> {
            self.bytes(wanted).map(|bytes| Self(decoded(bytes)))
        }
    }

    /// Returns the names of the tracks, and a line for each event: the time after the first one in milliseconds, the track,
    /// the type, the name and the flow.
    fn events(outcome: &Outcome) -> (Vec<String>, Vec<String>) {
        let mut out = Vec::new();
        write(&mut out, Reported::Outcome(outcome)).unwrap();
        let packets = decoded(&out).into_iter().map(|(field, packet)| match packet {
            Field::Bytes(bytes) if field == field::PACKET => Decoded(decoded(&bytes)),
            _ => panic!("{field}"),
        });
        let (mut tracks, mut events, mut first) = (Vec::new(), Vec::new(), None);
        for packet in packets {
            assert_eq!(packet.number(field::SEQUENCE), Some(SEQUENCE));
            if let Some(track) = packet.message(field::DESCRIPTOR) {
                assert_eq!(track.number(field::UUID), Some(tracks.len() as u64 + 1));
                let process = track.message(field::PROCESS);
                let process = process.map(|process| process.text(field::PROCESS_NAME).to_owned());
                tracks.push(process.unwrap_or_else(|| track.text(field::TRACK_NAME).to_owned()));
            }
            let Some(event) = packet.message(field::EVENT) else {
                continue;
            };
            let at = packet.number(field::TIMESTAMP).unwrap();
            let millis = (at - *first.get_or_insert(at)) as f64 / 1e6;
            let track = &tracks[event.number(field::TRACK).unwrap() as usize - 1];
            let phase = ["", "begin", "end", "instant"][event.number(field::TYPE).unwrap() as usize];
            let flow = match (event.number(field::FLOW), event.number(field::TERMINATING_FLOW)) {
                (Some(flow), None) => format!(" {flow}→"),
                (None, Some(flow)) => format!(" →{flow}"),
                _ => String::new(),
            };
            events.push(
                format!("{millis} {track} {phase} {}{flow}", event.text(field::NAME))
                    .trim()
                    .to_owned(),
            );
        }
        (tracks, events)
    }

    #[test]
    fn tests_are_slices_on_workers_and_the_accesses_of_a_conflict_are_connected() {
        let (tracks, events) = events(&sample::outcome("stores_one"));
        assert_eq!(tracks, ["tests", "worker 1", "worker 2"]);
        let report = cofferdam::Resource::file(sample::outcome("").dir.join("report.csv"));
        let old = cofferdam::Resource::file(sample::outcome("").dir.join("old.csv"));
        assert_eq!(
            events,
            [
                "0 worker 1 begin stores_one".to_owned(),
                "4 worker 1 end".to_owned(),
                "4 worker 1 begin stores_one".to_owned(),
                format!("5 worker 1 instant write {report} 1→"),
                format!("5 worker 1 instant write {old} 2→"),
                "8 worker 2 begin reports::exports_all".to_owned(),
                format!("10 worker 2 instant read {report} →1"),
                format!("10 worker 2 instant read {old} →2"),
                "24 worker 1 end".to_owned(),
                "28 worker 2 end".to_owned(),
                "28 worker 1 begin reports::is_slow".to_owned(),
                "28.001 worker 1 end".to_owned(),
            ]
        );
    }

    #[test]
    fn a_recording_shows_each_test_on_its_worker() {
        let mut outcome = sample::outcome("stores_one");
        let findings = &mut outcome.findings;
        let results = findings.observed.take().unwrap().results;
        findings.executions = results.iter().filter_map(TestTime::of).collect();
        for (number, test) in findings.executions.iter_mut().enumerate() {
            test.worker = format!("w{}", number / 2);
        }
        let (tracks, events) = events(&outcome);
        assert_eq!(tracks, ["tests", "worker w0", "worker w1"]);
        assert_eq!(events.len(), 12, "{events:?}");
    }

    #[test]
    fn five_thousand_tests_have_eight_workers_and_an_event_for_each_of_their_uses() {
        let mut outcome = sample::outcome("stores_one");
        let findings = &mut outcome.findings;
        let tests = || (0..5_000).map(|number| format!("test_{number}"));
        findings.observed.as_mut().unwrap().results = (0..)
            .zip(tests())
            .map(|(number, name)| TestResult {
                binary: "shop".to_owned(),
                name,
                outcome: ReportedOutcome::Passed,
                failure: None,
                pid: 7,
                began: 1_000_000 + number / 8 * 1_000,
                ended: Some(1_000_900 + number / 8 * 1_000),
            })
            .collect();
        let user = findings.conflicts[0].tests[0].clone();
        let users = (0..).zip(tests()).map(|(number, name)| {
            let mut user = user.clone();
            user.name = Some(name);
            user.uses[0].from = 1_000_000 + number / 8 * 1_000;
            user
        });
        findings.conflicts[0].tests = users.collect();
        findings.conflicts = vec![findings.conflicts[0].clone(); 20];
        let (tracks, events) = events(&outcome);
        assert_eq!((tracks.len(), events.len()), (9, 2 * 5_000 + 20 * 5_000));
    }

    proptest! {
        #[test]
        fn a_name_keeps_its_place_in_the_trace(name in HOSTILE) {
            let (_, events) = events(&sample::outcome(&name));
            let name = plain(&name);
            let wanted = format!("4 worker 1 begin {name}");
            prop_assert_eq!(events[2].as_str(), wanted.trim());
            prop_assert_eq!(events.len(), 12);
        }
    }
}
