//! The functions that Quell adds to rhai's own: about alerts, text, addresses and time.
//!
//! Each is a function of its arguments alone. None changes its argument: values in a scope are constants.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, Engine, EvalAltResult, FuncRegistration, ImmutableString, Map};

use super::{
    Tables,
    convert::{from_dynamic, to_dynamic},
    scope,
};
use crate::{alert::Severity, problem::nearest};

/// The functions that Quell adds, with what they are for.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("at_least", "at_least(severity, level): whether a severity or confidence is that high or higher"),
    ("base64_decode", "base64_decode(text): the text that was encoded"),
    ("base64_encode", "base64_encode(text): the text in base64"),
    ("cidr", "cidr(ip, range): whether an address lies in a range such as 10.0.0.0/8"),
    ("get", "get(map, key, default): the value, or the default where there is none"),
    ("hash", "hash(text): its SHA-256 in hexadecimal"),
    ("is_null", "is_null(value): whether it is nothing"),
    ("join", "join(list, separator): one text"),
    ("json", "json(text): the value that a JSON text holds"),
    ("lookup", "lookup(table, key): the row of a lookup table, or nothing"),
    ("lower", "lower(text): in small letters"),
    ("matches", "matches(text, regex): whether a regular expression is found in it"),
    ("now", "now(): the moment of this evaluation, as text"),
    ("replace", "replace(text, from, to): every `from` replaced"),
    ("seconds", "seconds(time): seconds since 1970 of a time such as now()"),
    ("split", "split(text, separator): a list"),
    ("to_json", "to_json(value): the value as JSON text"),
    ("trim", "trim(text): without blanks at its ends"),
    ("upper", "upper(text): in capital letters"),
];

type Outcome<T> = Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, tables: &Arc<Tables>) {
    register_maps(engine);
    register_texts(engine);
    register_alerts(engine);
    register_time(engine);
    let tables = Arc::clone(tables);
    engine.register_fn("lookup", move |table: &str, key: &str| lookup(&tables, table, key));
}

fn register_maps(engine: &mut Engine) {
    FuncRegistration::new("get").with_purity(true).register_into_engine(engine, |map: &mut Map, key: &str, default: Dynamic| {
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
}

fn register_texts(engine: &mut Engine) {
    engine.register_fn("lower", str::to_lowercase);
    engine.register_fn("upper", str::to_uppercase);
    engine.register_fn("trim", |text: &str| text.trim().to_owned());
    engine.register_fn("replace", |text: &str, from: &str, to: &str| text.replace(from, to));
    engine.register_fn("split", |text: &str, separator: &str| -> Array {
        text.split(separator).map(|part| part.to_owned().into()).collect()
    });
    engine.register_fn("join", |list: Array, separator: &str| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator));
    engine.register_fn("hash", sha256);
    engine.register_fn("base64_encode", |text: &str| STANDARD.encode(text));
    engine.register_fn("base64_decode", |text: &str| -> Outcome<String> {
        let bytes = STANDARD.decode(text.trim()).map_err(|error| format!("the text is not base64: {error}"))?;
        String::from_utf8(bytes).map_err(|_bytes| "what was encoded in base64 is not text".into())
    });
    let cache = Cache::default();
    engine
        .register_fn("matches", move |text: &str, pattern: ImmutableString| -> Outcome<bool> { Ok(cache.regex(&pattern)?.is_match(text)) });
}

fn register_alerts(engine: &mut Engine) {
    engine.register_fn("at_least", |severity: &str, level: &str| -> Outcome<bool> { Ok(rank(severity)? >= rank(level)?) });
    engine.register_fn("cidr", |address: &str, range: &str| -> Outcome<bool> { Ok(is_in_range(address, range)?) });
}

fn register_time(engine: &mut Engine) {
    engine.register_fn("now", || scope::now().to_string());
    engine.register_fn("seconds", |time: &str| -> Outcome<i64> {
        let moment: Timestamp = time.parse().map_err(|_error| format!("`{time}` is not a time such as 2026-03-02T04:11:09Z"))?;
        Ok(moment.as_second())
    });
}

fn lookup(tables: &Tables, name: &str, key: &str) -> Outcome<Dynamic> {
    let Some(table) = tables.get(name) else {
        let meant = nearest(name, tables.names()).map(|it| format!("; did you mean `{it}`?"));
        return Err(format!("there is no lookup table `{name}`{}", meant.unwrap_or_default()).into());
    };
    Ok(table.row(key).cloned().unwrap_or(Dynamic::UNIT))
}

/// Severities and confidences share their words and their order.
fn rank(word: &str) -> Outcome<Severity> {
    let names = || Severity::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
    Severity::parse(word).ok_or_else(|| format!("`{word}` is no severity; severities are {}", names()).into())
}

/// Whether an address lies in a range.
///
/// # Errors
/// Says which of the two cannot be read.
pub fn is_in_range(address: &str, range: &str) -> Result<bool, String> {
    let ip: IpAddr = address.trim().parse().map_err(|_error| format!("`{address}` is not an IP address"))?;
    let wrong = || format!("`{range}` is not a range such as `10.0.0.0/8`");
    let (network, length) = range.trim().split_once('/').ok_or_else(wrong)?;
    let network: IpAddr = network.parse().map_err(|_error| wrong())?;
    let length: u32 = length.parse().map_err(|_error| wrong())?;
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if length <= 32 => {
            Ok(leading(ip.to_bits().into(), 32, length) == leading(network.to_bits().into(), 32, length))
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if length <= 128 => {
            Ok(leading(ip.to_bits(), 128, length) == leading(network.to_bits(), 128, length))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Ok(false),
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => Err(wrong()),
    }
}

/// The first `length` of `width` bits.
fn leading(bits: u128, width: u32, length: u32) -> u128 {
    bits.checked_shr(width - length).unwrap_or_default()
}

/// The SHA-256 of a text, in hexadecimal.
pub fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let bytes = digest.as_ref();
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Regular expressions that were compiled already. Patterns come from playbooks, so there are few.
#[derive(Default)]
struct Cache(Mutex<HashMap<ImmutableString, Regex>>);

impl Cache {
    /// Far above what one set of playbooks holds; a pattern made from an alert must not grow it without end.
    const MOST: usize = 512;

    fn regex(&self, pattern: &ImmutableString) -> Outcome<Regex> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(regex) = known.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = compile_regex(pattern)?;
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(pattern.clone(), regex.clone());
        Ok(regex)
    }
}

/// Compiles a pattern that takes linear time and little memory.
///
/// # Errors
/// Says what is wrong with the pattern.
pub fn compile_regex(pattern: &str) -> Result<Regex, String> {
    // Enough for a list of thousands of words; `\w{1000}` is not needed.
    let limit = 1024 * 1024;
    RegexBuilder::new(pattern).size_limit(limit).dfa_size_limit(limit).build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("the regular expression `{pattern}` is wrong: {reason}")
    })
}
