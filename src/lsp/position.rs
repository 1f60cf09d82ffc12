//! Places in a text as editors count them: lines from 0, and in a line the UTF-16 units before. Everywhere else a place is a byte.

use std::ops::Range;

use gen_lsp_types::{Position, Range as Span};

/// The byte that a position means; behind the end of its line, the line's end.
pub(super) fn offset(text: &str, position: Position) -> usize {
    let wanted = usize::try_from(position.line).unwrap_or(usize::MAX);
    let Some(start) = line_starts(text).nth(wanted) else { return text.len() };
    let line = line_at(text, start);
    let mut units = 0;
    for (at, character) in line.char_indices() {
        if position.character < units + width(character) {
            return start + at;
        }
        units += width(character);
    }
    start + line.len()
}

/// The position of a byte; inside a character, that of its first.
pub(super) fn position(text: &str, offset: usize) -> Position {
    let offset = text.floor_char_boundary(offset);
    let starts = line_starts(text).take_while(|start| *start <= offset);
    let (line, start) = starts.enumerate().last().unwrap_or_default();
    let before = text.get(start..offset).unwrap_or_default();
    Position { line: u32::try_from(line).unwrap_or(u32::MAX), character: before.chars().map(width).sum() }
}

/// The range of some bytes.
pub(super) fn range(text: &str, span: &Range<usize>) -> Span {
    Span { start: position(text, span.start), end: position(text, text.ceil_char_boundary(span.end)) }
}

fn width(character: char) -> u32 {
    u32::try_from(character.len_utf16()).unwrap_or(1)
}

/// Lines end with `\n`, `\r\n` or `\r`.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let bytes = text.as_bytes();
    let ends = move |at: &usize| match bytes.get(*at) {
        Some(b'\n') => true,
        Some(b'\r') => bytes.get(at + 1) != Some(&b'\n'),
        Some(_) | None => false,
    };
    std::iter::once(0).chain((0..bytes.len()).filter(ends).map(|at| at + 1))
}

/// The line that starts there, without its end.
fn line_at(text: &str, start: usize) -> &str {
    let rest = text.get(start..).unwrap_or_default();
    rest.split(['\n', '\r']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn korean_letters_are_one_unit_and_emoji_two() {
        let text = "a: 경보\nb: 🔥x\n";
        for (byte, place) in [(0, at(0, 0)), (3, at(0, 3)), (6, at(0, 4)), (9, at(0, 5)), (10, at(1, 0)), (13, at(1, 3)), (17, at(1, 5))] {
            assert_eq!(position(text, byte), place, "byte {byte}");
            assert_eq!(offset(text, place), byte, "{place:?}");
        }
    }

    #[test]
    fn a_position_inside_a_character_is_its_beginning() {
        assert_eq!(offset("🔥x", at(0, 1)), 0);
        assert_eq!(position("경", 2), at(0, 0));
    }

    #[test]
    fn what_lies_behind_the_end_is_the_end() {
        let text = "ab\r\ncd";
        assert_eq!(offset(text, at(0, 99)), 2, "the end of a line is before its line break");
        assert_eq!(offset(text, at(7, 0)), 6);
        assert_eq!(position(text, 99), at(1, 2));
    }

    #[test]
    fn every_line_break_counts_once() {
        let text = "a\nb\r\nc\rd";
        assert_eq!(["b", "c", "d"].map(|it| position(text, text.find(it).unwrap())), [at(1, 0), at(2, 0), at(3, 0)]);
    }

    #[test]
    fn every_byte_comes_back() {
        let text = "플레이북: 🔥\r\n  - id: ü\n\n# 끝";
        for (byte, _) in text.char_indices().filter(|(_, it)| *it != '\n') {
            assert_eq!(offset(text, position(text, byte)), byte);
        }
    }
}
