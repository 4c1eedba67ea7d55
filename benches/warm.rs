//! The cost of requesting a service that is built, compared with alternatives.

mod harness;
#[path = "harness/race.rs"]
mod race;

use cofferdam::{ServiceLocator, WorkerLocal};
use dashmap::DashMap;
use harness::{Series, Table};
use lru::LruCache;
use once_cell::sync::{Lazy, OnceCell};
use shaku::HasComponent;
use std::any::TypeId;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

const ROUNDS: usize = 101;
const CALLS: u64 = 20_000;

trait Orders: shaku::Interface {}

#[derive(shaku::Component)]
#[shaku(interface = Orders)]
struct Repo {
    number: u64,
}

impl Orders for Repo {}

shaku::module! {
    Shaku { components = [Repo], providers = [] }
}

static STATIC: WorkerLocal<Repo> = WorkerLocal::new(|_| Ok(Repo { number: 7 }));
static LOCATOR: Lazy<ServiceLocator> = Lazy::new(|| {
    let builder = ServiceLocator::builder();
    builder.register::<Repo>(|_| Ok(repo())).build()
});
static LRU: Lazy<Mutex<LruCache<TypeId, Arc<Repo>>>> = Lazy::new(|| {
    let mut cache = LruCache::new(NonZeroUsize::new(50).expect("50 is not 0"));
    cache.put(TypeId::of::<Repo>(), repo());
    Mutex::new(cache)
});
static DASHMAP: Lazy<DashMap<TypeId, Arc<Repo>>> =
    Lazy::new(|| DashMap::from_iter([(TypeId::of::<Repo>(), repo())]));
static QUICK: Lazy<quick_cache::sync::Cache<TypeId, Arc<Repo>>> = Lazy::new(|| {
    let cache = quick_cache::sync::Cache::new(50);
    cache.insert(TypeId::of::<Repo>(), repo());
    cache
});
static SHAKU: Lazy<Shaku> = Lazy::new(|| {
    let parameters = RepoParameters { number: 7 };
    Shaku::builder()
        .with_component_parameters::<Repo>(parameters)
        .build()
});
thread_local! {
    static OWN: std::cell::OnceCell<Arc<Repo>> = const { std::cell::OnceCell::new() };
}

fn repo() -> Arc<Repo> {
    Arc::new(Repo { number: 7 })
}

fn repeat<T>(calls: u64, mut call: impl FnMut() -> T) {
    for _ in 0..calls {
        black_box(call());
    }
}

fn get(calls: u64) {
    repeat(calls, || LOCATOR.get::<Repo>());
}

fn worker_local(calls: u64) {
    repeat(calls, || STATIC.get());
}

fn bare_lru(calls: u64) {
    repeat(calls, || {
        let mut cache = LRU.lock().expect("nothing panics");
        cache.get(&TypeId::of::<Repo>()).cloned()
    });
}

fn own_cell(calls: u64) {
    repeat(calls, || OWN.with(|own| Arc::clone(own.get_or_init(repo))));
}

fn shared_dashmap(calls: u64) {
    let key = TypeId::of::<Repo>();
    repeat(calls, || DASHMAP.get(&key).map(|found| Arc::clone(&found)));
}

fn quick_cache(calls: u64) {
    repeat(calls, || QUICK.get(&TypeId::of::<Repo>()));
}

fn shaku_module(calls: u64) {
    let shaku = &*SHAKU;
    repeat(calls, || {
        let found: Arc<dyn Orders> = shaku.resolve();
        found
    });
}

fn one_thread() {
    let mine: [(&str, race::Work<'_>); 2] = [
        ("`ServiceLocator::get`", &get),
        ("`WorkerLocal::get`", &worker_local),
    ];
    let peers: [(&str, race::Work<'_>); 5] = [
        ("`Mutex<LruCache>` + `Arc` clone", &bare_lru),
        ("shared `DashMap` + `Arc` clone", &shared_dashmap),
        ("quick_cache", &quick_cache),
        ("shaku", &shaku_module),
        ("thread-local `OnceCell` + `Arc` clone", &own_cell),
    ];
    let all: Vec<_> = mine.iter().chain(&peers).copied().collect();
    let works: Vec<_> = all.iter().map(|(_, work)| *work).collect();
    let times = race::run(1, ROUNDS, CALLS, &works);
    let mut table = Table::new("Warm, one thread");
    for ((name, _), time) in all.iter().zip(&times) {
        table.row(name, " ns", time, ..);
    }
    for (index, (own, _)) in mine.iter().enumerate() {
        let ratio = |peer: usize| times[index].over(&times[mine.len() + peer]);
        let title = |peer: usize| format!("{own} ÷ {}", peers[peer].0);
        table.row(&title(0), "×", &ratio(0), ..=0.7);
        for peer in 1..peers.len() {
            table.row(&title(peer), "×", &ratio(peer), ..);
        }
    }
    table.print();
}

fn two_threads() {
    let times = race::run(
        2,
        ROUNDS,
        CALLS,
        &[&get, &shared_dashmap, &bare_lru, &quick_cache, &shaku_module],
    );
    let mut table = Table::new("Warm, two threads on one key (each its own worker)");
    let names = [
        "`ServiceLocator::get`",
        "shared `DashMap`",
        "shared `Mutex<LruCache>`",
        "quick_cache",
        "shaku",
    ];
    for (name, time) in names.iter().zip(&times) {
        table.row(name, " ns", time, ..);
    }
    let ratio = |peer: usize| times[peer].over(&times[0]);
    let title = |peer: usize| format!("{} ÷ `ServiceLocator::get`", names[peer]);
    table.row(&title(1), "×", &ratio(1), 10.0..);
    for peer in 2..names.len() {
        table.row(&title(peer), "×", &ratio(peer), ..);
    }
    table.print();
}

fn deref() {
    let proxy = LOCATOR.lazy::<Repo>();
    let cell = OnceCell::with_value(repo());
    let by_proxy = |calls| repeat(calls, || black_box(&proxy).number);
    let by_cell = |calls| {
        repeat(calls, || {
            let cell: &OnceCell<Arc<Repo>> = black_box(&cell);
            cell.get().map_or(0, |repo| repo.number)
        });
    };
    let times: Vec<Series> = race::run(1, ROUNDS, 20 * CALLS, &[&by_proxy, &by_cell]);
    let mut table = Table::new("Deref after the first use");
    table.row("`LazyProxy`", " ns", &times[0], ..);
    table.row("`OnceCell<Arc<T>>`", " ns", &times[1], ..);
    table.row(
        "`LazyProxy` ÷ `OnceCell<Arc<T>>`",
        "×",
        &times[0].over(&times[1]),
        ..=1.2,
    );
    table.print();
}

fn main() {
    if harness::is_wanted() {
        one_thread();
        two_threads();
        deref();
    }
}
