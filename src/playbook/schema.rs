//! Checks the parameters of a step against the JSON Schema of its action, as far as they are known at load.
//!
//! Rendered parameters are checked again by the action itself; this is about saying it earlier, and where.

use serde_json::Value;

use super::{
    codes,
    node::{Kind, Node},
    reader::{Reader, listed},
};
use crate::problem::did_you_mean;

/// Reports parameters that are unknown, missing or of a wrong type.
pub(super) fn check(reader: &mut Reader<'_>, action: &str, schema: &Value, with: Option<&Node>, step: &std::ops::Range<usize>) {
    let none = Vec::new();
    let given = match with.map(|it| &it.kind) {
        Some(Kind::Map(entries)) => entries,
        // That it is no map was reported; what it should hold is no further problem.
        Some(Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_)) => return,
        None => &none,
    };
    let empty = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    for (key, value) in given {
        if let Some(property) = properties.get(&key.name) {
            check_value(reader, &key.name, value, property, schema);
        } else if schema.get("additionalProperties").is_none_or(|it| it == &Value::Bool(false)) {
            let help = did_you_mean(&key.name, names.iter().copied()).unwrap_or_else(|| match names.as_slice() {
                [] => format!("`{action}` takes no parameters"),
                names => format!("`{action}` takes {}", listed(names)),
            });
            reader.report_with_help(codes::UNKNOWN_PARAMETER, &key.span, format!("`{action}` has no parameter `{}`", key.name), Some(help));
        }
    }
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !given.iter().any(|(key, _)| key.name == name) {
            reader.report(codes::MISSING_PARAMETER, step, format!("`{action}` needs the parameter `{name}`"));
        }
    }
}

fn check_value(reader: &mut Reader<'_>, name: &str, node: &Node, schema: &Value, root: &Value) {
    if let Err(wanted) = fits(node, schema, root) {
        reader.report(codes::WRONG_PARAMETER, &node.place(), format!("`{name}` must be {wanted}, and is {}", shown(node)));
    } else if let (Kind::List(items), Some(schema)) = (&node.kind, schema.get("items")) {
        for item in items {
            check_value(reader, name, item, schema, root);
        }
    }
}

/// Whether a value can be what a schema wants; otherwise what that is. Unknown parts of the schema want nothing.
fn fits(node: &Node, schema: &Value, root: &Value) -> Result<(), String> {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix("#/$defs/").and_then(|name| root.get("$defs")?.get(name));
        return target.map_or(Ok(()), |it| fits(node, it, root));
    }
    let choices = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    if let Some(choices) = choices {
        let wanted: Vec<String> = choices.iter().map_while(|choice| fits(node, choice, root).err()).filter(|it| it != "nothing").collect();
        let is_refused = choices.iter().all(|choice| fits(node, choice, root).is_err());
        return if is_refused { Err(wanted.join(" or ")) } else { Ok(()) };
    }
    // An expression that is the whole text may give anything.
    if matches!(&node.kind, Kind::Text(text) if text.starts_with("${") && text.ends_with('}')) {
        return Ok(());
    }
    if let Some(constant) = schema.get("const") {
        return if is_open(node) || node.to_value() == *constant { Ok(()) } else { Err(format!("`{}`", plain(constant))) };
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let names: Vec<String> = words.iter().map(|it| format!("`{}`", plain(it))).collect();
        return if is_open(node) || words.contains(&node.to_value()) { Ok(()) } else { Err(format!("one of {}", names.join(", "))) };
    }
    fits_type(node, schema)
}

fn fits_type(node: &Node, schema: &Value) -> Result<(), String> {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is_type = |name: &str| match &node.kind {
        Kind::Null => name == "null",
        Kind::Bool(_) => name == "boolean",
        Kind::Number(number) => name == "number" || name == "integer" && !number.is_f64(),
        Kind::Text(_) => name == "string",
        Kind::List(_) => name == "array",
        Kind::Map(_) => name == "object",
    };
    if !types.iter().any(|name| is_type(name)) {
        let words: Vec<&str> = types.iter().filter(|it| **it != "null").map(|it| in_words(it)).collect();
        return Err(words.join(" or "));
    }
    Ok(())
}

/// Whether the text is known only later.
fn is_open(node: &Node) -> bool {
    matches!(&node.kind, Kind::Text(text) if text.contains("${"))
}

fn shown(node: &Node) -> String {
    match &node.kind {
        Kind::Text(text) => format!("the text `{text}`"),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => node.what().to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn in_words(type_name: &str) -> &str {
    match type_name {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}
