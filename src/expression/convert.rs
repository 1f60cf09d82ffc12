//! Values on their way into a script and out of it.

use rhai::{Dynamic, Map};
use serde_json::{Number, Value};

/// A JSON value as a script sees it. Integers that the script's integers cannot hold keep their digits, as a text.
pub(super) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(it) => Dynamic::from_bool(*it),
        Value::Number(it) => match (it.as_i64(), it.as_u64(), it.as_f64()) {
            (Some(whole), _, _) => Dynamic::from_int(whole),
            (None, None, Some(fraction)) => Dynamic::from_float(fraction),
            (None, Some(_), _) | (None, None, None) => it.to_string().into(),
        },
        Value::String(it) => it.as_str().into(),
        Value::Array(items) => Dynamic::from_array(items.iter().map(to_dynamic).collect()),
        Value::Object(fields) => {
            Dynamic::from_map(fields.iter().map(|(key, value)| (key.as_str().into(), to_dynamic(value))).collect::<Map>())
        }
    }
}

/// What a script returned, as JSON.
///
/// # Errors
/// Names the kind of value that has no JSON form.
pub(super) fn from_dynamic(value: &Dynamic) -> Result<Value, String> {
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(it) = value.as_bool() {
        return Ok(Value::Bool(it));
    }
    if let Ok(it) = value.as_int() {
        return Ok(Value::from(it));
    }
    if let Ok(it) = value.as_float() {
        return Number::from_f64(it).map(Value::Number).ok_or_else(|| format!("`{it}` is not a finite number"));
    }
    if value.is_string() || value.is_char() {
        return Ok(Value::String(value.to_string()));
    }
    if let Ok(items) = value.as_array_ref() {
        return items.iter().map(from_dynamic).collect::<Result<_, _>>().map(Value::Array);
    }
    if let Ok(map) = value.as_map_ref() {
        let fields = map.iter().map(|(key, value)| Ok((key.to_string(), from_dynamic(value)?)));
        return fields.collect::<Result<_, String>>().map(Value::Object);
    }
    Err(format!("a {} is not a value that a playbook can keep", value.type_name()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_survives_a_script() {
        let value = json!({"a": [1, -2, 2.5, true, null, "x"], "b": {"c": {}}});
        assert_eq!(from_dynamic(&to_dynamic(&value)).unwrap(), value);
    }

    #[test]
    fn a_large_integer_keeps_its_digits() {
        assert_eq!(from_dynamic(&to_dynamic(&json!(u64::MAX))).unwrap(), json!("18446744073709551615"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        assert!(from_dynamic(&Dynamic::from_float(f64::NAN)).is_err());
        assert!(from_dynamic(&Dynamic::from_blob(vec![1])).is_err());
    }
}
