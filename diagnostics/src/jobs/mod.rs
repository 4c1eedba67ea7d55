//! Where jobs come from: the command line, files of lines, a settings file, rounds of one command.

pub(crate) mod file;
pub(crate) mod rounds;
pub(crate) mod settings;
pub(crate) mod spec;
pub(crate) mod values;
