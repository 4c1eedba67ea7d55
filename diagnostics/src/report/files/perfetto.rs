//! A trace for Perfetto (ui.perfetto.dev): workers over time, their tests as slices, and the accesses of each conflict as
//! instants that an arrow connects.

use super::Reported;
use super::protobuf::Message;
use crate::findings::{ReportedOutcome, TestResult};
use crate::report::observed::places;
use crate::report::source_place::main_use;
use crate::report::text::plain;
use cofferdam_conflicts::{Conflict, Use};
use std::collections::{BTreeMap, HashMap};
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

/// An execution of a test.
struct Slice {
    /// The run and the worker.
    track: (String, String),
    test: String,
    pid: u32,
    began: u64,
    ended: u64,
    facts: Vec<(&'static str, String)>,
}

pub(super) fn write(out: &mut dyn Write, reported: Reported<'_>) -> io::Result<()> {
    let conflicts = reported.conflicts();
    let mut slices = of_results(reported.results());
    if slices.is_empty() {
        slices = of_uses(conflicts);
    }
    let mut tracks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Slice {
        track: (run, worker), ..
    } in &slices
    {
        let workers = tracks.entry(run).or_default();
        if !workers.contains(&worker.as_str()) {
            workers.push(worker);
        }
    }
    let mut trace = Trace::default();
    let mut numbers: HashMap<(&str, &str), u64> = HashMap::new();
    for (pid, (run, workers)) in (1..).zip(&mut tracks) {
        // `w10` after `w9`.
        workers.sort_by_key(|worker| (worker.len(), *worker));
        let process = trace.describe_process(pid, run);
        for (rank, worker) in (0..).zip(workers) {
            numbers.insert((run, worker), trace.describe_worker(process, rank, worker));
        }
    }
    let number = |slice: &Slice| {
        let (run, worker) = &slice.track;
        numbers
            .get(&(run.as_str(), worker.as_str()))
            .copied()
            .unwrap_or_default()
    };
    for slice in &slices {
        let track = number(slice);
        let mut begin = event(Phase::Begin, track, &slice.test).text(field::CATEGORY, "test");
        for (key, value) in &slice.facts {
            begin = annotated(begin, key, value);
        }
        trace.add(slice.began, Phase::Begin, begin);
        let end = Message::default()
            .number(field::TYPE, Phase::End.number())
            .number(field::TRACK, track);
        trace.add(slice.ended, Phase::End, end);
    }
    let mut executions: HashMap<(u32, &str), Vec<&Slice>> = HashMap::new();
    for slice in &slices {
        executions
            .entry((slice.pid, &slice.test))
            .or_default()
            .push(slice);
    }
    for (flow, conflict) in (1..).zip(conflicts) {
        let mut uses: Vec<(&Slice, &Use)> = Vec::new();
        let uses_of = conflict
            .tests
            .iter()
            .filter_map(|test| Some((test, main_use(test)?)));
        for (test, used) in uses_of {
            let own = executions.get(&(test.pid, test.name())).into_iter().flatten();
            let mut during = own.filter(|slice| (slice.began..=slice.ended).contains(&used.from));
            uses.extend(during.next().map(|slice| (*slice, used)));
        }
        uses.sort_by_key(|(_, used)| used.from);
        let last = uses.len().saturating_sub(1);
        for (at, (slice, used)) in uses.into_iter().enumerate() {
            let mut instant =
                event(Phase::Instant, number(slice), &name(conflict, used)).text(field::CATEGORY, "conflict");
            instant = annotated(instant, "conflict", &conflict.message);
            instant = annotated(instant, "place", &places(used));
            let is_end = at == last && at > 0;
            let direction = if is_end {
                field::TERMINATING_FLOW
            } else {
                field::FLOW
            };
            trace.add(used.from, Phase::Instant, instant.fixed(direction, flow));
        }
    }
    trace.write(out)
}

/// Returns a slice for each result. A test takes the first worker that is free, as threads and slots of runners do.
fn of_results(results: &[TestResult]) -> Vec<Slice> {
    let mut results: Vec<&TestResult> = results.iter().filter(|result| result.began > 0).collect();
    results.sort_by_key(|result| result.began);
    let last = results
        .iter()
        .map(|result| result.ended.unwrap_or(result.began))
        .max();
    // The time at which each worker is free.
    let mut free: Vec<u64> = Vec::new();
    let slices = results.into_iter().map(|result| {
        let ended = result.ended.or(last).unwrap_or_default().max(result.began + 1);
        let worker = free.iter().position(|free| *free <= result.began);
        let worker = worker.unwrap_or(free.len());
        free.resize(free.len().max(worker + 1), 0);
        free[worker] = ended;
        Slice {
            track: ("tests".to_owned(), format!("worker {}", worker + 1)),
            test: result.name.clone(),
            pid: result.pid,
            began: result.began,
            ended,
            facts: vec![
                ("program", result.binary.clone()),
                ("result", outcome(result.outcome).to_owned()),
                ("process", result.pid.to_string()),
            ],
        }
    });
    slices.collect()
}

/// Returns a slice for each test of a conflict, from its first use to its last: for recordings without results.
fn of_uses(conflicts: &[Conflict]) -> Vec<Slice> {
    let mut slices: Vec<Slice> = Vec::new();
    for test in conflicts.iter().flat_map(|conflict| &conflict.tests) {
        let (Some(from), Some(to)) = (
            test.uses.iter().map(|used| used.from).min(),
            test.uses.iter().map(|used| used.to).max(),
        ) else {
            continue;
        };
        let (run, worker) = (plain(&test.run), plain(&test.worker));
        let name = test.name();
        let is_same = |slice: &&mut Slice| {
            slice.pid == test.pid && slice.test == name && slice.track.0 == run && slice.track.1 == worker
        };
        match slices.iter_mut().find(is_same) {
            Some(slice) => {
                slice.began = slice.began.min(from);
                slice.ended = slice.ended.max(to);
            }
            None => slices.push(Slice {
                track: (run.into_owned(), worker.into_owned()),
                test: name.to_owned(),
                pid: test.pid,
                began: from,
                ended: to.max(from + 1),
                facts: vec![
                    ("program", test.binary.clone()),
                    ("process", test.pid.to_string()),
                ],
            }),
        }
    }
    slices
}

fn name(conflict: &Conflict, used: &Use) -> String {
    let access = used.access.map(|access| format!("{access} "));
    let subject = match &conflict.resource {
        Some(resource) => resource.to_string(),
        None => conflict.kind.to_string(),
    };
    format!("{}{subject}", access.unwrap_or_default())
}

fn outcome(outcome: ReportedOutcome) -> &'static str {
    match outcome {
        ReportedOutcome::Passed => "passed",
        ReportedOutcome::Failed => "failed",
        ReportedOutcome::Ignored => "ignored",
        ReportedOutcome::Unknown => "no result",
    }
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
    fn without_results_a_test_lasts_from_its_first_use_to_its_last() {
        let mut outcome = sample::outcome("stores_one");
        outcome.findings.observed = None;
        outcome.findings.conflicts.truncate(1);
        for (test, worker) in outcome.findings.conflicts[0].tests.iter_mut().zip(["w0", "w1"]) {
            test.worker = worker.to_owned();
        }
        let (tracks, events) = events(&outcome);
        assert_eq!(tracks, ["r1", "w0", "w1"]);
        let slices: Vec<&str> = events
            .iter()
            .filter(|event| !event.contains("instant"))
            .map(String::as_str)
            .collect();
        assert_eq!(
            slices,
            [
                "0 w0 begin stores_one",
                "1 w0 end",
                "5 w1 begin reports::exports_all",
                "6 w1 end"
            ]
        );
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
