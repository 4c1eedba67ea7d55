//! Paths: absolute, without `.` and `..`, resolved through links, and filtered to those that tests can share.

use super::fast_hash::FastHash;
use crate::observe::launch::scratch_dir::PREFIX;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Returns `path` relative to `folder` as an absolute path without `.`, and without `..` as far as that is possible without
/// reading links.
pub(crate) fn absolute(folder: Option<&Path>, path: &Path) -> Option<PathBuf> {
    if is_tidy(path.as_os_str().as_encoded_bytes()) {
        return Some(path.to_owned());
    }
    let mut whole = PathBuf::new();
    let folder = folder.filter(|_| path.is_relative());
    for part in folder
        .into_iter()
        .flat_map(Path::components)
        .chain(path.components())
    {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            other => whole.push(other),
        }
    }
    whole.has_root().then_some(whole)
}

/// Returns whether the path is absolute and normalized already, as most are.
fn is_tidy(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    parts.next().is_some_and(<[u8]>::is_empty) && parts.all(|part| !matches!(part, b"" | b"." | b".."))
}

/// Returns whether tests can conflict at a path; excludes the kernel's files, the observer's, and cofferdam's own in `ours`.
pub(crate) fn is_of_interest(path: &Path, ours: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let below = |folder: &str| {
        text.strip_prefix(folder.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    if below("/proc") || below("/sys") || below("/dev") && !below("/dev/shm") && !below("/dev/mqueue") {
        return false;
    }
    if text.ends_with(b" (deleted)") || path == Path::new("/") {
        return false;
    }
    // Read by std to print a backtrace; the observer's library is among the modules it looks at.
    if below("/usr/lib/debug") || is_observer_s(path) {
        return false;
    }
    // Every process writes coverage data, and the runtime merges it.
    let extension = path.extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("profraw" | "gcda" | "gcno")) {
        return false;
    }
    // Cargo's bookkeeping: each cargo that a test starts locks it itself.
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if name.starts_with(b".global-cache") || name.starts_with(b".package-cache") {
        return false;
    }
    // cofferdam's own files, and the directories it leases to one worker at a time.
    let is_ours = || {
        ["runs", "locks", "failed"]
            .iter()
            .any(|part| path.starts_with(ours.join(part)))
    };
    // Both are absolute and without `.`, so the bytes show most paths to be elsewhere.
    let is_near = text.starts_with(ours.as_os_str().as_encoded_bytes());
    !(is_for_the_machine(text) || is_near && is_ours())
}

/// Returns whether the path is cofferdam's machine-wide directory, `cofferdam-USER` in the temporary directory, or below it.
fn is_for_the_machine(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| {
        let user = part.strip_prefix(b"cofferdam-");
        user.is_some_and(|user| !user.is_empty() && user.iter().all(u8::is_ascii_digit))
    })
}

/// Returns whether the path is directly in the directory of an observation.
fn is_observer_s(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Directories by their real paths, since a suite may reach one through a link.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// Keyed by bytes: comparing paths component by component is much slower.
    working_dirs: HashMap<OsString, Option<PathBuf>, FastHash>,
    /// The links in each directory. Listing a directory once is faster than looking at each path in it, and links are rare.
    links: HashMap<OsString, HashSet<OsString>, FastHash>,
    /// The target of each link.
    targets: HashMap<OsString, PathBuf>,
}

impl Links {
    /// Returns the path with the real path of its directory. The last component stays: a link is a resource of its own.
    pub(crate) fn resolve(&mut self, path: PathBuf) -> PathBuf {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return path;
        };
        match self.folder(parent) {
            Some(folder) => folder.join(name),
            None => path,
        }
    }

    /// Returns the target of a path that is a link. As in [`Links::resolve`], the link must still exist.
    pub(crate) fn target(&mut self, path: &Path) -> Option<&Path> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        if !self.links.contains_key(parent.as_os_str()) {
            self.links.insert(parent.into(), links_in(parent));
        }
        if !self.links.get(parent.as_os_str())?.contains(name) {
            return None;
        }
        if !self.targets.contains_key(path.as_os_str()) {
            let target = fs::canonicalize(path).ok().or_else(|| {
                let says = fs::read_link(path).ok()?;
                Some(self.resolve(absolute(Some(parent), &says)?))
            })?;
            self.targets.insert(path.into(), target);
        }
        self.targets.get(path.as_os_str()).map(PathBuf::as_path)
    }

    /// Returns the real path of a directory if it differs.
    fn folder(&mut self, folder: &Path) -> Option<&Path> {
        if !self.working_dirs.contains_key(folder.as_os_str()) {
            // The parent is mostly known already, and a removed directory can be resolved only through it.
            let above = self.resolve(folder.to_owned());
            let is_link = fs::symlink_metadata(&above).is_ok_and(|found| found.is_symlink());
            let target = is_link.then(|| fs::canonicalize(&above).ok()).flatten();
            let resolved = target.unwrap_or(above);
            let resolved = Some(resolved).filter(|resolved| resolved != folder);
            self.working_dirs.insert(folder.into(), resolved);
        }
        self.working_dirs.get(folder.as_os_str())?.as_deref()
    }
}

/// Returns the links in a directory; none if it cannot be listed.
fn links_in(folder: &Path) -> HashSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    links.map(|entry| entry.file_name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_is_resolved_against_the_working_directory_of_its_time() {
        for (folder, path, whole) in [
            (Some("/w"), "a", Some("/w/a")),
            (Some("/w/x"), "../a/./b", Some("/w/a/b")),
            (Some("/w"), "/a", Some("/a")),
            (Some("/"), "../../a", Some("/a")),
            (None, "/a//b/", Some("/a/b")),
            (None, "a", None),
        ] {
            let found = absolute(folder.map(Path::new), Path::new(path));
            assert_eq!(found.as_deref(), whole.map(Path::new), "{folder:?} {path}");
        }
    }

    #[test]
    fn paths_of_the_kernel_the_compiler_and_cofferdam_are_ignored() {
        for (path, wanted) in [
            ("/shop/report.csv", true),
            ("/dev/shm/queue", true),
            ("/tmp/cofferdam-0/s-0012", false),
            ("/tmp/cofferdam-x/s-0012", true),
            ("/shop/target/cofferdam/other", true),
            ("/process", true),
            ("/dev/null", false),
            ("/proc/self/maps", false),
            ("/sys/fs", false),
            ("/shop/default_12.profraw", false),
            ("/shop/a.txt (deleted)", false),
            ("/h/.cargo/.global-cache-journal", false),
            ("/usr/lib/debug/.build-id/72/01.debug", false),
            ("/dev/shm/cofferdam-observe-x1/observer.so", false),
            ("/dev/shm/cofferdam-observer", true),
            ("/shop/target/cofferdam/runs/r/workers/w0/dir/a", false),
            ("/shop/target/cofferdam/locks/a.lock", false),
            ("/", false),
        ] {
            let found = is_of_interest(Path::new(path), Path::new("/shop/target/cofferdam"));
            assert_eq!(found, wanted, "{path}");
        }
    }

    #[test]
    fn a_directory_reached_through_a_link_is_resolved_even_when_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        let mut links = Links::default();
        assert_eq!(links.resolve(root.join("link/a")), root.join("real/a"));
        assert_eq!(links.resolve(root.join("link/gone/a")), root.join("real/gone/a"));
        assert_eq!(links.resolve(root.join("link")), root.join("link"));
    }

    #[cfg(unix)]
    #[test]
    fn a_dangling_link_leads_to_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/a"), "").unwrap();
        for (says, name) in [("real", "link"), ("link/a", "a"), ("real/gone", "nothing")] {
            std::os::unix::fs::symlink(says, root.join(name)).unwrap();
        }
        let mut links = Links::default();
        for (path, target) in [
            ("link", Some("real")),
            ("a", Some("real/a")),
            ("nothing", Some("real/gone")),
            ("real", None),
            ("real/a", None),
            ("gone", None),
        ] {
            let target = target.map(|target| root.join(target));
            assert_eq!(links.target(&root.join(path)), target.as_deref(), "{path}");
        }
    }
}
