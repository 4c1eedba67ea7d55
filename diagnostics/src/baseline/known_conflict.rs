//! The key of a conflict, which is the same in every run, on every machine and under both runners.

use super::Known;
use crate::findings::{Fold, folded};
use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use cofferdam_conflicts::Conflict;
use std::path::{Path, PathBuf};

/// The directories whose paths differ between machines.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(crate) workspace: PathBuf,
    pub(crate) temporary: PathBuf,
}

impl Known {
    /// Returns the entry for a conflict.
    pub(crate) fn of(conflict: &Conflict, roots: &Roots) -> Self {
        let subject = match (&conflict.resource, &conflict.service) {
            (Some(resource), _) => roots.subject(resource),
            (None, Some(service)) => format!("{} {service}", conflict.kind),
            (None, None) => conflict.kind.to_string(),
        };
        // Reruns try some pairs at a static, and not always the same ones.
        let is_static = conflict.static_facts.is_some();
        let tests = conflict.tests.iter().filter(|_| !is_static);
        let named = tests.filter_map(|one| Some(test(&one.binary, one.name.as_deref()?)));
        Self {
            conflict: subject,
            tests: named.collect(),
        }
    }
}

/// Returns the same name for both runners: nextest says `order-desk::customers` where cargo says `customers`.
fn test(binary: &str, name: &str) -> String {
    let last = binary.rsplit_once("::").map_or(binary, |(_, last)| last);
    let last = last.rsplit_once('/').map_or(last, |(_, last)| last);
    format!("{}::{name}", last.replace('-', "_"))
}

/// Returns whether an entry is for a static, which only reruns of its tests show.
pub(crate) fn is_on_static(entry: &str) -> bool {
    let rest = entry.strip_prefix(ResourceKind::Static.label());
    rest.is_some_and(|rest| rest.starts_with(' '))
}

impl Roots {
    /// Returns those of this machine: the workspace is the nearest directory with a Cargo.lock, otherwise `dir`.
    pub(crate) fn of(dir: &Path) -> Self {
        let mut ancestors = dir.ancestors();
        let workspace = ancestors.find(|ancestor| ancestor.join("Cargo.lock").is_file());
        Self {
            workspace: workspace.unwrap_or(dir).to_owned(),
            temporary: std::env::temp_dir(),
        }
    }

    fn subject(&self, resource: &Resource) -> String {
        let (kind, name) = (resource.kind(), resource.as_str());
        if resource.path().is_some() {
            format!("{} {}", kind.label(), self.path(name))
        } else if kind == ResourceKind::Name {
            format!("{} {}", kind.label(), folded(name, Fold::Temporary))
        } else {
            resource.to_string()
        }
    }

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
    fn an_entry_for_a_static_is_recognized() {
        assert!(is_on_static("static shop::CACHE"));
        assert!(!is_on_static("file static a") && !is_on_static("statics"));
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
