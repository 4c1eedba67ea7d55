//! A harness of its own: one test for each file in `receipts/`, and others.

use cofferdam::{Worker, WorkerLocal};
use libtest_mimic::{Arguments, Failed, Trial};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use till::Till;

/// The till of this worker, ready for a sale in each test.
static TILL: WorkerLocal<Mutex<Till>> = WorkerLocal::new(|_| Ok(Mutex::default())).reset(|till| {
    till.lock().unwrap_or_else(PoisonError::into_inner).clear();
    Ok(())
});

const KNOWN: &str = "the_worker_knows_the_name_of_its_test";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        trial("a_sale_is_the_same_on_all_threads_of_a_test", same_on_all_threads),
        trial("an_unknown_item_is_an_error", unknown_item),
        trial(KNOWN, test_is_known),
    ];
    let receipts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receipts");
    for entry in fs::read_dir(receipts)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("receipts::{name}");
        trials.push(trial(&name, move || matches(&path)));
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// Returns a test that has a worker, from its beginning to its end.
fn trial(name: &str, body: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    let test_name = name.to_owned();
    Trial::test(name, move || {
        let test = Worker::begin(&test_name);
        let result = body();
        // A panic ends the test, too: as failed.
        test.end(result.is_ok());
        result
    })
}

/// Scans what the first part of the file lists, and compares the receipt with the second part. The receipt of a test that fails
/// is kept in the test's directory, which a line of its output names.
fn matches(path: &Path) -> Result<(), Failed> {
    let text = fs::read_to_string(path)?;
    let (sale, expected) = text.split_once("---\n").ok_or("no line `---`")?;
    let till = TILL.get();
    let mut till = till.lock().unwrap();
    for line in sale.lines() {
        let (item, count) = line.split_once(' ').ok_or("no count")?;
        till.scan(item, count.parse()?)?;
    }
    let written = Worker::current().test_dir()?.join("receipt.txt");
    fs::write(&written, till.receipt())?;
    assert_eq!(fs::read_to_string(written)?, expected);
    Ok(())
}

fn unknown_item() -> Result<(), Failed> {
    let error = TILL.get().lock().unwrap().scan("boat", 1).unwrap_err();
    assert_eq!(error, "no price for \"boat\"");
    Ok(())
}

fn same_on_all_threads() -> Result<(), Failed> {
    TILL.get().lock().unwrap().scan("tea", 1)?;
    let clerk = Worker::current().spawn(|| TILL.get().lock().unwrap().scan("cake", 1));
    clerk.join().unwrap()?;
    assert_eq!(
        TILL.get().lock().unwrap().receipt(),
        "1 tea 3.00\n1 cake 4.50\ntotal 7.50\n"
    );
    Ok(())
}

fn test_is_known() -> Result<(), Failed> {
    assert_eq!(Worker::current().test(), Some(KNOWN));
    Ok(())
}
