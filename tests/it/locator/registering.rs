//! Names of services, and registrations that are refused.

use super::{is_same, panic_of};
use cofferdam::{ServiceLocator, WorkerLocal};
use std::sync::Arc;

trait Greets: Send + Sync {
    fn greet(&self) -> &str;
}

struct English;

impl Greets for English {
    fn greet(&self) -> &str {
        "hello"
    }
}

#[derive(Debug, PartialEq)]
struct Named(String);

#[test]
fn variants_of_one_type_are_distinguished_by_name() {
    let locator = ServiceLocator::builder()
        .register::<Named>(|_| Ok(Arc::new(Named("plain".into()))))
        .register::<Named>(|_| Ok(Arc::new(Named("replica".into()))))
        .named("replica")
        .register::<Named>(|cx| {
            Ok(Arc::new(Named(format!(
                "on {}",
                cx.get_named::<Named>("replica")?.0
            ))))
        })
        .named("third")
        .build();
    assert_eq!(locator.get::<Named>().0, "plain");
    assert_eq!(locator.get_named::<Named>("replica").0, "replica");
    assert_eq!(locator.get_named::<Named>("third").0, "on replica");
    assert_eq!(locator.lazy_named::<Named>("replica").0, "replica");
    assert!(is_same(
        &locator.get_named::<Named>("replica"),
        &locator.get_named("replica")
    ));
}

#[test]
fn a_trait_is_a_service_of_its_own() {
    let locator = ServiceLocator::builder()
        .register::<dyn Greets>(|_| Ok(Arc::new(English)))
        .register::<str>(|_| Ok(Arc::from("text")))
        .build();
    assert_eq!(locator.get::<dyn Greets>().greet(), "hello");
    assert!(is_same(&locator.get::<dyn Greets>(), &locator.get()));
    assert_eq!(&*locator.get::<str>(), "text");
    assert!(
        locator.try_get::<English>().is_err(),
        "it is registered as the trait only"
    );
}

#[test]
fn two_locators_have_nothing_in_common() {
    let make = || {
        ServiceLocator::builder()
            .register::<Named>(|_| Ok(Arc::new(Named(String::new()))))
            .build()
    };
    let (one, two) = (make(), make());
    assert!(!is_same(&one.get::<Named>(), &two.get::<Named>()));
    assert!(is_same(&one.get::<Named>(), &one.clone().get::<Named>()));
}

/// More than a thread caches, so that two of them share one entry.
#[test]
fn the_cache_of_a_thread_distinguishes_many_locators_and_names() {
    const MANY: usize = 70;
    let names: Vec<_> = (0..MANY).map(|number| number.to_string()).collect();
    let locators: Vec<_> = (0..MANY)
        .map(|number| {
            let builder = ServiceLocator::builder().register::<usize>(move |_| Ok(Arc::new(number)));
            let names = names.iter().enumerate().filter(|_| number == 0);
            let named = names.fold(builder, |builder, (number, name)| {
                builder
                    .register::<usize>(move |_| Ok(Arc::new(number)))
                    .named(name)
            });
            named.capacity(MANY + 1).build()
        })
        .collect();
    for _ in 0..2 {
        for (number, (locator, name)) in locators.iter().zip(&names).enumerate() {
            assert_eq!(*locator.get::<usize>(), number);
            assert_eq!(*locators[0].get_named::<usize>(name), number);
        }
    }
}

#[test]
fn two_statics_of_one_type_have_nothing_in_common() {
    static ONE: WorkerLocal<u8> = WorkerLocal::new(|_| Ok(1));
    static TWO: WorkerLocal<u8> = WorkerLocal::new(|_| Ok(2));
    assert_eq!((*ONE.get(), *TWO.get(), *ONE.get()), (1, 2, 1));
}

#[test]
fn a_missing_service_is_an_error_that_lists_the_registered_ones() {
    let locator = ServiceLocator::builder()
        .name("shop")
        .register::<Named>(|_| Ok(Arc::new(Named(String::new()))))
        .named("a \"b\"\n")
        .build();
    let error = locator.try_get::<dyn Greets>().map(drop).unwrap_err().to_string();
    assert!(
        error.contains("dyn Greets is not registered in locator `shop`"),
        "{error}"
    );
    assert!(error.contains(r#"which has Named "a \"b\"\n""#), "{error}");
    let error = locator.try_get_named::<Named>("other").unwrap_err().to_string();
    assert!(error.contains(r#"Named "other" is not registered"#), "{error}");
    assert!(panic_of(|| locator.get::<u8>()).contains("u8 is not registered"));
    assert!(panic_of(|| locator.override_with(Arc::new(7_u8))).contains("u8 is not registered"));
    let empty = ServiceLocator::builder()
        .build()
        .try_get::<u8>()
        .unwrap_err()
        .to_string();
    assert!(empty.contains("which has no services"), "{empty}");
}

#[test]
fn two_factories_for_one_key_are_refused_with_the_place_of_each() {
    let first = line!() + 2;
    let builder = ServiceLocator::builder()
        .register::<Named>(|_| Err("not called".into()))
        .register::<Named>(|_| Err("not called".into()));
    let error = builder.try_build().unwrap_err().to_string();
    let place = |line| format!("registering.rs:{line}:");
    assert!(error.contains("Named is registered twice"), "{error}");
    assert!(
        error.contains(&place(first)) && error.contains(&place(first + 1)),
        "{error}"
    );
}

#[test]
fn a_capacity_of_nothing_is_refused() {
    let error = ServiceLocator::builder()
        .capacity(0)
        .try_build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("a capacity of 0"), "{error}");
    assert!(panic_of(|| ServiceLocator::builder().capacity(0).build()).contains("a capacity of 0"));
}

/// A service must not be built from one with a shorter lifetime, at once or later.
#[test]
fn a_service_is_not_built_from_one_with_a_shorter_lifetime() {
    struct OfAll;
    struct OfWorker;
    struct OfTest;
    static OF_WORKER: WorkerLocal<OfWorker> = WorkerLocal::new(|_| Ok(OfWorker));
    static LATER: std::sync::OnceLock<ServiceLocator> = std::sync::OnceLock::new();
    static FROM_TEST: WorkerLocal<OfWorker> = WorkerLocal::new(|_| {
        LATER.get().unwrap().try_get::<OfTest>()?;
        Ok(OfWorker)
    });
    let locator = ServiceLocator::builder()
        .register::<OfTest>(|_| Ok(Arc::new(OfTest)))
        .per_test()
        .register::<OfWorker>(|cx| cx.get::<OfTest>().map(|_| Arc::new(OfWorker)).map_err(Into::into))
        .register::<OfWorker>(|cx| {
            cx.lazy::<OfTest>()
                .map(|_| Arc::new(OfWorker))
                .map_err(Into::into)
        })
        .named("lazy")
        .register_shared::<OfAll>(|_| Ok(OF_WORKER.try_get().map(|_| Arc::new(OfAll))?))
        .register_shared::<OfAll>(|cx| {
            cx.lazy_named::<OfWorker>("lazy")
                .map(|_| Arc::new(OfAll))
                .map_err(Into::into)
        })
        .named("lazy")
        .build();
    for error in [
        locator.try_get::<OfWorker>().map(drop),
        locator.try_get_named::<OfWorker>("lazy").map(drop),
        locator.try_get::<OfAll>().map(drop),
        locator.try_get_named::<OfAll>("lazy").map(drop),
        {
            LATER.set(locator.clone()).unwrap_or_else(|_| unreachable!());
            FROM_TEST.try_get().map(drop)
        },
    ] {
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("and requested") && error.contains("has ended or belongs to another worker"),
            "{error}"
        );
    }
    assert!(locator.try_get::<OfTest>().is_ok());
}

#[test]
fn a_static_has_no_locator_to_ask() {
    static LOCAL: WorkerLocal<u8> = WorkerLocal::new(|cx| Ok(*cx.get::<u8>()?));
    let error = LOCAL.try_get().unwrap_err().to_string();
    assert!(error.contains("belongs to no locator"), "{error}");
}

#[test]
fn a_hostile_name_makes_a_folder_of_its_own_within_the_workers() {
    let worker = cofferdam::Worker::current().dir().unwrap();
    let mut dirs = std::collections::BTreeSet::new();
    for name in [
        "../../out",
        "/etc",
        ".",
        "..",
        "a/b",
        "a\0b",
        "con",
        "",
        &"long".repeat(1000),
    ] {
        let locator = ServiceLocator::builder()
            .register::<std::path::PathBuf>(|cx| Ok(Arc::new(cx.dir()?)))
            .named(name)
            .build();
        let dir = locator.get_named::<std::path::PathBuf>(name);
        assert_eq!(dir.parent(), Some(worker.as_path()), "{name:?}");
        assert!(dirs.insert(dir.to_path_buf()), "{name:?} shares its directory");
    }
}

mod one {
    pub(super) struct Store(pub(super) std::path::PathBuf);
}

mod two {
    pub(super) struct Store(pub(super) std::path::PathBuf);
}

#[test]
fn services_of_one_label_have_folders_of_their_own() {
    static ONE: WorkerLocal<std::path::PathBuf> = WorkerLocal::new(|cx| cx.dir().map_err(Into::into));
    static TWO: WorkerLocal<std::path::PathBuf> = WorkerLocal::new(|cx| cx.dir().map_err(Into::into));
    let locator = ServiceLocator::builder()
        .register::<one::Store>(|cx| Ok(Arc::new(one::Store(cx.dir()?))))
        .register::<two::Store>(|cx| Ok(Arc::new(two::Store(cx.dir()?))))
        .build();
    let all = [
        ONE.get().to_path_buf(),
        TWO.get().to_path_buf(),
        locator.get::<one::Store>().0.clone(),
        locator.get::<two::Store>().0.clone(),
    ];
    let apart: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(apart.len(), all.len(), "{all:?}");
}
