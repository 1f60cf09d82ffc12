//! Functions about alerts: how grave, from where, whose.

use std::{net::IpAddr, sync::Arc};

use rhai::{Dynamic, Engine};

use super::Outcome;
use crate::{alert::Severity, expression::Tables, problem::did_you_mean};

pub(super) fn register(engine: &mut Engine, tables: &Arc<Tables>) {
    engine.register_fn("at_least", |severity: &str, level: &str| -> Outcome<bool> { Ok(rank(severity)? >= rank(level)?) });
    engine.register_fn("cidr", |address: &str, range: &str| -> Outcome<bool> { Ok(is_in_range(address, range)?) });
    let tables = Arc::clone(tables);
    engine.register_fn("lookup", move |table: &str, key: &str| lookup(&tables, table, key));
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

fn lookup(tables: &Tables, name: &str, key: &str) -> Outcome<Dynamic> {
    let Some(table) = tables.get(name) else {
        let meant = did_you_mean(name, tables.names()).map(|it| format!("; {it}"));
        return Err(format!("there is no lookup table `{name}`{}", meant.unwrap_or_default()).into());
    };
    Ok(table.row(key).cloned().unwrap_or(Dynamic::UNIT))
}

/// Severities and confidences share their words and their order.
fn rank(word: &str) -> Outcome<Severity> {
    let names = || Severity::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
    Severity::parse(word).ok_or_else(|| format!("`{word}` is no severity; severities are {}", names()).into())
}
