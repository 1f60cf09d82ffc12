//! What may be written in two ways in a file of tests: one or a list of them, a word or a map. Read without a guess, so that what is wrong in
//! either keeps its place.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::format::{Answer, Decision, OneOrMany};
use crate::duration::Span;

/// An answer as a map.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Full {
    decision: Decision,
    /// How long people think.
    #[serde(default)]
    after: Span,
    /// Who answers.
    #[serde(default = "somebody")]
    by: String,
    #[serde(default)]
    reason: String,
}

impl JsonSchema for Answer {
    fn schema_name() -> Cow<'static, str> {
        "Answer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<Decision>(), generator.subschema_for::<Full>()] })
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Answer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`approved`, `rejected`, or a map with `decision`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Answer, E> {
                let decision = Decision::deserialize(de::value::StrDeserializer::new(word))?;
                Ok(Answer { decision, after: Span::default(), by: somebody(), reason: String::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Answer, A::Error> {
                let Full { decision, after, by, reason } = Full::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Answer { decision, after, by, reason })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Most tests do not care who answers.
fn somebody() -> String {
    "somebody".to_owned()
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one, or a list of them")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<OneOrMany<T>, E> {
                T::deserialize(de::value::StrDeserializer::new(word)).map(|one| OneOrMany(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany<T>, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = list.next_element()? {
                    many.push(one);
                }
                if many.is_empty() { Err(de::Error::custom("the list is empty")) } else { Ok(OneOrMany(many)) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}
