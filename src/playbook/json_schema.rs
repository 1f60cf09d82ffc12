//! The JSON Schema of a playbook, for editors: completion, hover texts and the first check while a playbook is typed.
//!
//! `quell check` knows more than a schema can say. What both know they must say alike: `tests/static/check-schema.py` holds every playbook
//! that `quell check` accepts to this.

use serde_json::{Map, Value, json};

use super::{
    InputKind, MOST_ITEMS,
    fields::{self, Holds},
    reading::{KINDS, LARGEST_COUNT, LARGEST_QUORUM, MOST_AT_ONCE, MOST_ATTEMPTS},
};
use crate::{
    actions::CATALOG,
    alert::{Alert, Severity},
    duration::Span,
    run::{Class, Mode, Strategy},
};

/// What a text holds that is an expression as it stands.
pub const RHAI: &str = "text/x-rhai";

/// The schema, as `quell schema playbook` prints it.
pub fn json_schema() -> Value {
    let mut definitions = Map::new();
    definitions.insert("step".to_owned(), step());
    definitions.insert("steps".to_owned(), json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}}));
    definitions.insert("duration".to_owned(), schemars::schema_for!(Span).to_value());
    definitions.insert("expression".to_owned(), expression());
    definitions.insert("limit".to_owned(), limit());
    for field in fields::names() {
        definitions.insert(clause_name(field), clause(fields::holds(field).unwrap_or(Holds::Anything)));
    }
    for entry in CATALOG {
        definitions.insert(format!("with.{}", entry.name), parameters(entry));
    }
    let modes: Vec<_> = Mode::ALL.iter().map(|it| it.as_str()).collect();
    let strategies: Vec<_> = Strategy::ALL.iter().map(|it| it.as_str()).collect();
    let properties = json!({
        "playbook": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$", "description": "Its name, unique in the folder"},
        "description": {"type": "string", "description": "What it does and why, for people"},
        "owner": {"type": "string", "description": "Who answers for it"},
        "mode": {"enum": modes, "description": "Whether it acts. `shadow` decides and records, and never acts; it is what counts when nothing is written"},
        "trigger": trigger(),
        "dedup": about("Alerts that count as the same, and are answered once", object(json!({"key": text("Alerts with the same key are answered once"), "window": span("For how long")}), &["key"])),
        "group": about("Alerts that are answered together, by one run", object(json!({
            "by": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": field_names()}, "description": "The fields that must be the same"},
            "wait": span("How long the first alert waits for others"),
            "interval": span("How much time lies between two runs of the same group at least"),
        }), &["by"])),
        "throttle": about("How often it runs at most", object(json!({"key": text("Runs with the same key are counted together"), "max": count(LARGEST_COUNT, "How many runs"), "per": span("Within which while")}), &["key", "max", "per"])),
        "threshold": about("How often something must happen before it runs", object(json!({"key": text("Alerts with the same key are counted together"), "count": count(LARGEST_COUNT, "How many alerts it takes"), "within": span("Within which while")}), &["key", "count", "within"])),
        "concurrency": about("How many of its runs may be open at once", object(json!({
            "key": text("Runs with the same key are counted together"), "max": count(LARGEST_COUNT, "How many may be open at once"),
            "strategy": {"enum": strategies, "description": "What becomes of one too many"},
        }), &["key"])),
        "timeout": span("After how long a run ends as failed"),
        "guardrails": {"type": "array", "items": {"$ref": "#/$defs/limit"}, "description": "Limits on its actions, beside the site's"},
        "vars": {"type": "object", "propertyNames": name(), "description": "Values that are computed when a run starts; each may read the earlier ones"},
        "steps": {"$ref": "#/$defs/steps", "description": "What it does, in order"},
        "on_error": {"type": "array", "items": {"$ref": "#/$defs/step"}, "description": "What it does when a step has failed"},
        "output": {"description": "What it gives back to the playbook that called it"},
    });
    let mut schema = object(properties, &["playbook", "trigger", "steps"]);
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".to_owned(), "Quell playbook".into());
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

fn trigger() -> Value {
    let alert = object(
        json!({
            "match": matched(),
            "when": condition("Evaluated only where `match` holds"),
            "revisions": {"type": "boolean", "description": "Whether later changes of a known alert count too"},
        }),
        &[],
    );
    let schedule = object(
        json!({
            "cron": text("Minute, hour, day of the month, month, day of the week: `0 7 * * 1-5`"),
            "timezone": text("In whose time, e.g. `Europe/Berlin`; UTC if left out"),
            "catch_up": {"enum": ["skip", "last", "all"], "description": "What becomes of the times at which nothing could run"},
        }),
        &["cron"],
    );
    let kinds: Vec<_> = InputKind::ALL.iter().map(|(word, _)| *word).collect();
    let input = json!({"oneOf": [{"enum": kinds}, object(json!({
        "type": {"enum": kinds, "description": "What it holds"}, "default": {"description": "Its value where none is given; without one, it must be given"},
        "description": text("What it is, for people"),
    }), &["type"])]});
    let given = object(
        json!({"inputs": {"type": "object", "propertyNames": name(), "additionalProperties": input, "description": "What it is given"}}),
        &[],
    );
    let manual = json!({"oneOf": [{"type": "null"}, given], "description": "A person, or another playbook"});
    let (alert, schedule) = (about("Alerts that match", alert), about("The clock", schedule));
    let mut trigger = object(json!({"alert": alert, "schedule": schedule, "manual": manual}), &[]);
    if let Value::Object(trigger) = &mut trigger {
        trigger.insert("description".to_owned(), "What makes it run: an alert, the clock, or a person or another playbook".into());
        trigger.insert("minProperties".to_owned(), 1.into());
        trigger.insert("maxProperties".to_owned(), 1.into());
    }
    trigger
}

/// A field of an alert, or a path into one that holds whatever the source says.
fn field_names() -> String {
    format!("^({})(\\..+)?$", fields::names().collect::<Vec<_>>().join("|"))
}

fn matched() -> Value {
    let alert = schemars::schema_for!(Alert).to_value();
    let field = |name: &'static str| {
        let description = alert.pointer(&format!("/properties/{name}/description")).cloned().unwrap_or_default();
        (name.to_owned(), json!({"$ref": format!("#/$defs/{}", clause_name(name)), "description": description}))
    };
    let properties: Map<String, Value> = fields::names().map(field).collect();
    json!({
        "type": "object", "properties": properties, "propertyNames": {"pattern": field_names()},
        "additionalProperties": {"$ref": "#/$defs/clause.anything"}, "description": "Every line must hold; a list means any of",
    })
}

/// Fields that hold the same are asked the same.
fn clause_name(field: &str) -> String {
    match fields::holds(field).unwrap_or(Holds::Anything) {
        Holds::Text | Holds::Texts => "clause.text".to_owned(),
        Holds::Word(_) => format!("clause.{field}"),
        Holds::Flag => "clause.flag".to_owned(),
        Holds::Anything => "clause.anything".to_owned(),
    }
}

/// What can be asked of a field: a value, several of which one must fit, or operators.
fn clause(holds: Holds) -> Value {
    let value = match holds {
        Holds::Text | Holds::Texts => json!({"type": "string"}),
        Holds::Word(words) => json!({"enum": words}),
        Holds::Flag => json!({"type": "boolean"}),
        Holds::Anything => json!({"type": ["string", "number", "boolean"]}),
    };
    let list = |items: &Value, what: &str| json!({"oneOf": [items, {"type": "array", "minItems": 1, "items": items}], "description": what});
    let text = json!({"type": "string"});
    let number = |what: &str| json!({"type": "number", "description": what});
    let severities: Vec<_> = Severity::ALL.iter().map(|it| it.as_str()).collect();
    let operators = json!({
        "any_of": list(&value, "It is one of these"), "not": list(&value, "It is none of these"),
        "prefix": list(&text, "It begins so"), "suffix": list(&text, "It ends so"), "contains": list(&text, "This is a part of it"),
        "cidr": list(&text, "The address lies in this range"),
        "regex": {"type": "string", "description": "The regular expression is found in it"},
        "exists": {"type": "boolean", "description": "Whether the alert has it at all"},
        "at_least": {"enum": severities, "description": "It is that severe, or more"},
        "gt": number("It is larger"), "gte": number("It is as large, or larger"),
        "lt": number("It is smaller"), "lte": number("It is as small, or smaller"),
    });
    json!({"oneOf": [value, {"type": "array", "minItems": 1, "items": value}, object(operators, &[])]})
}

fn step() -> Value {
    let steps = || json!({"$ref": "#/$defs/steps", "description": "The steps inside, in order"});
    let case = json!({"oneOf": [
        object(json!({"if": condition("When these steps are taken"), "steps": steps()}), &["if", "steps"]),
        object(json!({"else": {"$ref": "#/$defs/steps", "description": "The steps where no case holds"}}), &["else"]),
    ]});
    let undo = object(
        json!({"action": action_names(), "with": parameters_of_action(), "expires": span("For how long it can be undone; 30d if left out"),
               "after": span("How long after it was done it is undone by itself, unless a person keeps it")}),
        &["action"],
    );
    let reads: Vec<_> = CATALOG.iter().filter(|entry| entry.class == Class::Read).map(|entry| entry.name).collect();
    let verify = object(
        json!({"action": {"enum": reads, "description": "How it is read"}, "with": parameters_of_action(), "reached": condition("Whether what was read, the `output`, is as wanted")}),
        &["action", "reached"],
    );
    let properties = json!({
        "id": about("Its name, by which later steps read its outcome", name()),
        "if": condition("It is skipped where this is false"),
        "action": action_names(),
        "with": parameters_of_action(),
        "timeout": span("How long one attempt may take"),
        "retry": about("How it is tried again after an attempt that did not happen", object(json!({
            "max_attempts": count(MOST_ATTEMPTS, "How often it is tried"), "delay": span("The first wait"),
            "backoff": {"enum": ["constant", "linear", "exponential"], "description": "How the waits grow"}, "max_delay": span("The longest wait"),
        }), &[])),
        "on_error": {"oneOf": [{"enum": ["fail", "continue", "rollback"]}, object(json!({"output": {"description": "Its output then, with which the run goes on"}}), &["output"])],
                     "description": "What follows when it fails for good"},
        "rollback": about("How what it did is undone", with_parameters(undo)),
        "verify": about("How it is looked whether it happened", with_parameters(verify)),
        "stop": about("Ends the run", object(json!({
            "outcome": {"enum": ["done", "no_action", "failed"], "description": "As what the run ends"}, "reason": text("Why, for people"),
        }), &["outcome", "reason"])),
        "switch": {"type": "array", "minItems": 1, "items": case, "description": "Takes the steps of the first case that holds"},
        "foreach": {"type": ["string", "array"], "maxItems": MOST_ITEMS, "description": "Takes its steps once for every item of a list"},
        "as": {"allOf": [name()], "description": "The name by which its steps read the item"},
        "max_parallel": count(MOST_AT_ONCE, "How many items are worked on at once"),
        "steps": steps(),
        "parallel": {"type": "object", "minProperties": 1, "propertyNames": name(), "additionalProperties": steps(), "description": "Takes several branches at once"},
        "join": {"oneOf": [{"enum": ["all", "any"]}, {"type": "integer", "minimum": 1}], "description": "How many branches must succeed"},
        "script": {"type": "string", "contentMediaType": RHAI, "description": "Computes its output, in rhai"},
        "wait": {"oneOf": [object(json!({"for": span("So long")}), &["for"]), object(json!({"until": condition("Until this time")}), &["until"])],
                 "description": "Lets time pass"},
        "playbook": text("Takes the steps of another playbook"),
        "inputs": {"type": "object", "description": "What that playbook is given"},
        "approval": approval(),
    });
    let mut step = with_parameters(object(properties, &["id"]));
    if let Value::Object(step) = &mut step {
        let one = |(kind, _): &(&str, _)| json!({"required": [kind]});
        step.insert("oneOf".to_owned(), KINDS.iter().map(one).collect());
    }
    step
}

/// The same object, in which `with` takes what the `action` beside it does.
fn with_parameters(mut object: Value) -> Value {
    let with = CATALOG.iter().map(|entry| {
        json!({"if": {"properties": {"action": {"const": entry.name}}, "required": ["action"]},
               "then": {"properties": {"with": {"$ref": format!("#/$defs/with.{}", entry.name)}}}})
    });
    if let Value::Object(fields) = &mut object {
        fields.insert("allOf".to_owned(), with.collect());
    }
    object
}

fn parameters_of_action() -> Value {
    json!({"type": "object", "description": "The parameters of the action"})
}

fn approval() -> Value {
    let names = |what: &str| json!({"type": "array", "minItems": 1, "items": {"type": "string"}, "description": what});
    let approval = object(
        json!({
            "title": text("What people are asked"),
            "for_steps": names("The steps that may be taken when they agree"),
            "groups": names("Who is asked"),
            "quorum": count(LARGEST_QUORUM, "How many must agree"),
            "channels": names("Where they are asked"),
            "timeout": span("How long they may think"),
            "on_timeout": {"enum": ["reject", "approve"], "description": "What counts when nobody has answered; somebody must have thought of it"},
            "escalate": {"type": "array", "items": object(json!({"after": span("After which while"), "groups": names("Whom to ask as well")}), &["after", "groups"]),
                         "description": "Who is asked as well when nobody answers"},
        }),
        &["title", "for_steps", "groups", "channels", "on_timeout"],
    );
    about("Asks people whether steps may be taken", approval)
}

fn limit() -> Value {
    object(
        json!({
            "action": text("An action, or a group such as `subscription.*`"),
            "max": count(LARGEST_COUNT, "How many steps"),
            "per": span("Within which while"),
            "on_exceed": {"enum": ["stop", "require_approval"], "description": "What becomes of one too many"},
        }),
        &["action", "max", "per"],
    )
}

/// The parameters as the action's type says, where any of them may be an expression instead.
fn parameters(entry: &crate::actions::Entry) -> Value {
    let mut schema = entry.schema().to_value();
    let definitions = schema.as_object_mut().and_then(|it| it.remove("$defs"));
    if let Some(definitions) = &definitions {
        inline(&mut schema, definitions);
    }
    let Value::Object(fields) = &mut schema else { return schema };
    fields.remove("$schema");
    for property in fields.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let described = property.get("description").cloned().unwrap_or_default();
        *property = json!({"description": described, "anyOf": [property.take(), {"type": "string", "pattern": "\\$\\{"}]});
    }
    schema
}

/// Puts definitions in the place of their names: the parameters of many actions share one document.
fn inline(value: &mut Value, definitions: &Value) {
    let target = value.get("$ref").and_then(Value::as_str).and_then(|name| definitions.get(name.strip_prefix("#/$defs/")?)).cloned();
    if let Some(mut target) = target {
        let described = value.get("description").cloned();
        inline(&mut target, definitions);
        if let (Some(described), Value::Object(fields)) = (described, &mut target) {
            fields.insert("description".to_owned(), described);
        }
        *value = target;
        return;
    }
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|it| inline(it, definitions)),
        Value::Array(items) => items.iter_mut().for_each(|it| inline(it, definitions)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn action_names() -> Value {
    let choices: Vec<_> = CATALOG.iter().map(|entry| json!({"const": entry.name, "description": entry.summary})).collect();
    json!({"oneOf": choices, "description": "What it does"})
}

fn object(properties: Value, required: &[&str]) -> Value {
    let mut schema = json!({"type": "object", "required": required, "additionalProperties": false});
    if let Value::Object(fields) = &mut schema {
        fields.insert("properties".to_owned(), properties);
    }
    schema
}

fn about(description: &str, mut schema: Value) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".to_owned(), description.into());
    }
    schema
}

fn condition(description: &str) -> Value {
    json!({"$ref": "#/$defs/expression", "description": description})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn count(most: u32, description: &str) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": most, "description": description})
}

/// What can stand as a name in expressions.
fn name() -> Value {
    json!({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"})
}

fn span(description: &str) -> Value {
    json!({"$ref": "#/$defs/duration", "description": description})
}

fn expression() -> Value {
    json!({"type": ["string", "boolean"], "contentMediaType": RHAI, "description": "A rhai expression, without `${ }`"})
}
