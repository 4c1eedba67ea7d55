//! Waits until one of several descriptors is ready.

use std::os::fd::RawFd;
use std::time::Duration;

/// Waits until a descriptor is readable or closed, or `limit` has passed. Returns the state of each.
pub(crate) fn ready(fds: &[RawFd], limit: Duration) -> Vec<bool> {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| libc::pollfd {
            fd: *fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Rounded up, so that a wait of half a millisecond does not become none.
    let millis = limit.as_micros().div_ceil(1000).min(1 << 30) as i32;
    #[expect(unsafe_code, reason = "poll is a C function")]
    // SAFETY: pointer and length are those of a live vector. An interrupted call leaves `revents` as they are, at 0.
    unsafe {
        libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis);
    }
    polled.iter().map(|polled| polled.revents != 0).collect()
}
