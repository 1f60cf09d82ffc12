//! A problem in a file that a person wrote: what is wrong, where, why, and what to do.
//!
//! Problems are collected and shown together, as a compiler does; they are not errors that end something.

use std::{fmt, ops::Range, path::PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// One thing wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable code such as `P0007`, under which the documentation explains it.
    pub code: &'static str,
    /// Whether the file cannot be used, or only deserves a look.
    pub severity: Severity,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// Where it is.
    pub place: Place,
    /// What to do about it.
    pub help: Option<String>,
    /// The change that mends it, where only one can be meant and a program may make it.
    pub fix: Option<Fix>,
}

/// A change to the file of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// The bytes that go.
    pub span: Range<usize>,
    /// What comes in their place.
    pub text: String,
}

/// Whether a problem makes its file unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; somebody should look.
    Warning,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The file, as the user would name it.
    pub path: PathBuf,
    /// The bytes it covers; empty at the end of what can be located.
    pub span: Range<usize>,
    /// The line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The column in characters, from 1; 0 when the whole file is meant.
    pub column: usize,
}

impl Problem {
    /// An error at a place.
    pub fn error(code: &'static str, message: impl Into<String>, place: Place) -> Self {
        Self { code, severity: Severity::Error, message: shortened(message.into()), place, help: None, fix: None }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, message: impl Into<String>, place: Place) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, place) }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The problem with an excerpt of its file, as a terminal shows it.
    pub fn render(&self, source: &str, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = self.place.path.display().to_string();
        let title = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        let mut group = if self.place.line == 0 {
            title.element(Origin::path(path.as_str()))
        } else {
            // The file may have changed since it was read.
            let span = source.floor_char_boundary(self.place.span.start)..source.ceil_char_boundary(self.place.span.end);
            title.element(Snippet::source(source).path(path.as_str()).annotation(AnnotationKind::Primary.span(span)))
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl Place {
    /// A place in a text, its line and column counted from the span's start.
    pub fn in_text(path: impl Into<PathBuf>, text: &str, span: Range<usize>) -> Self {
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { path: path.into(), span, line, column }
    }

    /// The line and column behind the last character, in the text that it is a place of.
    pub fn end(&self, text: &str) -> (usize, usize) {
        let end = text.ceil_char_boundary(self.span.end);
        let last = Self::in_text(PathBuf::new(), text, end..end);
        (last.line, last.column)
    }

    /// A whole file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.place, self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

/// A sentence that people read: a name of a thousand letters in it is cut.
const LONGEST_MESSAGE: usize = 500;

fn shortened(message: String) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE).and_then(|(end, _)| message.get(..end)) {
        Some(start) => format!("{start}…"),
        None => message,
    }
}

/// `did you mean …?`, if a known name is near.
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(name, known).map(|it| format!("did you mean `{it}`?"))
}

/// The known name that is nearest to a misspelt one, if any is near enough to be meant. One that goes on where the other ends, as
/// `subscription_id` after `subscription`, is nearer than any slip.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let goes_on = |it: &str| !name.is_empty() && it.strip_prefix(name).is_some_and(|rest| rest.starts_with(['_', '.']));
    let nearness = |it: &'a str| Some((if goes_on(it) { 0 } else { slips(name, it)? }, it));
    known.into_iter().filter_map(nearness).min().map(|(_, it)| it)
}

/// The only known name of which a misspelt one can be a slip; `None` also where two are near enough, however much nearer one of them is.
pub fn only_near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut near = known.into_iter().filter(|it| slips(name, it).is_some());
    let found = near.next()?;
    near.next().is_none().then_some(found)
}

/// How many slips lie between two names, if so few that one can be meant by the other. Capitals are none.
fn slips(name: &str, known: &str) -> Option<usize> {
    let most = 1.max(name.len().min(known.len()) / 3);
    // A name that is much longer cannot be near, and comparing it takes as long as it is.
    let may_be_near = name.len().abs_diff(known.len()) <= most * char::MAX_LEN_UTF8;
    may_be_near.then(|| distance(&name.to_ascii_lowercase(), &known.to_ascii_lowercase())).filter(|distance| *distance <= most)
}

/// How many insertions, removals, replacements and swaps of neighbours turn one text into the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // The row above the last one, and the letter that it was for: a swap reaches back over both.
    let mut earlier: Vec<usize> = Vec::new();
    let mut letter_before = None;
    for (at, a) in left.chars().enumerate() {
        let mut next = vec![at + 1];
        for (column, b) in right.iter().enumerate() {
            let cell = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = cell(&row, column) + usize::from(a != *b);
            let is_swap = letter_before == Some(*b) && column.checked_sub(1).and_then(|it| right.get(it)) == Some(&a);
            let swapped = if is_swap { cell(&earlier, column - 1) + 1 } else { usize::MAX };
            next.push(changed.min(cell(&row, column + 1) + 1).min(cell(&next, column) + 1).min(swapped));
        }
        earlier = std::mem::replace(&mut row, next);
        letter_before = Some(a);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("severty", ["severity", "status"]), Some("severity"));
        assert_eq!(nearest("notifi", ["notify", "log"]), Some("notify"));
        assert_eq!(nearest("stesp", ["steps", "mode"]), Some("steps"), "two letters that changed places are one slip");
        assert_eq!(nearest("LOG", ["notify", "log"]), Some("log"));
        assert_eq!(nearest("subscription", ["description", "subscription_id"]), Some("subscription_id"));
        assert_eq!(nearest("elephant", ["notify", "log"]), None);
        assert_eq!(nearest(&"x".repeat(100_000), ["notify"]), None);
    }

    #[test]
    fn a_name_is_certain_only_where_no_other_is_near() {
        assert_eq!(only_near("sevrity", ["severity", "status"]), Some("severity"));
        assert_eq!(only_near("lts", ["lt", "lte", "gt"]), None, "`lt` and `lte` are near");
        assert_eq!(only_near("on", ["on_error", "owner"]), None, "what goes on is no slip");
        assert_eq!(only_near("elephant", ["notify", "log"]), None);
    }

    #[test]
    fn distances_count_single_slips() {
        for (left, right, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "acb", 1), ("abcd", "badc", 2), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(left, right), distance(right, left)), (expected, expected), "{left} {right}");
        }
    }

    #[test]
    fn a_place_ends_behind_its_last_character() {
        let text = "a: ü\nb: x";
        assert_eq!(Place::in_text("a", text, 3..5).end(text), (1, 5));
        assert_eq!(Place::in_text("a", text, 9..10).end(text), (2, 5));
    }

    #[test]
    fn a_problem_shows_its_place_and_excerpt() {
        let text = "playbook: a\nstesp: []\n";
        let problem = Problem::error("P0002", "unknown key `stesp`", Place::in_text("a.yaml", text, 12..17)).help("did you mean `steps`?");
        assert_eq!(problem.to_string(), "P0002 a.yaml:2:1: unknown key `stesp`; did you mean `steps`?");
        let shown = problem.render(text, false);
        assert!(shown.contains("a.yaml:2:1") && shown.contains("^^^^^") && shown.contains("did you mean"), "{shown}");
    }
}
