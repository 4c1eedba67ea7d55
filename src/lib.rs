//! Each test worker its own services.
mod error;
mod event;
mod exit;
mod journal;
mod locator;
mod place;
mod sys;
mod worker;
pub use error::{BoxError, Error};
pub use event::{Access, Resource, ResourceKind};
pub use locator::{Context, LazyProxy, LocatorBuilder, Nothing, OverrideGuard, ServiceLocator, WorkerLocal};
pub use place::base_dir;
#[cfg(feature = "tokio")]
pub use worker::Instrumented;
pub use worker::{Claim, Entered, Guarded, Worker, claim, guarded_by};
