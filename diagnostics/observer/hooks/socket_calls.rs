//! Ports and sockets.

use crate::log_format::{Kind, ONLY_V6};
use crate::recording::{self, Path, ReentrancyGuard};
use crate::stack::work_memory;
use crate::sys::interpose::hooks;
use crate::sys::{self, c_int, c_uint, c_void};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOL_SOCKET: c_int = 1;
const SO_TYPE: c_int = 3;
const IPPROTO_IPV6: c_int = 41;
const IPV6_V6ONLY: c_int = 26;
const SOCK_DGRAM: c_int = 2;
const ENOTSOCK: c_int = 88;
/// The call has begun and was not refused.
const EINPROGRESS: c_int = 115;

hooks! {
    mod real;
    bind(fd: c_int, address: *const c_void, length: c_uint) -> c_int, |done| after_bind(fd, address, length, done < 0);
    connect(fd: c_int, address: *const c_void, length: c_uint) -> c_int, |done| after_connect(fd, address, length, done < 0);
}

/// Returns a socket's option, or 0 if there is none.
fn option(fd: c_int, level: c_int, name: c_int) -> c_int {
    let Some(_guard) = ReentrancyGuard::enter() else {
        return 0;
    };
    let (mut value, mut length): (c_int, c_uint) = (0, 4);
    // SAFETY: a place of the given length for the answer.
    let done = unsafe { sys::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) };
    if done == 0 { value } else { 0 }
}

fn is_datagram(fd: c_int) -> bool {
    option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM
}

/// Returns the family and the rest of a `struct sockaddr` of `length` bytes.
///
/// # Safety
/// The program passed it to libc.
unsafe fn read<'a>(address: *const c_void, length: c_uint) -> Option<(u16, &'a [u8])> {
    if address.is_null() || !(2..=128).contains(&length) {
        return None;
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(address.cast::<u8>(), length as usize) };
    let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
    Some((family, &bytes[2..]))
}

/// Returns whether a failed call did not read the address, which may be invalid then.
fn is_unread() -> bool {
    matches!(sys::errno(), sys::EFAULT | sys::EBADF | ENOTSOCK)
}

/// # Safety
/// The program passed the address to libc.
pub(crate) unsafe fn after_bind(fd: c_int, address: *const c_void, length: c_uint, failed: bool) {
    if failed && is_unread() {
        return;
    }
    // SAFETY: the caller's promise.
    match unsafe { read(address, length) } {
        Some((AF_UNIX, name)) => record_unix(Kind::BindUnix, name, failed),
        Some((family @ (AF_INET | AF_INET6), rest)) => {
            let kind = if is_datagram(fd) {
                Kind::BindUdp
            } else {
                Kind::BindTcp
            };
            let is_wildcard = family == AF_INET6 && rest.get(6..22) == Some(&[0; 16]);
            match *rest {
                [0, 0, ..] if !failed => record_assigned(fd, kind),
                _ if is_wildcard && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0 => {
                    record_internet(kind, family, rest, ONLY_V6, failed);
                }
                _ => record_internet(kind, family, rest, 0, failed),
            }
        }
        _ => {}
    }
}

/// # Safety
/// The program passed the address to libc.
pub(crate) unsafe fn after_connect(fd: c_int, address: *const c_void, length: c_uint, failed: bool) {
    if failed && is_unread() {
        return;
    }
    let failed = failed && sys::errno() != EINPROGRESS;
    // SAFETY: the caller's promise.
    match unsafe { read(address, length) } {
        Some((AF_UNIX, name)) => record_unix(Kind::ConnectUnix, name, failed),
        Some((family @ (AF_INET | AF_INET6), rest)) if !is_datagram(fd) => {
            record_internet(Kind::ConnectTcp, family, rest, 0, failed);
        }
        _ => {}
    }
}

#[inline(never)]
fn record_internet(kind: Kind, family: u16, rest: &[u8], mark: u64, failed: bool) {
    let (Some([high, low]), address) = (
        rest.first_chunk::<2>(),
        if family == AF_INET {
            rest.get(2..6)
        } else {
            rest.get(6..22)
        },
    ) else {
        return;
    };
    let port = u16::from_be_bytes([*high, *low]);
    if port != 0 {
        recording::by_name(kind, failed, mark | u64::from(port), address.unwrap_or_default());
    }
}

/// Records the port that the kernel chose, after a program left the choice to it.
#[inline(never)]
fn record_assigned(fd: c_int, kind: Kind) {
    let mut address = [0_u8; 128];
    let mut length = address.len() as c_uint;
    let done = {
        let Some(_guard) = ReentrancyGuard::enter() else {
            return;
        };
        // SAFETY: a place of the given length for the answer.
        unsafe { sys::getsockname(fd, address.as_mut_ptr().cast(), &raw mut length) }
    };
    let number = u64::from(u16::from_be_bytes([address[2], address[3]]));
    if done == 0 && number != 0 {
        let datagrams = u64::from(kind == Kind::BindUdp) << 16;
        recording::by_name(Kind::GivenPort, false, number | datagrams, &[]);
    }
}

/// Called by the library in a suite that uses cofferdam: records a port that it leased. Returns 0.
#[unsafe(no_mangle)]
pub extern "C" fn cofferdam_observer_leased(port: u32) -> u32 {
    recording::by_name(Kind::LeasedPort, false, u64::from(port), &[]);
    0
}

/// Records an access to a Unix socket. A name that begins with a zero is not a file and may hold any bytes.
#[inline(never)]
fn record_unix(kind: Kind, name: &[u8], failed: bool) {
    match name.split_first() {
        None => {}
        Some((0, rest)) => recording::in_parts(kind, failed, 0, b"@", rest),
        Some(_) => {
            let Some(mut memory) = work_memory::take() else {
                return;
            };
            let path = &mut memory.paths[0];
            let length = name.len().min(path.len() - 1);
            path[..length].copy_from_slice(&name[..length]);
            path[length] = 0;
            // SAFETY: a path with a zero at its end.
            unsafe { recording::by_path(kind, failed, 0, Path::new(path.as_ptr().cast())) }
        }
    }
}
