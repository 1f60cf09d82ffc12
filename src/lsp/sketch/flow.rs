//! The part of a sketch in brackets: `{a: 1, b: [x, y]}`, with ends that may be missing.

use std::ops::Range;

use super::{Knot, Sketch};

/// The reader of playbooks takes no more.
const DEEPEST: usize = 40;

impl Sketch<'_> {
    /// Reads what begins with a bracket there as what lies inside a knot, and returns where it ends.
    pub(super) fn add_flow(&mut self, at: usize, end: usize, parent: usize) -> usize {
        self.value(at, end, parent, 0)
    }

    fn value(&mut self, at: usize, end: usize, parent: usize, depth: usize) -> usize {
        match self.peek(at, end) {
            Some('{' | '[') if depth >= DEEPEST => end,
            Some('{') => self.members(at + 1, end, parent, (depth, '}')),
            Some('[') => self.members(at + 1, end, parent, (depth, ']')),
            Some(quote @ ('"' | '\'')) => quoted_end(self.text, at, end, quote).unwrap_or_else(|| self.line_end(at, end)),
            Some(_) | None => self.plain_end(at, end),
        }
    }

    /// The entries of a map or the items of a list, up to the bracket that closes it.
    fn members(&mut self, start: usize, end: usize, parent: usize, (depth, closes): (usize, char)) -> usize {
        let mut at = start;
        loop {
            at = self.skip(at, end);
            match self.peek(at, end) {
                None => return end,
                Some(it) if it == closes => return at + 1,
                // A bracket that closes another one: this one was forgotten.
                Some('}' | ']') => return at,
                Some(',' | ':') => at += 1,
                Some(_) if closes == '}' => at = self.entry(at, end, parent, depth),
                Some(_) => {
                    let item = self.add(parent, None, at..at);
                    at = self.value(at, end, item, depth + 1);
                    self.end_value(item, at);
                }
            }
        }
    }

    fn entry(&mut self, at: usize, end: usize, parent: usize, depth: usize) -> usize {
        let name_end = match self.peek(at, end) {
            Some(quote @ ('"' | '\'')) => quoted_end(self.text, at, end, quote).unwrap_or(end),
            Some(_) | None => self.plain_end(at, end).max(at + 1).min(end),
        };
        let name_end = self.text.ceil_char_boundary(name_end);
        let entry = self.add(parent, Some(at..name_end), name_end..name_end);
        let colon = self.skip(name_end, end);
        if self.peek(colon, end) != Some(':') {
            return name_end.max(at + 1);
        }
        let start = self.skip(colon + 1, end);
        if matches!(self.peek(start, end), None | Some(',' | '}' | ']')) {
            // An empty value begins where it is typed: behind the blank that follows the colon.
            let typed = (colon + 1 + usize::from(self.peek(colon + 1, end) == Some(' '))).min(end);
            self.put_value(entry, typed..typed);
            return start;
        }
        self.put_value(entry, start..start);
        let value_end = self.value(start, end, entry, depth + 1).max(start);
        self.end_value(entry, value_end);
        value_end
    }

    fn add(&mut self, parent: usize, key: Option<Range<usize>>, value: Range<usize>) -> usize {
        self.knots.push(Knot { parent: Some(parent), key, value, column: 0, is_flow: true });
        self.knots.len() - 1
    }

    fn put_value(&mut self, knot: usize, value: Range<usize>) {
        if let Some(knot) = self.knots.get_mut(knot) {
            knot.value = value;
        }
    }

    fn end_value(&mut self, knot: usize, end: usize) {
        if let Some(knot) = self.knots.get_mut(knot) {
            knot.value.end = end.max(knot.value.start);
        }
    }

    fn line_end(&self, at: usize, end: usize) -> usize {
        let rest = self.text.get(at..end).unwrap_or_default();
        at + rest.find('\n').unwrap_or(rest.len())
    }

    fn peek(&self, at: usize, end: usize) -> Option<char> {
        self.text.get(at..end)?.chars().next()
    }

    /// Past blanks, line breaks and comments.
    fn skip(&self, mut at: usize, end: usize) -> usize {
        loop {
            let rest = self.text.get(at..end).unwrap_or_default();
            let content = rest.trim_start();
            at += rest.len() - content.len();
            if !content.starts_with('#') {
                return at;
            }
            at += content.find('\n').unwrap_or(content.len());
        }
    }

    /// Where a text without quotes ends.
    fn plain_end(&self, at: usize, end: usize) -> usize {
        let rest = self.text.get(at..end).unwrap_or_default();
        let is_end = |(index, it): &(usize, char)| match it {
            ',' | '[' | ']' | '{' | '}' | '\n' => !rest.get(..*index).is_some_and(is_open_expression),
            ':' => rest.get(index + 1..).is_none_or(|it| it.is_empty() || it.starts_with([' ', ',', '}', ']', '\n'])),
            _ => false,
        };
        let length = rest.char_indices().find(is_end).map_or(rest.len(), |(index, _)| index);
        at + rest.get(..length).unwrap_or_default().trim_end().len()
    }
}

/// Whether an expression `${` has begun and not ended.
fn is_open_expression(text: &str) -> bool {
    text.rfind("${").is_some_and(|at| !text.get(at..).unwrap_or_default().contains('}'))
}

/// Where a text in quotes ends, behind the quote that closes it.
pub(super) fn quoted_end(text: &str, at: usize, end: usize, quote: char) -> Option<usize> {
    let inner = text.get(at + 1..end)?;
    let mut is_escaped = false;
    for (index, character) in inner.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' && quote == '"' {
            is_escaped = true;
        } else if character == quote {
            return Some(at + 1 + index + 1);
        }
    }
    None
}
