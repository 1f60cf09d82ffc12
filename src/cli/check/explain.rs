//! `quell check --explain CODE`: the page about a code.

use super::{Exit, output};
use crate::{playbook::CODES, problem::did_you_mean};

pub(super) fn execute(code: &str) -> Exit {
    let wanted = code.to_uppercase();
    if let Some(found) = CODES.iter().find(|it| it.id == wanted) {
        output::print(found.page);
        return Exit::Done;
    }
    let help = did_you_mean(&wanted, CODES.iter().map(|it| it.id)).unwrap_or_else(|| match (CODES.first(), CODES.last()) {
        (Some(first), Some(last)) => format!("they are `{}` to `{}`", first.id, last.id),
        (_, _) => String::new(),
    });
    Exit::usage(&format!("there is no code `{code}`; {help}"))
}
