//! Two hundred tests that share a server which takes a second to start, and print how long it took to get it. For
//! comparison, the minimum of sharing by a file: to open and lock one, and to read and parse another.

use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

static SERVER: cofferdam::Fixture<String> = cofferdam::Fixture::per_run("server", |setup| {
    let ready = setup.dir().join("ready");
    setup.spawn(Command::new("sh").args(["-c", "sleep 1; touch \"$0\"; exec sleep 1000"]).arg(&ready))?;
    setup.wait_for("the server", Duration::from_secs(30), || ready.exists())?;
    Ok(ready.display().to_string())
});

fn get() -> u128 {
    let begun = Instant::now();
    SERVER.get();
    begun.elapsed().as_micros()
}

fn read_a_file() -> u128 {
    let begun = Instant::now();
    let lock = File::options().read(true).write(true).create(true).open(concat!(env!("CARGO_MANIFEST_DIR"), "/lock"));
    lock.unwrap().lock_shared().unwrap();
    let text = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/handle.json")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert!(value["handle"].is_string());
    begun.elapsed().as_micros()
}

fn attach() {
    // The second contender finds the code of the first in memory.
    let (got, read) = match std::process::id() % 2 {
        0 => (get(), read_a_file()),
        _ => {
            let read = read_a_file();
            (get(), read)
        }
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/attached");
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{got} {read}\n").as_bytes()).unwrap();
}

macro_rules! tests {
    ($($name:ident)*) => { $(#[test] fn $name() { attach(); })* };
}
macro_rules! twenty {
    ($($module:ident)*) => { $(mod $module {
        use super::attach;
        tests!(a b c d e f g h i j k l m n o p q r s t);
    })* };
}
twenty!(one two three four five six seven eight nine ten);
