//! Reads the lines of journals as events.

use cofferdam::format::{Event, Record, Why};
use cofferdam::{Access, Resource};
use serde_json::{Map, Value};

/// A value that is found in a field of an event.
trait Field: Sized {
    const SHAPE: &'static str;
    fn read(value: &Value) -> Option<Self>;
}

impl Field for String {
    const SHAPE: &'static str = "text";
    fn read(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Field for u64 {
    const SHAPE: &'static str = "number";
    fn read(value: &Value) -> Option<Self> {
        value.as_u64()
    }
}

impl Field for bool {
    const SHAPE: &'static str = "true or false";
    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Field for Vec<String> {
    const SHAPE: &'static str = "list of text";
    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(String::read).collect()
    }
}

impl Field for Vec<u64> {
    const SHAPE: &'static str = "list of numbers";
    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(Value::as_u64).collect()
    }
}

impl Field for Resource {
    const SHAPE: &'static str = "`kind:name`";
    fn read(value: &Value) -> Option<Self> {
        Self::from_text(value.as_str()?)
    }
}

impl Field for Access {
    const SHAPE: &'static str = "`list`, `read` or `write`";
    fn read(value: &Value) -> Option<Self> {
        Self::from_word(value.as_str()?)
    }
}

impl Field for Why {
    const SHAPE: &'static str = "a reason";
    fn read(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        Self::ALL.iter().copied().find(|why| why.as_str() == text)
    }
}

fn field<T: Field>(line: &Map<String, Value>, name: &str) -> Result<T, String> {
    let value = line
        .get(name)
        .ok_or_else(|| format!("field {name:?} is missing"))?;
    T::read(value).ok_or_else(|| format!("field {name:?} should be {}", T::SHAPE))
}

macro_rules! define {
    ($($(#[$doc:meta])* $variant:ident $word:literal { $($field:ident: $shape:ty),* $(,)? })*) => {
        /// The kinds of events with their fields and shapes, as docs/journal.md lists them.
        #[cfg(test)]
        pub(crate) const TABLE: &[(&str, &[(&str, &str)])] =
            &[$(($word, &[$((stringify!($field), <$shape as Field>::SHAPE)),*])),*];

        fn event(line: &Map<String, Value>) -> Result<Event, String> {
            match line.get("event").and_then(Value::as_str) {
                $(Some($word) => Ok(Event::$variant { $($field: field(line, stringify!($field))?),* }),)*
                Some(other) => Err(format!("unknown event {other:?}")),
                None => Err("no event is named".to_owned()),
            }
        }
    };
}

cofferdam::__events!(define);

/// Reads a line of a journal, or returns what is wrong with it.
pub(crate) fn read(line: &str) -> Result<Record, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(line) = value else {
        return Err("not a JSON object".to_owned());
    };
    let at = field(&line, "at")?;
    let pid: u64 = field(&line, "pid")?;
    Ok(Record {
        at,
        pid: u32::try_from(pid).map_err(|_| "field \"pid\" is no process number".to_owned())?,
        event: event(&line)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_its_line() {
        let event = Event::Claimed {
            execution: 3,
            claim: 9,
            instance: 0,
            resource: Resource::file("/tmp/a:b\"c\n"),
            access: Access::Write,
            guards: vec!["report".into()],
            place: "tests/a.rs:3".into(),
        };
        let record = Record {
            at: 17,
            pid: 4,
            event,
        };
        let line = record.to_line();
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(read(&line), Ok(record));
    }

    #[test]
    fn a_line_that_is_no_record_says_what_is_wrong() {
        for (line, reason) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "\"at\" is missing"),
            (r#"{"at":1,"pid":"x"}"#, "should be number"),
            (
                r#"{"at":1,"pid":5000000000,"event":"end","execution":1}"#,
                "no process number",
            ),
            (r#"{"at":1,"pid":1}"#, "no event"),
            (r#"{"at":1,"pid":1,"event":"flown"}"#, "unknown event \"flown\""),
            (r#"{"at":1,"pid":1,"event":"end"}"#, "\"execution\" is missing"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn every_kind_of_event_is_named_once() {
        let mut words: Vec<_> = TABLE.iter().map(|(word, _)| *word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), TABLE.len());
    }
}
