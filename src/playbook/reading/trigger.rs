//! Reads what makes a playbook run: an alert, the clock, or somebody.

use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};

use super::inputs;
use crate::{
    playbook::{
        AlertTrigger, CatchUp, Clause, Input, InputKind, Schedule, Trigger, codes, fields, never,
        node::{Kind, Node},
        reader::{Reader, listed},
        visible::Visible,
    },
    problem::did_you_mean,
};

/// What makes a playbook run, and what it is given then.
pub(in crate::playbook) struct Triggered {
    pub(in crate::playbook) trigger: Trigger,
    pub(in crate::playbook) inputs: Vec<Input>,
}

const KINDS: &[&str] = &["alert", "schedule", "manual"];

pub(in crate::playbook) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Triggered> {
    let fields = reader.fields(node, "`trigger`", KINDS)?;
    match (fields.get("alert"), fields.get("schedule"), fields.get("manual")) {
        (Some(node), None, None) => alert(reader, node).map(|it| Triggered { trigger: Trigger::Alert(it), inputs: Vec::new() }),
        (None, Some(node), None) => {
            schedule(reader, node).map(|it| Triggered { trigger: Trigger::Schedule(Box::new(it)), inputs: scheduled() })
        }
        (None, None, Some(node)) => Some(Triggered { trigger: Trigger::Manual, inputs: manual(reader, node) }),
        (None, None, None) => {
            reader.report(codes::MISSING_KEY, fields.place(), format!("`trigger` has none of {}", listed(KINDS)));
            None
        }
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            let help = "write two playbooks; both can call a third with what they have in common".to_owned();
            reader.report_with_help(
                codes::STEP_KIND,
                fields.place(),
                "`trigger` has exactly one of `alert`, `schedule` and `manual`",
                Some(help),
            );
            None
        }
    }
}

fn alert(reader: &mut Reader<'_>, node: &Node) -> Option<AlertTrigger> {
    let fields = reader.fields(node, "`trigger.alert`", &["match", "when", "revisions"])?;
    let clauses = fields.get("match").map(|it| clauses(reader, it)).unwrap_or_default();
    let when = fields.get("when").and_then(|it| reader.condition(it, "`when`", &Visible::of(&["alert"])));
    let revisions = fields.get("revisions").and_then(|it| reader.boolean(it, "`revisions`"));
    // New alerts only: work that was done for an alert is not done again because somebody edits its status.
    Some(AlertTrigger { clauses, when, revisions: revisions.unwrap_or(false) })
}

fn clauses(reader: &mut Reader<'_>, node: &Node) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for (key, value) in reader.entries(node, "`match`").unwrap_or_default() {
        let root = key.name.split('.').next().unwrap_or_default();
        if !fields::is_known(root) {
            let names: Vec<&str> = fields::names().collect();
            let help = did_you_mean(root, names.iter().copied()).unwrap_or_else(|| format!("its fields are {}", listed(&names)));
            reader.report_with_help(codes::UNKNOWN_FIELD, &key.span, format!("an alert has no `{root}`"), Some(help));
            continue;
        }
        let before = reader.count();
        let read = Clause::read(reader, &key.name, value);
        if reader.count() == before && never::holds_together(&key.name, &read).is_err() {
            let help = "all operators of a line must hold at once; what is meant as one or the other is a list, a `when`, or two playbooks";
            let message = format!("no alert can ever fit what is asked of `{}`", key.name);
            reader.report_with_help(codes::NEVER_MATCHES, &key.span, message, Some(help.to_owned()));
        }
        clauses.extend(read);
    }
    clauses
}

fn schedule(reader: &mut Reader<'_>, node: &Node) -> Option<Schedule> {
    let what = "`trigger.schedule`";
    let fields = reader.fields(node, what, &["cron", "timezone", "catch_up"])?;
    let written = fields.require(reader, "cron", what);
    let cron = written.and_then(|it| read_cron(reader, it));
    // The one time that never jumps.
    let timezone = fields.get("timezone").map_or(Some(TimeZone::UTC), |it| read_timezone(reader, it));
    let words = [("skip", CatchUp::Skip), ("last", CatchUp::Last), ("all", CatchUp::All)];
    // After an outage a check is due, but not once for every hour of it.
    let catch_up = fields.get("catch_up").and_then(|it| reader.word(it, "`catch_up`", &words)).unwrap_or(CatchUp::Last);
    let schedule = Schedule { cron: cron?, timezone: timezone?, catch_up };
    if let (None, Some(node)) = (schedule.next_after(Timestamp::UNIX_EPOCH), written) {
        let help = "the fields are minute, hour, day of the month, month and day of the week".to_owned();
        reader.report_with_help(codes::NEVER_FIRES, &node.span, "there is no moment at which this schedule fires", Some(help));
        return None;
    }
    Some(schedule)
}

fn read_cron(reader: &mut Reader<'_>, node: &Node) -> Option<Cron> {
    let text = reader.text(node, "`cron`")?;
    let fields = text.split_whitespace().count();
    let parsed = if fields == 5 {
        text.parse::<Cron>().map_err(|error| error.to_string().trim_end_matches('.').to_owned())
    } else {
        Err(format!("it has {fields} fields instead of 5"))
    };
    match parsed {
        Ok(cron) => Some(cron),
        Err(why) => {
            let help = "write minute, hour, day of the month, month and day of the week, as in `0 7 * * 1-5`".to_owned();
            reader.report_with_help(codes::WORD, &node.span, format!("`{text}` is no schedule: {why}"), Some(help));
            None
        }
    }
}

fn read_timezone(reader: &mut Reader<'_>, node: &Node) -> Option<TimeZone> {
    let name = reader.text(node, "`timezone`")?;
    let found = TimeZone::get(name).ok();
    if found.is_none() {
        let known: Vec<String> = jiff::tz::db().available().map(|it| it.to_string()).collect();
        let help = did_you_mean(name, known.iter().map(String::as_str));
        let help = help.unwrap_or_else(|| "time zones are written as `Europe/Berlin` or `UTC`".to_owned());
        reader.report_with_help(codes::WORD, &node.span, format!("there is no time zone `{name}`"), Some(help));
    }
    found
}

/// What every run of a schedule is given.
fn scheduled() -> Vec<Input> {
    let description = "The time for which the run stands.".to_owned();
    vec![Input { name: "scheduled_at".to_owned(), kind: InputKind::Text, default: None, description }]
}

fn manual(reader: &mut Reader<'_>, node: &Node) -> Vec<Input> {
    if let Kind::Null = &node.kind {
        return Vec::new();
    }
    let fields = reader.fields(node, "`trigger.manual`", &["inputs"]);
    fields.and_then(|fields| fields.get("inputs")).map(|it| inputs::read(reader, it)).unwrap_or_default()
}
