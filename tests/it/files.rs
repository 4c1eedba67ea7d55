//! The files of this repository, without generated ones.

use std::path::{Path, PathBuf};

/// Returns the root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file by its path below the root.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns every file below the directory `below` (relative to the root) with this extension, as its path below the
/// root and its text, sorted. Leaves out build output (`target`) and hidden files.
pub(crate) fn all(below: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') && !name.starts_with("mutants.out") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = read(&path);
            (path, text)
        })
        .collect()
}

fn relative(path: &Path) -> String {
    let below: PathBuf = path
        .strip_prefix(root())
        .expect("a path below the root")
        .to_owned();
    let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// Fails if there are breaches of a rule: lists them, one per line, with the advice.
#[track_caller]
pub(crate) fn hold(breaches: &[String], advice: &str) {
    assert!(breaches.is_empty(), "{}\n\n{advice}\n", breaches.join("\n"));
}
