//! The variables by which an observation reaches the runner, which is another process of this program.

pub(super) use crate::observe::layout::RUNNER;
use crate::observe::log::FRAMES;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The variable with the runner's [`Instructions`].
pub(crate) const VARIABLE: &str = "COFFERDAM_OBSERVED";
/// The variable with the previous value of [`RUNNER`].
pub(super) const PREVIOUS_RUNNER: &str = "COFFERDAM_OBSERVED_RUNNER";
/// The variable with the project's own runner, which ours starts first: a JSON list of words, since cargo's variable cannot
/// hold a word with a space.
pub(super) const PROJECT_RUNNER: &str = "COFFERDAM_OBSERVED_THEIRS";

/// The variable with the file of the variables that test programs get from declared fixtures: a JSON object.
pub(super) const EXPORTS: &str = "COFFERDAM_EXPORTS";

/// The parts of a process that are tests. The observer knows them by these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum TestUnit {
    /// Each thread is a test.
    Thread = 0,
    /// The process is one test.
    Process = 1,
    /// Each thread is a test, and thread names are not read.
    UnnamedThread = 2,
}

/// The instructions in [`VARIABLE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instructions {
    /// The number of calls to record per access.
    pub(super) frames: u32,
    pub(super) unit: TestUnit,
    /// The directory for the logs.
    pub(super) dir: PathBuf,
}

impl Instructions {
    pub(super) fn new(dir: &Path, with_calls: bool, unit: TestUnit) -> Self {
        Self {
            frames: if with_calls { FRAMES } else { 0 },
            unit,
            dir: dir.to_owned(),
        }
    }

    pub(super) fn parse(text: &OsStr) -> Option<Self> {
        let mut parts = text.as_bytes().splitn(3, |byte| *byte == b';');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u32>().ok();
        let frames = number()?;
        let number = number()?;
        let units = [TestUnit::Thread, TestUnit::Process, TestUnit::UnnamedThread];
        Some(Self {
            frames,
            unit: units.into_iter().find(|unit| *unit as u32 == number)?,
            dir: PathBuf::from(OsStr::from_bytes(parts.next()?)),
        })
    }

    pub(super) fn to_text(&self) -> OsString {
        let mut text = OsString::from(format!("{};{};", self.frames, self.unit as u8));
        text.push(&self.dir);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_survive_the_environment() {
        for unit in [TestUnit::Thread, TestUnit::Process, TestUnit::UnnamedThread] {
            let instructions = Instructions::new(Path::new("/dev/shm/x;y"), true, unit);
            assert_eq!(Instructions::parse(&instructions.to_text()), Some(instructions));
        }
        for text in ["24;1", "24;x;/a", "24;7;/a", ""] {
            assert_eq!(Instructions::parse(OsStr::new(text)), None, "{text}");
        }
    }
}
