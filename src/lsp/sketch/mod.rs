//! The keys and items of a YAML text that is being typed, with what lies inside what.
//!
//! A parser refuses half a line, and an editor asks in the middle of one. So this looks at indentation, dashes, colons and brackets only, and
//! never fails. Whether the text is right is said by the reader of playbooks.

mod flow;

use std::ops::Range;

/// All keys and items, in the order of the text.
#[derive(Debug)]
pub(super) struct Sketch<'t> {
    pub(super) text: &'t str,
    pub(super) knots: Vec<Knot>,
}

/// A key of a map, or an item of a list.
#[derive(Debug)]
pub(super) struct Knot {
    /// The key or item around it.
    pub(super) parent: Option<usize>,
    /// Where the key stands; `None` for an item.
    pub(super) key: Option<Range<usize>>,
    /// The value beside it, up to the end of what belongs to it; empty where the value stands below, or is not there yet.
    pub(super) value: Range<usize>,
    column: usize,
    is_flow: bool,
}

impl Knot {
    fn starts_before(&self, offset: usize) -> bool {
        self.key.as_ref().map_or(self.value.start, |key| key.start) < offset
    }
}

/// What somebody types at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Key,
    Value,
    /// Either, where neither is told from the other yet.
    Either,
    /// An item of a list in brackets.
    Item,
}

/// A place in the text.
#[derive(Debug)]
pub(super) struct Spot {
    /// The keys and items around it, outermost first; for a value also its own.
    pub(super) around: Vec<usize>,
    pub(super) slot: Slot,
    /// The whole key or value at the place.
    pub(super) whole: Range<usize>,
}

impl<'t> Sketch<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let mut sketch = Self { text, knots: Vec::new() };
        // The keys and items that may have more below them.
        let mut open: Vec<usize> = Vec::new();
        let mut read_up_to = 0;
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if start >= read_up_to {
                read_up_to = sketch.add_line(start, line.trim_end_matches(['\n', '\r']), &mut open);
            }
            start += line.len();
        }
        sketch
    }

    /// Reads a line, and returns where what belongs to it ends.
    fn add_line(&mut self, start: usize, line: &str, open: &mut Vec<usize>) -> usize {
        let mut rest = line.trim_start_matches(' ');
        let mut column = line.len() - rest.len();
        let is_silent = rest.trim_end().is_empty() || rest.starts_with('#') || line.starts_with("---");
        if is_silent {
            return start;
        }
        let mut item = None;
        while let Some(after) = after_dash(rest) {
            let begin = start + line.len() - after.len();
            item = Some(self.open(open, Knot { parent: None, key: None, value: begin..begin, column, is_flow: false }));
            column += rest.len() - after.len();
            rest = after;
        }
        let (at, line_end) = (start + column, start + line.len());
        if let Some((name, value)) = key_of(rest) {
            let key = Knot { parent: None, key: Some(at..at + name), value: at + value..line_end, column, is_flow: false };
            let knot = self.open(open, key);
            return self.read_value(knot, at + value, column);
        }
        match item {
            Some(item) if !rest.trim_end().is_empty() => self.read_value(item, at, column.saturating_sub(1)),
            // A value that stands below its key.
            None if rest.starts_with(['{', '[']) => match self.parent_at(open, column, false) {
                Some(parent) => self.read_value(parent, at, self.knots.get(parent).map_or(0, |it| it.column)),
                None => start,
            },
            Some(_) | None => start,
        }
    }

    /// Adds a key or item inside of those that reach so far.
    fn open(&mut self, open: &mut Vec<usize>, mut knot: Knot) -> usize {
        knot.parent = self.parent_at(open, knot.column, knot.key.is_none());
        while open.last() != knot.parent.as_ref() && open.pop().is_some() {}
        let at = self.knots.len();
        self.knots.push(knot);
        open.push(at);
        at
    }

    /// The innermost key or item that one at that column lies in. The items of a list may stand right below its key.
    fn parent_at(&self, open: &[usize], column: usize, is_item: bool) -> Option<usize> {
        let reaches = |at: &&usize| {
            self.knots.get(**at).is_some_and(|knot| knot.column < column || is_item && knot.key.is_some() && knot.column == column)
        };
        open.iter().rev().find(reaches).copied()
    }

    /// Reads the value that begins there, of a key or item at that column, and returns where it ends.
    fn read_value(&mut self, knot: usize, at: usize, column: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line_end = at + rest.find('\n').unwrap_or(rest.len());
        let line = self.text.get(at..line_end).unwrap_or_default();
        let end = match line.chars().next() {
            Some('|' | '>') => self.deeper_end(line_end, column),
            Some('{' | '[') => self.add_flow(at, self.deeper_end(line_end, column), knot),
            Some(quote @ ('"' | '\'')) => {
                let most = self.deeper_end(line_end, column);
                flow::quoted_end(self.text, at, most, quote).unwrap_or(line_end)
            }
            // An empty value reaches to the end of its line: there it is typed.
            None => line_end,
            Some(_) if line.trim_end().is_empty() => line_end,
            Some('#') => at,
            Some(_) => at + line.split(" #").next().unwrap_or_default().trim_end().len(),
        };
        if let Some(knot) = self.knots.get_mut(knot) {
            knot.value = at..end.max(at);
        }
        end
    }

    /// Where the lines end that are indented more than a column; brackets that close may stand further out.
    fn deeper_end(&self, line_end: usize, column: usize) -> usize {
        let mut end = line_end;
        for line in self.text.get(line_end..).unwrap_or_default().split_inclusive('\n').skip(1) {
            let content = line.trim_start_matches(' ');
            let is_deeper = line.len() - content.len() > column || content.trim_end().is_empty() || content.starts_with(['}', ']']);
            if !is_deeper {
                break;
            }
            end += line.len();
        }
        // The line break of the first line belongs to those that follow.
        if end > line_end { (end + 1).min(self.text.len()) } else { end }
    }

    pub(super) fn name(&self, knot: usize) -> Option<&'t str> {
        let key = self.knots.get(knot)?.key.clone()?;
        Some(self.text.get(key)?.trim_matches(['"', '\'']))
    }

    /// The text beside a key or item, without its quotes.
    pub(super) fn scalar(&self, knot: usize) -> &'t str {
        let value = self.knots.get(knot).and_then(|it| self.text.get(it.value.clone()));
        value.unwrap_or_default().trim().trim_matches(['"', '\''])
    }

    /// What lies directly inside a key or item, or at the top.
    pub(super) fn inside(&self, parent: Option<usize>) -> impl Iterator<Item = usize> {
        self.knots.iter().enumerate().filter(move |(_, knot)| knot.parent == parent).map(|(at, _)| at)
    }

    /// The key or item of that name directly inside another.
    pub(super) fn child(&self, parent: Option<usize>, name: &str) -> Option<usize> {
        self.inside(parent).find(|at| self.name(*at) == Some(name))
    }

    /// What stands at a byte.
    pub(super) fn spot(&self, offset: usize) -> Spot {
        let covers = |range: &Range<usize>| range.start <= offset && offset <= range.end;
        let on_key = |knot: &Knot| knot.key.as_ref().is_some_and(covers);
        if let Some((at, key)) = self.knots.iter().enumerate().find(|(_, it)| on_key(it)).and_then(|(at, it)| Some((at, it.key.clone()?))) {
            return Spot { around: self.path(self.knots.get(at).and_then(|it| it.parent)), slot: Slot::Key, whole: key };
        }
        let found = self.knots.iter().enumerate().rfind(|(_, knot)| covers(&knot.value) && !self.is_further_out(knot, offset));
        let Some((at, knot)) = found else { return self.spot_between(offset) };
        let value = self.text.get(knot.value.clone()).unwrap_or_default();
        let is_inside = knot.value.start < offset && (offset < knot.value.end || !value.ends_with(['}', ']']));
        let (slot, whole) = match value.chars().next() {
            Some('{') if is_inside => (Slot::Key, offset..offset),
            Some('[') if is_inside => (Slot::Item, offset..offset),
            _ if knot.key.is_none() => (Slot::Either, knot.value.clone()),
            _ => (Slot::Value, knot.value.clone()),
        };
        Spot { around: self.path(Some(at)), slot, whole }
    }

    /// Whether the place is a new line below a value of several lines, and begins where no line of that value does.
    fn is_further_out(&self, knot: &Knot, offset: usize) -> bool {
        let line = self.text.get(knot.value.start..offset).and_then(|it| it.rsplit_once('\n')).map(|(_, line)| line);
        line.is_some_and(|line| line.trim().is_empty() && line.len() <= knot.column)
    }

    /// A line that is no key yet: what it lies in is said by where it begins.
    fn spot_between(&self, offset: usize) -> Spot {
        let before = self.text.get(..offset).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.get(start..).unwrap_or_default();
        let column = line.len() - line.trim_start_matches(' ').len();
        let word = self.text.get(start + column..).unwrap_or_default();
        let end = start + column + word.lines().next().unwrap_or_default().trim_end().len();
        let is_around = |knot: &Knot| !knot.is_flow && knot.column < column && knot.starts_before(start);
        let parent = self.knots.iter().rposition(is_around);
        Spot { around: self.path(parent), slot: Slot::Either, whole: start + column..end.max(offset) }
    }

    /// A key or item with those around it, outermost first.
    fn path(&self, innermost: Option<usize>) -> Vec<usize> {
        let mut path: Vec<usize> = std::iter::successors(innermost, |at| self.knots.get(*at)?.parent).collect();
        path.reverse();
        path
    }
}

/// What follows a dash that begins an item.
fn after_dash(rest: &str) -> Option<&str> {
    let after = rest.strip_prefix('-')?;
    (after.is_empty() || after.starts_with(' ')).then(|| after.trim_start_matches(' '))
}

/// The length of the key that a line begins with, and where its value begins.
fn key_of(rest: &str) -> Option<(usize, usize)> {
    let first = rest.chars().next()?;
    if matches!(first, '{' | '[' | '#' | '|' | '>' | '&' | '*' | '!') {
        return None;
    }
    let name = match first {
        '"' | '\'' => flow::quoted_end(rest, 0, rest.len(), first)?,
        _ => rest
            .match_indices(':')
            .map(|(at, _)| at)
            .find(|at| rest.get(at + 1..).is_some_and(|it| it.is_empty() || it.starts_with(' ')))?,
    };
    let after = rest.get(name..)?.strip_prefix(':')?;
    if rest.get(..name)?.contains(" #") {
        return None;
    }
    let blanks = after.len() - after.trim_start_matches(' ').len();
    // An empty value begins behind the one blank that belongs to the colon.
    let blanks = if after.trim().is_empty() { blanks.min(1) } else { blanks };
    Some((name, name + 1 + blanks))
}

#[cfg(test)]
mod tests;
