//! `quell check --explain CODE`: the page about a code.

use super::{Exit, output};
use crate::{playbook::CODES, problem::nearest};

pub(super) fn execute(code: &str) -> Exit {
    let wanted = code.to_uppercase();
    if let Some(found) = CODES.iter().find(|it| it.id == wanted) {
        output::print(found.page);
        return Exit::Done;
    }
    let help = nearest(&wanted, CODES.iter().map(|it| it.id)).map_or_else(
        || match (CODES.first(), CODES.last()) {
            (Some(first), Some(last)) => format!("they are `{}` to `{}`", first.id, last.id),
            (_, _) => String::new(),
        },
        |meant| format!("did you mean `{meant}`?"),
    );
    Exit::usage(&format!("there is no code `{code}`; {help}"))
}
