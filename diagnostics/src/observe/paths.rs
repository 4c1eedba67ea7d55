//! What a path stands for: made absolute, freed of `.` and `..`, and left alone where it is nobody's resource.

use super::own::PREFIX;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// `path` from `folder` on, without `.`, and without `..` as far as that can be said without looking.
pub(super) fn absolute(folder: Option<&Path>, path: &Path) -> Option<PathBuf> {
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

/// Whether there is nothing to do: most paths are as they should be.
fn is_tidy(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    parts.next().is_some_and(<[u8]>::is_empty) && parts.all(|part| !matches!(part, b"" | b"." | b".."))
}

/// Whether tests can meet there at all, and it is not the observer's or the compiler's doing that they do.
pub(super) fn is_of_interest(path: &Path, ours: &Path) -> bool {
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
    // What std reads to print a backtrace, and the observer, which it finds in the program.
    if below("/usr/lib/debug") || is_observer_s(path) {
        return false;
    }
    // Coverage is written by every process and merged by the runtime.
    let extension = path.extension().and_then(|extension| extension.to_str());
    if matches!(extension, Some("profraw" | "gcda" | "gcno")) {
        return false;
    }
    // Cargo's own books, which every cargo that a test starts keeps in order by itself.
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if name.starts_with(b".global-cache") || name.starts_with(b".package-cache") {
        return false;
    }
    // cofferdam's own books, and the folders that it lends to one worker at a time.
    !is_for_the_machine(text)
        && !["runs", "locks", "failed"]
            .iter()
            .any(|part| path.starts_with(ours.join(part)))
}

/// Whether it is cofferdam's folder for a whole machine, `cofferdam-USER` in the temporary folder, or in it.
fn is_for_the_machine(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|part| {
        let user = part.strip_prefix(b"cofferdam-");
        user.is_some_and(|user| !user.is_empty() && user.iter().all(u8::is_ascii_digit))
    })
}

/// Whether it lies in the folder of an observation.
fn is_observer_s(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Folders by their true names: a suite may reach one through a link.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By their bytes: a path is compared part by part, which takes much longer.
    folders: HashMap<OsString, Option<PathBuf>>,
    /// What in a folder is a link: nearly nothing is, and a folder is looked through sooner than all paths in it.
    links: HashMap<OsString, HashSet<OsString>>,
    /// What such a link leads to.
    targets: HashMap<OsString, PathBuf>,
}

impl Links {
    /// The path with its folder's true name. The last part stays: a link is a resource of its own.
    pub(super) fn resolve(&mut self, path: PathBuf) -> PathBuf {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return path;
        };
        match self.folder(parent) {
            Some(folder) => folder.join(name),
            None => path,
        }
    }

    /// What the path leads to, where it is a link. As in [`Links::resolve`], the link has to be there still.
    pub(super) fn target(&mut self, path: &Path) -> Option<&Path> {
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

    /// The folder's true name, where it is another.
    fn folder(&mut self, folder: &Path) -> Option<&Path> {
        if !self.folders.contains_key(folder.as_os_str()) {
            // What is gone by now is asked for through what is left of its way.
            let resolved = fs::canonicalize(folder).unwrap_or_else(|_| self.resolve(folder.to_owned()));
            let resolved = Some(resolved).filter(|resolved| resolved != folder);
            self.folders.insert(folder.into(), resolved);
        }
        self.folders.get(folder.as_os_str())?.as_deref()
    }
}

/// What is not there, or may not be listed, is known to have none.
fn links_in(folder: &Path) -> HashSet<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    links.map(|entry| entry.file_name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_is_completed_with_the_folder_of_its_moment() {
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
    fn what_is_the_kernel_s_the_compiler_s_or_ours_is_left_alone() {
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
    fn a_folder_reached_through_a_link_is_that_folder_also_when_it_is_gone() {
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
    fn a_link_leads_to_its_target_also_when_nothing_is_there() {
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
