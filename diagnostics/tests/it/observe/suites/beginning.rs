//! A custom harness that begins each of its tests on a thread of a pool.

use cofferdam::Worker;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, mpsc};
use std::thread;

const TESTS: [&str; 4] = ["adds::one", "adds::two", "keeps_a_file", "starts_a_child"];

/// Runs one test at a time.
static ONE: Mutex<()> = Mutex::new(());
static USED: AtomicU32 = AtomicU32::new(0);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        let tests = TESTS.iter().filter(|_| !has("--ignored"));
        tests.for_each(|test| println!("{test}: test"));
        return;
    }
    let chosen: Vec<&str> = TESTS.into_iter().filter(|test| has(test)).collect();
    let chosen = if chosen.is_empty() { TESTS.to_vec() } else { chosen };
    let (number, (results, finished)) = (chosen.len(), mpsc::channel());
    let pool = [0, 1].map(|half| {
        let own: Vec<&str> = chosen.iter().skip(half).step_by(2).copied().collect();
        let results = results.clone();
        let begin = move || {
            for test in own {
                run(test);
                results.send(test).unwrap();
            }
        };
        thread::Builder::new().name(format!("pool-{half}")).spawn(begin).unwrap()
    });
    println!("running {number} tests");
    for test in finished.iter().take(number) {
        println!("test {test} ... ok");
    }
    println!("\ntest result: ok. {number} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    pool.into_iter().for_each(|thread| thread.join().unwrap());
}

fn run(test: &str) {
    let _one = ONE.lock().unwrap();
    let begun = match std::env::var("BEGINNING_WITHOUT") {
        Ok(without) if without == test => None,
        _ => Some(Worker::begin(test)),
    };
    // Often enough that nothing new is to be expected of this test.
    (0..40).for_each(|_| USED.store(USED.load(SeqCst) + 1, SeqCst));
    let shares = std::env::var("BEGINNING_SHARES").is_ok();
    match test {
        "keeps_a_file" => fs::write(format!("met/of-{test}"), test).unwrap(),
        "starts_a_child" => {
            let child = std::process::Command::new("touch").arg("met/of-child").status();
            assert!(child.unwrap().success());
        }
        _ if shares => fs::write(Path::new("met/shared"), test).unwrap(),
        _ => {}
    }
    if let Some(begun) = begun {
        begun.end(true);
    }
}
