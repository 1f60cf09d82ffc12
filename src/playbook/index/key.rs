//! The keys under which a clause is found: what a value of the alert must have for the clause not to be plainly false.

use std::{borrow::Cow, net::IpAddr};

use serde_json::{Number, Value};

use super::ranges::Range;
use crate::{
    alert::Severity,
    playbook::{clause::Test, fields},
};

/// Something that values have or clauses want.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Text(Cow<'a, str>),
    /// Its bits as a float, as numbers are compared.
    Number(u64),
    Flag(bool),
    Prefix(Cow<'a, str>),
    Suffix(Cow<'a, str>),
    /// A text somewhere inside.
    Part(Cow<'a, str>),
    /// A text somewhere inside, given in small ASCII letters, whose case does not matter.
    AnyCase(Cow<'a, str>),
    Network(Network),
    Severity(Severity),
    /// Any limit: ranges are found by their order.
    Limit,
    /// Any value at all.
    Present,
}

/// The addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network {
    pub(super) is_v6: bool,
    pub(super) length: u32,
    /// In bytes, which need no padding: keys are small.
    bits: [u8; 16],
}

/// What a clause can judge. It is unclear about a value, or an item of a list, that is not of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Text,
    Number,
    Flag,
    Address,
    Severity,
}

/// How a clause is found.
#[derive(Debug)]
pub(super) struct Access<'a> {
    /// Each of them finds it.
    pub(super) keys: Vec<Key<'a>>,
    /// A value of another kind than one of these finds it too.
    pub(super) wants: Vec<Want>,
    /// The numbers, where it is found by order.
    pub(super) range: Option<Range>,
    /// A longer text finds it too.
    pub(super) reach: Option<usize>,
    /// Whether a clause that was found is never false.
    pub(super) is_certain: bool,
}

impl<'a> Access<'a> {
    /// `None` where an alert without the field fits.
    pub(super) fn to(test: &'a Test) -> Option<Self> {
        let by = |keys: Vec<Key<'a>>, want| Self { keys, wants: vec![want], range: None, reach: None, is_certain: true };
        let access = match test {
            Test::Not(_) | Test::Exists(false) => return None,
            Test::Exists(true) => Self { is_certain: true, ..Self::present() },
            Test::Regex(pattern) => {
                let keys = pattern.required().iter().map(|it| Key::AnyCase(it.into())).collect();
                Self { reach: Some(pattern.reach()), is_certain: false, ..by(keys, Want::Text) }
            }
            Test::AnyOf(values) => {
                let scalars: Option<Vec<_>> = values.iter().map(scalar).collect();
                let (keys, wants) = scalars.unwrap_or_default().into_iter().unzip();
                Self { keys, wants, range: None, reach: None, is_certain: true }
            }
            Test::Prefix(texts) => by(texts.iter().map(|it| Key::Prefix(it.into())).collect(), Want::Text),
            Test::Suffix(texts) => by(texts.iter().map(|it| Key::Suffix(it.into())).collect(), Want::Text),
            Test::Contains(texts) => by(texts.iter().map(|it| Key::Part(it.into())).collect(), Want::Text),
            Test::Cidr(ranges) => {
                let networks: Option<Vec<Network>> = ranges.iter().map(|it| Network::parse(it)).collect();
                by(networks.unwrap_or_default().into_iter().map(Key::Network).collect(), Want::Address)
            }
            Test::AtLeast(level) => {
                by(Severity::ALL.iter().filter(|it| *it >= level).map(|it| Key::Severity(*it)).collect(), Want::Severity)
            }
            Test::Number(bound, limit) => Self { range: Some(Range::new(*bound, *limit)), ..by(vec![Key::Limit], Want::Number) },
        };
        // An empty list wants nothing that could be looked up.
        Some(if access.keys.is_empty() { Self::present() } else { access })
    }

    /// For a clause that any value must be judged by.
    fn present() -> Self {
        Self { keys: vec![Key::Present], wants: Vec::new(), range: None, reach: None, is_certain: false }
    }
}

impl Key<'_> {
    fn number(number: &Number) -> Option<Self> {
        number.as_f64().map(|it| Self::Number(one_zero(it).to_bits()))
    }

    pub(super) fn into_owned(self) -> Key<'static> {
        match self {
            Self::Text(it) => Key::Text(it.into_owned().into()),
            Self::Prefix(it) => Key::Prefix(it.into_owned().into()),
            Self::Suffix(it) => Key::Suffix(it.into_owned().into()),
            Self::Part(it) => Key::Part(it.into_owned().into()),
            Self::AnyCase(it) => Key::AnyCase(it.into_owned().into()),
            Self::Number(it) => Key::Number(it),
            Self::Flag(it) => Key::Flag(it),
            Self::Network(it) => Key::Network(it),
            Self::Severity(it) => Key::Severity(it),
            Self::Limit => Key::Limit,
            Self::Present => Key::Present,
        }
    }
}

/// Zero has two signs, which are equal, but neither in their bits nor in their order.
pub(super) fn one_zero(number: f64) -> f64 {
    number + 0.0
}

/// A scalar's key, and what a clause that names it wants.
pub(super) fn scalar(value: &Value) -> Option<(Key<'_>, Want)> {
    match value {
        Value::String(text) => Some((Key::Text(text.into()), Want::Text)),
        Value::Number(number) => Key::number(number).map(|key| (key, Want::Number)),
        Value::Bool(flag) => Some((Key::Flag(*flag), Want::Flag)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Want {
    pub(super) const ALL: [Self; 5] = [Self::Text, Self::Number, Self::Flag, Self::Address, Self::Severity];

    /// Whether a value is of this kind.
    pub(super) fn suits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Number => value.is_number(),
            Self::Flag => value.is_boolean(),
            Self::Address => value.as_str().is_some_and(|it| address(it).is_some()),
            Self::Severity => value.as_str().is_some_and(|it| fields::rank(it).is_some()),
        }
    }
}

/// As `cidr` reads an address.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}

impl Network {
    /// The network of an address that has this many bits; `None` where the address has fewer.
    pub(super) fn of(address: IpAddr, length: u32) -> Option<Self> {
        let (is_v6, bits, width) = match address {
            IpAddr::V4(it) => (false, it.to_bits().into(), u32::BITS),
            IpAddr::V6(it) => (true, it.to_bits(), u128::BITS),
        };
        let bits: u128 = bits;
        // A shift by the whole width leaves nothing, as it should.
        width.checked_sub(length).map(|rest| Self { is_v6, length, bits: bits.checked_shr(rest).unwrap_or_default().to_be_bytes() })
    }

    fn parse(range: &str) -> Option<Self> {
        let (network, length) = range.trim().split_once('/')?;
        Self::of(network.parse().ok()?, length.parse().ok()?)
    }
}
