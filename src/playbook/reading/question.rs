//! Reads the step that asks people.

use std::time::Duration;

use super::texts;
use crate::approval::OnTimeout;
use crate::playbook::{
    Approval, Body, Escalation,
    arguments::Arguments,
    codes,
    node::{Kind, Node},
    reader::Reader,
    visible::Visible,
};
use crate::problem::did_you_mean;

/// Half a shift: whoever was asked is still there, and the run still has time to act.
const TIMEOUT: Duration = Duration::from_hours(4);

/// As long as a run may take.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24 * 30);

/// More people than this never agree.
pub(in crate::playbook) const LARGEST_QUORUM: u32 = 20;

const KEYS: &[&str] = &["title", "for_steps", "groups", "quorum", "channels", "timeout", "on_timeout", "escalate"];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Body> {
    let what = "`approval`";
    let fields = reader.fields(node, what, KEYS)?;
    let title = fields.require(reader, "title", what).and_then(|it| reader.template(it, "`title`", visible));
    let for_steps = fields.require(reader, "for_steps", what).and_then(|it| read_steps(reader, it, visible));
    let groups = fields.require(reader, "groups", what).and_then(|it| texts(reader, it, "`groups`"));
    // One person who was permitted to decide.
    let quorum = fields.get("quorum").and_then(|it| reader.whole_number(it, "`quorum`", 1..LARGEST_QUORUM + 1)).unwrap_or(1);
    let channels = fields.require(reader, "channels", what).and_then(|it| read_channels(reader, it, visible));
    let timeout = fields.get("timeout").and_then(|it| reader.some_time(it, "`timeout`", LONGEST_TIMEOUT)).unwrap_or(TIMEOUT);
    let words = [("reject", OnTimeout::Reject), ("approve", OnTimeout::Approve)];
    let on_timeout = fields.require(reader, "on_timeout", what);
    let decision = on_timeout.and_then(|it| reader.word(it, "`on_timeout`", &words));
    if let (Some(OnTimeout::Approve), Some(node)) = (decision, on_timeout) {
        refuse_silence(reader, node, for_steps.as_deref().unwrap_or_default(), visible);
    }
    let escalate = fields.get("escalate").map(|it| read_escalation(reader, it, timeout)).unwrap_or_default();
    Some(Body::Approval(Box::new(Approval {
        title: title?,
        for_steps: for_steps?,
        groups: groups?,
        quorum,
        channels: channels?,
        timeout,
        on_timeout: decision?,
        escalate,
    })))
}

/// Steps that exist, come after the approval and act: the hash of what people agree to is that of an action's arguments.
fn read_steps(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Vec<String>> {
    let names = texts(reader, node, "`for_steps`")?;
    let items = reader.list(node, "`for_steps`")?;
    for (name, item) in names.iter().zip(items) {
        match visible.outline.get(name) {
            None => {
                let help = did_you_mean(name, visible.outline.steps.iter().map(|step| step.id.as_str()));
                reader.report_with_help(codes::UNKNOWN_REFERENCE, &item.span, format!("there is no step `{name}`"), help);
            }
            Some(step) if step.start < item.span.start => {
                reader.report(codes::UNKNOWN_REFERENCE, &item.span, format!("the step `{name}` does not come after this approval"));
            }
            Some(step) if !step.acts => {
                let help = "name the actions inside it; a playbook that is called asks for its own".to_owned();
                let message = format!("the step `{name}` performs no action of its own, so there is nothing to agree to");
                reader.report_with_help(codes::WORD, &item.span, message, Some(help));
            }
            Some(_) => {}
        }
    }
    Some(names)
}

fn read_channels(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Arguments> {
    let items = reader.list(node, "`channels`")?;
    if items.is_empty() {
        reader.report(codes::MISSING_KEY, &node.place(), "`channels` is empty, so nobody would hear of the question");
    }
    for item in items.iter().filter(|item| !matches!(item.kind, Kind::Text(_))) {
        reader.report(codes::WRONG_TYPE, &item.place(), format!("a channel must be a text, and is {}", item.what()));
    }
    Arguments::read(reader, node, visible)
}

/// That nobody answered is no permission to stop a customer's business.
fn refuse_silence(reader: &mut Reader<'_>, node: &Node, for_steps: &[String], visible: &Visible) {
    let destructive = for_steps.iter().find(|id| visible.outline.get(id).is_some_and(|step| step.is_destructive));
    if let Some(id) = destructive {
        let help = "write `reject`; what must be done quickly is permitted under `guardrails.without_approval` of the site".to_owned();
        let message = format!("`on_timeout` cannot be `approve`: the step `{id}` is destructive");
        reader.report_with_help(codes::WORD, &node.span, message, Some(help));
    }
}

fn read_escalation(reader: &mut Reader<'_>, node: &Node, timeout: Duration) -> Vec<Escalation> {
    let mut found = Vec::new();
    for item in reader.list(node, "`escalate`").unwrap_or_default() {
        let what = "an escalation";
        let Some(fields) = reader.fields(item, what, &["after", "groups"]) else { continue };
        let node = fields.require(reader, "after", what);
        let after = node.and_then(|it| reader.duration(it, "`after`", LONGEST_TIMEOUT));
        if let (Some(node), Some(_)) = (node, after.filter(|after| *after >= timeout)) {
            reader.report(codes::RANGE, &node.span, "`after` is not before the `timeout` of the approval");
        }
        let groups = fields.require(reader, "groups", what).and_then(|it| texts(reader, it, "`groups`"));
        found.extend(after.zip(groups).map(|(after, groups)| Escalation { after, groups }));
    }
    found
}
