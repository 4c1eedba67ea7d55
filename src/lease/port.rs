//! Ports that are ours while we hold them.

use crate::error::Error;
use crate::lock::machine;
use crate::resource::{Access, Resource};
use crate::sys::file_lock::{self, Locked};
use crate::sys::{self, clock, observer, process};
use crate::worker::{Claim, claim, guarded_by};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Leases a TCP port: until the lease is dropped, or its process ends in whatever way, nobody else leases it, in no
/// process and no run of this user on this machine.
///
/// The port is not bound, so that a server can bind it, now or after a restart. It is below those that the system
/// hands out by itself, so no outgoing connection takes it meanwhile. A program that does not lease is noticed only
/// if it listens when the lease begins, and so is another user's lease: from those only
/// [`lease_listener`] is safe.
///
/// Reports know the lease as a claim on the port: a test that uses the number without having leased it is in its
/// way. Costs two system calls and one file handle, and a look at each port that is taken.
///
/// ```
/// let port = cofferdam::lease_port().unwrap();
/// let server = std::net::TcpListener::bind(("127.0.0.1", port.number())).unwrap();
/// assert_eq!(server.local_addr().unwrap(), port.addr());
/// ```
///
/// # Errors
/// When no port is left, when the folder of the locks cannot be made or belongs to somebody else, or when the
/// process has as many files open as it may.
#[track_caller]
pub fn lease_port() -> Result<PortLease, Error> {
    Ok(PortLease::new(Held::any(&folder()?)?))
}

/// Leases a port that this process listens on from the beginning, on `127.0.0.1`: there is no moment in which
/// anybody could take it.
///
/// ```
/// let (listener, port) = cofferdam::lease_listener().unwrap();
/// assert_eq!(listener.local_addr().unwrap().port(), port.number());
/// ```
///
/// # Errors
/// As [`lease_port`].
#[track_caller]
pub fn lease_listener() -> Result<(TcpListener, PortLease), Error> {
    let (held, listener) = lease(&folder()?, &range(), somewhere())?;
    Ok((listener, PortLease::new(held)))
}

/// A port that is ours: see [`lease_port`].
#[must_use = "the port is given back when this is dropped"]
#[derive(Debug)]
pub struct PortLease {
    // Dropped first: the claim is over before the next one can begin.
    _claim: Claim,
    held: Held,
}

impl PortLease {
    #[track_caller]
    fn new(held: Held) -> Self {
        observer::leased(held.port);
        let _guarded = guarded_by(&guard(held.port));
        Self {
            _claim: claim(Resource::port(held.port), Access::Write),
            held,
        }
    }

    /// The port.
    pub fn number(&self) -> u16 {
        self.held.port
    }

    /// The port on this machine, `127.0.0.1`.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.held.port).into()
    }
}

/// A port that this process holds, without a claim.
#[derive(Debug)]
pub(crate) struct Held {
    port: u16,
    lock: Locked,
    /// A forked child does not give back what is its parent's.
    pid: u32,
}

impl Held {
    /// Any port that is free, by a lock in the folder.
    pub(crate) fn any(folder: &Path) -> Result<Self, Error> {
        lease(folder, &range(), somewhere()).map(|(held, _)| held)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.pid == process::id() {
            let _ = self.lock.unlock();
        }
    }
}

/// The folder of the locks, the same for all runs of this user on this machine.
pub(crate) fn folder() -> Result<PathBuf, Error> {
    Ok(machine::folder()?.join("ports"))
}

/// What all who lease the port have in common, one after the other; who merely uses its number does not have it.
pub(crate) fn guard(port: u16) -> String {
    format!("lease of port {port}")
}

/// Above the servers that people know by their numbers, below what systems hand out by themselves.
const PORTS: RangeInclusive<u16> = 15_000..=29_999;

/// The ports to lease from: those that the system does not hand out by itself, as far as there are enough.
fn range() -> RangeInclusive<u16> {
    // Elsewhere they begin at 49152.
    let told = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    without_ephemeral(&told)
}

fn without_ephemeral(told: &str) -> RangeInclusive<u16> {
    let first: Option<u16> = told
        .split_ascii_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    match first {
        Some(first) if first >= PORTS.start() + 2_000 => *PORTS.start()..=(*PORTS.end()).min(first - 1),
        _ => PORTS,
    }
}

/// Where to begin looking: each call elsewhere, so that those who look at once do not follow each other.
fn somewhere() -> u64 {
    let mixed = clock::micros() ^ (u64::from(process::id()) << 32) ^ clock::unique().rotate_left(20);
    (mixed ^ (mixed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17
}

/// A port of the range that nobody leases and nobody listens on, and the listener that showed it.
fn lease(folder: &Path, range: &RangeInclusive<u16>, start: u64) -> Result<(Held, TcpListener), Error> {
    let failed = |source| Error::io("lease a port in", folder, source);
    // Looking for a free port is no use of those that are tried.
    let _for_the_run = observer::for_the_run();
    sys::folder::make(folder, "").map_err(failed)?;
    let (first, count) = (*range.start(), u64::from(range.end() - range.start()) + 1);
    for step in 0..count {
        let port = first + ((start % count + step) % count) as u16;
        // Never deleted: somebody may wait to lock it.
        let lock = folder.join(format!("{port}.lock"));
        let Some(locked) = file_lock::try_exclusive(&lock).map_err(failed)? else {
            continue;
        };
        if let Some(listener) = listen(port).map_err(failed)? {
            let (lock, pid) = (locked, process::id());
            return Ok((Held { port, lock, pid }, listener));
        }
    }
    let (last, none) = (range.end(), io::Error::from(ErrorKind::AddrInUse));
    Err(failed(io::Error::other(format!(
        "all ports from {first} to {last} are leased or listened on ({none}): drop leases that are not used, or end \
         what listens there"
    ))))
}

/// A listener on the port, unless somebody else listens on it.
fn listen(port: u16) -> io::Result<Option<TcpListener>> {
    // Who listens on all addresses is found on each.
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        Err(error) if is_taken(&error) => return Ok(None),
        // A machine without that protocol has nobody who uses it.
        Ok(_) | Err(_) => {}
    }
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if is_taken(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_taken(error: &io::Error) -> bool {
    // Windows reserves whole ranges, and says that they are not permitted.
    matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

#[cfg(test)]
#[cfg(not(any(miri, loom)))]
mod tests {
    use super::*;
    use crate::sys::role::{play, plays, role, say};

    fn port_of(told: Result<(Held, TcpListener), Error>) -> u16 {
        told.unwrap().0.port
    }

    /// Some ports in a row that nobody has now, of a part that neither another test nor `lease_port` looks at.
    fn free_range(part: u16) -> RangeInclusive<u16> {
        let dir = tempfile::tempdir().unwrap();
        let first = 10_000 + part * 1_000 + (somewhere() % 900) as u16;
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
    fn a_port_is_leased_once_and_again_when_it_was_given_back() {
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
    fn a_port_that_somebody_listens_on_is_not_leased() {
        let dir = tempfile::tempdir().unwrap();
        for (part, address) in [(1, Ipv4Addr::LOCALHOST), (2, Ipv4Addr::UNSPECIFIED)] {
            let range = free_range(part);
            let _server = TcpListener::bind((address, *range.start())).unwrap();
            assert_ne!(port_of(lease(dir.path(), &range, 0)), *range.start());
        }
    }

    #[test]
    fn ports_that_the_system_hands_out_are_left_to_it_if_enough_remain() {
        for (told, range) in [
            ("32768\t60999\n", 15_000..=29_999),
            ("20000 60999", 15_000..=19_999),
            ("1024 65535", 15_000..=29_999),
            ("", 15_000..=29_999),
            ("many", 15_000..=29_999),
        ] {
            assert_eq!(without_ephemeral(told), range, "{told:?}");
        }
    }

    const HOLD: &str = "lease::port::tests::role_hold";

    #[test]
    #[ignore = "a role"]
    #[expect(
        clippy::disallowed_methods,
        reason = "a role is handed its port by the environment"
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
    fn a_killed_process_gives_its_ports_back() {
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
