//! Sources of jobs: the command line, job files, `cofferdam.toml`, and rounds of one command.

pub mod job_file;
pub mod rounds;
pub mod settings;
pub mod spec;
pub mod values;
