//! Each test worker its own services.
pub mod diagnostics;
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
pub use place::base_dir;
pub use worker::{Entered, Worker};
