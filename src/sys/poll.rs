//! Waiting until one of several descriptors has something to say.

use std::os::fd::RawFd;
use std::time::Duration;

/// Which of the descriptors can be read or have ended, once one has or `limit` has passed.
pub(crate) fn ready(fds: &[RawFd], limit: Duration) -> Vec<bool> {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| libc::pollfd {
            fd: *fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    // Rounded up: a wait of half a millisecond must not become none.
    let millis = limit.as_micros().div_ceil(1000).min(1 << 30) as i32;
    #[expect(unsafe_code, reason = "poll is a C function")]
    // SAFETY: pointer and length are those of a live vector. An interrupted call leaves `revents` as they are, at 0.
    unsafe {
        libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis);
    }
    polled.iter().map(|polled| polled.revents != 0).collect()
}
