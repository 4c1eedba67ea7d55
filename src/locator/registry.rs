//! The factories of one locator, by key.

#[cfg(feature = "tokio")]
use super::async_context::AsyncFactory;
use super::context::Factory;
use super::service::{Service, label};
use crate::error::Error;
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

/// A service with its factory.
pub(crate) struct Registered {
    pub(crate) service: Arc<Service>,
    pub(crate) factory: AnyFactory,
}

pub(crate) enum AnyFactory {
    Blocking(Box<Factory>),
    #[cfg(feature = "tokio")]
    Async(Arc<AsyncFactory>),
}

/// The services of one locator.
pub(crate) struct Registry {
    services: HashMap<(TypeId, Arc<str>), Registered>,
}

impl Registry {
    /// Builds the registry. Two factories for one key are an error that names both source lines.
    pub(crate) fn new(all: Vec<Registered>) -> Result<Self, Error> {
        let mut services: HashMap<_, Registered> = HashMap::with_capacity(all.len());
        for registered in all {
            let service = &registered.service;
            let key = (service.key.type_id, Arc::clone(&service.key.name));
            if let Some(first) = services.get(&key) {
                return Err(Error::twice(service.label(), first.service.place, service.place));
            }
            services.insert(key, registered);
        }
        Ok(Self { services })
    }

    pub(crate) fn find<T: ?Sized + 'static>(&self, name: &str, locator: &str) -> Result<&Registered, Error> {
        self.get(TypeId::of::<T>(), Arc::from(name)).ok_or_else(|| {
            let all = self.services.values();
            let mut known: Vec<_> = all.map(|known| known.service.label()).collect();
            known.sort_unstable();
            Error::unknown(label(std::any::type_name::<T>(), name), locator.to_owned(), known)
        })
    }

    pub(crate) fn get(&self, type_id: TypeId, name: Arc<str>) -> Option<&Registered> {
        self.services.get(&(type_id, name))
    }
}
