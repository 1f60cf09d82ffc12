//! What is wrong with the settings, all of it.

use std::fmt;

use serde::Deserialize;

use super::{
    Config, Source,
    variables::{Layered, Variable},
};
use crate::problem::{Place, did_you_mean};

/// Something wrong with the settings, in a sentence that names the setting in backticks. No excerpt goes with it: there may be secrets in the
/// file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Fault {
    pub place: Option<Place>,
    pub message: String,
}

/// Everything that is wrong, where something is: reading stops at the first fault, so each part is read apart.
pub(super) fn faults(source: &Source, settings: Layered, variables: &[Variable], first: &serde_json::Error) -> Vec<Fault> {
    let fault = |(path, settings): (Vec<String>, Layered)| {
        let why = clearer(&Config::deserialize(settings).err()?.to_string());
        let setting: Vec<&str> = path.iter().map(String::as_str).collect();
        let above = variables.iter().find(|variable| variable.path.starts_with(&path)).map(|variable| {
            let name = variable.path.join("__").to_uppercase();
            format!("; the variable `QUELL_{name}` stands above the file")
        });
        // The number of an item says less than its place.
        let name = setting.iter().copied().filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".");
        Some(source.fault(&setting, format!("`{name}`: {why}{}", above.unwrap_or_default())))
    };
    let faults: Vec<_> = settings.parts().into_iter().filter_map(fault).collect();
    if faults.is_empty() { vec![source.fault(&[], first.to_string())] } else { faults }
}

/// The one key that can be meant says more than all that are known.
fn clearer(error: &str) -> String {
    let mut words = error.split('`').skip(1).step_by(2);
    let meant = words.next().filter(|_| error.starts_with("unknown field")).and_then(|key| Some((key, did_you_mean(key, words)?)));
    meant.map_or_else(|| error.to_owned(), |(key, meant)| format!("unknown field `{key}`; {meant}"))
}

/// All of them, as one error.
pub fn sentences(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nerror: ")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}
