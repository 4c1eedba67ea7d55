//! What makes a conflict the same one in the next run, on another machine and under the other runner.

use crate::findings::{Fold, folded};
use cofferdam::ResourceKind;
use cofferdam_conflicts::Conflict;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A conflict by what does not change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// What tests meet on.
    pub(crate) subject: String,
    /// Who meets there, with the program; in an entry nothing where that is chance.
    pub(crate) tests: BTreeSet<String>,
}

/// The folders that are elsewhere on another machine.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(crate) workspace: PathBuf,
    pub(crate) temporary: PathBuf,
}

impl Identity {
    pub(crate) fn of(told: &Conflict, roots: &Roots) -> Self {
        let subject = match (&told.resource, &told.service) {
            (Some(resource), _) => match resource.kind() {
                kind @ (ResourceKind::File
                | ResourceKind::Directory
                | ResourceKind::GitRepository
                | ResourceKind::Database
                | ResourceKind::TempName) => format!("{} {}", kind.label(), roots.path(resource.as_str())),
                ResourceKind::Name => format!("name {}", folded(resource.as_str(), Fold::Temporary)),
                _ => resource.to_string(),
            },
            (None, Some(service)) => format!("{} {service}", told.kind),
            (None, None) => told.kind.to_string(),
        };
        let tests = told
            .parties
            .iter()
            .filter_map(|party| Some(test(&party.binary, party.test.as_deref()?)));
        Self {
            subject,
            tests: tests.collect(),
        }
    }
}

/// The same for both runners: nextest says `order-desk::customers` where cargo says `customers`.
fn test(binary: &str, name: &str) -> String {
    let last = binary.rsplit_once("::").map_or(binary, |(_, last)| last);
    let last = last.rsplit_once('/').map_or(last, |(_, last)| last);
    format!("{}::{name}", last.replace('-', "_"))
}

impl Roots {
    fn path(&self, path: &str) -> String {
        let path = Path::new(path);
        if let Ok(rest) = path.strip_prefix(&self.workspace) {
            return slashes(rest, false);
        }
        if let Ok(rest) = path.strip_prefix(&self.temporary) {
            return format!("<tmp>/{}", slashes(rest, true));
        }
        slashes(path, false)
    }
}

fn slashes(path: &Path, is_temporary: bool) -> String {
    let fold = if is_temporary {
        Fold::Temporary
    } else {
        Fold::Random
    };
    folded(&path.to_string_lossy().replace('\\', "/"), fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_the_same_on_every_machine_and_in_every_run() {
        let roots = Roots {
            workspace: PathBuf::from("/w/shop"),
            temporary: PathBuf::from("/tmp"),
        };
        for (path, name) in [
            ("/w/shop/target/report.csv", "target/report.csv"),
            ("/w/shop/data/2024/07.csv", "data/2024/07.csv"),
            ("/w/shop/.tmpAbC12x/a.db", ".tmp*/a.db"),
            ("/tmp/.tmpAbC12x/a.db", "<tmp>/.tmp*/a.db"),
            ("/tmp/tmp.a1B2c3D4e5/x", "<tmp>/tmp.*/x"),
            ("/tmp/shop-4711/socket", "<tmp>/shop-*/socket"),
            ("/tmp/shop.lock", "<tmp>/shop.lock"),
            // A family of names, as it was observed.
            ("/tmp/shop-*-*", "<tmp>/shop-*-*"),
            (
                "/tmp/shop-3f2504e0-4f89-11d3-9a0c-0305e82c3301.db",
                "<tmp>/shop-*.db",
            ),
            ("/w/shop/0123456789abcdef0123/x", "*/x"),
            ("/var/lib/x", "/var/lib/x"),
            ("/w/shop-2/x", "/w/shop-2/x"),
        ] {
            assert_eq!(roots.path(path), name, "{path}");
        }
    }

    #[test]
    fn a_test_is_called_the_same_under_both_runners() {
        for (binary, name) in [
            ("order_desk", "order_desk::a::b"),
            ("order-desk", "order_desk::a::b"),
            ("order-desk::customers", "customers::a::b"),
            ("order-desk::bin/order-desk", "order_desk::a::b"),
        ] {
            assert_eq!(test(binary, "a::b"), name);
        }
    }
}
