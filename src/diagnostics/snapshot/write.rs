//! Snapshots as JSON.

use super::{Cache, Entry, Snapshot, VERSION};
use crate::json_value::Value;

/// The first bytes of a snapshot, which tell it from other JSON.
pub const MARK: &str = r#"{"cofferdam":"snapshot","#;

#[inline]
pub(super) fn json(snapshot: &Snapshot) -> String {
    let process = &snapshot.process;
    let about = Value::object(vec![
        ("pid", process.pid.into()),
        ("started", process.started.into()),
        ("boot", process.boot.as_str().into()),
        ("binary", process.binary.as_str().into()),
        ("memory", process.memory.into()),
    ]);
    let body = Value::object(vec![
        ("version", VERSION.into()),
        ("taken_at", snapshot.taken_at.into()),
        ("run", snapshot.run.as_str().into()),
        ("session", snapshot.session.as_deref().into()),
        ("process", about),
        ("caches", Value::List(snapshot.caches.iter().map(cache).collect())),
    ]);
    format!("{MARK}{}\n", &body.to_line()[1..])
}

#[inline]
fn cache(cache: &Cache) -> Value {
    Value::object(vec![
        ("locator", cache.locator.as_str().into()),
        ("worker", cache.worker.as_str().into()),
        ("capacity", cache.capacity.into()),
        ("epoch", cache.epoch.into()),
        ("hits", cache.hits.into()),
        ("misses", cache.misses.into()),
        ("builds", cache.builds.into()),
        ("evictions", cache.evictions.into()),
        ("entries", Value::List(cache.entries.iter().map(entry).collect())),
    ])
}

#[inline]
fn entry(entry: &Entry) -> Value {
    let claims = entry.claims.iter().map(|claim| {
        Value::object(vec![
            ("resource", Value::Text(claim.resource.to_text())),
            ("access", Value::Text(claim.access.to_string())),
            ("guards", Value::texts(&claim.guards)),
        ])
    });
    Value::object(vec![
        ("service", entry.service.as_str().into()),
        ("type", entry.type_name.as_str().into()),
        ("instance", entry.instance.into()),
        ("shared", entry.shared.into()),
        ("state", entry.state.as_str().into()),
        ("built_at", entry.built_at.into()),
        ("used_at", entry.used_at.into()),
        ("build_micros", entry.build_micros.into()),
        ("hits", entry.hits.into()),
        ("misses", entry.misses.into()),
        ("holders", entry.holders.into()),
        ("asked", Value::texts(&entry.asked)),
        ("claims", Value::List(claims.collect())),
        ("place", entry.place.as_str().into()),
        ("epoch", entry.epoch.into()),
    ])
}
