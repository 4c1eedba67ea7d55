//! `COFFERDAM_ISOLATION=off`: all workers share one cache, and everything else stays the same.

use super::{Log, Noted, as_test, is_same, own_worker};
use crate::role::{play, plays, role};
use cofferdam::{ServiceLocator, WorkerLocal};

const PATH: &str = "locator::switched_off::role_off";

#[test]
fn without_isolation_workers_share_one_cache() {
    let base = tempfile::tempdir().unwrap();
    let mut role = role(PATH, "off");
    let role = role
        .env("COFFERDAM_DIR", base.path())
        .env("COFFERDAM_ISOLATION", "off");
    play(role).end().passed();
}

#[test]
#[ignore = "a role"]
fn role_off() {
    if !plays(PATH) {
        return;
    }
    static LOCAL: WorkerLocal<u8> = WorkerLocal::new(|_| Ok(7));
    let log = Log::default();
    let make = |name: &'static str| {
        let log = log.clone();
        move |_: &cofferdam::Context<'_>| Ok(Noted::new(name, &log))
    };
    let locator = ServiceLocator::builder()
        .register::<Noted>(make("own"))
        .named("own")
        .register_shared::<Noted>(make("shared"))
        .named("shared")
        .register::<Noted>(make("of one test"))
        .named("of one test")
        .per_test()
        .build();
    let get = |name: &str| locator.get_named::<Noted>(name);
    let (own, shared, of_test, local) = (get("own"), get("shared"), get("of one test"), LOCAL.get());
    as_test("a::other", || {
        assert_eq!(own_worker(), "w1");
        assert!(is_same(&get("own"), &own) && is_same(&LOCAL.get(), &local));
        assert!(is_same(&get("shared"), &shared));
        assert!(
            !is_same(&get("of one test"), &of_test),
            "a test has its own all the same"
        );
        // An override applies to all workers, and ends with its test.
        let fake = locator.override_named("of one test", Noted::new("fake", &log));
        assert_eq!(get("of one test").name, "fake");
        drop(fake);
        std::mem::forget(locator.override_named("own", Noted::new("fake", &log)));
        assert_eq!(get("own").name, "fake");
    });
    assert_eq!(
        log.take(),
        ["fake dropped", "of one test dropped", "fake dropped"]
    );
    assert!(is_same(&get("own"), &own));
    drop((own, shared));
    locator.clear_worker();
    assert_eq!(log.take(), ["own dropped"]);
}
