//! Services.
pub(crate) mod view;

/// Every cache of this process.
pub(crate) fn views() -> Vec<view::CacheView> {
    Vec::new()
}
