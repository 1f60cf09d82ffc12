//! Functions about lists and maps, and about values of any kind.

use std::collections::HashSet;

use rhai::{Array, Dynamic, Engine, FuncRegistration, Map};

use super::Outcome;
use crate::{
    expression::convert::{from_dynamic, to_dynamic},
    problem::did_you_mean,
};

pub(super) fn register(engine: &mut Engine) {
    pure("get").register_into_engine(engine, |map: &mut Map, key: &str, default: Dynamic| {
        map.get(key).filter(|it| !it.is_unit()).cloned().unwrap_or(default)
    });
    engine.register_fn("get", |_nothing: (), _key: &str, default: Dynamic| default);
    engine.register_fn("is_null", |value: Dynamic| value.is_unit());
    engine.register_fn("json", |text: &str| -> Outcome<Dynamic> {
        let value = serde_json::from_str(text).map_err(|error| format!("the text is not JSON: {error}"))?;
        Ok(to_dynamic(&value))
    });
    engine.register_fn("to_json", |value: Dynamic| -> Outcome<String> { Ok(from_dynamic(&value)?.to_string()) });
    // Rhai has one for maps, which would be taken first.
    engine.register_fn("to_json", |value: Map| -> Outcome<String> { Ok(from_dynamic(&Dynamic::from_map(value))?.to_string()) });
    pure("first").register_into_engine(engine, |list: &mut Array| list.first().cloned().unwrap_or(Dynamic::UNIT));
    pure("last").register_into_engine(engine, |list: &mut Array| list.last().cloned().unwrap_or(Dynamic::UNIT));
    pure("pluck").register_into_engine(engine, |list: &mut Array, key: &str| pluck(list, key));
    pure("sum").register_into_engine(engine, |list: &mut Array| sum(list));
    pure("unique").register_into_engine(engine, |list: &mut Array| unique(list));
}

/// A function that reads its first argument in place: a long list in the alert is not copied for it.
fn pure(name: &str) -> FuncRegistration {
    FuncRegistration::new(name).with_purity(true)
}

/// The value of one key in each map of a list. A map without the key is a mistake, as `map.key` is.
fn pluck(list: &Array, key: &str) -> Outcome<Array> {
    let one = |(at, item): (usize, &Dynamic)| -> Outcome<Dynamic> {
        let Ok(map) = item.as_map_ref() else { return Err(format!("item {at} of the list is no map").into()) };
        if let Some(value) = map.get(key) {
            Ok(value.clone())
        } else {
            let meant = did_you_mean(key, map.keys().map(AsRef::as_ref)).map(|it| format!("; {it}"));
            Err(format!("item {at} of the list has no `{key}`{}", meant.unwrap_or_default()).into())
        }
    };
    list.iter().enumerate().map(one).collect()
}

/// Whole numbers add up to a whole number, others to a fraction.
fn sum(list: &Array) -> Outcome<Dynamic> {
    let (mut whole, mut fraction, mut is_whole) = (0_i64, 0.0, true);
    for (at, item) in list.iter().enumerate() {
        if let Ok(number) = item.as_int() {
            whole = whole.checked_add(number).ok_or("the sum is too large for a whole number")?;
        } else if let Ok(number) = item.as_float() {
            fraction += number;
            is_whole = false;
        } else {
            return Err(format!("item {at} of the list is no number").into());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a sum with a fraction in it is a fraction")]
    Ok(if is_whole { Dynamic::from_int(whole) } else { Dynamic::from_float(whole as f64 + fraction) })
}

/// Each value once, in the order in which they came.
fn unique(list: &Array) -> Outcome<Array> {
    let mut seen = HashSet::new();
    let mut kept = Array::new();
    for item in list {
        if seen.insert(from_dynamic(item)?.to_string()) {
            kept.push(item.clone());
        }
    }
    Ok(kept)
}
