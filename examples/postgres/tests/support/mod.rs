//! What every test sets up first: a database that nobody else is in.

mod server;

use cofferdam::worker::Claim;
use cofferdam::{Access, Fixture, Names, Resource, Worker, claim};
use server::{SERVER, TEMPLATE};

/// One for each worker, kept while the run lasts. The copy is made with no lock held, so workers make theirs at one time.
static DATABASE: Fixture<String> = Fixture::per_worker("rooms", |_| {
    let server = SERVER.get();
    let name = Names::current().postgres_database("rooms");
    server
        .connect("postgres")?
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))?;
    Ok(name)
});

/// This worker's database, as empty as a new one.
pub(crate) struct Database {
    pub(crate) url: String,
    _claim: Claim,
}

/// The lane's last test was in it: what that one left is thrown away first.
pub(crate) fn database() -> Database {
    let (server, name) = (SERVER.get(), DATABASE.get());
    // Two tests that are in one database at one time would be in the report.
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
