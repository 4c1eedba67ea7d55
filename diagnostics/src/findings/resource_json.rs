//! Resources in JSON, as conflicts have them: `{"kind": KEY, "name": NAME}`.

use cofferdam::Resource;
use cofferdam::format::ResourceKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

#[derive(Serialize, Deserialize)]
struct Json {
    kind: String,
    name: String,
}

impl Json {
    fn of(resource: &Resource) -> Self {
        Self {
            kind: resource.kind().key().to_owned(),
            name: resource.as_str().to_owned(),
        }
    }

    fn resource<E: de::Error>(self) -> Result<Resource, E> {
        let kind = ResourceKind::from_key(&self.kind)
            .ok_or_else(|| E::custom(format!("{:?} is not a kind of resource", self.kind)))?;
        Ok(Resource::new(kind, self.name))
    }
}

pub(super) fn serialize<S: Serializer>(resource: &Resource, serializer: S) -> Result<S::Ok, S::Error> {
    Json::of(resource).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Resource, D::Error> {
    Json::deserialize(deserializer)?.resource()
}

/// Several of them.
pub(super) mod list {
    use super::{Deserialize as _, Deserializer, Json, Resource, Serializer};

    pub(in crate::findings) fn serialize<S: Serializer>(
        resources: &[Resource],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(resources.iter().map(Json::of))
    }

    pub(in crate::findings) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Resource>, D::Error> {
        let resources = Vec::<Json>::deserialize(deserializer)?.into_iter();
        resources.map(Json::resource).collect()
    }
}
