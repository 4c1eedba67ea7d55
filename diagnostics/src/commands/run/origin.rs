//! Where a session comes from: who started it, and from which commit.

use cofferdam_batch::ledger::Trigger;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Who started this process.
pub(super) fn trigger() -> Trigger {
    #[expect(
        clippy::disallowed_methods,
        reason = "CI systems set it, and nothing else tells"
    )]
    let ci = std::env::var_os("CI");
    let is_ci = ci.is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
    trigger_of(is_ci, std::io::stderr().is_terminal())
}

fn trigger_of(is_ci: bool, is_terminal: bool) -> Trigger {
    match (is_ci, is_terminal) {
        (true, _) => Trigger::Ci,
        (false, true) => Trigger::User,
        (false, false) => Trigger::Program,
    }
}

/// The commit that is checked out at `dir` or above; no Git is started for it.
pub(super) fn revision(dir: &Path) -> Option<String> {
    let git = dir
        .ancestors()
        .find_map(|above| git_folder(&above.join(".git")))?;
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim_end().strip_prefix("ref: ") else {
        return commit(&head);
    };
    // A work tree has its own HEAD; branches are the whole repository's.
    let common = std::fs::read_to_string(git.join("commondir"));
    let common = common.map_or_else(|_| git.clone(), |common| git.join(common.trim_end()));
    if let Ok(text) = std::fs::read_to_string(common.join(name)) {
        return commit(&text);
    }
    let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
    let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
    lines
        .find(|(_, known)| *known == name)
        .and_then(|(id, _)| commit(id))
}

/// The folder itself, or the one that a file of this name leads to.
fn git_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let text = std::fs::read_to_string(path).ok()?;
    let to = text.trim_end().strip_prefix("gitdir: ")?;
    Some(path.with_file_name(to))
}

fn commit(text: &str) -> Option<String> {
    let text = text.trim_end();
    let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_ci_system_counts_before_its_terminal() {
        assert_eq!(trigger_of(true, true), Trigger::Ci);
        assert_eq!(trigger_of(false, true), Trigger::User);
        assert_eq!(trigger_of(false, false), Trigger::Program);
    }

    #[test]
    fn the_commit_is_found_from_below_loose_packed_detached_and_in_a_work_tree() {
        let dir = tempfile::tempdir().unwrap();
        let (git, below) = (dir.path().join(".git"), dir.path().join("a/b"));
        create_dir_all(git.join("refs/heads")).unwrap();
        create_dir_all(&below).unwrap();
        write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(revision(&below), None, "a repository without a commit");
        write(
            git.join("packed-refs"),
            format!("# pack-refs with: peeled\n{ID} refs/heads/main\n"),
        )
        .unwrap();
        assert_eq!(revision(&below).as_deref(), Some(ID));
        let newer = ID.replace('0', "f");
        write(git.join("refs/heads/main"), format!("{newer}\n")).unwrap();
        assert_eq!(revision(&below), Some(newer.clone()));

        let tree = dir.path().join("tree");
        create_dir_all(git.join("worktrees/tree")).unwrap();
        create_dir_all(&tree).unwrap();
        write(tree.join(".git"), "gitdir: ../.git/worktrees/tree\n").unwrap();
        write(git.join("worktrees/tree/HEAD"), "ref: refs/heads/main\n").unwrap();
        write(git.join("worktrees/tree/commondir"), "../..\n").unwrap();
        assert_eq!(revision(&tree), Some(newer));
        write(git.join("worktrees/tree/HEAD"), format!("{ID}\n")).unwrap();
        assert_eq!(revision(&tree).as_deref(), Some(ID));
        write(git.join("worktrees/tree/HEAD"), "no commit").unwrap();
        assert_eq!(revision(&tree), None);
    }
}
