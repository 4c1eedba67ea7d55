//! Targets for libFuzzer: readers of files that a killed process, a full disk or another program may have damaged.
//!
//! `COFFERDAM_TEST_TARGET` names the target, so that one program has all of them. `.ci/fuzz` builds and runs it.

use crate::cli::Cli;
use crate::observe;
use crate::settings::{Settings, Source};
use clap::CommandFactory as _;
use cofferdam_batch::jobs::job_file;
use cofferdam_batch::jobs::settings::Settings as Jobs;
use cofferdam_conflicts::{Evidence, read_snapshot};
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

static TARGET: LazyLock<String> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "libFuzzer takes the arguments")]
    std::env::var("COFFERDAM_TEST_TARGET").unwrap_or_default()
});

/// The directory of the files to read, in memory.
static DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "without it nothing can be tried")]
    tempfile::tempdir_in("/dev/shm").expect("a directory in memory")
});

fuzz_target!(|data: &[u8]| {
    match TARGET.as_str() {
        "journals" => {
            let mut evidence = Evidence::new();
            evidence.read(&file("worker.ndjson", data));
            let _ = (
                evidence.conflicts(),
                evidence.cache_counts(),
                evidence.executions().count(),
            );
        }
        "snapshots" => {
            let _ = read_snapshot(file("snapshot.json", data));
        }
        "observer_logs" => observe::read_log(data),
        "settings" => {
            let path = file("cofferdam.toml", data);
            let cli = Cli::command();
            if let Ok(settings) = Settings::read(&cli, DIR.path(), &Source::Named(path.clone()), None) {
                settings.defaults(cli).debug_assert();
            }
            let _ = Jobs::read(&path).and_then(|settings| settings.jobs(&path));
        }
        "job_files" => {
            let _ = job_file::parse("jobs", data);
        }
        "programs" => observe::read_program(data),
        other => {
            panic!("no target {other:?}: journals, snapshots, observer_logs, settings, job_files, programs")
        }
    }
});

fn file(name: &str, data: &[u8]) -> PathBuf {
    let path = DIR.path().join(name);
    #[expect(clippy::expect_used, reason = "without it nothing can be tried")]
    fs::write(&path, data).expect("a file in memory");
    path
}
