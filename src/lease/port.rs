//! Leased ports.

use crate::error::Error;
use crate::lock::machine;
use crate::resource::{Access, Resource};
use crate::sys::file_lock::{self, Locked};
use crate::sys::{self, clock, observer, process};
use crate::worker::claim::guarded_by;
use crate::worker::{Claim, claim};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Leases a TCP port. Until the lease is dropped or its process ends, no other lease of this user on this machine gets it,
/// in any process or run.
///
/// The port is not bound, so that a server can bind it, now or after a restart. It is below the ephemeral ports, so no
/// outgoing connection takes it. A program that does not lease, and another user's lease, are noticed only if they listen on
/// the port when the lease begins; [`listener`] is safe from those too.
///
/// Reports treat the lease as a claim on the port: a test that uses the number without a lease conflicts with it. Costs two
/// system calls and one file handle, and one more check for each port that is taken.
///
/// ```
/// let port = cofferdam::lease::port().unwrap();
/// let server = std::net::TcpListener::bind(("127.0.0.1", port.number())).unwrap();
/// assert_eq!(server.local_addr().unwrap(), port.addr());
/// ```
///
/// # Errors
/// When no port is left, when the directory of the locks cannot be created or belongs to another user, or when the process has
/// reached its limit of open files.
#[track_caller]
pub fn port() -> Result<PortLease, Error> {
    let (held, _) = lease(&folder()?, &range(), search_start())?;
    Ok(PortLease::new(held))
}

/// Leases `count` consecutive ports, in ascending order: for servers that number theirs from the first. Each is like one of
/// [`port`](port()).
///
/// ```
/// let ports = cofferdam::lease::ports(3).unwrap();
/// assert_eq!(ports[2].number(), ports[0].number() + 2);
/// ```
///
/// # Errors
/// Like [`port`](port()), and if there are not `count` consecutive free ports.
#[track_caller]
pub fn ports(count: u16) -> Result<Vec<PortLease>, Error> {
    let held = HeldPort::row(&folder()?, count)?;
    // `map` would name a place of this crate as the caller's.
    let mut leases = Vec::with_capacity(held.len());
    for held in held {
        leases.push(PortLease::new(held));
    }
    Ok(leases)
}

/// Leases a port on which this process already listens, on `127.0.0.1`, so that no other program can take it.
///
/// ```
/// let (listener, port) = cofferdam::lease::listener().unwrap();
/// assert_eq!(listener.local_addr().unwrap().port(), port.number());
/// ```
///
/// # Errors
/// Like [`port`](port()).
#[track_caller]
pub fn listener() -> Result<(TcpListener, PortLease), Error> {
    let (held, listener) = lease(&folder()?, &range(), search_start())?;
    Ok((listener, PortLease::new(held)))
}

/// A leased port; see [`port`](port()).
#[must_use = "the port is released when this is dropped"]
#[derive(Debug)]
pub struct PortLease {
    // Dropped first, so that the claim ends before the next one can begin.
    _claim: Claim,
    held: HeldPort,
}

impl PortLease {
    #[track_caller]
    fn new(held: HeldPort) -> Self {
        observer::leased(held.port);
        let _guarded = guarded_by(&guard(held.port));
        Self {
            _claim: claim(Resource::port(held.port), Access::Write),
            held,
        }
    }

    /// Returns the port.
    pub fn number(&self) -> u16 {
        self.held.port
    }

    /// Returns the port as an address on `127.0.0.1`.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.held.port).into()
    }
}

/// A port that this process has reserved, without a claim.
#[derive(Debug)]
pub(crate) struct HeldPort {
    port: u16,
    lock: Locked,
    /// The process that holds it: a forked child must not release its parent's port.
    pid: u32,
}

impl HeldPort {
    /// Reserves consecutive free ports, by locks in the directory.
    pub(crate) fn row(folder: &Path, count: u16) -> Result<Vec<Self>, Error> {
        let row = row(folder, &range(), search_start(), count)?;
        Ok(row.into_iter().map(|(held, _)| held).collect())
    }

    #[cfg(feature = "fixtures")]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for HeldPort {
    fn drop(&mut self) {
        if self.pid == process::id() {
            let _ = self.lock.unlock();
        }
    }
}

/// Returns the directory of the locks, the same for all runs of this user on this machine.
pub(crate) fn folder() -> Result<PathBuf, Error> {
    Ok(machine::folder()?.join("ports"))
}

/// Returns the guard that all leases of the port have in common, unlike programs that only use its number.
pub(crate) fn guard(port: u16) -> String {
    format!("lease of port {port}")
}

/// Above the well-known ports, below the ephemeral ports.
const PORTS: RangeInclusive<u16> = 15_000..=29_999;

/// Returns the ports to lease from: those that are not ephemeral, if they are enough.
fn range() -> RangeInclusive<u16> {
    // On other systems they begin at 49152.
    let ephemeral = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    without_ephemeral(&ephemeral)
}

fn without_ephemeral(ephemeral: &str) -> RangeInclusive<u16> {
    let first: Option<u16> = ephemeral
        .split_ascii_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    match first {
        Some(first) if first >= PORTS.start() + 2_000 => *PORTS.start()..=(*PORTS.end()).min(first - 1),
        _ => PORTS,
    }
}

/// Returns a start for the search, different in each call so that concurrent searches do not follow each other.
fn search_start() -> u64 {
    let mixed = clock::micros() ^ (u64::from(process::id()) << 32) ^ clock::unique().rotate_left(20);
    (mixed ^ (mixed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17
}

/// Reserves a port of the range that is neither leased nor listened on, and returns the listener that showed it.
fn lease(folder: &Path, range: &RangeInclusive<u16>, start: u64) -> Result<(HeldPort, TcpListener), Error> {
    let one = row(folder, range, start, 1)?.pop();
    one.ok_or_else(|| none_left(folder, range, 1))
}

/// Reserves consecutive ports of the range like [`lease`].
fn row(
    folder: &Path,
    range: &RangeInclusive<u16>,
    start: u64,
    count: u16,
) -> Result<Vec<(HeldPort, TcpListener)>, Error> {
    let failed = |source| Error::io("lease a port in", folder, source);
    // The search is not a use of the ports that it tries.
    let _for_the_run = observer::for_the_run();
    sys::folder::make(folder, "").map_err(failed)?;
    let (first, size) = (*range.start(), u64::from(range.end() - range.start()) + 1);
    let mut row = Vec::new();
    // A row that begins before the end of the search goes on behind it.
    for step in 0..size + u64::from(count) {
        if row.len() == usize::from(count) {
            return Ok(row);
        }
        let offset = (start % size + step) % size;
        if offset == 0 {
            row.clear();
        }
        let port = first + offset as u16;
        // Never deleted, because another process may be about to lock it.
        let lock = folder.join(format!("{port}.lock"));
        let locked = file_lock::try_exclusive(&lock).map_err(failed)?;
        let listener = match &locked {
            Some(_) => listen(port).map_err(failed)?,
            None => None,
        };
        match (locked, listener) {
            (Some(lock), Some(listener)) => {
                let pid = process::id();
                row.push((HeldPort { port, lock, pid }, listener));
            }
            _ => row.clear(),
        }
    }
    Err(none_left(folder, range, count))
}

fn none_left(folder: &Path, range: &RangeInclusive<u16>, count: u16) -> Error {
    let (first, last, none) = (range.start(), range.end(), io::Error::from(ErrorKind::AddrInUse));
    let which = match count {
        1 => format!("all ports from {first} to {last} are leased or listened on"),
        _ => format!("no {count} consecutive ports from {first} to {last} are free"),
    };
    let source = io::Error::other(format!(
        "{which} ({none}): drop unused leases, or stop programs that listen there"
    ));
    Error::io("lease a port in", folder, source)
}

/// Listens on the port, or returns `None` if it is in use.
fn listen(port: u16) -> io::Result<Option<TcpListener>> {
    // A program that listens on all addresses is found on each.
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Err(error) if is_taken(&error) => return Ok(None),
        // On a machine without IPv6 no program uses it.
        Ok(_) | Err(_) => {}
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if is_taken(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_taken(error: &io::Error) -> bool {
    // Windows reserves ranges and reports them as not permitted.
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

#[cfg(test)]
#[cfg(not(any(miri, loom)))]
mod tests {
    use super::*;
    use crate::sys::role::{play, plays, role, say};

    fn port_of(leased: Result<(HeldPort, TcpListener), Error>) -> u16 {
        leased.unwrap().0.port
    }

    /// Returns three adjacent free ports in a part that neither another test nor `port` searches.
    fn free_range(part: u16) -> RangeInclusive<u16> {
        let dir = tempfile::tempdir().unwrap();
        let first = 10_000 + part * 1_000 + (search_start() % 900) as u16;
        (first..first + 97)
            .map(|first| first..=first + 2)
            .find(|range| {
                range
                    .clone()
                    .all(|port| lease(dir.path(), &(port..=port), 0).is_ok())
            })
            .unwrap()
    }

    #[test]
    fn a_port_is_leased_once_and_again_after_its_release() {
        let dir = tempfile::tempdir().unwrap();
        let range = free_range(0);
        let mut held: Vec<_> = (0..3)
            .map(|start| lease(dir.path(), &range, start).unwrap().0)
            .collect();
        let mut ports: Vec<_> = held.iter().map(|held| held.port).collect();
        ports.sort_unstable();
        assert_eq!(ports, range.clone().collect::<Vec<_>>());
        let error = lease(dir.path(), &range, 7).unwrap_err().to_string();
        assert!(error.contains("are leased or listened on"), "{error}");
        let back = held.pop().unwrap().port;
        assert_eq!(port_of(lease(dir.path(), &range, 1)), back);
    }

    #[test]
    fn consecutive_ports_are_leased_together_and_never_across_the_end_of_the_range() {
        let dir = tempfile::tempdir().unwrap();
        let range = free_range(4);
        let first = *range.start();
        let numbers =
            |row: &[(HeldPort, TcpListener)]| row.iter().map(|(held, _)| held.port).collect::<Vec<_>>();
        for start in 0..3 {
            // The lock of a port that was tried in vain is released.
            let all = row(dir.path(), &range, start, 3).unwrap();
            assert_eq!(numbers(&all), [first, first + 1, first + 2], "{start}");
        }
        let _middle = lease(dir.path(), &(first + 1..=first + 1), 0).unwrap();
        let error = row(dir.path(), &range, 1, 2).unwrap_err().to_string();
        assert!(error.contains("no 2 consecutive ports"), "{error}");
        assert_eq!(port_of(lease(dir.path(), &(first + 2..=first + 2), 0)), first + 2);
        assert!(row(dir.path(), &range, 1, 0).unwrap().is_empty());
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_leased() {
        let dir = tempfile::tempdir().unwrap();
        for (part, address) in [(1, Ipv4Addr::LOCALHOST), (2, Ipv4Addr::UNSPECIFIED)] {
            let range = free_range(part);
            let _server = TcpListener::bind((address, *range.start())).unwrap();
            assert_ne!(port_of(lease(dir.path(), &range, 0)), *range.start());
        }
    }

    #[test]
    fn ephemeral_ports_are_not_leased_if_enough_others_remain() {
        for (ephemeral, range) in [
            ("32768\t60999\n", 15_000..=29_999),
            ("20000 60999", 15_000..=19_999),
            ("1024 65535", 15_000..=29_999),
            ("", 15_000..=29_999),
            ("many", 15_000..=29_999),
        ] {
            assert_eq!(without_ephemeral(ephemeral), range, "{ephemeral:?}");
        }
    }

    const HOLD: &str = "lease::port::tests::role_hold";

    #[test]
    #[ignore = "a role"]
    #[expect(
        clippy::disallowed_methods,
        reason = "a role gets its port by the environment"
    )]
    fn role_hold() {
        if !plays(HOLD) {
            return;
        }
        let dir = PathBuf::from(std::env::var_os("FOLDER").unwrap());
        let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
        let _held = lease(&dir, &(port..=port), 0).unwrap();
        say("held");
        std::thread::park();
    }

    #[test]
    fn the_ports_of_a_killed_process_are_free() {
        let dir = tempfile::tempdir().unwrap();
        let port = *free_range(3).start();
        let mut command = role(HOLD, "lease");
        let mut holder = play(command.env("FOLDER", dir.path()).env("PORT", port.to_string()));
        assert_eq!(holder.hear(), "held");
        assert!(
            file_lock::try_exclusive(&dir.path().join(format!("{port}.lock")))
                .unwrap()
                .is_none()
        );
        holder.kill();
        assert_eq!(port_of(lease(dir.path(), &(port..=port), 0)), port);
    }
}
