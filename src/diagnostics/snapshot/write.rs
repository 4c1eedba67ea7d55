//! Snapshots as JSON, by hand: every test suite would compile a derive.

use super::{Cache, Entry, Snapshot, VERSION};
use serde_json::{Value, json};

/// The first bytes of a snapshot, which tell it from other JSON.
pub const MARK: &str = r#"{"cofferdam":"snapshot","#;

#[inline]
pub(super) fn json(snapshot: &Snapshot) -> String {
    let process = &snapshot.process;
    let body = json!({
        "version": VERSION,
        "taken_at": snapshot.taken_at,
        "run": snapshot.run,
        "session": snapshot.session,
        "process": {
            "pid": process.pid,
            "started": process.started,
            "boot": process.boot,
            "binary": process.binary,
            "memory": process.memory,
        },
        "caches": snapshot.caches.iter().map(cache).collect::<Vec<_>>(),
    });
    // The mark has to be first, and a map of serde_json is sorted.
    format!("{MARK}{}\n", &body.to_string()[1..])
}

#[inline]
fn cache(cache: &Cache) -> Value {
    json!({
        "locator": cache.locator,
        "worker": cache.worker,
        "capacity": cache.capacity,
        "epoch": cache.epoch,
        "hits": cache.hits,
        "misses": cache.misses,
        "builds": cache.builds,
        "evictions": cache.evictions,
        "entries": cache.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

#[inline]
fn entry(entry: &Entry) -> Value {
    let claims = entry.claims.iter().map(|claim| {
        json!({
            "resource": claim.resource.to_text(),
            "access": claim.access.to_string(),
            "guards": claim.guards,
        })
    });
    json!({
        "service": entry.service,
        "type": entry.type_name,
        "instance": entry.instance,
        "shared": entry.shared,
        "state": entry.state.as_str(),
        "built_at": entry.built_at,
        "used_at": entry.used_at,
        "build_micros": entry.build_micros,
        "hits": entry.hits,
        "misses": entry.misses,
        "holders": entry.holders,
        "asked": entry.asked,
        "claims": claims.collect::<Vec<_>>(),
        "place": entry.place,
        "epoch": entry.epoch,
    })
}
