//! From the text of a playbook to a playbook, or to the list of what is wrong with it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    Dedup, Playbook,
    arguments::Arguments,
    codes,
    node::{self, Kind, Node},
    reader::{Fields, Reader},
    step::{Body, Step, is_identifier},
    trigger::{AlertTrigger, Trigger},
    visible::{IN_ON_ERROR, IN_STEPS, IN_VARS, Visible},
};
use crate::{
    expression::{Sandbox, sha256},
    problem::{Problem, Severity},
    run::Mode,
};

/// Half a shift: what has not ended by then should be looked at by the people who are still there.
const TIMEOUT: Duration = Duration::from_hours(6);

/// Long enough for work that waits over a holiday.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24 * 30);

/// The same thing is reported again within a day, and is new after it.
const WINDOW: Duration = Duration::from_hours(24);

/// As long as alerts are kept.
const LONGEST_WINDOW: Duration = Duration::from_hours(24 * 400);

/// A playbook that needs more steps is two.
const MOST_STEPS: usize = 100;

const KEYS: &[&str] = &[
    "playbook",
    "description",
    "owner",
    "mode",
    "trigger",
    "dedup",
    "timeout",
    "vars",
    "steps",
    "on_error",
    "group",
    "throttle",
    "concurrency",
    "guardrails",
];

const NOT_YET: &[&str] = &["group", "throttle", "concurrency", "guardrails"];

impl Playbook {
    /// Reads a playbook. With it come warnings.
    ///
    /// # Errors
    /// Everything that is wrong with the text, warnings included, in the order of the file.
    pub fn parse(sandbox: &Sandbox, path: &Path, text: &str) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut reader = Reader::new(sandbox, path, text);
        let playbook = match node::parse(text) {
            Ok(node) => read(&mut reader, &node, path, text),
            Err(broken) => {
                reader.report(codes::YAML, &broken.span, broken.message);
                None
            }
        };
        let problems = reader.into_problems();
        let is_sound = problems.iter().all(|it| it.severity == Severity::Warning);
        match playbook {
            Some(playbook) if is_sound => Ok((playbook, problems)),
            Some(_) | None => Err(problems),
        }
    }
}

fn read(reader: &mut Reader<'_>, root: &Node, path: &Path, text: &str) -> Option<Playbook> {
    let fields = reader.fields(root, "a playbook", KEYS)?;
    fields.report_unsupported(reader, NOT_YET);
    let name = fields.require(reader, "playbook", "the file").and_then(|it| read_name(reader, it));
    let description = fields.get("description").and_then(|it| reader.text(it, "`description`")).unwrap_or_default().to_owned();
    let owner = fields.get("owner").and_then(|it| reader.text(it, "`owner`")).unwrap_or_default().to_owned();
    let modes: Vec<(&str, Mode)> = Mode::ALL.iter().map(|it| (it.as_str(), *it)).collect();
    // A playbook acts only where its author wrote so.
    let mode = fields.get("mode").and_then(|it| reader.word(it, "`mode`", &modes)).unwrap_or(Mode::Shadow);
    let trigger = fields.require(reader, "trigger", "the playbook").and_then(|it| AlertTrigger::read(reader, it));
    let dedup = fields.get("dedup").and_then(|it| read_dedup(reader, it));
    let timeout = fields.get("timeout").and_then(|it| reader.duration(it, "`timeout`", LONGEST_TIMEOUT)).unwrap_or(TIMEOUT);
    let vars = fields.get("vars").map(|it| read_vars(reader, it)).unwrap_or_default();
    let (steps, on_error) = read_steps(reader, &fields, &vars.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    let (name, trigger) = (name?, trigger?);
    warn_of_catching_all(reader, &fields, &trigger, &steps);
    let hash = sha256(text);
    Some(Playbook {
        name,
        description,
        owner,
        mode,
        trigger: Trigger::Alert(trigger),
        dedup,
        group: None,
        throttle: None,
        threshold: None,
        concurrency: None,
        guardrails: Vec::new(),
        inputs: Vec::new(),
        output: None,
        called: BTreeMap::new(),
        around: Arc::from("{}"),
        timeout,
        vars,
        steps,
        on_error,
        text: Arc::from(text),
        hash,
        path: path.into(),
    })
}

fn read_name(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let name = reader.text(node, "`playbook`")?;
    let is_good = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if is_good {
        return Some(name.to_owned());
    }
    let help = "a playbook's name has small letters, digits and `-`, and at most 64 of them".to_owned();
    reader.report_with_help(codes::NAME, &node.span, format!("`{name}` cannot be a playbook's name"), Some(help));
    None
}

fn read_dedup(reader: &mut Reader<'_>, node: &Node) -> Option<Dedup> {
    let fields = reader.fields(node, "`dedup`", &["key", "window"])?;
    let key = fields.require(reader, "key", "`dedup`").and_then(|it| reader.template(it, "`key`", &Visible::in_trigger()));
    let window = fields.get("window").and_then(|it| reader.duration(it, "`window`", LONGEST_WINDOW)).unwrap_or(WINDOW);
    Some(Dedup { key: key?, window })
}

fn read_vars(reader: &mut Reader<'_>, node: &Node) -> Vec<(String, Arguments)> {
    let mut known: Vec<String> = Vec::new();
    let mut vars = Vec::new();
    for (key, value) in reader.entries(node, "`vars`").unwrap_or_default() {
        if !is_identifier(&key.name) {
            let help = "a variable's name has small letters, digits and `_`, and starts with a letter".to_owned();
            reader.report_with_help(codes::NAME, &key.span, format!("`{}` cannot be a variable's name", key.name), Some(help));
        }
        let arguments = Arguments::read(reader, value, &Visible { names: IN_VARS, steps: &[], all_steps: &[], vars: &known });
        known.push(key.name.clone());
        // One that is broken was reported; that others read it is no further problem.
        vars.push((key.name.clone(), arguments.unwrap_or_else(Arguments::none)));
    }
    vars
}

/// The steps and those under `on_error`, whose ids are unique together.
fn read_steps(reader: &mut Reader<'_>, fields: &Fields<'_>, vars: &[String]) -> (Vec<Step>, Vec<Step>) {
    let nodes = fields.require(reader, "steps", "the playbook").and_then(|it| {
        let items = reader.list(it, "`steps`")?;
        if items.is_empty() {
            reader.report(codes::MISSING_KEY, &it.place(), "the playbook has no steps");
        }
        Some(items)
    });
    let nodes = nodes.unwrap_or_default();
    let after = fields.get("on_error").and_then(|it| reader.list(it, "`on_error` of a playbook")).unwrap_or_default();
    let all_steps: Vec<String> = nodes.iter().chain(after).filter_map(Step::id_of).collect();
    if let Some(node) = nodes.iter().chain(after).nth(MOST_STEPS) {
        reader.report(codes::RANGE, &node.place(), format!("a playbook has at most {MOST_STEPS} steps"));
    }
    let mut known = Vec::new();
    let mut take = |nodes: &[Node], names: &'static [&'static str]| {
        let mut steps = Vec::new();
        for node in nodes {
            report_duplicate(reader, node, &known);
            steps.extend(Step::read(reader, node, &Visible { names, steps: &known, all_steps: &all_steps, vars }));
            known.extend(Step::id_of(node));
        }
        steps
    };
    (take(nodes, IN_STEPS), take(after, IN_ON_ERROR))
}

fn report_duplicate(reader: &mut Reader<'_>, node: &Node, known: &[String]) {
    let Kind::Map(entries) = &node.kind else { return };
    let id = entries.iter().find(|(key, _)| key.name == "id").map(|(_, value)| value);
    if let Some(id) = id
        && let Kind::Text(text) = &id.kind
        && known.contains(text)
    {
        reader.report(codes::DUPLICATE_STEP, &id.span, format!("there is a step `{text}` already"));
    }
}

fn warn_of_catching_all(reader: &mut Reader<'_>, fields: &Fields<'_>, trigger: &AlertTrigger, steps: &[Step]) {
    let destructive = steps.iter().flat_map(Step::and_inner).find_map(|step| match &step.body {
        Body::Action { entry, .. } if entry.destructive => Some(entry.name),
        _ => None,
    });
    if let (Some(action), true, Some(key)) = (destructive, trigger.clauses.is_empty() && trigger.when.is_none(), fields.key("trigger")) {
        reader.warn(codes::CATCHES_ALL, &key.span, format!("every alert triggers this playbook, which uses `{action}`"));
    }
}
