//! The test runner that a project configures itself; cofferdam's runner is started by it.

use std::path::{Path, PathBuf};
use toml::Value;

/// Returns the runner in the text of a configuration file whose relative paths start at `folder`.
///
/// `target.<triple>.runner` takes precedence over `target.'cfg(…)'.runner`; of the latter only those that hold on Linux
/// count.
pub(crate) fn in_file(text: &str, triple: &str, folder: &Path) -> Option<Vec<String>> {
    let config: toml::Table = text.parse().ok()?;
    let targets = config.get("target")?.as_table()?;
    let runner = |value: &Value| words(value.get("runner")?);
    let by_cfg = || {
        targets
            .iter()
            .filter(|(name, _)| is_ours(name))
            .find_map(|(_, value)| runner(value))
    };
    anchored(targets.get(triple).and_then(runner).or_else(by_cfg)?, folder)
}

/// Returns the runner in the value of cargo's environment variable, for a cargo started in `folder`.
pub(crate) fn in_variable(text: &str, folder: &Path) -> Option<Vec<String>> {
    anchored(words_of(text), folder)
}

fn anchored(mut runner: Vec<String>, folder: &Path) -> Option<Vec<String>> {
    let program = runner.first_mut()?;
    if program.contains('/') && !program.starts_with('/') {
        *program = folder.join(&*program).to_string_lossy().into_owned();
    }
    Some(runner)
}

fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(words_of(text)),
        Value::Array(all) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Splits a runner given as one string, as cargo does.
fn words_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Returns whether a `cfg(…)` holds here. Knows the common expressions; any other is taken to be for another platform.
fn is_ours(name: &str) -> bool {
    let expression: String = name.chars().filter(|sign| !sign.is_whitespace()).collect();
    let Some(inner) = expression
        .strip_prefix("cfg(")
        .and_then(|rest| rest.strip_suffix(')'))
    else {
        return false;
    };
    let processor = format!("target_arch=\"{}\"", std::env::consts::ARCH);
    let holds = [
        "unix",
        "all()",
        "linux",
        "target_os=\"linux\"",
        "target_family=\"unix\"",
        &processor,
        "target_env=\"gnu\"",
        "target_pointer_width=\"64\"",
        "not(windows)",
    ];
    let all = inner
        .strip_prefix("all(")
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(inner);
    holds.contains(&inner) || all.split(',').all(|part| holds.contains(&part))
}

/// Returns the configuration files that apply in `folder`, the nearest first and cargo's home last, each with the
/// directory its relative paths start at.
pub(crate) fn files(folder: &Path, home: Option<&Path>) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for parent in folder.ancestors() {
        for name in [".cargo/config", ".cargo/config.toml"] {
            found.push((parent.join(name), parent.to_owned()));
        }
    }
    for name in ["config", "config.toml"] {
        if let Some(home) = home {
            found.push((home.join(name), home.parent().unwrap_or(home).to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPLE: &str = "x86_64-unknown-linux-gnu";

    #[test]
    fn a_project_s_runner_is_found_as_cargo_finds_it() {
        let specific = "[target.x86_64-unknown-linux-gnu]\nrunner = 'specific'\n";
        let unix = "[target.'cfg(unix)']\nrunner = ['unix', 'a b']\n";
        for (text, runner) in [
            ("", None),
            ("[build]\njobs = 2\n", None),
            ("not toml", None),
            (specific, Some(&["specific"][..])),
            (unix, Some(&["unix", "a b"])),
            (&format!("{unix}{specific}"), Some(&["specific"])),
            (
                "[target.'cfg(all(unix, target_arch = \"x86_64\"))']\nrunner = 'both'\n",
                Some(&["both"]),
            ),
            ("[target.'cfg(windows)']\nrunner = 'wine'\n", None),
            (
                "[target.x86_64-unknown-linux-gnu]\nrunner = 'tools/run -v'\n",
                Some(&["/w/tools/run", "-v"]),
            ),
            (
                "[target.x86_64-unknown-linux-gnu]\nrunner = '/opt/run'\n",
                Some(&["/opt/run"]),
            ),
        ] {
            let found = in_file(text, TRIPLE, Path::new("/w"));
            let wanted = runner.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn a_runner_in_the_environment_is_taken_apart_as_cargo_does() {
        for (text, runner) in [
            (" ", None),
            ("wine  -v", Some(&["wine", "-v"][..])),
            ("tools/run", Some(&["/w/tools/run"])),
            ("/opt/run", Some(&["/opt/run"])),
        ] {
            let wanted = runner.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
            assert_eq!(in_variable(text, Path::new("/w")), wanted, "{text}");
        }
    }

    #[test]
    fn the_nearest_file_comes_first_and_cargo_s_home_last() {
        let found = files(Path::new("/a/b"), Some(Path::new("/h/.cargo")));
        let paths: Vec<_> = found.iter().map(|(file, _)| file.to_str().unwrap()).collect();
        assert_eq!(paths[1], "/a/b/.cargo/config.toml");
        assert_eq!(paths.last(), Some(&"/h/.cargo/config.toml"));
        assert_eq!(found.last().unwrap().1, Path::new("/h"));
    }
}
