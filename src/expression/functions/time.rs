//! Functions about moments, which are texts such as `2026-03-02T04:11:09Z`.

use std::sync::LazyLock;

use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::Weekday,
    tz::{TimeZone, TimeZoneDatabase},
};
use rhai::Engine;

use super::Outcome;
use crate::{duration::Span, expression::limits::Evaluation};

/// The zones that are built in: a script reads no files, and an alert means the same on each machine.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("now", || Evaluation::now().to_string());
    engine.register_fn("seconds", |time: &str| -> Outcome<i64> { Ok(moment(time)?.as_second()) });
    engine.register_fn("between", |from: &str, to: &str| -> Outcome<i64> { Ok(moment(to)?.duration_since(moment(from)?).as_secs()) });
    engine.register_fn("plus", |time: &str, span: &str| moved(time, Span::parse(span)?.signed()));
    engine.register_fn("minus", |time: &str, span: &str| moved(time, -Span::parse(span)?.signed()));
    engine.register_fn("hour", |time: &str, zone: &str| -> Outcome<i64> { Ok(local(time, zone)?.hour().into()) });
    engine.register_fn("weekday", |time: &str, zone: &str| -> Outcome<&'static str> { Ok(name(local(time, zone)?.weekday())) });
    engine.register_fn("format_time", |time: &str, zone: &str| -> Outcome<String> {
        Ok(local(time, zone)?.strftime("%Y-%m-%d %H:%M %Z").to_string())
    });
}

fn moment(time: &str) -> Outcome<Timestamp> {
    time.parse().map_err(|_error| format!("`{time}` is not a time such as 2026-03-02T04:11:09Z").into())
}

fn moved(time: &str, by: SignedDuration) -> Outcome<String> {
    let moved = moment(time)?.checked_add(by).map_err(|_error| format!("there is no time that far from `{time}`"))?;
    Ok(moved.to_string())
}

fn local(time: &str, zone: &str) -> Outcome<Zoned> {
    let zone: TimeZone =
        ZONES.get(zone).map_err(|_error| format!("there is no time zone `{zone}`; zones are named as `Europe/Berlin` or `UTC`"))?;
    Ok(moment(time)?.to_zoned(zone))
}

const fn name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "monday",
        Weekday::Tuesday => "tuesday",
        Weekday::Wednesday => "wednesday",
        Weekday::Thursday => "thursday",
        Weekday::Friday => "friday",
        Weekday::Saturday => "saturday",
        Weekday::Sunday => "sunday",
    }
}
