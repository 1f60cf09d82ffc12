//! Reads steps that perform an action, what undoes and what verifies them, and `stop`.

use std::time::Duration;

use crate::problem::did_you_mean;
use crate::{
    actions::{self, Entry},
    duration::Span,
    playbook::{
        Body, OnError, Rollback, Step, StopOutcome, Verify,
        arguments::Arguments,
        codes,
        node::Node,
        reader::{Fields, Reader, listed},
        schema, secrets,
        visible::Visible,
    },
    retry::{Backoff, RetryPolicy},
    run::Class,
};

/// As long as a slow answer of Microsoft takes, and short enough to try again within the minute.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// An attempt that takes longer blocks its run more than it helps.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(10);

/// What waits longer than this should wait for a person.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// More attempts than this are an outage, not a hiccup.
pub(in crate::playbook) const MOST_ATTEMPTS: u32 = 20;

/// As long as alerts are kept.
const LONGEST_EXPIRY: Duration = Duration::from_hours(24 * 400);

/// What has stood for a month is what people count on by now; Microsoft deletes what was cancelled after about as long, too.
const EXPIRY: Duration = Duration::from_hours(24 * 30);

/// How long one attempt may take, and how often it is tried.
pub(super) fn effort(reader: &mut Reader<'_>, fields: &Fields<'_>) -> (Duration, RetryPolicy) {
    let timeout = fields.get("timeout").and_then(|it| reader.some_time(it, "`timeout`", LONGEST_TIMEOUT)).unwrap_or(TIMEOUT);
    (timeout, fields.get("retry").and_then(|it| read_retry(reader, it)).unwrap_or_default())
}

pub(super) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>, action: &Node, visible: &Visible) -> Option<Body> {
    let (entry, with) = named(reader, fields, action, visible)?;
    Some(Body::Action { entry, with })
}

pub(super) fn stop(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Body> {
    let fields = reader.fields(node, "`stop`", &["outcome", "reason"])?;
    let words = [("done", StopOutcome::Done), ("no_action", StopOutcome::NoAction), ("failed", StopOutcome::Failed)];
    let outcome = fields.require(reader, "outcome", "`stop`").and_then(|it| reader.word(it, "`outcome`", &words));
    let reason = fields.require(reader, "reason", "`stop`").and_then(|it| reader.template(it, "`reason`", visible));
    Some(Body::Stop { outcome: outcome?, reason: reason? })
}

/// What undoes the step of that id and with those parameters.
pub(super) fn rollback(reader: &mut Reader<'_>, step: &Fields<'_>, (id, own): (&str, &Arguments), visible: &Visible) -> Option<Rollback> {
    let fields = reader.fields(step.get("rollback")?, "`rollback`", &["action", "with", "expires", "after"])?;
    let expires = fields.get("expires").and_then(|it| reader.some_time(it, "`expires`", LONGEST_EXPIRY)).unwrap_or(EXPIRY);
    let after = fields.get("after").and_then(|it| reader.some_time(it, "`after`", LONGEST_EXPIRY));
    let action = fields.require(reader, "action", "`rollback`")?;
    let (entry, with) = if fields.get("with").is_none() {
        let entry = find(reader, action)?;
        check_default(reader, entry, action, (step.get("with"), own));
        secrets::check_undone(reader, own, action);
        (entry, Arguments::none())
    } else {
        if let (true, Some(key)) = (visible.is_in_each, fields.key("with")) {
            let message =
                "inside a `foreach`, `rollback` takes the parameters of its step: the item is not known any more when it is undone";
            reader.report(codes::STEP_KIND, &key.span, message);
        }
        let mut seen = visible.clone();
        seen.see(vec![(id, true)]);
        named(reader, &fields, action, &seen)?
    };
    if let (Some(after), Some(node)) = (after, fields.get("after")) {
        let own = step.get("action").and_then(Node::as_text).and_then(actions::find);
        check_return(reader, &node.place(), (after, expires), (own, entry));
    }
    let step = Step {
        id: format!("{id}.rollback"),
        condition: None,
        body: Body::Action { entry, with },
        retry: RetryPolicy::default(),
        timeout: TIMEOUT,
        on_error: OnError::Fail,
        rollback: None,
        verify: None,
    };
    Some(Rollback { step: Box::new(step), expires, after })
}

/// Whether a step can be undone by itself after that while.
fn check_return(
    reader: &mut Reader<'_>,
    place: &std::ops::Range<usize>,
    (after, expires): (Duration, Duration),
    (own, undo): (Option<&Entry>, &Entry),
) {
    let reads = |entry: &&Entry| entry.class == Class::Read;
    let (message, help) = if after >= expires {
        let message = format!("it would be undone by itself after {}, and cannot be undone any more after {}", Span(after), Span(expires));
        (message, "write a shorter `after`, or an `expires` that is longer than it")
    } else if let Some(entry) = own.filter(reads) {
        (format!("`{}` only reads, so there is nothing to undo", entry.name), "take the `rollback` out")
    } else if reads(&undo) || own.is_some_and(|own| own.name == undo.name && own.destructive) {
        (format!("`{}` does not undo what the step does", undo.name), "name the action that does, such as `subscription.reactivate`")
    } else {
        return;
    };
    reader.report_with_help(codes::NO_RETURN, place, message, Some(help.to_owned()));
}

/// What finds out whether the step happened.
pub(super) fn verify(reader: &mut Reader<'_>, step: &Fields<'_>, visible: &Visible) -> Option<Verify> {
    let fields = reader.fields(step.get("verify")?, "`verify`", &["action", "with", "reached"])?;
    let action = fields.require(reader, "action", "`verify`");
    let found = action.and_then(|action| named(reader, &fields, action, visible));
    let reached = fields.require(reader, "reached", "`verify`");
    let reached = reached.and_then(|it| reader.condition(it, "`reached`", &visible.with("output")));
    let ((entry, with), action) = (found?, action?);
    if entry.class != Class::Read {
        let reading: Vec<&str> = actions::CATALOG.iter().filter(|it| it.class == Class::Read).map(|it| it.name).collect();
        let help = format!("actions that only read are {}", listed(&reading));
        reader.report_with_help(codes::WORD, &action.span, format!("`verify` only looks, and `{}` does more", entry.name), Some(help));
    }
    Some(Verify { entry, with, reached: reached? })
}

/// The action that `action` names, with the parameters beside it.
fn named(reader: &mut Reader<'_>, fields: &Fields<'_>, action: &Node, visible: &Visible) -> Option<(&'static Entry, Arguments)> {
    let with = fields.get("with");
    let found = find(reader, action);
    // Whether an action that does not exist would take secrets is no further problem.
    let seen = if found.is_none_or(|entry| entry.takes_secrets) { &visible.with_secrets() } else { visible };
    let arguments = match with {
        Some(node) => reader.entries(node, "`with`").and_then(|_| Arguments::read(reader, node, seen)),
        None => Some(Arguments::none()),
    };
    let entry = found?;
    let before = reader.count();
    schema::check(reader, entry.name, entry.schema().as_value(), with, &action.span);
    secrets::check(reader, entry, with, arguments.as_ref());
    let arguments = arguments?;
    if let (Some(constant), true) = (arguments.constant(), reader.count() == before)
        && let Err(error) = entry.prepare(constant.clone())
    {
        let place = with.map_or_else(|| action.span.clone(), Node::place);
        reader.report(codes::WRONG_PARAMETER, &place, format!("`{}` does not take these parameters: {error}", entry.name));
    }
    Some((entry, arguments))
}

fn find(reader: &mut Reader<'_>, action: &Node) -> Option<&'static Entry> {
    let name = reader.text(action, "`action`")?;
    let found = actions::find(name);
    if found.is_none() {
        let names: Vec<&str> = actions::CATALOG.iter().map(|it| it.name).collect();
        let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| format!("actions are {}", listed(&names)));
        reader.report_with_help(codes::UNKNOWN_ACTION, &action.span, format!("unknown action `{name}`"), Some(help));
    }
    found
}

/// Whether an action takes the parameters of the step that it undoes.
fn check_default(reader: &mut Reader<'_>, entry: &Entry, action: &Node, (with, own): (Option<&Node>, &Arguments)) {
    let problems = reader.attempt(|reader| schema::check(reader, entry.name, entry.schema().as_value(), with, &action.span));
    let refused = || own.constant().and_then(|it| entry.prepare(it.clone()).err()).map(|error| error.to_string());
    if let Some(why) = problems.first().map(|it| it.message.clone()).or_else(refused) {
        let help = "without a `with` of its own, `rollback` takes the parameters of its step".to_owned();
        let message = format!("`{}` does not take the parameters of the step: {why}", entry.name);
        reader.report_with_help(codes::WRONG_PARAMETER, &action.span, message, Some(help));
    }
}

fn read_retry(reader: &mut Reader<'_>, node: &Node) -> Option<RetryPolicy> {
    let fields = reader.fields(node, "`retry`", &["max_attempts", "delay", "backoff", "max_delay"])?;
    let default = RetryPolicy::default();
    let words = [("constant", Backoff::Constant), ("linear", Backoff::Linear), ("exponential", Backoff::Exponential)];
    let attempts = fields.get("max_attempts").and_then(|it| reader.whole_number(it, "`max_attempts`", 1..MOST_ATTEMPTS + 1));
    let delay = fields.get("delay").and_then(|it| reader.duration(it, "`delay`", LONGEST_DELAY));
    let backoff = fields.get("backoff").and_then(|it| reader.word(it, "`backoff`", &words));
    let max_delay = fields.get("max_delay").and_then(|it| reader.duration(it, "`max_delay`", LONGEST_DELAY));
    let delay = delay.unwrap_or(default.delay);
    Some(RetryPolicy {
        max_attempts: attempts.unwrap_or(default.max_attempts),
        delay,
        backoff: backoff.unwrap_or(default.backoff),
        // A longer first wait without a `max_delay` is meant as written.
        max_delay: max_delay.unwrap_or_else(|| default.max_delay.max(delay)),
    })
}
