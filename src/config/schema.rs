//! The JSON Schema of the settings, for editors. It is that of the types that the settings are read into: their names, defaults and comments,
//! and what the catalogs of adapters and channels have.
//!
//! `quell check` knows more than a schema can say. What both know they must say alike: `tests/static/check-schema.py` holds every file of
//! settings in the project to this.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::Config;
use crate::{adapters, channels};

/// The schema, as `quell schema config` prints it.
pub fn json_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().to_value();
    for kind in schema.pointer_mut("/$defs/ConnectionConfig/oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        // What a type of connection is stands at the whole of it; who asks, asks at the word.
        let about = kind.get("description").cloned().unwrap_or_default();
        kind.pointer_mut("/properties/type").and_then(Value::as_object_mut).map(|word| word.insert("description".to_owned(), about));
    }
    schema
}

/// A list of adapters, each with the settings of its type.
pub(super) fn adapters(generator: &mut SchemaGenerator) -> Schema {
    let each: Vec<Schema> = adapters::CATALOG.iter().map(|entry| adapter(entry, generator)).collect();
    json_schema!({ "type": "array", "items": { "type": "object", "required": ["name", "type"], "oneOf": each } })
}

fn adapter(entry: &adapters::Entry, generator: &mut SchemaGenerator) -> Schema {
    let mut schema = entry.schema(generator);
    let name = |what: &str| json!({ "type": "string", "pattern": "^[a-zA-Z0-9_.-]{1,64}$", "description": what });
    let common = [
        ("name", name("What it is called in alerts, metrics and logs")),
        ("type", json!({ "const": entry.name, "description": entry.summary })),
        ("source", name("The source that its alerts name: its own name unless set. Two adapters that share a source share its alerts")),
    ];
    let fields = schema.ensure_object();
    if let Some(properties) = fields.entry("properties").or_insert_with(|| json!({})).as_object_mut() {
        properties.extend(common.map(|(key, about)| (key.to_owned(), about)));
    }
    if let Some(required) = fields.entry("required").or_insert_with(|| json!([])).as_array_mut() {
        required.extend(["name".into(), "type".into()]);
    }
    schema
}

/// Channels by `TYPE:NAME`, each with the settings of its type.
pub(super) fn channels(generator: &mut SchemaGenerator) -> Schema {
    let mut by_name = Map::new();
    for entry in channels::CATALOG {
        let mut schema = entry.schema(generator);
        if schema.get("required").is_none() {
            // `log:default:` with nothing behind it.
            schema.insert("type".to_owned(), json!(["object", "null"]));
        }
        schema.insert("description".to_owned(), entry.summary.into());
        by_name.insert(format!("^{}:.+$", entry.kind), schema.to_value());
    }
    json_schema!({ "type": "object", "patternProperties": by_name, "additionalProperties": false })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings below a schema that say nothing of themselves.
    fn silent(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if property.get("description").is_none() {
                found.push(format!("{path}/{name}"));
            }
        }
        let below: Vec<(String, &Value)> = match schema {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
            _ => Vec::new(),
        };
        for (name, value) in below {
            silent(&format!("{path}/{name}"), value, found);
        }
    }

    #[test]
    fn every_setting_says_what_it_is() {
        let mut found = Vec::new();
        silent("", &json_schema(), &mut found);
        // A form of `auth` is described as a whole.
        found.retain(|path| !path.starts_with("/$defs/Auth/"));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn every_section_has_a_schema() {
        let schema = json_schema();
        let sections: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let mut known = super::super::SECTIONS.to_vec();
        known.sort_unstable();
        assert_eq!(sections, known);
    }
}
