//! The activity log, by which lost callbacks are found again.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use super::{collection, error};
use crate::{answer::Answer, call::Call, state::State};

/// Microsoft refuses an older start.
const OLDEST_DAYS: i64 = 90;
/// The window when none is asked for.
const DEFAULT_DAYS: i64 = 30;

pub(super) fn list(state: &State, call: &Call) -> Answer {
    let start = match day(call, "startDate") {
        Ok(day) => day.unwrap_or(call.now - SignedDuration::from_hours(24 * DEFAULT_DAYS)),
        Err(refused) => return refused,
    };
    let end = match day(call, "endDate") {
        // The last day counts whole.
        Ok(day) => day.map_or(Timestamp::MAX, |day| day + SignedDuration::from_hours(24)),
        Err(refused) => return refused,
    };
    // A day of slack: a start day counts from its midnight.
    if call.now.duration_since(start) > SignedDuration::from_hours(24 * (OLDEST_DAYS + 1)) {
        return error(400, "800002", "The start date is more than 90 days ago.");
    }
    let Ok(filter) = Filter::parse(call.parameter("filter")) else {
        return error(400, "800002", "The filter is not valid.");
    };
    let size = call.parameter("size").and_then(|it| it.parse().ok()).unwrap_or(usize::MAX).max(1);
    let offset: usize = call.header("ms-continuationtoken").and_then(|it| it.parse().ok()).unwrap_or(0);
    let found = state.audit.iter().filter(|record| {
        let date = text(record, "operationDate").parse();
        date.is_ok_and(|date: Timestamp| start <= date && date < end) && filter.accepts(record)
    });
    let mut found: Vec<_> = found.skip(offset).cloned().collect();
    let has_more = found.len() > size;
    found.truncate(size);
    let mut body = collection(&found);
    if let (true, Some(fields)) = (has_more, body.as_object_mut()) {
        fields.insert("links".to_owned(), json!({ "next": next(call, offset + size) }));
    }
    Answer::json(200, &body)
}

/// The next page has the same address, and a header of its own.
fn next(call: &Call, offset: usize) -> Value {
    let query = call.target.split_once('?').map(|(_, query)| query.trim_end_matches("&seekOperation=Next")).unwrap_or_default();
    let header = json!({ "key": "MS-ContinuationToken", "value": offset.to_string() });
    json!({ "uri": format!("/auditrecords?{query}&seekOperation=Next"), "method": "GET", "headers": [header] })
}

fn day(call: &Call, name: &str) -> Result<Option<Timestamp>, Answer> {
    let Some(text) = call.parameter(name).filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let date = text.parse::<Date>().and_then(|date| date.to_zoned(TimeZone::UTC));
    match date {
        Ok(date) => Ok(Some(date.timestamp())),
        Err(_) => Err(error(400, "800002", &format!("{name} is not a date."))),
    }
}

enum Filter {
    Everything,
    Equals { field: &'static str, value: String },
    Contains { field: &'static str, value: String },
}

impl Filter {
    /// Reads `{"Field":…,"Value":…,"Operator":…}`, with the fields and operators that are documented.
    fn parse(text: Option<&str>) -> Result<Self, ()> {
        let Some(text) = text.filter(|it| !it.is_empty()) else {
            return Ok(Self::Everything);
        };
        let filter: Value = serde_json::from_str(text).map_err(|_not_json| ())?;
        let value = self::text(&filter, "Value").to_owned();
        match self::text(&filter, "Field").to_ascii_lowercase().as_str() {
            "companyname" => Ok(Self::Contains { field: "customerName", value }),
            "customerid" => Ok(Self::Equals { field: "customerId", value }),
            "resourcetype" => Ok(Self::Equals { field: "resourceType", value }),
            _ => Err(()),
        }
    }

    fn accepts(&self, record: &Value) -> bool {
        match self {
            Self::Everything => true,
            Self::Equals { field, value } => text(record, field).eq_ignore_ascii_case(value),
            Self::Contains { field, value } => text(record, field).to_lowercase().contains(&value.to_lowercase()),
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
