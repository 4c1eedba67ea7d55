//! The server of the run, and a database in it for each worker.

use cofferdam::fixture::StopSignal;
use cofferdam::{BoxError, Fixture, Names};
use lending_library::SCHEMA;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use std::fs::File;
use std::io::Read;
use std::process::Command;
use std::time::Duration;

/// The connection data of a database. The password keeps other users of this machine out.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Database {
    pub(crate) name: String,
    port: u16,
    password: String,
}

impl Database {
    pub(crate) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .password(&self.password)
            .database(&self.name)
    }

    fn named(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..self.clone()
        }
    }

    async fn execute(&self, statements: &str) -> Result<(), sqlx::Error> {
        let mut session: PgConnection = self.options().connect().await?;
        session.execute(statements).await?;
        session.close().await
    }
}

/// The template of all databases, so that the schema is loaded once.
const TEMPLATE: &str = "library_template";

static SERVER: Fixture<Database> = Fixture::per_run("postgres", |setup| {
    let server = Database {
        name: "postgres".to_owned(),
        port: setup.lease_port()?,
        password: random()?,
    };
    // Not the fixture's directory: the server of a run by root is another user, which cannot read that.
    let folder = std::env::temp_dir().join(Names::of_run().postgres_database("lending-library"));
    setup.on_teardown(Command::new("rm").arg("-rf").arg(&folder))?;
    // A smart shutdown would wait for open sessions forever; this one ends them.
    setup.stop_signal(StopSignal::Interrupt);
    setup.spawn(
        Command::new("sh")
            .args(["-c", include_str!("server.sh"), "server.sh"])
            .arg(&folder)
            .arg(server.port.to_string())
            .env("SERVER_PASSWORD", &server.password),
    )?;
    // The port opens a moment before the server accepts queries.
    setup.wait_for("PostgreSQL to answer", Duration::from_secs(50), || {
        block_on(server.execute("SELECT 1")).is_ok()
    })?;
    block_on(async {
        server.execute(&format!("CREATE DATABASE {TEMPLATE}")).await?;
        server.named(TEMPLATE).execute(SCHEMA).await?;
        // A database cannot be copied while a session uses it.
        let closed = format!("ALTER DATABASE {TEMPLATE} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false");
        server.execute(&closed).await
    })?;
    Ok(server)
});

pub(crate) static DATABASE: Fixture<Database> = Fixture::per_worker("library", |setup| {
    let server = SERVER.get();
    let database = server.named(&Names::current().postgres_database("library"));
    // Before the server stops, because that fixture is older; a failure is an error of `cargo cofferdam run`.
    setup.on_teardown(
        Command::new("psql")
            .args([
                "--no-psqlrc",
                "--set=ON_ERROR_STOP=1",
                "--host=127.0.0.1",
                "--username=postgres",
            ])
            .arg(format!("--port={}", database.port))
            .arg(format!("--dbname={}", database.name))
            .args(["--command", include_str!("no_sessions.sql")])
            .env("PGPASSWORD", &database.password),
    )?;
    block_on(server.execute(&format!("CREATE DATABASE {} TEMPLATE {TEMPLATE}", database.name)))?;
    Ok(database)
});

/// Runs a future on a runtime of its own: a factory is not async.
fn block_on(future: impl Future<Output = Result<(), sqlx::Error>>) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future)?)
}

/// Returns a random password.
fn random() -> Result<String, BoxError> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
