//! One line of what was found.

use super::diagnoses::{Diagnosis, Grade};
use crate::news::Language;

/// Something that was found, good or bad.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The check that found it.
    pub part: &'static str,
    /// What it is about: a connection, a channel, the part itself.
    pub subject: String,
    /// What it is.
    pub diagnosis: &'static Diagnosis,
    /// What was answered, as the other side said it; empty where that says no more.
    pub seen: String,
    values: Vec<(&'static str, String)>,
}

impl Finding {
    pub(super) fn new(diagnosis: &'static Diagnosis, subject: impl Into<String>) -> Self {
        Self { part: "", subject: subject.into(), diagnosis, seen: String::new(), values: Vec::new() }
    }

    /// The check that found it.
    pub(super) fn of_part(mut self, part: &'static str) -> Self {
        self.part = part;
        self
    }

    /// What stands for `{name}` in its words.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are handed over as they are")]
    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.values.push((name, value.to_string()));
        self
    }

    /// The same, where another value stood for it.
    pub(super) fn naming(mut self, name: &'static str, value: impl ToString) -> Self {
        self.values.retain(|(known, _)| *known != name);
        self.with(name, value)
    }

    /// What was answered.
    pub(super) fn seen(mut self, seen: impl Into<String>) -> Self {
        self.seen = seen.into();
        self
    }

    /// What it is, in a sentence.
    pub fn what(&self, language: Language) -> String {
        self.filled(self.diagnosis.words(language).what)
    }

    /// What a person should do; empty where there is nothing to do.
    pub fn advice(&self, language: Language) -> String {
        self.filled(self.diagnosis.words(language).advice)
    }

    fn filled(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    fn has_cause_of(&self, other: &Self) -> bool {
        self.diagnosis.grade != Grade::Good && self.diagnosis.code == other.diagnosis.code && self.subject == other.subject
    }

    /// Takes in what another one says besides.
    fn join(&mut self, other: Self) {
        for (name, value) in other.values {
            match self.values.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) if known.split(", ").any(|it| it == value) => {}
                Some((_, known)) => *known = format!("{known}, {value}"),
                None => self.values.push((name, value)),
            }
        }
    }
}

/// One finding for each cause: several checks may come upon the same.
pub(super) fn joined(findings: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for finding in findings {
        match all.iter_mut().find(|it| it.has_cause_of(&finding)) {
            Some(known) => known.join(finding),
            None => all.push(finding),
        }
    }
    all
}

/// How bad it is altogether.
pub fn worst(findings: &[Finding]) -> Grade {
    findings.iter().map(|finding| finding.diagnosis.grade).max().unwrap_or(Grade::Good)
}
