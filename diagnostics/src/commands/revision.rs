//! Which commit is checked out, read from git's files: starting git would cost more than all else before a command.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// The commit of the checkout that a folder is in, if it is known.
pub(super) fn revision(dir: &Path) -> Option<String> {
    let git = dir
        .ancestors()
        .map(|above| above.join(".git"))
        .find(|git| git.exists())?;
    let git = if git.is_dir() { git } else { linked(&git)? };
    let head = read_to_string(git.join("HEAD")).ok()?;
    let commit = match head.trim().strip_prefix("ref: ") {
        None => head.trim().to_owned(),
        Some(name) => branch(&git, name)?,
    };
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then_some(commit)
}

/// Where a worktree's own files are.
fn linked(file: &Path) -> Option<PathBuf> {
    let text = read_to_string(file).ok()?;
    let path = text.trim().strip_prefix("gitdir: ")?;
    Some(file.parent()?.join(path))
}

fn branch(git: &Path, name: &str) -> Option<String> {
    let common = match read_to_string(git.join("commondir")) {
        Ok(path) => git.join(path.trim()),
        Err(_) => git.to_owned(),
    };
    if let Ok(commit) = read_to_string(common.join(name)) {
        return Some(commit.trim().to_owned());
    }
    let packed = read_to_string(common.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| {
        let (commit, found) = line.split_once(' ')?;
        (found == name).then(|| commit.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_commit_is_found_wherever_git_keeps_it() {
        let own = format!("{COMMIT}\n");
        let packed = format!("# pack-refs\n{COMMIT} refs/heads/main\n");
        for files in [
            &[(".git/HEAD", own.as_str())][..],
            &[
                (".git/HEAD", "ref: refs/heads/main\n"),
                (".git/refs/heads/main", &own),
            ],
            &[
                (".git/HEAD", "ref: refs/heads/main\n"),
                (".git/packed-refs", &packed),
            ],
            &[
                (".git", "gitdir: main/worktrees/x\n"),
                ("main/worktrees/x/HEAD", "ref: refs/heads/main\n"),
                ("main/worktrees/x/commondir", "../..\n"),
                ("main/refs/heads/main", &own),
            ],
        ] {
            let dir = written(files);
            assert_eq!(
                revision(&dir.path().join("src")).as_deref(),
                Some(COMMIT),
                "{files:?}"
            );
        }
    }

    #[test]
    fn what_is_no_commit_is_none() {
        for files in [
            &[(".git/HEAD", "ref: refs/heads/main\n")][..],
            &[(".git/HEAD", "hunter2\n")],
            &[(".git", "nonsense")],
        ] {
            assert_eq!(revision(written(files).path()), None, "{files:?}");
        }
    }
}
