//! Pairs of tests that write one file or variable: some under a lock in a static, some under one that only seems to guard it.

#![expect(let_underscore_lock, reason = "guards nothing, which is what to see")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::{Barrier, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use std::{env, fs, mem, thread};

static LOCK: Mutex<()> = Mutex::new(());
static LEAKED: Mutex<()> = Mutex::new(());
static POISONED: Mutex<()> = Mutex::new(());
static LAZY: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
static LIST: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static READERS: RwLock<()> = RwLock::new(());
static TWO: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
static OFTEN: RwLock<u8> = RwLock::new(0);
static OF_EACH: [RwLock<u16>; 2] = [RwLock::new(0), RwLock::new(0)];
static WOKEN: Condvar = Condvar::new();
static BOTH: Barrier = Barrier::new(2);

fn lock() -> MutexGuard<'static, ()> {
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(name: &str) {
    fs::write(format!("met/{name}"), "1").unwrap();
}

macro_rules! pairs {
    ($($(#[$meta:meta])* $name:ident $body:expr;)+) => {$(
        mod $name {
            use super::*;

            fn body(number: usize) {
                let body: fn(&str, usize) = $body;
                body(stringify!($name), number);
            }
            #[test]
            $(#[$meta])*
            fn a() { body(0) }
            #[test]
            $(#[$meta])*
            fn b() { body(1) }
        }
    )+};
}

pairs! {
    held |file, _| {
        let _guard = LOCK.lock().unwrap();
        write(file);
    };
    held_by_a_helper |file, _| {
        let _guard = lock();
        write(file);
    };
    held_if_lazy |file, _| {
        let _guard = LAZY.lock().unwrap();
        write(file);
    };
    held_with_a_value |file, number| {
        let mut list = LIST.lock().unwrap();
        list.push(number as u32);
        write(file);
    };
    held_if_poisoned |file, _| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = POISONED.lock().unwrap_or_else(PoisonError::into_inner);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        let _guard = POISONED.lock().unwrap_or_else(PoisonError::into_inner);
        write(file);
    };
    held_after_a_wait |file, _| {
        let guard = lock();
        write(file);
        let (_guard, _) = WOKEN.wait_timeout(guard, Duration::from_millis(1)).unwrap();
        write(file);
    };
    held_for_a_thread |file, _| {
        let _guard = lock();
        thread::scope(|scope| _ = scope.spawn(|| write(file)));
    };
    held_for_a_program |file, _| {
        let _guard = lock();
        assert!(Command::new("cp").args(["Cargo.toml", &format!("met/{file}")]).status().unwrap().success());
    };
    held_by_a_writer |file, number| {
        if number == 0 {
            let _guard = READERS.write().unwrap();
            write(file);
        } else {
            let _guard = READERS.read().unwrap();
            _ = fs::read(format!("met/{file}"));
        }
    };
    held_at_a_variable |_, number| {
        let _guard = lock();
        unsafe { env::set_var("HELD", number.to_string()) };
    };
    #[ignore = "waits for the other test"]
    held_beside_the_other |file, _| {
        BOTH.wait();
        let _guard = lock();
        write(file);
    };
    free_at_once |file, _| {
        let _ = LOCK.lock();
        write(file);
    };
    free_after_drop |file, _| {
        let guard = lock();
        write(file);
        drop(guard);
        write(file);
    };
    free_in_a_loop |file, _| {
        for turn in 0..2 {
            let _guard = (turn == 0).then(lock);
            write(file);
        }
    };
    free_at_a_variable |_, number| {
        drop(lock());
        unsafe { env::set_var("FREE", number.to_string()) };
    };
    free_under_readers |file, _| {
        let _guard = READERS.read().unwrap();
        write(file);
    };
    free_under_another |file, number| {
        let _guard = TWO[number].lock().unwrap();
        write(file);
    };
    free_for_the_second |file, number| {
        let _guard = (number == 0).then(lock);
        write(file);
    };
    free_after_many |file, number| {
        for _ in 0..300 {
            *OF_EACH[number].write().unwrap() = 1;
        }
        write(file);
    };
    perhaps_leaked |file, _| {
        mem::forget(LEAKED.try_lock());
        write(file);
    };
    perhaps_in_a_thread |file, _| {
        let (taken, over) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = lock();
                taken.wait();
                over.wait();
            });
            taken.wait();
            write(file);
            over.wait();
        });
    };
    perhaps_after_many |file, _| {
        for _ in 0..300 {
            *OFTEN.write().unwrap() = 1;
        }
        let _guard = OFTEN.write().unwrap();
        write(file);
    };
}
