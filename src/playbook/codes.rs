//! The codes of what can be wrong in a playbook, each with its meaning.

/// Every code with its meaning, as the documentation lists them. A code never changes its meaning.
pub const CODES: &[(&str, &str)] = &[
    (YAML, "the file is not YAML, or is larger, deeper or more repetitive than a playbook needs"),
    (UNKNOWN_KEY, "a key is not known at this place"),
    (MISSING_KEY, "a key that must be there is missing"),
    (WRONG_TYPE, "a value is of another type than its key takes"),
    (NAME, "a name holds other characters than names may, or too many"),
    (DUPLICATE_STEP, "two steps have the same id"),
    (UNKNOWN_ACTION, "a step uses an action that does not exist"),
    (UNKNOWN_PARAMETER, "a step gives its action a parameter that it does not take"),
    (MISSING_PARAMETER, "a step does not give its action a parameter that it needs"),
    (WRONG_PARAMETER, "a parameter has a value that the action does not take"),
    (EXPRESSION, "an expression cannot be compiled"),
    (UNKNOWN_FIELD, "an alert has no such field"),
    (UNKNOWN_REFERENCE, "an expression reads a step, variable or table that does not exist, or a step that comes later"),
    (DURATION, "a duration is not written as `30s`, `5m`, `2h` or `30d`"),
    (WORD, "a word is none of those that its key takes"),
    (OPERATOR, "an operator of `match` is unknown or cannot work with its value"),
    (STEP_KIND, "a step must do exactly one thing"),
    (CATCHES_ALL, "warning: a destructive playbook runs for every alert"),
    (RANGE, "a number is too small or too large"),
    (DUPLICATE_PLAYBOOK, "two playbooks have the same name"),
    (FILE, "a file cannot be read"),
    (TABLE, "a lookup table is not a table with unique keys"),
    (FUNCTIONS, "a file of functions cannot be compiled, or holds more than functions"),
    (UNKNOWN_FUNCTION, "an expression calls a function that does not exist"),
    (UNKNOWN_CHANNEL, "warning: a step tells people through a channel that is not configured"),
    (SECRET, "a step would send a secret that is written in the playbook"),
    (MAY_NOT_HAVE_RUN, "warning: an expression reads the output of a step that may not have run"),
    (UNREACHABLE, "warning: a step can never be taken"),
    (UNGUARDED, "warning: a destructive step can be reached without an approval or a guardrail"),
    (LOOSER, "warning: a playbook's guardrail is looser than the site's"),
    (NEVER_FIRES, "a schedule never fires"),
    (NEVER_MATCHES, "the lines of `match` exclude each other, so that no alert can fit"),
    (UNUSED_TABLE, "warning: no playbook reads a lookup table"),
    (CALL, "a playbook calls one that cannot be called so"),
];

pub(super) const YAML: &str = "P0001";
pub(super) const UNKNOWN_KEY: &str = "P0002";
pub(super) const MISSING_KEY: &str = "P0003";
pub(super) const WRONG_TYPE: &str = "P0004";
pub(super) const NAME: &str = "P0005";
pub(super) const DUPLICATE_STEP: &str = "P0006";
pub(super) const UNKNOWN_ACTION: &str = "P0007";
pub(super) const UNKNOWN_PARAMETER: &str = "P0008";
pub(super) const MISSING_PARAMETER: &str = "P0009";
pub(super) const WRONG_PARAMETER: &str = "P0010";
pub(super) const EXPRESSION: &str = "P0011";
pub(super) const UNKNOWN_FIELD: &str = "P0012";
pub(super) const UNKNOWN_REFERENCE: &str = "P0013";
pub(super) const DURATION: &str = "P0014";
pub(super) const WORD: &str = "P0015";
pub(super) const OPERATOR: &str = "P0016";
pub(super) const STEP_KIND: &str = "P0018";
pub(super) const CATCHES_ALL: &str = "P0019";
pub(super) const RANGE: &str = "P0020";
pub(super) const DUPLICATE_PLAYBOOK: &str = "P0021";
pub(super) const FILE: &str = "P0022";
pub(super) const TABLE: &str = "P0023";
pub(super) const FUNCTIONS: &str = "P0024";
pub(super) const UNKNOWN_FUNCTION: &str = "P0025";
pub(super) const UNKNOWN_CHANNEL: &str = "P0026";
pub(super) const SECRET: &str = "P0027";
pub(super) const MAY_NOT_HAVE_RUN: &str = "P0028";
pub(super) const UNREACHABLE: &str = "P0029";
pub(super) const UNGUARDED: &str = "P0030";
pub(super) const LOOSER: &str = "P0031";
pub(super) const NEVER_FIRES: &str = "P0032";
pub(super) const NEVER_MATCHES: &str = "P0033";
pub(super) const UNUSED_TABLE: &str = "P0034";
pub(super) const CALL: &str = "P0036";
