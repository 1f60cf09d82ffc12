//! Whether a document mentions an identifier, however it is spelt. What a person forbids must not be passed by another spelling.

use serde_json::Value;

/// Whether an identifier is anywhere in a document: in any case, with or without hyphens and braces.
pub fn mentions(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => plain(text).contains(&plain(id)),
        Value::Array(items) => items.iter().any(|item| mentions(item, id)),
        Value::Object(fields) => fields.values().any(|field| mentions(field, id)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a text says anything that could be mentioned; without a letter or digit it would be found everywhere.
pub fn names_something(id: &str) -> bool {
    !plain(id).is_empty()
}

fn plain(id: &str) -> String {
    id.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_identifier_is_found_however_it_is_spelt_and_no_other() {
        let document = json!({"plan": "{AB-12}", "list": [{"deep": "x/cd34"}], "number": 5});
        assert!(["ab12", "AB-12", "{ab-12}", "CD-34"].iter().all(|id| mentions(&document, id)));
        assert!(!mentions(&document, "ef56") && !mentions(&document, "5"));
        assert!(names_something("a") && !names_something("{-}"));
    }
}
