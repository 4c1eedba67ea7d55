//! The server: one for the run.

use cofferdam::fixture::Setup;
use cofferdam::fixture::StopSignal;
use cofferdam::{BoxError, Fixture, Names};
use meeting_rooms::SCHEMA;
use postgres::{Client, NoTls};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The connection data of the server. The password keeps other users of this machine out: a superuser of
/// PostgreSQL can start programs.
#[derive(Serialize, Deserialize)]
pub(crate) struct Server {
    url: String,
}

impl Server {
    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.url)
    }

    /// Opens a session in one of its databases.
    pub(crate) fn connect(&self, database: &str) -> Result<Client, postgres::Error> {
        Client::connect(&self.url(database), NoTls)
    }
}

/// The template of all databases, so that the schema is loaded once.
pub(crate) const TEMPLATE: &str = "rooms_template";

pub(crate) static SERVER: Fixture<Server> = Fixture::per_run("postgres", |setup| {
    let programs = programs()?;
    let home = Home::new(setup)?;
    let (port, password) = (setup.lease_port()?, random()?);
    home.write("password", &password)?;
    let server = Server {
        url: format!("postgres://postgres:{password}@127.0.0.1:{port}"),
    };

    // A smart shutdown would wait for open sessions forever; this one ends them.
    setup.stop_signal(StopSignal::Interrupt);
    setup.spawn(
        home.command("sh")
            .args(["-c", include_str!("server.sh"), "server.sh"])
            .arg(programs)
            .arg(&home.path)
            .arg(port.to_string()),
    )?;
    // The port opens a moment before the server accepts queries.
    let mut session = None;
    setup.wait_for("PostgreSQL to answer", Duration::from_secs(50), || {
        session = server.connect("postgres").ok();
        session.is_some()
    })?;

    let mut session = session.ok_or("no session")?;
    session.batch_execute(&format!("CREATE DATABASE {TEMPLATE}"))?;
    let mut template = server.connect(TEMPLATE)?;
    template.batch_execute(SCHEMA)?;
    template.batch_execute("CREATE TABLE visits (worker text NOT NULL, test text NOT NULL)")?;
    template.close()?;
    // A database cannot be copied while a session uses it.
    session.batch_execute(&format!(
        "ALTER DATABASE {TEMPLATE} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"
    ))?;
    Ok(server)
});

/// The directory of the server's files, and the user that it runs as.
struct Home {
    path: PathBuf,
    is_roots: bool,
}

impl Home {
    /// PostgreSQL does not run as root. Where root runs the tests (in a container, say) it runs as the user that its
    /// package created, which cannot read the directory of the fixture and gets another one.
    fn new(setup: &Setup) -> Result<Self, BoxError> {
        let ours = setup.dir();
        if fs::metadata(&ours)?.uid() != 0 {
            return Ok(Self {
                path: ours,
                is_roots: false,
            });
        }
        let path = std::env::temp_dir().join(Names::of_run().postgres_database("meeting-rooms"));
        // Registered before it is created, so that it is removed whatever happens in between.
        setup.on_teardown(Command::new("rm").arg("-rf").arg(&path))?;
        // Not recursive: an existing directory of another user is an error.
        DirBuilder::new().mode(0o700).create(&path)?;
        let home = Self { path, is_roots: true };
        home.hand_over(&home.path)?;
        Ok(home)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), BoxError> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        self.hand_over(&path)
    }

    fn hand_over(&self, path: &Path) -> Result<(), BoxError> {
        if self.is_roots {
            let status = Command::new("chown").arg("postgres:").arg(path).status()?;
            if !status.success() {
                return Err(
                    "the user `postgres` is not there: was the server installed by its package?".into(),
                );
            }
        }
        Ok(())
    }

    /// Returns a command that runs in this directory, as its owner.
    fn command(&self, program: &str) -> Command {
        let mut command;
        if self.is_roots {
            // `keep`: a change of user clears the signal that ends a process with the keeper.
            command = Command::new("setpriv");
            command.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--pdeathsig=keep",
            ]);
            command.arg(program);
        } else {
            command = Command::new(program);
        }
        command.current_dir(&self.path);
        command
    }
}

/// Returns the directory of the newest server's programs. Debian keeps them outside of `PATH`, by version.
fn programs() -> Result<PathBuf, BoxError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path())
        .collect();
    versions.sort_by_key(|version| version.file_name()?.to_str()?.parse::<u32>().ok());
    found.extend(versions.iter().rev().map(|version| version.join("bin")));
    let has_server = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let none = "no PostgreSQL server is installed: on Debian and Ubuntu, `apt-get install postgresql`";
    Ok(found.into_iter().find(has_server).ok_or(none)?)
}

/// Returns a random password.
fn random() -> Result<String, BoxError> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
