//! The keeper's socket, in the run's folder however long its path is.

use super::server::own_folder;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A path of the socket that is short: the address of a socket ends at 108 bytes, and the folder's own path may be
/// longer. It holds while the file is open.
fn address(run: &Path) -> io::Result<(File, PathBuf)> {
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(own_folder(run))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()));
    Ok((folder, path))
}

/// Listens, in place of whoever did so before and is gone.
pub(super) fn listen(run: &Path) -> io::Result<UnixListener> {
    let (_folder, path) = address(run)?;
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

pub(super) fn connect(run: &Path) -> io::Result<UnixStream> {
    let (_folder, path) = address(run)?;
    UnixStream::connect(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_path_longer_than_a_sockets_may_be_is_as_good_as_any() {
        let base = tempfile::tempdir().unwrap();
        let run = base.path().join("x".repeat(120)).join("y".repeat(120));
        std::fs::create_dir_all(own_folder(&run)).unwrap();
        assert!(connect(&run).is_err(), "nobody listens");
        for _ in 0..2 {
            let _listener = listen(&run).unwrap();
            connect(&run).unwrap();
        }
        assert!(connect(&run).is_err(), "nobody listens any more");
    }
}
