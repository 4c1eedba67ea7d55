//! The database that every test sets up, which no other test uses.

mod server;

use cofferdam::worker::Claim;
use cofferdam::{Access, Fixture, Names, Resource, Worker, claim};
use server::{SERVER, TEMPLATE};

/// One database per worker, kept for the run. No lock is held during the copy, so workers copy at the same time.
static DATABASE: Fixture<String> = Fixture::per_worker("rooms", |_| {
    let server = SERVER.get();
    let name = Names::current().postgres_database("rooms");
    server
        .connect("postgres")?
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))?;
    Ok(name)
});

/// This worker's database, which begins empty.
pub(crate) struct Database {
    pub(crate) url: String,
    _claim: Claim,
}

/// Returns the worker's database, without the data of its last test.
pub(crate) fn database() -> Database {
    let (server, name) = (SERVER.get(), DATABASE.get());
    // With this claim the report would name two tests that use one database at the same time.
    let claim = claim(Resource::name(format!("database {name}")), Access::Write);
    let mut session = server.connect(&name).unwrap();
    session
        .batch_execute("TRUNCATE bookings, mails RESTART IDENTITY")
        .unwrap();
    let worker = Worker::current();
    session
        .execute(
            "INSERT INTO visits VALUES ($1, $2)",
            &[&worker.id(), &worker.test().unwrap_or("?")],
        )
        .unwrap();
    Database {
        url: server.url(&name),
        _claim: claim,
    }
}
