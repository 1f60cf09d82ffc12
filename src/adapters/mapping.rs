//! Makes alerts of foreign documents: each field of the alert is an expression over the document.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    alert::Alert,
    expression::{Expression, Sandbox, Scope},
    problem::nearest,
};

/// Under `map:`: the name of a field and the expression that gives its value.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("propertyNames" = json!({ "enum": FIELDS })))]
pub(super) struct MapSettings(BTreeMap<String, Field>);

/// Details may be given one by one, or all by one expression; every other field is one expression.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Field {
    Expression(String),
    Details(BTreeMap<String, String>),
}

impl MapSettings {
    /// All that it computes.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|field| match field {
            Field::Expression(text) => vec![text.as_str()],
            Field::Details(details) => details.values().map(String::as_str).collect(),
        })
    }
}

/// A compiled map.
#[derive(Debug)]
pub(super) struct Mapping {
    fields: Vec<(String, Expression)>,
    details: Vec<(String, Expression)>,
}

/// What a map may give. The rest, `source`, `received_at` and `raw`, is the adapter's to say.
const FIELDS: &[&str] = &[
    "id",
    "kind",
    "severity",
    "confidence",
    "status",
    "title",
    "description",
    "customer_tenant_id",
    "customer_name",
    "subscription_id",
    "reseller_tenant_id",
    "resources",
    "detected_at",
    "revision",
    "is_test",
    "details",
];

/// Fields whose numbers are written as text: identifiers are often numbers elsewhere.
const TEXTS: &[&str] =
    &["id", "title", "description", "customer_tenant_id", "customer_name", "subscription_id", "reseller_tenant_id", "revision"];

/// Fields with words of our own, which others write in capitals.
const WORDS: &[&str] = &["severity", "confidence", "status"];

impl Mapping {
    /// Compiles the expressions, which may use these names.
    ///
    /// # Errors
    /// Names the field that is unknown or whose expression is wrong.
    pub(super) fn compile(settings: &MapSettings, names: &[&str], sandbox: &Sandbox) -> anyhow::Result<Self> {
        let mut mapping = Self { fields: Vec::new(), details: Vec::new() };
        for (name, field) in &settings.0 {
            known(name)?;
            let compiled = |text: &str, name: &str| sandbox.expression(text, names).with_context(|| format!("`map.{name}`"));
            match field {
                Field::Expression(text) => mapping.fields.push((name.clone(), compiled(text, name)?)),
                Field::Details(details) => {
                    anyhow::ensure!(name == "details", "`map.{name}` is a map; only `map.details` may be one");
                    for (key, text) in details {
                        mapping.details.push((key.clone(), compiled(text, &format!("details.{key}"))?));
                    }
                }
            }
        }
        anyhow::ensure!(
            settings.0.contains_key("kind"),
            "`map` has no `kind`; write e.g. `kind: body.type`, or `kind: '\"intrusion\"'` for a fixed one"
        );
        Ok(mapping)
    }

    /// The fields that the expressions give for one document. What gives null is left out.
    ///
    /// # Errors
    /// Names the field whose expression failed.
    pub(super) fn apply(&self, document: &mut Scope) -> Result<Map<String, Value>, String> {
        let mut evaluated = |fields: &[(String, Expression)], path: &str| -> Result<Map<String, Value>, String> {
            let mut values = Map::new();
            for (name, expression) in fields {
                let value = expression.value(document).map_err(|error| format!("`map.{path}{name}`: {error}"))?;
                if !value.is_null() {
                    values.insert(name.clone(), value);
                }
            }
            Ok(values)
        };
        let mut fields = evaluated(&self.fields, "")?;
        let details = evaluated(&self.details, "details.")?;
        if !details.is_empty() {
            fields.insert("details".to_owned(), Value::Object(details));
        }
        for (name, value) in &mut fields {
            tidy(name, value)?;
        }
        Ok(fields)
    }
}

/// An alert from fields in our own names. What the document does not say is filled in: an identifier, and the time.
///
/// # Errors
/// Names the field that is missing, unknown or of the wrong type.
pub(super) fn alert_of(mut fields: Map<String, Value>, id: impl FnOnce() -> String, source: &str, now: Timestamp) -> Result<Alert, String> {
    if let Some(named) = fields.get("source").filter(|named| named.as_str() != Some(source)) {
        return Err(format!("`source` is {named}, but alerts here are of `{source}`; leave it out"));
    }
    if fields.get("id").is_none_or(Value::is_null) {
        fields.insert("id".to_owned(), id().into());
    }
    fields.insert("source".to_owned(), source.into());
    fields.insert("received_at".to_owned(), now.to_string().into());
    fields.entry("detected_at").or_insert_with(|| now.to_string().into());
    let alert: Alert = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    alert.checked().map_err(|malformed| malformed.to_string())
}

fn known(name: &str) -> anyhow::Result<()> {
    if FIELDS.contains(&name) {
        return Ok(());
    }
    match nearest(name, FIELDS.iter().copied()) {
        Some(meant) => anyhow::bail!("`map.{name}` is not a field of an alert; did you mean `{meant}`?"),
        None => anyhow::bail!("`map.{name}` is not a field of an alert; put it under `map.details`"),
    }
}

fn tidy(name: &str, value: &mut Value) -> Result<(), String> {
    if WORDS.contains(&name)
        && let Value::String(word) = value
    {
        *word = word.to_lowercase();
    }
    if TEXTS.contains(&name)
        && let Value::Number(number) = value
    {
        // A number with a fraction has lost digits already, and two identifiers that lost digits may be the same.
        if number.is_f64() {
            return Err(format!("`map.{name}` gave the number {number}, whose digits may not be exact; have the source send it as text"));
        }
        *value = Value::String(number.to_string());
    }
    if name == "resources" && value.is_string() {
        *value = Value::Array(vec![value.take()]);
    }
    Ok(())
}
