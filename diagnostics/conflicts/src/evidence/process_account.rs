//! The account of a session: which of its processes recorded.

use crate::read_error::ReadError;
use cofferdam::format::account::{BROKEN, HEADER, MAGIC, RECORDING, SIZE, SLOT, header, intact};
use cofferdam::format::account_path;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// The processes that were started with recording on, by the session's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// Processes that were started.
    pub started: u64,
    /// Processes that recorded.
    pub recorded: u64,
    /// Recording processes that ended by themselves.
    pub complete: u64,
    /// Recording processes that were killed, or still run.
    pub incomplete: u64,
    /// Processes that could not record, or not to their end.
    pub lost: Vec<LostProcess>,
}

/// A process whose records are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostProcess {
    /// The program, and the test if the process has only one.
    pub name: String,
    /// The reason why it could not record.
    pub reason: String,
    /// The number of such processes.
    pub count: u64,
}

/// Reserves the account of a session below cofferdam's folder `base`, before its first process starts.
///
/// # Errors
/// When there is no room for it, or the session already has one.
pub fn reserve(base: &Path, session: &str) -> Result<(), ReadError> {
    let path = account_path(base, session);
    cofferdam::diagnostics::private_dir(base, "runs")?;
    create(&path).map_err(|source| ReadError::io("create", &path, source))
}

/// Creates the account with all of its room.
fn create(account: &Path) -> io::Result<()> {
    let mut bytes = vec![0; SIZE];
    bytes[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    let mut file = File::create_new(account)?;
    let made = file
        .write_all(&bytes)
        .and_then(|()| File::create_new(intact(account)));
    if made.is_err() {
        // A partial file would be read as a damaged one.
        let _ = fs::remove_file(account);
    }
    made.map(drop)
}

impl Account {
    /// Adds the contents of the account at this path.
    pub(super) fn read(&mut self, path: &Path) -> Result<(), ReadError> {
        let words = words(path).map_err(|source| ReadError::io("read", path, source))?;
        self.started += words[header::STARTED];
        self.recorded += words[header::RECORDED];
        self.complete += words[header::COMPLETE];
        for slot in words[HEADER..].chunks_exact(SLOT) {
            match slot[0] & 0xff {
                RECORDING => self.incomplete += 1,
                BROKEN => self.lost.push(broken(slot)),
                _ => {}
            }
        }
        let mut lose = |reason: &str, count| {
            self.lost.push(LostProcess {
                name: "a test process".to_owned(),
                reason: reason.to_owned(),
                count,
            });
        };
        let without = words[header::WITHOUT];
        if without > 0 {
            lose(
                "too many processes ran at the same time for the session's account",
                without,
            );
        }
        if !intact(path).exists() {
            lose("it could not open the session's account", 1);
        }
        Ok(())
    }
}

fn words(account: &Path) -> io::Result<Vec<u64>> {
    let bytes = fs::read(account)?;
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| word.try_into().map_or(0, u64::from_ne_bytes))
        .collect();
    if bytes.len() != SIZE || words[header::MAGIC] != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no account"));
    }
    Ok(words)
}

/// Returns the process of a slot that could not go on recording.
fn broken(slot: &[u64]) -> LostProcess {
    let name: Vec<u8> = slot[1..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let (pid, number) = (slot[0] >> 32, (slot[0] >> 8 & 0xff_ffff) as i32);
    LostProcess {
        name: format!("{} (process {pid})", String::from_utf8_lossy(name)),
        reason: match number {
            0 => "its journal could not be written".to_owned(),
            number => format!(
                "its journal could not be written: {}",
                io::Error::from_raw_os_error(number)
            ),
        },
        count: 1,
    }
}
