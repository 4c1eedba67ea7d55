//! The origin of a session: its initiator and the commit that is checked out.

use cofferdam_batch::ledger::Trigger;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Returns the initiator of this process.
pub(super) fn trigger() -> Trigger {
    #[expect(
        clippy::disallowed_methods,
        reason = "the variable is the only sign of a CI system"
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

/// Reads the commit that is checked out at `dir` or above, without starting Git.
pub(super) fn revision(dir: &Path) -> Option<String> {
    let git = dir
        .ancestors()
        .find_map(|above| git_folder(&above.join(".git")))?;
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim_end().strip_prefix("ref: ") else {
        return commit(&head);
    };
    // A work tree has its own HEAD, but shares the branches of the repository.
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

/// Returns the folder at this path, or the one that a file there points to.
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
    fn a_ci_system_takes_precedence_over_its_terminal() {
        assert_eq!(trigger_of(true, true), Trigger::Ci);
        assert_eq!(trigger_of(false, true), Trigger::User);
        assert_eq!(trigger_of(false, false), Trigger::Program);
    }

    #[test]
    fn the_commit_of_a_branch_a_packed_ref_a_detached_head_and_a_work_tree_is_found() {
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
