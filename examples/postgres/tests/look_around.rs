//! The databases seen from outside, with `psql`.

mod support;

use cofferdam::Names;
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, NoTls};
use std::process::Command;
use std::time::Duration;
use support::database;

/// Returns the output of `psql`, one value per line.
fn psql(url: &str, query: &str) -> Vec<String> {
    let output = Command::new("psql")
        .args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--command",
            query,
            url,
        ])
        .output()
        .expect("psql comes with the server");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn psql_finds_one_worker_in_each_database() {
    let database = database();
    let name = Names::current().postgres_database("rooms");
    assert_eq!(psql(&database.url, "SELECT current_database()"), [name.as_str()]);
    let workers = psql(&database.url, "SELECT DISTINCT worker FROM visits");
    assert_eq!(workers.len(), 1, "{workers:?} were all in {name}");
    let databases = psql(
        &database.url,
        "SELECT datname FROM pg_database WHERE datname LIKE 'rooms\\_w%'",
    );
    assert!(databases.contains(&name), "{databases:?}");
}

#[test]
#[ignore = "for people: it keeps the server until it is told `NOTIFY done`, so that they can look around"]
fn look_around() {
    let database = database();
    println!("READY psql {}", database.url);
    let mut client = Client::connect(&database.url, NoTls).unwrap();
    client.batch_execute("LISTEN done").unwrap();
    let mut notes = client.notifications();
    assert!(
        notes
            .timeout_iter(Duration::from_secs(600))
            .next()
            .unwrap()
            .is_some(),
        "nobody came"
    );
}
