//! Words for a person, written past every lock that a stuck thread may hold.

/// Writes one line to standard error with a single system call.
///
/// `eprintln!` would wait for ever at exit if a leaked thread held the handle's lock, and stdout belongs to the
/// runner (nextest reads its list of tests there). A failure to write is not worth a second one.
pub(crate) fn line(text: &str) {
    let line = format!("cofferdam: {text}\n");
    #[cfg(all(unix, not(miri)))]
    // It may be a file, and full.
    super::file_size::spared(|| {
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
