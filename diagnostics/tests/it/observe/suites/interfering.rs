//! Statics through which tests make others fail, and one that is harmless. In the order of their names all tests pass.

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::panic;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

static MODE: Mutex<String> = Mutex::new(String::new());

#[test]
fn a_mode_is_empty() {
    assert_eq!(*MODE.lock().unwrap(), "");
}

#[test]
fn z_mode_is_set() {
    MODE.lock().unwrap().push('x');
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn count_up() {
    let next = NEXT.load(SeqCst) + 1;
    NEXT.store(next, SeqCst);
    assert_eq!(NEXT.load(SeqCst), next);
}

#[test]
fn b_counts_up() {
    count_up();
}

#[test]
fn c_counts_up() {
    count_up();
}

static WANTED: AtomicU32 = AtomicU32::new(1);
static CONFIG: LazyLock<u32> = LazyLock::new(|| WANTED.load(SeqCst));

#[test]
fn d_config_is_the_default() {
    assert_eq!(*CONFIG, 1);
}

#[test]
fn y_config_is_another() {
    WANTED.store(2, SeqCst);
    assert!(*CONFIG > 0);
}

static PANICS: AtomicU32 = AtomicU32::new(0);

#[test]
fn e_panics_are_counted() {
    panic::set_hook(Box::new(|_| _ = PANICS.fetch_add(1, SeqCst)));
    assert!(panic::catch_unwind(|| panic!("counted")).is_err());
    assert_eq!(PANICS.load(SeqCst), 1);
}

#[test]
fn f_panics_are_silent() {
    panic::set_hook(Box::new(|_| {}));
}

static LEFT: AtomicU32 = AtomicU32::new(0);
static RIGHT: AtomicU32 = AtomicU32::new(0);

#[test]
fn g_both_are_empty() {
    assert_eq!((LEFT.load(SeqCst), RIGHT.load(SeqCst)), (0, 0));
}

#[test]
fn x_both_are_filled() {
    LEFT.store(1, SeqCst);
    RIGHT.store(1, SeqCst);
}

/// Changed through a pointer, which no breakpoint sees.
struct Own(UnsafeCell<u32>);

// SAFETY: the tests run one after the other.
unsafe impl Sync for Own {}

static OWN: Own = Own(UnsafeCell::new(0));

fn own() -> *mut u32 {
    OWN.0.get()
}

#[test]
fn j_own_is_zero() {
    // SAFETY: as above.
    assert_eq!(unsafe { own().read() }, 0);
}

#[test]
fn w_own_is_set() {
    // SAFETY: as above.
    unsafe { own().write(1) };
}

/// Changed on the heap: both tests only read the static.
static LIST: OnceLock<Arc<Mutex<Vec<u32>>>> = OnceLock::new();

fn list() -> Arc<Mutex<Vec<u32>>> {
    LIST.get_or_init(Arc::default).clone()
}

#[test]
fn k_list_is_empty() {
    assert_eq!(list().lock().unwrap().len(), 0);
}

#[test]
fn v_list_is_filled() {
    list().lock().unwrap().push(1);
}

static CACHE: Mutex<Option<HashMap<u32, u32>>> = Mutex::new(None);

fn square(number: u32) -> u32 {
    let mut cache = CACHE.lock().unwrap();
    let cache = cache.get_or_insert_with(HashMap::new);
    *cache.entry(number).or_insert(number * number)
}

#[test]
fn h_squares_are_cached() {
    assert_eq!((square(2), square(3)), (4, 9));
}

#[test]
fn i_squares_are_right() {
    assert_eq!((square(3), square(2)), (9, 4));
}

/// An update is lost if one test loads before and stores after the other's: each of them has to be in its middle.
static COPIED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn add(number: u32) {
    let mut copy = COPIED.lock().unwrap().clone();
    copy.push(number);
    *COPIED.lock().unwrap() = copy;
}

#[test]
fn l_one_is_added() {
    add(1);
    assert!(COPIED.lock().unwrap().contains(&1));
}

#[test]
fn m_two_is_added() {
    add(2);
    assert!(COPIED.lock().unwrap().contains(&2));
}
