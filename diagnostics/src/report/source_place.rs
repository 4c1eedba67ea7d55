//! Source lines, with paths in the repository.

use cofferdam::Access;
use cofferdam_conflicts::{Test, Use};
use std::path::{Component, Path, PathBuf};

/// A line of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourcePlace {
    /// Its path in the repository with `/`; absolute if it lies elsewhere.
    pub(super) file: String,
    pub(super) line: u32,
    /// What happens there.
    pub(super) what: String,
}

/// The directories that paths of places are relative to.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    /// The directory where the command was started.
    dir: PathBuf,
    /// The root of its repository.
    root: PathBuf,
}

impl Sources {
    /// Returns the directories of a command started in `dir`; without a repository, `dir` is also the root.
    pub(super) fn of(dir: &Path) -> Self {
        let mut ancestors = dir.ancestors();
        let root = ancestors.find(|ancestor| ancestor.join(".git").exists());
        Self {
            dir: dir.to_owned(),
            root: root.unwrap_or(dir).to_owned(),
        }
    }
}

impl SourcePlace {
    /// Parses `FILE:LINE` or `FILE:LINE:COLUMN`; `None` for other texts.
    pub(super) fn new(place: &str, what: &str, sources: &Sources) -> Option<Self> {
        let (file, line) = split(place)?;
        let path = without_dots(&sources.dir.join(file));
        let path = path.strip_prefix(&sources.root).unwrap_or(&path);
        Some(Self {
            file: path.to_string_lossy().replace('\\', "/"),
            line,
            what: what.to_owned(),
        })
    }

    /// Returns whether the file is in the repository.
    pub(super) fn is_inside(&self) -> bool {
        !Path::new(&self.file).is_absolute()
    }
}

/// Returns the strongest use of the resource by a test.
pub(super) fn main_use(test: &Test) -> Option<&Use> {
    let mut accesses = Access::ALL.iter().rev();
    let strongest = accesses.find_map(|access| test.uses.iter().find(|used| used.access == Some(*access)));
    strongest.or(test.uses.first())
}

/// Returns file and line of `file:line` or `file:line:column`.
pub(super) fn split(place: &str) -> Option<(&str, u32)> {
    let (rest, last) = place.rsplit_once(':')?;
    let last: u32 = last.parse().ok()?;
    let inner = rest
        .rsplit_once(':')
        .and_then(|(file, line)| Some((file, line.parse().ok()?)));
    Some(inner.unwrap_or((rest, last)))
}

/// Returns the path without `.` and `..`, which services do not resolve.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_becomes_file_and_line() {
        assert_eq!(split("src/a.rs:12"), Some(("src/a.rs", 12)));
        assert_eq!(split("src/a.rs:12:5"), Some(("src/a.rs", 12)));
        assert_eq!(split("C:\\a.rs:12"), Some(("C:\\a.rs", 12)));
        assert_eq!(split("somewhere"), None);
        assert_eq!(split("a:b"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_that_in_the_repository() {
        let repository = tempfile::tempdir().unwrap();
        std::fs::create_dir(repository.path().join(".git")).unwrap();
        let sources = Sources::of(&repository.path().join("crates/shop"));
        let inside = repository.path().join("src/lib.rs:3").display().to_string();
        for (place, file) in [
            ("src/lib.rs:3", "crates/shop/src/lib.rs"),
            ("../bag/src/lib.rs:3", "crates/bag/src/lib.rs"),
            (inside.as_str(), "src/lib.rs"),
            (
                "/rustc/1/library/core/src/lib.rs:3",
                "/rustc/1/library/core/src/lib.rs",
            ),
        ] {
            let place = SourcePlace::new(place, "", &sources).unwrap();
            assert_eq!((place.file.as_str(), place.line), (file, 3));
            assert_eq!(place.is_inside(), !file.starts_with('/'));
        }
    }
}
