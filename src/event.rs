//! The events of a journal, as plain data: the contract between the code that acts and the tools that read.
//!
//! The table below is the one definition of the format. The enum and the writer are made from it here, the reader in
//! `cofferdam-conflicts`; docs/reference/journal.md repeats it, which a test of the reader checks.

use crate::json_value::Value;
use crate::resource::{Access, Resource};

/// The version of the journals that this build writes.
pub const VERSION: u64 = 1;

/// The reason why a cache dropped an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The cache was full.
    Evicted,
    /// The test cleared its worker's cache.
    Cleared,
    /// An override began or ended.
    Overridden,
    /// Its test was over.
    TestOver,
    /// Its reset failed.
    Reset,
    /// A test that used it panicked.
    Panicked,
    /// Its locator was dropped.
    Locator,
    /// The process ended.
    Exit,
}

impl Why {
    /// Every reason, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::Evicted,
        Self::Cleared,
        Self::Overridden,
        Self::TestOver,
        Self::Reset,
        Self::Panicked,
        Self::Locator,
        Self::Exit,
    ];

    /// Returns the word for the reason in journals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Cleared => "cleared",
            Self::Overridden => "overridden",
            Self::TestOver => "test over",
            Self::Reset => "reset failed",
            Self::Panicked => "test panicked",
            Self::Locator => "locator dropped",
            Self::Exit => "exit",
        }
    }
}

/// An event with its moment and its process.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The moment, in microseconds since 1970.
    pub at: u64,
    /// The process that wrote it.
    pub pid: u32,
    /// The event.
    pub event: Event,
}

/// A value in a field of an event.
trait Field {
    fn write(&self) -> Value;
}

impl Field for String {
    fn write(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl Field for u64 {
    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl Field for bool {
    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl Field for Vec<String> {
    fn write(&self) -> Value {
        Value::texts(self)
    }
}

impl Field for Vec<u64> {
    fn write(&self) -> Value {
        Value::List(self.iter().map(|number| Value::from(*number)).collect())
    }
}

impl Field for Resource {
    fn write(&self) -> Value {
        Value::Text(self.to_text())
    }
}

impl Field for Access {
    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl Field for Why {
    fn write(&self) -> Value {
        Value::from(self.as_str())
    }
}

fn put(line: &mut Vec<(String, Value)>, name: &str, field: &dyn Field) {
    line.push((name.to_owned(), field.write()));
}

/// Passes the table of events to the macro `$then`: for each a variant, its name in journals, and its fields.
///
/// The types of fields are resolved where the macro is used. It is public for the reader in `cofferdam-conflicts`.
#[doc(hidden)]
#[macro_export]
macro_rules! __events {
    ($then:ident) => {
        $then! {
            /// The first line of a process, which describes the writer of those that follow. `run` is unique for one invocation of a runner;
            /// `started` tells it from another process with its number, `boot` this machine from others.
            Process "process" {
                version: u64, run: String, session: String, runner: String, binary: String, worker: String,
                started: u64, boot: String,
            }
            /// An execution begins: an attempt at a test in a run. `execution` is unique within the process.
            Test "test" { execution: u64, test: String, attempt: u64 }
            /// An execution is over.
            End "end" { execution: u64 }
            /// A factory made an instance. `instance` names it within the process; `asked` is what its factory asked for,
            /// and `parts` are the instances it was given. A user of it uses those too. `micros` is
            /// the time that the factory took by itself.
            Built "built" {
                execution: u64, locator: String, service: String, instance: u64, epoch: u64, micros: u64,
                shared: bool, asked: Vec<String>, parts: Vec<u64>, place: String,
            }
            /// An execution received an instance while it held the locks `guards`. At least the first time is recorded.
            Used "used" { execution: u64, instance: u64, guards: Vec<String> }
            /// A cache dropped an instance, which has `holders` other references. `hits` calls found it in the cache since it was
            /// built or came back.
            Dropped "dropped" { locator: String, service: String, instance: u64, why: Why, holders: u64, hits: u64 }
            /// A claim on a resource begins. `instance` is the service that makes it, 0 for a test itself.
            Claimed "claimed" {
                execution: u64, claim: u64, instance: u64, resource: Resource, access: Access, guards: Vec<String>,
                place: String,
            }
            /// A claim is over before its execution is.
            Released "released" { claim: u64 }
            /// An execution got a lock after waiting `waited` microseconds: `access` is to write alone, or to read with others.
            Locked "locked" { execution: u64, lock: String, access: Access, waited: u64, place: String }
            /// An execution released a lock.
            Unlocked "unlocked" { execution: u64, lock: String }
            /// A lazy proxy was used by another worker than the one whose instance it holds.
            Foreign "foreign" { execution: u64, service: String, instance: u64, owner: String, place: String }
            /// The counters of a cache, written when its worker's process ends.
            Counters "counters" { locator: String, hits: u64, misses: u64, builds: u64, evictions: u64, capacity: u64 }
            /// An execution started a fixture, for the run or for its worker.
            Started "fixture started" { execution: u64, fixture: String, micros: u64, place: String }
            /// An execution's process attached to a running fixture.
            Attached "fixture attached" { execution: u64, fixture: String, micros: u64 }
            /// A test ended while threads that it had started were running, so its lane was set aside.
            Quarantined "quarantined" { execution: u64, children: u64 }
        }
    };
}

macro_rules! define {
    ($($(#[$doc:meta])* $variant:ident $word:literal { $($field:ident: $shape:ty),* $(,)? })*) => {
        /// An event in a test process.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "docs/reference/journal.md describes every field, and a test holds it to this table")]
        pub enum Event {
            $($(#[$doc])* $variant { $($field: $shape),* },)*
        }

        impl Event {
            fn write(&self, line: &mut Vec<(String, Value)>) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        put(line, "event", &$word.to_owned());
                        $(put(line, stringify!($field), $field);)*
                    })*
                }
            }
        }
    };
}

__events!(define);

impl Record {
    /// Returns the record as a line of a journal, without its newline.
    pub fn to_line(&self) -> String {
        let mut line = Vec::new();
        put(&mut line, "at", &self.at);
        put(&mut line, "pid", &u64::from(self.pid));
        self.event.write(&mut line);
        Value::Object(line).to_line()
    }
}
