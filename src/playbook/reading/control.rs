//! Reads steps that hold other steps, let time pass or call another playbook.

use std::time::Duration;

use super::{check_identifier, sequence, step::warn_of_never};
use crate::playbook::{
    Body, Case, Join, MOST_ITEMS, Step, Wait,
    arguments::Arguments,
    codes,
    node::{Kind, Node},
    reader::{CallSite, Fields, GivenInput, Reader},
    visible::{READABLE, Visible},
};

/// More at once would be a flood for whoever is called.
pub(in crate::playbook) const MOST_AT_ONCE: u32 = 16;

/// Long enough for work that waits over a holiday.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 30);

pub(super) fn switch(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Body> {
    let list = reader.list(node, "`switch`")?;
    if list.is_empty() {
        reader.report(codes::MISSING_KEY, &node.place(), "`switch` has no cases");
    }
    let (mut cases, mut otherwise) = (Vec::new(), Vec::new());
    // What an earlier case asked is answered in the later ones.
    let mut asking = visible.deeper();
    for (at, item) in list.iter().enumerate() {
        let Some(fields) = reader.fields(item, "a case", &["if", "steps", "else"]) else { continue };
        if let Some(steps) = fields.get("else") {
            for key in fields.keys_among(&["if", "steps"]) {
                reader.report(codes::STEP_KIND, &key.span, format!("`else` has no `{}`", key.name));
            }
            if at + 1 < list.len() {
                reader.report(codes::STEP_KIND, &item.place(), "`else` is the last case");
            }
            otherwise = inner(reader, steps, "`else`", asking.clone());
            continue;
        }
        let condition = fields.require(reader, "if", "the case");
        let compiled = condition.and_then(|it| reader.condition(it, "`if`", &asking));
        if let Some(condition) = condition {
            warn_of_never(reader, condition);
            asking.ask(condition.as_text().unwrap_or_default());
        }
        let steps = fields.require(reader, "steps", "the case").map(|it| inner(reader, it, "`steps`", asking.clone()));
        cases.extend(compiled.zip(steps).map(|(condition, steps)| Case { condition, steps }));
    }
    Some(Body::Switch { cases, otherwise })
}

pub(super) fn foreach(reader: &mut Reader<'_>, fields: &Fields<'_>, node: &Node, visible: &Visible) -> Option<Body> {
    let items = list_of_items(reader, node, visible);
    let name = read_name(reader, fields, node, visible);
    let at_once = fields.get("max_parallel").and_then(|it| reader.whole_number(it, "`max_parallel`", 1..MOST_AT_ONCE + 1));
    let inside = Visible { is_in_each: true, ..visible.with(name.as_deref().unwrap_or("item")).deeper() };
    let steps = fields.require(reader, "steps", "the `foreach`").map(|it| inner(reader, it, "`steps`", inside));
    // One after the other: what is done to many should stop at the first that fails.
    Some(Body::Foreach { items: items?, name: name?, max_parallel: at_once.unwrap_or(1), steps: steps? })
}

pub(super) fn parallel(reader: &mut Reader<'_>, fields: &Fields<'_>, node: &Node, visible: &Visible) -> Option<Body> {
    let mut branches = Vec::new();
    let entries = reader.entries(node, "`parallel`")?;
    if entries.is_empty() {
        reader.report(codes::MISSING_KEY, &node.place(), "`parallel` has no branches");
    }
    for (key, steps) in entries {
        check_identifier(reader, &key.name, &key.span, "a branch's name");
        branches.push((key.name.clone(), inner(reader, steps, &format!("the branch `{}`", key.name), visible.deeper())));
    }
    let most = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let join = match fields.get("join") {
        None => Join::All,
        Some(node) if node.as_text().is_some() => reader.word(node, "`join`", &[("all", Join::All), ("any", Join::AtLeast(1))])?,
        Some(node) => reader.whole_number(node, "`join`", 1..most.saturating_add(1)).map(Join::AtLeast)?,
    };
    Some(Body::Parallel { branches, join })
}

pub(super) fn wait(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Body> {
    let fields = reader.fields(node, "`wait`", &["for", "until"])?;
    match (fields.get("for"), fields.get("until")) {
        (Some(time), None) => reader.some_time(time, "`for`", LONGEST_WAIT).map(|it| Body::Wait(Wait::For(it))),
        (None, Some(moment)) => reader.condition(moment, "`until`", visible).map(|it| Body::Wait(Wait::Until(it))),
        (Some(_), Some(_)) | (None, None) => {
            reader.report(codes::STEP_KIND, fields.place(), "`wait` has exactly one of `for` and `until`");
            None
        }
    }
}

pub(super) fn call(reader: &mut Reader<'_>, fields: &Fields<'_>, node: &Node, visible: &Visible) -> Option<Body> {
    let playbook = reader.text(node, "`playbook`")?.to_owned();
    let given = fields.get("inputs");
    let entries = given.and_then(|it| reader.entries(it, "`inputs`")).unwrap_or_default();
    let inputs = match given {
        Some(node) if matches!(node.kind, Kind::Map(_)) => Arguments::read(reader, node, visible),
        Some(_) => None,
        None => Some(Arguments::none()),
    };
    let input = |(key, value): &(super::super::node::Key, Node)| GivenInput {
        name: key.name.clone(),
        places: [reader.place(&key.span), reader.place(&value.place())],
        constant: value.is_constant().then(|| value.to_value()),
    };
    let site = CallSite { playbook: playbook.clone(), place: reader.place(&node.span), inputs: entries.iter().map(input).collect() };
    reader.calls.push(site);
    Some(Body::Call { playbook, inputs: inputs? })
}

/// The steps inside a step, which may not be none.
fn inner(reader: &mut Reader<'_>, node: &Node, what: &str, mut visible: Visible) -> Vec<Step> {
    let items = reader.list(node, what).unwrap_or_default();
    if matches!(&node.kind, Kind::List(items) if items.is_empty()) {
        reader.report(codes::MISSING_KEY, &node.place(), format!("{what} has no steps"));
    }
    sequence(reader, items, &mut visible)
}

/// A list as it is written, or one whole expression.
fn list_of_items(reader: &mut Reader<'_>, node: &Node, visible: &Visible) -> Option<Arguments> {
    match &node.kind {
        Kind::List(items) if items.len() > MOST_ITEMS => {
            reader.report(codes::RANGE, &node.place(), format!("`foreach` has {} items, over {MOST_ITEMS}", items.len()));
            None
        }
        Kind::List(_) => Arguments::read(reader, node, visible),
        Kind::Text(text) if text.trim_start().starts_with("${") && text.trim_end().ends_with('}') => Arguments::read(reader, node, visible),
        Kind::Text(_) | Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Map(_) => {
            let help = "write the items as a list, or an expression that gives one, as in `${ alert.resources }`".to_owned();
            reader.report_with_help(
                codes::WRONG_TYPE,
                &node.place(),
                format!("`foreach` must be a list, and is {}", node.what()),
                Some(help),
            );
            None
        }
    }
}

fn read_name(reader: &mut Reader<'_>, fields: &Fields<'_>, list: &Node, visible: &Visible) -> Option<String> {
    let (name, place) = match fields.get("as") {
        Some(node) => (reader.text(node, "`as`")?, node.span.clone()),
        None => ("item", list.place()),
    };
    let is_good = check_identifier(reader, name, &place, "an item's name");
    if READABLE.iter().any(|it| it.name == name) || visible.names.iter().any(|it| it == name) {
        let help = "give the item another name with `as`".to_owned();
        reader.report_with_help(codes::NAME, &place, format!("`{name}` means something else here already"), Some(help));
        return None;
    }
    is_good.then(|| name.to_owned())
}
