//! Comparisons that refuse to compare unlike things.
//!
//! Rhai finds `5 > "x"` false. A rule that compares a number with a text is a mistake of its author, and must say so.

use std::cmp::Ordering;

use rhai::{Dynamic, Engine, EvalAltResult, Map};

type Outcome = Result<bool, Box<EvalAltResult>>;

/// Replaces the comparison operators of an engine whose fast operators are off.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("==", |left: Dynamic, right: Dynamic| are_equal(&left, &right));
    engine.register_fn("!=", |left: Dynamic, right: Dynamic| are_equal(&left, &right).map(|it| !it));
    engine.register_fn("<", |left: Dynamic, right: Dynamic| Ok::<_, Box<EvalAltResult>>(order(&left, &right)?.is_lt()));
    engine.register_fn("<=", |left: Dynamic, right: Dynamic| Ok::<_, Box<EvalAltResult>>(order(&left, &right)?.is_le()));
    engine.register_fn(">", |left: Dynamic, right: Dynamic| Ok::<_, Box<EvalAltResult>>(order(&left, &right)?.is_gt()));
    engine.register_fn(">=", |left: Dynamic, right: Dynamic| Ok::<_, Box<EvalAltResult>>(order(&left, &right)?.is_ge()));
}

fn are_equal(left: &Dynamic, right: &Dynamic) -> Outcome {
    if left.is_unit() && right.is_unit() {
        return Ok(true);
    }
    if let (Ok(left), Ok(right)) = (left.as_bool(), right.as_bool()) {
        return Ok(left == right);
    }
    if let (Ok(left), Ok(right)) = (left.as_array_ref(), right.as_array_ref()) {
        if left.len() != right.len() {
            return Ok(false);
        }
        for (left, right) in left.iter().zip(right.iter()) {
            if !are_equal(left, right)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if let (Ok(left), Ok(right)) = (left.as_map_ref(), right.as_map_ref()) {
        return maps_are_equal(&left, &right);
    }
    Ok(order(left, right)?.is_eq())
}

fn maps_are_equal(left: &Map, right: &Map) -> Outcome {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (key, value) in left {
        match right.get(key) {
            Some(other) if are_equal(value, other)? => {}
            Some(_) | None => return Ok(false),
        }
    }
    Ok(true)
}

/// The order of two numbers or two texts.
fn order(left: &Dynamic, right: &Dynamic) -> Result<Ordering, Box<EvalAltResult>> {
    if let (Ok(left), Ok(right)) = (left.as_int(), right.as_int()) {
        return Ok(left.cmp(&right));
    }
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return left.partial_cmp(&right).ok_or_else(|| "a value that is not a number cannot be compared".into());
    }
    if let (Ok(left), Ok(right)) = (left.as_immutable_string_ref(), right.as_immutable_string_ref()) {
        return Ok(left.as_str().cmp(right.as_str()));
    }
    if let (Some(left), Some(right)) = (text(left), text(right)) {
        return Ok(left.cmp(&right));
    }
    let absent = left.is_unit() || right.is_unit();
    let help = if absent { "; ask `is_null(x)`, or give a default with `x ?? default`" } else { "" };
    Err(format!("{} cannot be compared with {}{help}", named(left), named(right)).into())
}

#[expect(clippy::cast_precision_loss, reason = "a comparison of an integer with a fraction is one of fractions")]
fn number(value: &Dynamic) -> Option<f64> {
    value.as_float().ok().or_else(|| value.as_int().ok().map(|it| it as f64))
}

fn text(value: &Dynamic) -> Option<String> {
    if value.is_string() || value.is_char() { Some(value.to_string()) } else { None }
}

fn named(value: &Dynamic) -> String {
    if value.is_unit() {
        return "nothing".to_owned();
    }
    let kind = match value.type_name() {
        "string" | "char" => "the text",
        "i64" | "f64" => "the number",
        "array" => return "a list".to_owned(),
        "map" => return "a map".to_owned(),
        "bool" => return format!("`{value}`"),
        other => return format!("a {other}"),
    };
    let shown: String = value.to_string().chars().take(40).collect();
    format!("{kind} `{shown}`")
}
