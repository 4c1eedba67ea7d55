//! Ports and sockets.

use crate::format::Kind;
use crate::note::{self, Noting, Path};
use crate::real::hooks;
use crate::scratch;
use crate::sys::{self, c_int, c_uint, c_void};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOL_SOCKET: c_int = 1;
const SO_TYPE: c_int = 3;
const SOCK_DGRAM: c_int = 2;
const EBADF: c_int = 9;
const ENOTSOCK: c_int = 88;
const EADDRINUSE: c_int = 98;
/// The call was begun, not refused.
const EINPROGRESS: c_int = 115;

hooks! {
    bind(fd: c_int, address: *const c_void, length: c_uint) -> c_int, |done| bound(fd, address, length, done < 0);
    connect(fd: c_int, address: *const c_void, length: c_uint) -> c_int, |done| connected(fd, address, length, done < 0);
}

fn is_datagram(fd: c_int) -> bool {
    let Some(_noting) = Noting::begin() else {
        return false;
    };
    let (mut kind, mut length): (c_int, c_uint) = (0, 4);
    // SAFETY: a place of the given length for the answer.
    let done = unsafe { sys::getsockopt(fd, SOL_SOCKET, SO_TYPE, (&raw mut kind).cast(), &raw mut length) };
    done == 0 && kind == SOCK_DGRAM
}

/// Family, port and the rest of a `struct sockaddr`, of which `length` bytes are there.
///
/// # Safety
/// The program handed it to libc.
unsafe fn read<'a>(address: *const c_void, length: c_uint) -> Option<(u16, &'a [u8])> {
    if address.is_null() || !(2..=128).contains(&length) {
        return None;
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(address.cast::<u8>(), length as usize) };
    let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
    Some((family, &bytes[2..]))
}

/// Whether a call failed before the kernel had read the address, which may be none.
fn is_unread() -> bool {
    matches!(sys::errno(), sys::EFAULT | EBADF | ENOTSOCK)
}

/// # Safety
/// The program handed the address to libc.
pub(crate) unsafe fn bound(fd: c_int, address: *const c_void, length: c_uint, failed: bool) {
    if failed && is_unread() {
        return;
    }
    let taken = failed && sys::errno() == EADDRINUSE;
    // SAFETY: the caller's promise.
    match unsafe { read(address, length) } {
        Some((AF_UNIX, name)) => unix(Kind::BindUnix, name, failed),
        Some((family @ (AF_INET | AF_INET6), rest)) => {
            let kind = if is_datagram(fd) {
                Kind::BindUdp
            } else {
                Kind::BindTcp
            };
            match *rest {
                [0, 0, ..] if !failed => given(fd, kind),
                // Who finds a port taken wanted it for itself, whoever has it: that is no look.
                [high, low, ..] if taken => port(Kind::TakenPort, kind, [high, low]),
                _ => internet(kind, family, rest, failed),
            }
        }
        _ => {}
    }
}

/// # Safety
/// The program handed the address to libc.
pub(crate) unsafe fn connected(fd: c_int, address: *const c_void, length: c_uint, failed: bool) {
    if failed && is_unread() {
        return;
    }
    let failed = failed && sys::errno() != EINPROGRESS;
    // SAFETY: the caller's promise.
    match unsafe { read(address, length) } {
        Some((AF_UNIX, name)) => unix(Kind::ConnectUnix, name, failed),
        Some((family @ (AF_INET | AF_INET6), rest)) if !is_datagram(fd) => {
            internet(Kind::ConnectTcp, family, rest, failed);
        }
        _ => {}
    }
}

#[inline(never)]
fn internet(kind: Kind, family: u16, rest: &[u8], failed: bool) {
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
        note::thing(kind, failed, u64::from(port), address.unwrap_or_default());
    }
}

/// Notes which port the kernel chose, where it was told to choose.
#[inline(never)]
fn given(fd: c_int, kind: Kind) {
    let mut address = [0_u8; 128];
    let mut length = address.len() as c_uint;
    let done = {
        let Some(_noting) = Noting::begin() else { return };
        // SAFETY: a place of the given length for the answer.
        unsafe { sys::getsockname(fd, address.as_mut_ptr().cast(), &raw mut length) }
    };
    if done == 0 {
        port(Kind::GivenPort, kind, [address[2], address[3]]);
    }
}

/// Notes a port by its number alone, which says too for what it was bound.
#[inline(never)]
fn port(kind: Kind, bound: Kind, number: [u8; 2]) {
    let number = u64::from(u16::from_be_bytes(number));
    if number != 0 {
        let datagrams = u64::from(bound == Kind::BindUdp) << 16;
        note::thing(kind, false, number | datagrams, &[]);
    }
}

/// A name that begins with a zero is no file; it may hold anything.
#[inline(never)]
fn unix(kind: Kind, name: &[u8], failed: bool) {
    match name.split_first() {
        None => {}
        Some((0, rest)) => {
            let Some(_noting) = Noting::begin() else { return };
            let mut entry = crate::log::Entry::new(kind, rest);
            entry.text[0] = b"@";
            entry.flags = crate::log::flags(failed);
            crate::log::access(&entry);
        }
        Some(_) => {
            let Some(mut scratch) = scratch::take() else {
                return;
            };
            let path = &mut scratch.paths[0];
            let length = name.len().min(path.len() - 1);
            path[..length].copy_from_slice(&name[..length]);
            path[length] = 0;
            // SAFETY: a zero stands at its end.
            unsafe { note::path(kind, failed, 0, Path::new(path.as_ptr().cast())) }
        }
    }
}
