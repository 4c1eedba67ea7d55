//! Tests in pairs: each pair shares a static, in one of the ways that Rust has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, RwLock};

macro_rules! pairs {
    ($($first:ident, $second:ident: $one:expr, $two:expr;)*) => {
        $(
            #[test]
            fn $first() { $one; }
            #[test]
            fn $second() { $two; }
        )*
    };
}

static mut PLAIN: u32 = 0;
static FLAG: AtomicBool = AtomicBool::new(false);
static LIST: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static SETTINGS: RwLock<(u32, u32)> = RwLock::new((1, 2));
static NAME: OnceLock<String> = OnceLock::new();
static MAP: LazyLock<Mutex<HashMap<u32, u32>>> = LazyLock::new(Mutex::default);
static LAZY: LazyLock<AtomicBool> = LazyLock::new(AtomicBool::default);
static LATER: OnceLock<(u32, AtomicU32)> = OnceLock::new();
static PASSED: AtomicUsize = AtomicUsize::new(0);
static LISTED: AtomicBool = AtomicBool::new(false);
static ALL: [&AtomicBool; 1] = [&LISTED];
static IN_THREAD: AtomicU32 = AtomicU32::new(0);
static GENERATED: AtomicU32 = AtomicU32::new(0);
// Their values are on the heap.
static HANDLE: OnceLock<Arc<Mutex<Vec<u32>>>> = OnceLock::new();
static SWITCH: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
static REGISTRY: RwLock<Option<Arc<Registry>>> = RwLock::new(None);
static LEAKED: LazyLock<&Mutex<u32>> = LazyLock::new(|| Box::leak(Box::default()));

// The rest is shared, but is not to be listed.
static COUNTER: AtomicU32 = AtomicU32::new(0);
static GATE: Mutex<()> = Mutex::new(());
static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| vec![1, 2]);
static ONCE: OnceLock<u32> = OnceLock::new();
static QUIET: LazyLock<(RwLock<u32>, AtomicBool)> = LazyLock::new(Default::default);
static CONSTANT: AtomicU32 = AtomicU32::new(3);
static ONLY_HERE: AtomicU32 = AtomicU32::new(0);
static CLONED: LazyLock<Arc<Config>> = LazyLock::new(Arc::default);
static NAMED: LazyLock<(String, Arc<Mutex<[u8; 200]>>)> =
    LazyLock::new(|| ("a".to_owned(), Arc::new(Mutex::new([0; 200]))));
static READ_ONLY: OnceLock<Arc<RwLock<u32>>> = OnceLock::new();
thread_local! { static LOCAL: std::cell::Cell<u32> = const { std::cell::Cell::new(0) }; }

#[derive(Default)]
struct Registry {
    name: &'static str,
    entries: Mutex<Vec<u32>>,
}

#[derive(Default)]
struct Config {
    name: String,
    is_verbose: AtomicBool,
}

fn registry() -> Arc<Registry> {
    let mut registry = REGISTRY.read().unwrap().clone();
    if registry.is_none() {
        registry = REGISTRY.write().unwrap().get_or_insert_default().clone().into();
    }
    registry.unwrap()
}

/// The lock counts its readers.
fn read_only() {
    assert_eq!(*READ_ONLY.get_or_init(Arc::default).read().unwrap(), 0);
}

/// The handle counts its clones. A lock of the test lies near what the static leads to.
fn clone_config() {
    let (config, length) = (CLONED.clone(), NAMED.0.len());
    let own = [const { Mutex::new(0) }; 4].map(Arc::new);
    for one in &own {
        *one.lock().unwrap() += config.name.len() + length;
    }
    assert!(!config.is_verbose.load(SeqCst));
}

#[inline(never)]
fn set(to: &'static AtomicUsize) {
    to.store(7, SeqCst);
}

static HAMMERED: AtomicU32 = AtomicU32::new(0);
static IS_DONE: AtomicBool = AtomicBool::new(false);

fn hammer() {
    HAMMERED.store(HAMMERED.load(SeqCst) + 1, SeqCst);
}

fn keep_hammering() {
    while !IS_DONE.load(SeqCst) {
        hammer();
        std::thread::yield_now();
    }
}

fn leave_a_thread() {
    std::thread::spawn(keep_hammering);
    while HAMMERED.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
}

/// The test that left the thread is over, or has another process. Its uses of the same lines hide none of this test.
fn hammer_too() {
    let before = HAMMERED.load(SeqCst);
    if before == 0 {
        return;
    }
    while HAMMERED.load(SeqCst) < before + 100 {
        std::thread::yield_now();
    }
    hammer();
    IS_DONE.store(true, SeqCst);
}

fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.store(NEXT.load(SeqCst) + 1, SeqCst);
    NEXT.load(SeqCst)
}

pairs! {
    a_plain, b_plain: unsafe { PLAIN += 1 }, assert!(unsafe { PLAIN } < 2);
    a_flag, b_flag: FLAG.store(true, SeqCst), FLAG.load(SeqCst);
    a_list, b_list: LIST.lock().unwrap().push(1), assert!(LIST.lock().unwrap().len() < 2);
    a_settings, b_settings: *SETTINGS.write().unwrap() = (3, 4), assert_ne!(*SETTINGS.read().unwrap(), (0, 0));
    a_name, b_name: _ = NAME.set("a".to_owned()), assert!(NAME.get().is_none_or(|name| name == "a"));
    a_map, b_map: MAP.lock().unwrap().insert(1, 2), MAP.lock().unwrap().len();
    a_lazy, b_lazy: LAZY.store(true, SeqCst), LAZY.load(SeqCst);
    a_later, b_later: LATER.get_or_init(Default::default).1.store(1, SeqCst), LATER.get().map(|later| later.1.load(SeqCst));
    a_passed, b_passed: set(&PASSED), PASSED.load(SeqCst);
    a_listed, b_listed: ALL[0].store(true, SeqCst), ALL[0].load(SeqCst);
    a_in_thread, b_in_thread: std::thread::spawn(|| IN_THREAD.store(9, SeqCst)).join().unwrap(), IN_THREAD.load(SeqCst);
    a_next, b_next: assert_ne!(next(), 0), assert_ne!(next(), 0);
    a_generated, b_generated: GENERATED.fetch_add(1, SeqCst), GENERATED.load(SeqCst);
    a_handle, b_handle: HANDLE.get_or_init(Arc::default).lock().unwrap().push(1), HANDLE.get().map(|handle| handle.lock().unwrap().len());
    a_switch, b_switch: SWITCH.clone().store(true, SeqCst), SWITCH.load(SeqCst);
    a_leaked, b_leaked: *LEAKED.lock().unwrap() += 1, *LEAKED.lock().unwrap();
    a_registry, b_registry: registry().entries.lock().unwrap().push(1), assert_eq!(registry().name, "");
    a_config, b_config: clone_config(), clone_config();
    a_read_only, b_read_only: read_only(), read_only();
    a_counter, b_counter: COUNTER.fetch_add(1, SeqCst), COUNTER.fetch_sub(1, SeqCst);
    a_gate, b_gate: drop(GATE.lock()), drop(GATE.lock());
    a_table, b_table: assert_eq!(TABLE[0], 1), assert_eq!(TABLE[1], 2);
    a_once, b_once: ONCE.get_or_init(|| 1), ONCE.get_or_init(|| 1);
    a_quiet, b_quiet: QUIET.0.read().is_ok(), QUIET.1.load(SeqCst);
    a_constant, b_constant: CONSTANT.load(SeqCst), CONSTANT.load(SeqCst);
    a_alone, b_alone: ONLY_HERE.store(1, SeqCst), ();
    z_1_leaves_a_thread, z_2_uses_what_it_uses: leave_a_thread(), hammer_too();
    a_local, b_local: LOCAL.set(1), LOCAL.set(2);
}
