//! Reads how often a playbook answers: which alerts count as one, and how many runs and actions there may be.

use std::time::Duration;

use super::texts;
use crate::problem::did_you_mean;
use crate::{
    actions::Pattern,
    expression::Template,
    playbook::{
        Concurrency, Dedup, Group, OnExceed, OwnLimit, Threshold, Throttle, codes, fields,
        node::Node,
        reader::{Fields, Reader, listed},
        visible::Visible,
    },
    run::Strategy,
};

/// The same thing is reported again within a day, and is new after it.
const WINDOW: Duration = Duration::from_hours(24);

/// As long as alerts are kept.
const LONGEST_WINDOW: Duration = Duration::from_hours(24 * 400);

/// Alerts of one incident arrive within seconds of each other.
const GROUP_WAIT: Duration = Duration::from_secs(30);

/// An alert that waits longer is not answered any more, but filed.
const LONGEST_GROUP_WAIT: Duration = Duration::from_hours(1);

/// Long enough that people are not told twice of what they are looking at.
const GROUP_INTERVAL: Duration = Duration::from_mins(10);

/// What is counted over more than a month is a report, not a limit.
const LONGEST_COUNT: Duration = Duration::from_hours(24 * 31);

/// More than any set of alerts that one answer is for.
pub(in crate::playbook) const MOST: u32 = 1_000_000;

/// How often a playbook answers.
#[derive(Debug, Default)]
pub(in crate::playbook) struct Rates {
    pub(in crate::playbook) dedup: Option<Dedup>,
    pub(in crate::playbook) group: Option<Group>,
    pub(in crate::playbook) throttle: Option<Throttle>,
    pub(in crate::playbook) threshold: Option<Threshold>,
    pub(in crate::playbook) concurrency: Option<Concurrency>,
    pub(in crate::playbook) guardrails: Vec<OwnLimit>,
}

/// What counts alerts, and so needs them.
const OF_ALERTS: &[&str] = &["dedup", "group", "throttle", "threshold"];

impl Rates {
    /// Reads them out of a playbook whose keys may look at what is visible.
    pub(in crate::playbook) fn read(reader: &mut Reader<'_>, playbook: &Fields<'_>, visible: &Visible) -> Self {
        if !visible.names.iter().any(|name| name == "alert") {
            for key in playbook.keys_among(OF_ALERTS) {
                let help = "`concurrency` limits the runs of every playbook".to_owned();
                let message = format!("`{}` is about alerts, and no alert triggers this playbook", key.name);
                reader.report_with_help(codes::UNKNOWN_KEY, &key.span, message, Some(help));
            }
        }
        let is_known = visible.names.iter().any(|name| name == "alert");
        let of_alerts = |name: &str| playbook.get(name).filter(|_| is_known);
        Self {
            dedup: of_alerts("dedup").and_then(|it| dedup(reader, it, visible)),
            group: of_alerts("group").and_then(|it| group(reader, it)),
            throttle: of_alerts("throttle").and_then(|it| throttle(reader, it, visible)),
            threshold: of_alerts("threshold").and_then(|it| threshold(reader, it, visible)),
            concurrency: playbook.get("concurrency").and_then(|it| concurrency(reader, it, visible)),
            guardrails: playbook.get("guardrails").map(|it| guardrails(reader, it)).unwrap_or_default(),
        }
    }
}

fn dedup(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Dedup> {
    let fields = reader.fields(node, "`dedup`", &["key", "window"])?;
    let key = key(reader, &fields, "`dedup`", visible);
    let window = fields.get("window").and_then(|it| reader.duration(it, "`window`", LONGEST_WINDOW)).unwrap_or(WINDOW);
    Some(Dedup { key: key?, window })
}

fn group(reader: &mut Reader<'_>, node: &Node) -> Option<Group> {
    let fields = reader.fields(node, "`group`", &["by", "wait", "interval"])?;
    let by = fields.require(reader, "by", "`group`").and_then(|it| read_fields(reader, it));
    let wait = fields.get("wait").and_then(|it| reader.duration(it, "`wait`", LONGEST_GROUP_WAIT)).unwrap_or(GROUP_WAIT);
    let interval = fields.get("interval").and_then(|it| reader.duration(it, "`interval`", LONGEST_COUNT)).unwrap_or(GROUP_INTERVAL);
    Some(Group { by: by?, wait, interval })
}

fn read_fields(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let names = texts(reader, node, "`by`")?;
    for (name, item) in names.iter().zip(reader.list(node, "`by`")?) {
        let root = name.split('.').next().unwrap_or_default();
        if !fields::is_known(root) {
            let known: Vec<&str> = fields::names().collect();
            let help = did_you_mean(root, known.iter().copied()).unwrap_or_else(|| format!("its fields are {}", listed(&known)));
            reader.report_with_help(codes::UNKNOWN_FIELD, &item.span, format!("an alert has no `{root}`"), Some(help));
        }
    }
    Some(names)
}

fn throttle(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Throttle> {
    let what = "`throttle`";
    let fields = reader.fields(node, what, &["key", "max", "per"])?;
    let key = key(reader, &fields, what, visible);
    let max = fields.require(reader, "max", what).and_then(|it| reader.whole_number(it, "`max`", 1..MOST + 1));
    let per = fields.require(reader, "per", what).and_then(|it| reader.some_time(it, "`per`", LONGEST_COUNT));
    Some(Throttle { key: key?, max: max?, per: per? })
}

fn threshold(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Threshold> {
    let what = "`threshold`";
    let fields = reader.fields(node, what, &["key", "count", "within"])?;
    let key = key(reader, &fields, what, visible);
    let count = fields.require(reader, "count", what).and_then(|it| reader.whole_number(it, "`count`", 1..MOST + 1));
    let within = fields.require(reader, "within", what).and_then(|it| reader.some_time(it, "`within`", LONGEST_COUNT));
    Some(Threshold { key: key?, count: count?, within: within? })
}

fn concurrency(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Concurrency> {
    let fields = reader.fields(node, "`concurrency`", &["key", "max", "strategy"])?;
    let key = key(reader, &fields, "`concurrency`", visible);
    // Two runs on the same thing get into each other's way.
    let max = fields.get("max").and_then(|it| reader.whole_number(it, "`max`", 1..MOST + 1)).unwrap_or(1);
    let words: Vec<(&str, Strategy)> = Strategy::ALL.iter().map(|it| (it.as_str(), *it)).collect();
    // Nothing is lost by waiting.
    let strategy = fields.get("strategy").and_then(|it| reader.word(it, "`strategy`", &words)).unwrap_or(Strategy::Queue);
    Some(Concurrency { key: key?, max, strategy })
}

fn key(reader: &mut Reader<'_>, fields: &Fields<'_>, what: &str, visible: &Visible) -> Option<Template> {
    fields.require(reader, "key", what).and_then(|it| reader.template(it, "`key`", visible))
}

fn guardrails(reader: &mut Reader<'_>, node: &Node) -> Vec<OwnLimit> {
    let items = reader.list(node, "`guardrails`").unwrap_or_default();
    items.iter().filter_map(|item| guardrail(reader, item)).collect()
}

fn guardrail(reader: &mut Reader<'_>, node: &Node) -> Option<OwnLimit> {
    let what = "the guardrail";
    let fields = reader.fields(node, "a guardrail", &["action", "max", "per", "on_exceed"])?;
    let action = fields.require(reader, "action", what).and_then(|it| pattern(reader, it));
    let max = fields.require(reader, "max", what).and_then(|it| reader.whole_number(it, "`max`", 1..MOST + 1));
    let per = fields.require(reader, "per", what).and_then(|it| reader.some_time(it, "`per`", LONGEST_COUNT));
    let words = [("stop", OnExceed::Stop), ("require_approval", OnExceed::RequireApproval)];
    // A limit is a limit, until its author says that people may go beyond it.
    let on_exceed = fields.get("on_exceed").and_then(|it| reader.word(it, "`on_exceed`", &words)).unwrap_or(OnExceed::Stop);
    Some(OwnLimit { action: action?, max: max?, per: per?, on_exceed })
}

fn pattern(reader: &mut Reader<'_>, node: &Node) -> Option<Pattern> {
    match Pattern::parse(reader.text(node, "`action`")?) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            reader.report(codes::UNKNOWN_ACTION, &node.span, why);
            None
        }
    }
}
