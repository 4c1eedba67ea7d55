//! Where jobs come from: the command line, files of lines, a settings file, rounds of one command.

pub mod job_file;
pub mod rounds;
pub mod settings;
pub mod spec;
pub mod values;
