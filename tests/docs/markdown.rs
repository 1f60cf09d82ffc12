//! Reads as much Markdown as the project's documents use: sections, fenced blocks, tables.

use regex::Regex;

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The word behind the fence.
    pub(crate) language: String,
    /// The last line of text above it.
    pub(crate) above: String,
    pub(crate) text: String,
}

/// A command and the lines that it promises to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) line: String,
    pub(crate) promised: Vec<String>,
}

/// The text below a heading of the second level, up to the next one.
pub(crate) fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n## {heading}")).unwrap_or_else(|| panic!("no section `{heading}`"));
    let body = &text[start + 1..];
    body.find("\n## ").map_or(body, |end| &body[..end])
}

/// Every fenced block, in order.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let (mut found, mut open, mut above) = (Vec::new(), None::<Block>, String::new());
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(language)) => open = Some(Block { language: language.to_owned(), above: above.clone(), text: String::new() }),
            (None, None) if !line.trim().is_empty() => line.clone_into(&mut above),
            (None, None) => {}
        }
    }
    assert_eq!(open, None, "a block is not closed");
    found
}

impl Block {
    /// The file that the block is, if the line above names one.
    pub(crate) fn file(&self) -> Option<&str> {
        let named = self.above.strip_suffix("`:")?;
        named.rsplit_once('`').map(|(_, path)| path)
    }

    /// The commands of a `console` block.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        if self.language != "console" {
            return commands;
        }
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push(Command { line: command.to_owned(), promised: Vec::new() }),
                (None, Some(command)) => command.promised.push(line.to_owned()),
                (None, None) => panic!("`{line}` stands before any command"),
            }
        }
        commands
    }
}

/// The rows of the table with this heading, each cell without its marks of code.
pub(crate) fn table(text: &str, heading: &[&str]) -> Vec<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| cells(line) != heading);
    assert!(lines.next().is_some(), "no table with the columns {heading:?}");
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn cells(line: &str) -> Vec<String> {
    let inside = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or_default();
    inside.split('|').map(|cell| cell.trim().replace('`', "")).collect()
}

/// What stands in a pair of marks of code.
pub(crate) fn code(text: &str) -> Vec<&str> {
    let marked = Regex::new("`([^`\n]+)`").unwrap();
    marked.captures_iter(text).map(|found| found.extract::<1>().1[0]).collect()
}

/// Whether printed text has the promised lines, in order. `…` stands for anything, and white space for white space.
pub(crate) fn keeps(printed: &str, promised: &[String]) -> Result<(), String> {
    let mut lines = printed.lines();
    for promise in promised {
        if !lines.any(|line| fits(line, promise)) {
            return Err(format!("promised `{promise}`, printed:\n{printed}"));
        }
    }
    Ok(())
}

fn fits(line: &str, promise: &str) -> bool {
    let line = squeezed(line);
    let parts = promise.split('…').map(squeezed);
    let mut rest = line.as_str();
    for part in parts {
        let Some(at) = rest.find(&part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_document_is_read_as_people_read_it() {
    let text = "# A\n\n## B\nWrite `x/y.txt`:\n\n```text\none\n```\n\n```console\n$ a b\n1  …  3\n$ c\n```\n| n | m |\n| --- | --- |\n| `k` | 2 |\n\n## C\n";
    let found = blocks(section(text, "B"));
    assert_eq!((found[0].file(), found[0].text.as_str()), (Some("x/y.txt"), "one\n"));
    let commands = found[1].commands();
    assert_eq!((commands.len(), commands[0].line.as_str(), commands[1].promised.len()), (2, "a b", 0));
    assert_eq!(keeps("0\n1 2 3\n", &commands[0].promised), Ok(()));
    assert!(keeps("3 2 1\n", &commands[0].promised).is_err());
    assert_eq!(table(text, &["n", "m"]), [["k", "2"]]);
}
