//! The server that the tests share, and what they wait for.

use cofferdam::{Access, Fixture, Resource};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

fn var(name: &str) -> String {
    std::env::var(name).unwrap()
}

pub(crate) static SERVER: Fixture<String> = Fixture::per_run("server", |setup| {
    setup.claim(Resource::name("the server"), Access::Write);
    let folder = setup.dir();
    // A grandchild, which must end with the server.
    setup.spawn(
        Command::new("sh")
            .args(["-c", "\"$0\" \"$1\" \"$2\" & exec \"$0\" \"$1\" \"$2\"", env!("CARGO_BIN_EXE_kept")])
            .arg(var("MEET"))
            .arg(&folder),
    )?;
    setup.on_teardown(Command::new("touch").arg(var("TORN_DOWN")))?;
    // In the middle of the factory, where it may be killed.
    if std::env::var_os("HOLD").is_some() {
        meet("starting", "");
    }
    let log = setup.log();
    setup.wait_for("the server", std::time::Duration::from_secs(30), || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.matches("listening").count() == 2)
    })?;
    Ok(folder.display().to_string())
});

/// Reports that it is running, and continues when it is released.
pub(crate) fn meet(what: &str, word: &str) {
    let mut stream = TcpStream::connect(var("MEET")).unwrap();
    writeln!(stream, "{what} {} {word}", std::process::id()).unwrap();
    let _ = stream.read(&mut [0]);
}
