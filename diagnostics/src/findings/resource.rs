//! A resource in JSON: `{"kind": KEY, "name": NAME}`.

use cofferdam::{Resource, ResourceKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

/// Returns the resource as reports and files show it.
pub(crate) fn to_json(resource: &Resource) -> Value {
    json!({ "kind": resource.kind().key(), "name": resource.as_str() })
}

pub(super) fn serialize<S: Serializer>(resource: &Resource, serializer: S) -> Result<S::Ok, S::Error> {
    to_json(resource).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Resource, D::Error> {
    #[derive(Deserialize)]
    struct Json {
        kind: String,
        name: String,
    }
    let Json { kind, name } = Json::deserialize(deserializer)?;
    let kind = ResourceKind::from_key(&kind)
        .ok_or_else(|| de::Error::custom(format!("{kind:?} is not a kind of resource")))?;
    Ok(Resource::new(kind, name))
}
