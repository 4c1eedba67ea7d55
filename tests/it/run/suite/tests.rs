//! Tests that share a server and wait to be let go.

use cofferdam::Fixture;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

fn var(name: &str) -> String {
    std::env::var(name).unwrap()
}

static SERVER: Fixture<String> = Fixture::per_run("server", |setup| {
    let folder = setup.dir();
    // A grandchild, which has to go with the server.
    setup.spawn(
        Command::new("sh")
            .args(["-c", "\"$0\" \"$1\" \"$2\" & exec \"$0\" \"$1\" \"$2\"", env!("CARGO_BIN_EXE_kept")])
            .arg(var("MEET"))
            .arg(&folder),
    )?;
    setup.on_teardown(Command::new("touch").arg(var("TORN_DOWN")))?;
    let log = setup.log();
    setup.wait_for("the server", std::time::Duration::from_secs(30), || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.matches("listening").count() == 2)
    })?;
    Ok(folder.display().to_string())
});

fn held() {
    let folder = SERVER.get();
    let mut stream = TcpStream::connect(var("MEET")).unwrap();
    writeln!(stream, "test {} {folder}", std::process::id()).unwrap();
    let _ = stream.read(&mut [0]);
    assert_eq!(*SERVER.get(), *folder);
}

#[test]
fn a() {
    held();
}

#[test]
fn b() {
    held();
}
