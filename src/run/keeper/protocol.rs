//! What a test process and the keeper say to each other: one JSON object a line, over a socket in the run's folder.

use super::request::{Definition, Reply, Request, Stop};
use crate::place::order::{Order, os_from_json, os_to_json};
use serde_json::{Value, json};
use std::time::Duration;

impl Request {
    pub(crate) fn to_line(&self) -> String {
        let value = match self {
            Self::Want {
                definition,
                attempt,
                pid,
            } => json!({
                "want": definition.key, "place": definition.place, "handle": definition.handle,
                "attempt": attempt, "pid": pid,
            }),
            Self::Spawn { order, stop, ends } => json!({
                "spawn": order.to_json(), "signal": stop.signal, "grace": stop.grace.as_millis() as u64,
                "ends": ends,
            }),
            Self::Ran { pid } => json!({ "ran": pid }),
            Self::Teardown { order } => json!({ "teardown": order.to_json() }),
            Self::Lease { folder } => json!({ "lease": os_to_json(folder.as_os_str()) }),
            Self::Ended => json!({ "ended": true }),
            Self::Keep => json!({ "keep": true }),
            Self::Fail { reason } => json!({ "fail": reason }),
        };
        format!("{value}\n")
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        if let Some(key) = text(&value["want"]) {
            Some(Self::Want {
                definition: Definition {
                    key,
                    place: text(&value["place"])?,
                    handle: text(&value["handle"])?,
                },
                attempt: value["attempt"].as_u64()?,
                pid: number(&value["pid"])?,
            })
        } else if let Some(order) = Order::from_json(&value["spawn"]) {
            let stop = Stop {
                signal: i32::try_from(value["signal"].as_i64()?).ok()?,
                grace: Duration::from_millis(value["grace"].as_u64()?),
            };
            let ends = value["ends"].as_bool()?;
            Some(Self::Spawn { order, stop, ends })
        } else if let Some(pid) = number(&value["ran"]) {
            Some(Self::Ran { pid })
        } else if let Some(order) = Order::from_json(&value["teardown"]) {
            Some(Self::Teardown { order })
        } else if let Some(folder) = os_from_json(&value["lease"]) {
            let folder = folder.into();
            Some(Self::Lease { folder })
        } else if let Some(reason) = text(&value["fail"]) {
            Some(Self::Fail { reason })
        } else if value["ended"] == true {
            Some(Self::Ended)
        } else {
            (value["keep"] == true).then_some(Self::Keep)
        }
    }
}

impl Reply {
    pub(crate) fn to_line(&self) -> String {
        let value = match self {
            Self::Starting { pid } => json!({ "starting": pid }),
            Self::Ready => json!({ "ready": true }),
            Self::Yours => json!({ "yours": true }),
            Self::Failed { reason } => json!({ "failed": reason }),
            Self::Other { place, handle } => json!({ "other": place, "handle": handle }),
            Self::Ended { how } => json!({ "ended": how }),
            Self::Done { pid } => json!({ "done": pid }),
            Self::Running => json!({ "running": true }),
            Self::Left { processes } => json!({ "left": processes }),
            Self::Leased { port } => json!({ "leased": port }),
            Self::Refused { reason } => json!({ "refused": reason }),
        };
        format!("{value}\n")
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let (word, told) = value.as_object()?.iter().find(|(word, _)| *word != "handle")?;
        Some(match word.as_str() {
            "starting" => Self::Starting { pid: number(told)? },
            "ready" => Self::Ready,
            "yours" => Self::Yours,
            "failed" => Self::Failed { reason: text(told)? },
            "other" => Self::Other {
                place: text(told)?,
                handle: text(&value["handle"])?,
            },
            "ended" => Self::Ended { how: text(told)? },
            "done" => Self::Done { pid: number(told)? },
            "running" => Self::Running,
            "left" => Self::Left {
                processes: told.as_array()?.iter().map(number).collect::<Option<_>>()?,
            },
            "leased" => Self::Leased {
                port: u16::try_from(number(told)?).ok()?,
            },
            "refused" => Self::Refused { reason: text(told)? },
            _ => return None,
        })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::PathBuf;

    fn order() -> Order {
        Order {
            program: "postgres".into(),
            args: vec!["-D".into(), OsStr::from_bytes(b"a\xff\n\"b").to_owned()],
            env: vec![("A".into(), OsStr::from_bytes(b"\xff").to_owned())],
            dir: PathBuf::from("a folder"),
        }
    }

    #[test]
    fn every_request_comes_back_from_its_line() {
        let definition = Definition {
            key: "pg@w0".to_owned(),
            place: "tests/a.rs:1:1".to_owned(),
            handle: "Pg".to_owned(),
        };
        let stop = Stop {
            signal: 2,
            grace: Duration::from_millis(70),
        };
        for request in [
            Request::Want {
                definition,
                attempt: 2,
                pid: 7,
            },
            Request::Spawn {
                order: order(),
                stop,
                ends: true,
            },
            Request::Ran { pid: 7 },
            Request::Teardown { order: order() },
            Request::Lease {
                folder: PathBuf::from(OsStr::from_bytes(b"a\xff")),
            },
            Request::Ended,
            Request::Keep,
            Request::Fail {
                reason: "a\nb".to_owned(),
            },
        ] {
            let line = request.to_line();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(Request::from_line(&line), Some(request));
        }
    }

    #[test]
    fn every_reply_comes_back_from_its_line() {
        let reason = || "why\n\"so\"".to_owned();
        for reply in [
            Reply::Starting { pid: 7 },
            Reply::Ready,
            Reply::Yours,
            Reply::Failed { reason: reason() },
            Reply::Other {
                place: reason(),
                handle: "Pg".to_owned(),
            },
            Reply::Ended { how: reason() },
            Reply::Done { pid: 0 },
            Reply::Running,
            Reply::Left {
                processes: vec![7, 8],
            },
            Reply::Leased { port: 15_000 },
            Reply::Refused { reason: reason() },
        ] {
            assert_eq!(Reply::from_line(&reply.to_line()), Some(reply));
        }
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"want":7}"#,
            r#"{"want":"a"}"#,
            r#"{"spawn":{}}"#,
        ] {
            assert_eq!(Request::from_line(line), None, "{line}");
            assert_eq!(Reply::from_line(line), None, "{line}");
        }
    }
}
