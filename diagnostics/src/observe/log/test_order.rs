//! Whether the tests of a process ran in the order that was requested.

use crate::observe::format::{Kind, OrderEvent};
use crate::observe::log::Log;

/// Returns whether the process's tests ran one after the other in the requested order, or the reason why they did not;
/// `None` if no order was requested.
pub(crate) fn kept(log: &Log) -> Option<Result<(), String>> {
    let mut kept = None;
    for record in log.records().filter(|record| record.kind == Kind::Order) {
        let event = u8::try_from(record.value).ok().and_then(OrderEvent::of);
        let why = match event {
            Some(OrderEvent::Requested) => "its process ended before all tests had begun".to_owned(),
            Some(OrderEvent::Kept) => {
                kept = Some(Ok(()));
                continue;
            }
            Some(OrderEvent::Nameless) => "the name of a test could not be read".to_owned(),
            Some(OrderEvent::Unknown) => format!("{} is not in the order", record.words()),
            Some(OrderEvent::Repeated) => format!("two tests are called {}", record.words()),
            Some(OrderEvent::NoThread) => "no thread could be started for a test".to_owned(),
            Some(OrderEvent::Deadline) => "not all tests began in time".to_owned(),
            Some(OrderEvent::Unreadable) | None => "the order could not be read".to_owned(),
        };
        kept = Some(Err(why));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::log::test_log::LogBuilder;

    #[test]
    fn an_order_is_kept_if_all_tests_arrived_and_nothing_came_after_it() {
        use OrderEvent::{Deadline, Kept, Requested, Unknown};
        for (events, wanted) in [
            (&[][..], None),
            (
                &[Requested],
                Some(Err("its process ended before all tests had begun")),
            ),
            (&[Requested, Kept], Some(Ok(()))),
            (&[Requested, Deadline], Some(Err("not all tests began in time"))),
            (&[Requested, Kept, Unknown], Some(Err("a::b is not in the order"))),
        ] {
            let mut log = LogBuilder::new(7, 1, true);
            for event in events {
                log.record(1, 0, Kind::Order, *event as u64, "a::b", b"");
            }
            let wanted = wanted.map(|wanted| wanted.map_err(str::to_owned));
            assert_eq!(kept(&log.log()), wanted, "{events:?}");
        }
    }
}
