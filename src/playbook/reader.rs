//! Reads values out of the tree of a playbook, and collects what is wrong with them.
//!
//! A reader never stops: what cannot be read is reported and left out, so that all problems of a file are shown at once.

use std::{ops::Range, path::Path, time::Duration};

use serde_json::Value;

use super::{
    codes,
    node::{Key, Kind, Node},
    visible::Visible,
};
use crate::{
    actions::CATALOG,
    duration::Span,
    expression::{Expression, ExpressionError, Lookups, Sandbox, Script, Template},
    problem::{Fix, Place, Problem, did_you_mean, only_near},
};

/// The file being read and its problems so far.
pub(super) struct Reader<'a> {
    pub(super) sandbox: &'a Sandbox,
    path: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
    /// The calls of other playbooks that were read.
    pub(super) calls: Vec<CallSite>,
    /// The tables that expressions read.
    lookups: Lookups,
}

/// A call of another playbook, as far as it can be checked once that is known.
#[derive(Debug)]
pub(super) struct CallSite {
    pub(super) playbook: String,
    pub(super) place: Place,
    pub(super) inputs: Vec<GivenInput>,
}

/// An input that a call gives.
#[derive(Debug)]
pub(super) struct GivenInput {
    pub(super) name: String,
    /// Where its name stands, and where its value.
    pub(super) places: [Place; 2],
    /// Its value, if it holds no expression.
    pub(super) constant: Option<Value>,
}

/// More than a person reads. What comes after it in a file costs no memory, and is found once these are mended.
const MOST_PROBLEMS: usize = 500;

/// A playbook acts only where its author wrote so.
const ONLY_BY_HAND: &[&str] = &["enforce"];

/// The entries of a map whose keys are known.
pub(super) struct Fields<'n> {
    entries: Vec<(&'n Key, &'n Node)>,
    place: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sandbox: &'a Sandbox, path: &'a Path, text: &'a str) -> Self {
        Self { sandbox, path, text, problems: Vec::new(), calls: Vec::new(), lookups: Lookups::default() }
    }

    /// Everything that was reported, in the order of the file, the calls that were read, and the tables that expressions read.
    pub(super) fn into_parts(mut self) -> (Vec<Problem>, Vec<CallSite>, Lookups) {
        self.problems.sort_by_key(|it| it.place.span.start);
        (self.problems, self.calls, self.lookups)
    }

    /// What a piece of work would report, without reporting it.
    pub(super) fn attempt(&mut self, work: impl FnOnce(&mut Self)) -> Vec<Problem> {
        let before = self.problems.len();
        work(self);
        self.problems.split_off(before)
    }

    /// A place in the file.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        place_in(self.path, self.text, span)
    }

    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    pub(super) fn report(&mut self, code: &'static str, span: &Range<usize>, message: impl Into<String>) {
        self.report_with_help(code, span, message, None);
    }

    pub(super) fn report_with_help(&mut self, code: &'static str, span: &Range<usize>, message: impl Into<String>, help: Option<String>) {
        if !self.is_full() {
            let problem = Problem::error(code, message, place_in(self.path, self.text, span));
            self.problems.push(Problem { help, ..problem });
        }
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }

    /// Lets `--fix` write what the last problem's misspelt name must mean. Only for the file's own words: what an action, a step or a channel
    /// is called is nothing to guess at.
    pub(super) fn offer_fix(&mut self, name: &str, known: &[&str]) {
        let Some(meant) = only_near(name, known.iter().copied()).filter(|meant| !ONLY_BY_HAND.contains(meant)) else { return };
        if self.is_full() {
            // The last problem need not be the one that is meant.
            return;
        }
        let Some(problem) = self.problems.last_mut() else { return };
        // A name in quotes, with escapes or behind an alias does not stand in the file as it reads.
        if self.text.get(problem.place.span.clone()) == Some(name) {
            problem.fix = Some(Fix { span: problem.place.span.clone(), text: meant.to_owned() });
        }
    }

    pub(super) fn warn(&mut self, code: &'static str, span: &Range<usize>, message: impl Into<String>) {
        if !self.is_full() {
            self.problems.push(Problem::warning(code, message, place_in(self.path, self.text, span)));
        }
    }

    pub(super) fn warn_with_help(&mut self, code: &'static str, span: &Range<usize>, message: impl Into<String>, help: String) {
        if !self.is_full() {
            self.problems.push(Problem::warning(code, message, place_in(self.path, self.text, span)).help(help));
        }
    }

    /// The entries of a map; reports every key that is not among the known ones, and whatever is not a map.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let entries = self.entries(node, what)?;
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) {
                let help = did_you_mean(&key.name, known.iter().copied()).unwrap_or_else(|| format!("{what} takes {}", listed(known)));
                self.report_with_help(codes::UNKNOWN_KEY, &key.span, format!("unknown key `{}`", key.name), Some(help));
                self.offer_fix(&key.name, &absent(known, entries));
            }
        }
        Some(Fields { entries: entries.iter().map(|(key, value)| (key, value)).collect(), place: node.place() })
    }

    /// The entries of a map with any keys.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        if let Kind::Map(entries) = &node.kind {
            return Some(entries);
        }
        self.wrong_type(node, what, "a map");
        None
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Kind::List(items) = &node.kind {
            return Some(items);
        }
        self.wrong_type(node, what, "a list");
        None
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        if let Kind::Text(text) = &node.kind {
            return Some(text);
        }
        self.wrong_type(node, what, "a text");
        None
    }

    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Kind::Bool(it) = node.kind {
            return Some(it);
        }
        self.wrong_type(node, what, "true or false");
        None
    }

    pub(super) fn whole_number(&mut self, node: &Node, what: &str, range: Range<u32>) -> Option<u32> {
        let Kind::Number(number) = &node.kind else {
            self.wrong_type(node, what, "a number");
            return None;
        };
        let found = number.as_u64().and_then(|it| u32::try_from(it).ok()).filter(|it| range.contains(it));
        if found.is_none() {
            let last = range.end.saturating_sub(1);
            self.report(codes::RANGE, &node.span, format!("{what} must be a whole number from {} to {last}, and is {number}", range.start));
        }
        found
    }

    /// A duration such as `30s`.
    pub(super) fn duration(&mut self, node: &Node, what: &str, longest: Duration) -> Option<Duration> {
        let text = self.text(node, what)?;
        let Ok(Span(duration)) = Span::parse(text) else {
            let help = "durations are written as `500ms`, `30s`, `5m`, `2h` or `30d`".to_owned();
            self.report_with_help(codes::DURATION, &node.span, format!("{what} is not a duration: `{text}`"), Some(help));
            return None;
        };
        if duration > longest {
            self.report(codes::RANGE, &node.span, format!("{what} is `{text}`, over the longest of `{}`", Span(longest)));
            return None;
        }
        Some(duration)
    }

    /// A duration that is not nothing.
    pub(super) fn some_time(&mut self, node: &Node, what: &str, longest: Duration) -> Option<Duration> {
        let duration = self.duration(node, what, longest)?;
        if duration.is_zero() {
            self.report(codes::RANGE, &node.span, format!("{what} is no time at all"));
            return None;
        }
        Some(duration)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, it)| *it);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let help = did_you_mean(text, names.iter().copied()).unwrap_or_else(|| format!("it is one of {}", listed(&names)));
            self.report_with_help(codes::WORD, &node.span, format!("{what} cannot be `{text}`"), Some(help));
            self.offer_fix(text, &names);
        }
        found
    }

    /// A condition, written without `${ }`; the words `true` and `false` are conditions too.
    pub(super) fn condition(&mut self, node: &Node, what: &str, visible: &Visible) -> Option<Expression> {
        let text = match &node.kind {
            Kind::Bool(it) => it.to_string(),
            Kind::Text(text) => text.clone(),
            Kind::Null | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => {
                self.wrong_type(node, what, "a condition");
                return None;
            }
        };
        if text.trim_start().starts_with("${") {
            let help = "a condition is an expression as a whole, without `${` and `}`".to_owned();
            self.report_with_help(codes::EXPRESSION, &node.span, format!("{what} stands in `${{ }}`"), Some(help));
            return None;
        }
        let compiled = self.sandbox.expression(&text, &names_of(visible));
        self.compiled(node, &text, compiled, visible)
    }

    /// Several lines of code whose last value is the result.
    pub(super) fn script(&mut self, node: &Node, what: &str, visible: &Visible) -> Option<Script> {
        let text = self.text(node, what)?;
        let compiled = self.sandbox.script(text, &names_of(visible));
        self.compiled(node, text, compiled, visible)
    }

    fn compiled<T>(&mut self, node: &Node, text: &str, compiled: Result<T, ExpressionError>, visible: &Visible) -> Option<T> {
        match compiled {
            Ok(program) => {
                self.check_names(node, text, 0, visible);
                Some(program)
            }
            Err(error) => {
                self.expression_error(node, &error);
                None
            }
        }
    }

    /// A text that may hold `${ }`.
    pub(super) fn template(&mut self, node: &Node, what: &str, visible: &Visible) -> Option<Template> {
        let text = self.text(node, what)?;
        let names = names_of(visible);
        let compiled =
            if visible.takes_secrets { self.sandbox.template_with_secrets(text, &names) } else { self.sandbox.template(text, &names) };
        match compiled {
            Ok(template) => {
                for (expression, start) in template.expressions() {
                    self.check_names(node, expression.text(), start, visible);
                }
                Some(template)
            }
            Err(error) => {
                self.expression_error(node, &error);
                None
            }
        }
    }

    /// Looking for what was meant by each wrong name takes time, so it ends where nothing more is reported.
    fn check_names(&mut self, node: &Node, text: &str, start: usize, visible: &Visible) {
        self.lookups.add(text);
        if !self.is_full() {
            visible.check(self, node, text, start);
        }
    }

    /// The bytes of the file at which the given bytes of a text's value stand.
    pub(super) fn span_inside(&self, node: &Node, within: &Range<usize>) -> Range<usize> {
        let Kind::Text(value) = &node.kind else { return node.span.clone() };
        match self.locate(node, value, within.start) {
            Some(start) => start..start + within.len(),
            None => node.span.clone(),
        }
    }

    /// Where in the file a byte of a text's value stands. Block texts lost their indentation and quoted ones may hold escapes, so the
    /// line of the value is looked for among the lines of the file.
    fn locate(&self, node: &Node, value: &str, offset: usize) -> Option<usize> {
        let before = value.get(..offset)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = value.get(line_start..)?.lines().next().unwrap_or_default();
        let skip = before.matches('\n').count();
        let lines = || self.text.get(node.span.clone()).map(|it| it.split_inclusive('\n'));
        let passed: usize = lines()?.take(skip).map(str::len).sum();
        let at = lines()?.nth(skip)?.find(line)?;
        Some(node.span.start + passed + at + offset - line_start)
    }

    fn expression_error(&mut self, node: &Node, error: &ExpressionError) {
        let place = self.span_inside(node, &(error.offset..error.offset + 1));
        let after = self.text.get(node.span.end..).and_then(|it| it.lines().next()).unwrap_or_default();
        let is_cut = after.trim_start().starts_with('#');
        if error.is_of_secret() {
            let taking: Vec<&str> = CATALOG.iter().filter(|entry| entry.takes_secrets).map(|entry| entry.name).collect();
            let help = || format!("what takes secrets is {}; everything else is shown, kept or logged", listed(&taking));
            let help = error.is_of_secret_elsewhere().then(help);
            self.report_with_help(codes::SECRET_FLOWS, &place, error.message.clone(), help);
            return;
        }
        let help = is_cut.then(|| "` #` begins a comment in YAML, so this text needs quotes around it".to_owned());
        self.report_with_help(codes::EXPRESSION, &place, error.message.clone(), help);
    }

    fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        self.report(codes::WRONG_TYPE, &node.place(), format!("{what} must be {wanted}, and is {}", node.what()));
    }
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| *value)
    }

    pub(super) fn key(&self, name: &str) -> Option<&'n Key> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(key, _)| *key)
    }

    /// The keys that are there, among some.
    pub(super) fn keys_among(&self, names: &[&str]) -> Vec<&'n Key> {
        self.entries.iter().map(|(key, _)| *key).filter(|key| names.contains(&key.name.as_str())).collect()
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, reader: &mut Reader<'_>, name: &str, what: &str) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            reader.report(codes::MISSING_KEY, &self.place, format!("{what} has no `{name}`"));
        }
        found
    }

    /// Where to point when the whole is meant.
    pub(super) fn place(&self) -> &Range<usize> {
        &self.place
    }
}

/// The known keys that are not there yet: a key that is written twice is refused.
fn absent<'k>(known: &[&'k str], entries: &[(Key, Node)]) -> Vec<&'k str> {
    known.iter().copied().filter(|name| entries.iter().all(|(key, _)| key.name != *name)).collect()
}

/// A place in a file that begins and ends between characters, as whoever shows it needs it.
pub(super) fn place_in(path: &Path, text: &str, span: &Range<usize>) -> Place {
    let start = text.floor_char_boundary(span.start);
    Place::in_text(path, text, start..text.ceil_char_boundary(span.end.max(start)))
}

fn names_of(visible: &Visible) -> Vec<&str> {
    visible.names.iter().map(String::as_str).collect()
}

/// Names for a sentence.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}
