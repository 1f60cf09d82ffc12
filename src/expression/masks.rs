//! `${ secret("name") }`: no function, but a place in a text. A script never has the value, so that none can show it, keep it or decide on it:
//! what is rendered has a mask in that place, and the value is put in where the text is used.

use super::names;

/// As what it is written.
pub(super) const FUNCTION: &str = "secret";

/// Why it cannot stand somewhere.
pub(super) const MISPLACED: &str =
    "a secret stands only in the `with` of an action that takes one, alone in its `${ }`: `${ secret(\"name\") }`";

/// Why it cannot stand where secrets are taken.
pub(super) const INSIDE: &str = "a secret stands alone in its `${ }`, not inside a larger expression, which could take it apart or keep it; \
     write other text around it, as in `Bearer ${ secret(\"name\") }`";

/// Why a text cannot be used.
pub(super) const AMBIGUOUS: &str = "a text beside a secret must not hold `secret(\"` itself";

/// How each mask begins, and nothing inside of one.
const BEGINNING: &str = "secret(\"";

/// The secret that an expression is, if it is nothing else.
pub(super) fn secret(expression: &str) -> Option<String> {
    names::sole_call(expression, FUNCTION).filter(|name| !name.is_empty() && !name.contains('\\'))
}

/// What is shown in a secret's place.
pub(super) fn mask(name: &str) -> String {
    format!("{BEGINNING}{name}\")")
}

/// How many masks stand in a text.
pub(super) fn count(text: &str) -> usize {
    text.matches(BEGINNING).count()
}
