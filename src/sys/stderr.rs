//! Messages on standard error, written without any lock that a stuck thread may hold.

/// Writes one line to standard error with a single system call.
///
/// `eprintln!` would wait forever at exit if a leaked thread held the handle's lock, and standard output belongs to the
/// runner (nextest reads its list of tests there). A failed write is ignored.
pub(crate) fn line(text: &str) {
    let line = format!("cofferdam: {text}\n");
    #[cfg(all(unix, not(miri)))]
    // Standard error may be a file with a size limit.
    super::file_size::unsignaled(|| {
        #[expect(unsafe_code, reason = "write(2) without std's lock")]
        // SAFETY: pointer and length are those of a live string; the descriptor need not be open.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
        }
    });
    #[cfg(not(all(unix, not(miri))))]
    {
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
