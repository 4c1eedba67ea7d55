//! Two hundred tests that share a server which takes a second to start, and say how long it took to get it.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

static SERVER: cofferdam::Fixture<String> = cofferdam::Fixture::per_run("server", |setup| {
    let ready = setup.dir().join("ready");
    setup.spawn(Command::new("sh").args(["-c", "sleep 1; touch \"$0\"; exec sleep 1000"]).arg(&ready))?;
    setup.wait_for("the server", Duration::from_secs(30), || ready.exists())?;
    Ok(ready.display().to_string())
});

fn attach() {
    let begun = Instant::now();
    SERVER.get();
    let micros = begun.elapsed().as_micros();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/attached");
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{micros}\n").as_bytes()).unwrap();
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
