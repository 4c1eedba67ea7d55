//! How services are built: a factory for each key.

use super::context::Context;
use super::instance::Instance;
use crate::error::{BoxError, Error};
use std::any::TypeId;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;

/// What a service is asked for by: its type, and a name where there are several of it.
///
/// It carries the locator (or the `WorkerLocal`) too, because one worker's services of all locators lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) locator: u64,
    pub(crate) type_id: TypeId,
    pub(crate) name: Arc<str>,
}

/// How long a service lives, shortest first: a longer life must not be built from a shorter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Test,
    Worker,
    Shared,
}

impl Scope {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Test => "lives for one test",
            Self::Worker => "lives as long as its worker",
            Self::Shared => "is shared by all workers",
        }
    }
}

pub(crate) type Factory = dyn Fn(&Context<'_>) -> Result<Instance, BoxError> + Send + Sync;
pub(crate) type Reset = dyn Fn(&Instance) -> Result<(), BoxError> + Send + Sync;

/// One service as it was registered.
pub(crate) struct Service {
    pub(crate) key: Key,
    pub(crate) type_name: &'static str,
    pub(crate) locator: Arc<str>,
    pub(crate) scope: Scope,
    pub(crate) factory: Box<Factory>,
    pub(crate) reset: Option<Box<Reset>>,
    pub(crate) place: &'static Location<'static>,
}

impl Service {
    /// Whether it may be part of what is called `label` and lives that long.
    pub(crate) fn may_serve(&self, label: &str, scope: Scope) -> Result<(), Error> {
        if scope <= self.scope {
            return Ok(());
        }
        Err(Error::outlives(
            label.to_owned(),
            scope.words(),
            self.label(),
            self.scope.words(),
        ))
    }

    /// As reports and errors call it: `dyn Repo`, `dyn Repo "replica"`.
    pub(crate) fn label(&self) -> String {
        label(self.type_name, &self.key.name)
    }
}

/// A type's name without the paths of modules, which no reader wants: `Arc<dyn shop::Repo>` → `Arc<dyn Repo>`.
pub(crate) fn label(type_name: &str, name: &str) -> String {
    let mut short = String::with_capacity(type_name.len());
    let mut word = 0;
    let mut rest = type_name;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("::") {
            // The path so far goes; after `>` it is an associated item, which stays.
            if short.len() > word {
                short.truncate(word);
            } else {
                short.push_str("::");
            }
            rest = after;
            continue;
        }
        short.push(next);
        if !(next.is_alphanumeric() || next == '_') {
            word = short.len();
        }
        rest = &rest[next.len_utf8()..];
    }
    if !name.is_empty() {
        short.push_str(&format!(" {name:?}"));
    }
    short
}

/// The services of one locator.
pub(crate) struct Registry {
    services: HashMap<(TypeId, Arc<str>), Arc<Service>>,
}

impl Registry {
    /// Refuses two factories for one key, with the place of each.
    pub(crate) fn new(all: Vec<Service>) -> Result<Self, Error> {
        let mut services: HashMap<_, Arc<Service>> = HashMap::with_capacity(all.len());
        for service in all {
            let key = (service.key.type_id, Arc::clone(&service.key.name));
            if let Some(first) = services.get(&key) {
                return Err(Error::twice(service.label(), first.place, service.place));
            }
            services.insert(key, Arc::new(service));
        }
        Ok(Self { services })
    }

    pub(crate) fn find<T: ?Sized + 'static>(
        &self,
        name: &str,
        locator: &str,
    ) -> Result<&Arc<Service>, Error> {
        self.services
            .get(&(TypeId::of::<T>(), Arc::from(name)))
            .ok_or_else(|| {
                let mut known: Vec<_> = self.services.values().map(|service| service.label()).collect();
                known.sort_unstable();
                Error::unknown(label(std::any::type_name::<T>(), name), locator.to_owned(), known)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_label_has_no_paths_of_modules() {
        for (full, short) in [
            ("shop::Repo", "Repo"),
            ("dyn shop::sql::Repo", "dyn Repo"),
            ("alloc::vec::Vec<shop::Order>", "Vec<Order>"),
            ("(a::B, &c::D)", "(B, &D)"),
            ("<a::B as c::D>::E", "<B as D>::E"),
            ("u8", "u8"),
        ] {
            assert_eq!(label(full, ""), short, "{full}");
        }
        assert_eq!(label("shop::Repo", "a \"b\""), "Repo \"a \\\"b\\\"\"");
    }
}
