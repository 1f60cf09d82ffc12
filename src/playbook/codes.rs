//! The codes of what can be wrong in a playbook, each with its meaning and its page.

/// One thing that can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// As reports show it, such as `P0007`. It never changes its meaning.
    pub id: &'static str,
    /// The meaning in one line; it begins with `warning: ` where the playbook can be used all the same.
    pub meaning: &'static str,
    /// The page about it, in Markdown: what it means, an example, why it matters, how to mend it.
    pub page: &'static str,
}

impl Code {
    /// Where the page can be read, if the source has a public home.
    pub fn address(&self) -> Option<String> {
        let home = Some(env!("CARGO_PKG_REPOSITORY")).filter(|home| !home.is_empty())?;
        Some(format!("{home}/blob/main/docs/problems/{}.md", self.id))
    }
}

/// One line for each code, in order: what it is called here, its number, its meaning. A code without a page does not compile.
macro_rules! codes {
    ($($name:ident = $id:literal: $meaning:literal,)+) => {
        $(pub(super) const $name: &str = $id;)+

        /// Every code, in the order of their numbers.
        pub const CODES: &[Code] = &[$(
            Code { id: $name, meaning: $meaning, page: include_str!(concat!("../../docs/problems/", $id, ".md")) },
        )+];
    };
}

codes! {
    YAML = "P0001": "the file is not YAML, or is larger, deeper or more repetitive than a playbook needs",
    UNKNOWN_KEY = "P0002": "a key is not known at this place",
    MISSING_KEY = "P0003": "a key that must be there is missing",
    WRONG_TYPE = "P0004": "a value is of another type than its key takes",
    NAME = "P0005": "a name holds other characters than names may, or too many",
    DUPLICATE_STEP = "P0006": "two steps have the same id",
    UNKNOWN_ACTION = "P0007": "a step uses an action that does not exist",
    UNKNOWN_PARAMETER = "P0008": "a step gives its action a parameter that it does not take",
    MISSING_PARAMETER = "P0009": "a step does not give its action a parameter that it needs",
    WRONG_PARAMETER = "P0010": "a parameter has a value that the action does not take",
    EXPRESSION = "P0011": "an expression cannot be compiled",
    UNKNOWN_FIELD = "P0012": "an alert has no such field",
    UNKNOWN_REFERENCE = "P0013": "an expression reads a step, variable or table that does not exist, or a step that comes later",
    DURATION = "P0014": "a duration is not written as `30s`, `5m`, `2h` or `30d`",
    WORD = "P0015": "a word is none of those that its key takes",
    OPERATOR = "P0016": "an operator of `match` is unknown or cannot work with its value",
    STEP_KIND = "P0018": "a step must do exactly one thing",
    CATCHES_ALL = "P0019": "warning: a destructive playbook runs for every alert",
    RANGE = "P0020": "a number is too small or too large",
    DUPLICATE_PLAYBOOK = "P0021": "two playbooks have the same name",
    FILE = "P0022": "a file cannot be read",
    TABLE = "P0023": "a lookup table is not a table with unique keys",
    FUNCTIONS = "P0024": "a file of functions cannot be compiled, or holds more than functions",
    UNKNOWN_FUNCTION = "P0025": "an expression calls a function that does not exist",
    UNKNOWN_CHANNEL = "P0026": "warning: a step tells people through a channel that is not configured",
    SECRET = "P0027": "a step would send a secret that is written in the playbook",
    MAY_NOT_HAVE_RUN = "P0028": "warning: an expression reads the output of a step that may not have run",
    UNREACHABLE = "P0029": "warning: a step can never be taken",
    UNGUARDED = "P0030": "warning: a destructive step that the site permits is held by no approval and no limit",
    LOOSER = "P0031": "warning: a playbook's guardrail is looser than the site's",
    NEVER_FIRES = "P0032": "a schedule never fires",
    NEVER_MATCHES = "P0033": "what a line of `match` asks excludes itself, so that no alert can fit",
    UNUSED_TABLE = "P0034": "warning: nothing reads a lookup table",
    SECRET_FLOWS = "P0035": "a secret flows to where it would be shown, kept or logged",
    CALL = "P0036": "a playbook calls one that cannot be called so",
    TESTS = "P0037": "a test file says something that does not exist",
    NO_RETURN = "P0038": "a step would be undone by itself in a way that cannot happen",
    NO_ACCESS = "P0039": "warning: a step works inside a customer's tenant, and its connection may not",
}
