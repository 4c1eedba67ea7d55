//! A registered service: its key, its lifetime, and the names that reports use.

use super::instance::Instance;
use crate::error::{BoxError, Error};
use crate::resource::{Access, Resource};
use std::any::TypeId;
use std::panic::Location;
use std::sync::Arc;

/// The key that a service is requested by: its type, and a name where there are several of one type.
///
/// It also holds the locator (or the `WorkerLocal`), because a lane stores one worker's services of all locators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) locator: u64,
    pub(crate) type_id: TypeId,
    pub(crate) name: Arc<str>,
}

/// The lifetime of a service, shortest first: a service must not be built from one with a shorter lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lifetime {
    Test,
    Worker,
    Shared,
}

impl Lifetime {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Test => "lives for one test",
            Self::Worker => "lives as long as its worker",
            Self::Shared => "is shared by all workers",
        }
    }
}

pub(crate) type Reset = dyn Fn(&Instance) -> Result<(), BoxError> + Send + Sync;

/// Returns the function without the type of its service.
pub(crate) fn reset_of<T: ?Sized + Send + Sync + 'static>(
    reset: impl Fn(&T) -> Result<(), BoxError> + Send + Sync + 'static,
) -> Box<Reset> {
    Box::new(move |instance| instance.downcast::<T>().map_or(Ok(()), |service| reset(service)))
}

/// A claim that a service makes on behalf of every test that uses it.
#[derive(Clone, Debug)]
pub(crate) struct ServiceClaim {
    pub(crate) resource: Resource,
    pub(crate) access: Access,
    pub(crate) guards: Vec<String>,
    pub(crate) place: &'static Location<'static>,
}

/// One service, without its factory.
pub(crate) struct Service {
    pub(crate) key: Key,
    pub(crate) type_name: &'static str,
    /// The name of the locator.
    pub(crate) locator: Arc<str>,
    pub(crate) lifetime: Lifetime,
    pub(crate) reset: Option<Box<Reset>>,
    /// Whether it also starts tasks after its factory has returned.
    #[cfg(feature = "tokio")]
    pub(crate) starts_tasks: bool,
    /// The source line of the registration.
    pub(crate) place: &'static Location<'static>,
}

impl Service {
    /// Returns an error if a service called `label` with this lifetime must not be built from this one.
    pub(crate) fn check_user(&self, label: &str, lifetime: Lifetime) -> Result<(), Error> {
        if lifetime <= self.lifetime {
            return Ok(());
        }
        Err(Error::outlives(
            label.to_owned(),
            lifetime.describe(),
            self.label(),
            self.lifetime.describe(),
        ))
    }

    /// Returns the name that reports and errors use: `dyn Repo`, `dyn Repo "replica"`.
    pub(crate) fn label(&self) -> String {
        label(self.type_name, &self.key.name)
    }
}

/// Returns a type's name without module paths: `Arc<dyn shop::Repo>` becomes `Arc<dyn Repo>`.
pub(crate) fn label(type_name: &str, name: &str) -> String {
    let mut short = String::with_capacity(type_name.len());
    let mut word = 0;
    let mut rest = type_name;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("::") {
            // Drop the path so far. After `>` comes an associated item, which stays.
            if short.len() > word {
                short.truncate(word);
            } else {
                short.push_str("::");
            }
            rest = after;
            continue;
        }
        short.push(next);
        // A type in the body of an async function has `{{closure}}` in its path.
        if !(next.is_alphanumeric() || "_{}".contains(next)) {
            word = short.len();
        }
        rest = &rest[next.len_utf8()..];
    }
    if !name.is_empty() {
        short.push_str(&format!(" {name:?}"));
    }
    short
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_label_has_no_module_paths() {
        for (full, short) in [
            ("shop::Repo", "Repo"),
            ("dyn shop::sql::Repo", "dyn Repo"),
            ("alloc::vec::Vec<shop::Order>", "Vec<Order>"),
            ("(a::B, &c::D)", "(B, &D)"),
            ("<a::B as c::D>::E", "<B as D>::E"),
            ("shop::test::{{closure}}::Repo", "Repo"),
            ("u8", "u8"),
        ] {
            assert_eq!(label(full, ""), short, "{full}");
        }
        assert_eq!(label("shop::Repo", "a \"b\""), "Repo \"a \\\"b\\\"\"");
    }
}
