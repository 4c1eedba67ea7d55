//! The counters of a small recording.

use crate::evidence::Evidence;
use std::path::Path;

const JOURNAL: &str = r#"
{"at":1,"pid":10,"event":"process","version":1,"run":"r1","session":"s","runner":"cargo","binary":"shop","worker":"w0","started":1,"boot":"b"}
{"at":2,"pid":10,"event":"test","execution":1,"test":"a","attempt":1}
{"at":3,"pid":10,"event":"built","execution":1,"locator":"shop","service":"Db","instance":1,"epoch":0,"micros":300,"shared":false,"asked":[],"parts":[],"place":"x:1"}
{"at":4,"pid":10,"event":"dropped","locator":"shop","service":"Db","instance":1,"why":"evicted","holders":0,"hits":4}
{"at":5,"pid":10,"event":"built","execution":1,"locator":"shop","service":"Db","instance":2,"epoch":0,"micros":200,"shared":false,"asked":[],"parts":[],"place":"x:1"}
{"at":6,"pid":10,"event":"end","execution":1}
{"at":7,"pid":10,"event":"counters","locator":"shop","hits":5,"misses":2,"builds":2,"evictions":1,"capacity":50}
"#;

#[test]
fn counts_are_summed_up_over_the_processes_of_a_worker() {
    let mut evidence = Evidence::new();
    evidence.take_in(Path::new("one"), JOURNAL.as_bytes());
    let again = JOURNAL.replace("\"pid\":10", "\"pid\":11");
    evidence.take_in(Path::new("two"), again.as_bytes());
    let caches = evidence.cache_counts();
    let cache = &caches[0];
    assert_eq!(
        (caches.len(), cache.worker.as_str(), cache.locator.as_str()),
        (1, "w0", "shop")
    );
    assert_eq!(
        (cache.hits, cache.misses, cache.builds, cache.evictions),
        (10, 4, 4, 2)
    );
    let services = evidence.service_counts();
    let service = &services[0];
    assert_eq!((services.len(), service.service.as_str()), (1, "Db"));
    assert_eq!(
        (
            service.builds,
            service.build_micros,
            service.evictions,
            service.hits
        ),
        (4, 1_000, 2, 8)
    );
}
