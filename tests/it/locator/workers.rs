//! Workers do not affect each other.

use super::{alone, as_test, is_same, own_worker};
use cofferdam::locator::LazyProxy;
use cofferdam::{ServiceLocator, Worker, WorkerLocal};
use std::sync::Arc;

/// A service that knows its worker.
struct Own(String);

/// A service that holds a proxy of another.
struct Holder(LazyProxy<Own>);

fn locator() -> ServiceLocator {
    ServiceLocator::builder()
        .register::<Own>(|cx| Ok(Arc::new(Own(cx.worker().id().to_owned()))))
        .register::<Holder>(|cx| Ok(Arc::new(Holder(cx.lazy()?))))
        .build()
}

alone! {
    fn a_proxy_used_by_another_worker_leaves_that_worker_its_own() {
        let locator = locator();
        let holder = locator.get::<Holder>();
        as_test("a::other", || {
            assert_eq!(own_worker(), "w1");
            assert_eq!(holder.0.0, "w0");
            assert_eq!(locator.get::<Own>().0, "w1", "by way of a foreign proxy");
        });
    }

    fn two_workers_have_two_instances_and_a_worker_has_one() {
        static LOCAL: WorkerLocal<Own> = WorkerLocal::new(|cx| Ok(Own(cx.worker().id().to_owned())));
        let locator = locator();
        let work = || {
            let own = own_worker();
            let (one, two) = (locator.get::<Own>(), locator.get::<Own>());
            assert!(is_same(&one, &two));
            assert_eq!((&one.0, &LOCAL.get().0), (&own, &own));
            assert!(is_same(&LOCAL.get(), &LOCAL.get()));
            let wrapped = Worker::current().spawn({
                let locator = locator.clone();
                move || (locator.get::<Own>(), LOCAL.get())
            });
            let (there, local_there) = wrapped.join().unwrap();
            assert!(is_same(&one, &there) && is_same(&LOCAL.get(), &local_there));
            own
        };
        // The outer worker keeps its lane meanwhile.
        assert_ne!(work(), as_test("a::other", work));
    }

    fn the_next_test_of_a_worker_gets_the_instance_of_the_last_one() {
        let locator = locator();
        let first = as_test("a::first", || (own_worker(), locator.get::<Own>()));
        let second = as_test("a::second", || (own_worker(), locator.get::<Own>()));
        assert_eq!(first.0, second.0);
        assert!(is_same(&first.1, &second.1));
    }

    fn a_thread_without_a_worker_is_refused() {
        let locator = locator();
        let asked = std::thread::scope(|scope| scope.spawn(|| locator.try_get::<Own>().map(drop)).join());
        let error = asked.unwrap().unwrap_err().to_string();
        assert!(error.contains("no worker is known on a thread without a name"), "{error}");
    }
}
