//! Tests that fail through one of several statics that they share: after another test, and beside another.

use std::cell::UnsafeCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

/// Written without a method that is known to write.
struct Cell(UnsafeCell<[u64; 4]>);

unsafe impl Sync for Cell {}

impl Cell {
    fn set(&self, value: u64) {
        unsafe { (*self.0.get())[2] = value }
    }

    fn get(&self) -> u64 {
        unsafe { (*self.0.get())[2] }
    }
}

static CURRENT: AtomicU32 = AtomicU32::new(0);
static ENTRIES: AtomicU32 = AtomicU32::new(0);

/// Works for a while on what is current.
fn work_on(own: u32) {
    ENTRIES.store(ENTRIES.load(SeqCst) + 1, SeqCst);
    CURRENT.store(own, SeqCst);
    sleep(Duration::from_millis(50));
    assert_eq!(CURRENT.load(SeqCst), own);
}

#[test]
fn a_works_on_the_first() {
    work_on(1);
}

#[test]
fn b_works_on_the_second() {
    work_on(2);
}

static CELL: Cell = Cell(UnsafeCell::new([0; 4]));
static NAMES: Mutex<Vec<u64>> = Mutex::new(Vec::new());
static LARGE: [AtomicU32; 20_000] = [const { AtomicU32::new(0) }; 20_000];

fn use_others(value: u64) {
    NAMES.lock().unwrap().push(value);
    LARGE[value as usize].store(1, SeqCst);
}

#[test]
fn c_cell_is_filled() {
    use_others(1);
    CELL.set(7);
}

#[test]
fn d_cell_is_empty() {
    use_others(2);
    assert_eq!(CELL.get(), 0);
}
