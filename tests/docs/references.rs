//! What a document refers to is there: linked files and headings, files of the source, functions, tests, modules.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

use crate::{markdown::code, markdown::section, markdown::table, root, text};

#[test]
fn every_relative_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut faults = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for found in link.captures_iter(&text).filter(|found| !found[1].contains("://")) {
            let (path, heading) = found[1].split_once('#').unwrap_or((&found[1], ""));
            let target = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            let has_heading = || fs::read_to_string(&target).is_ok_and(|text| headings(&text).contains(heading));
            if !target.exists() || !heading.is_empty() && !has_heading() {
                faults.push(format!("{}: `{}`", document.display(), &found[1]));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_file_and_function_that_is_named_is_there() {
    let named = Regex::new(r"((?:`\w+`(?:, | and | or )?)+) in (?:\[)?`?((?:src|tests)/[\w/]+\.\w+)").unwrap();
    let mut faults = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md"] {
        let text = text(document);
        let outside_blocks: String = text.split("```").step_by(2).collect();
        let is_path = |it: &&str| ["src/", "tests/", "deploy/", "docs/", "examples/"].iter().any(|start| it.starts_with(start));
        let to_be_written: Vec<&str> = outside_blocks.lines().filter_map(|line| line.strip_prefix("Write `")?.strip_suffix("`:")).collect();
        for path in code(&outside_blocks).into_iter().filter(is_path).filter(|path| !path.contains(' ') && !to_be_written.contains(path)) {
            if !root().join(path).exists() {
                faults.push(format!("{document}: `{path}` is not there"));
            }
        }
        for found in named.captures_iter(&outside_blocks) {
            let source = fs::read_to_string(root().join(&found[2])).unwrap_or_default();
            for name in code(&found[1]).into_iter().filter(|name| !source.contains(name)) {
                faults.push(format!("{document}: `{name}` is not in `{}`", &found[2]));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_guarantee_has_a_test_that_is_there() {
    let readme = text("README.md");
    for row in table(&readme, &["guarantee", "test"]) {
        let test = &row[1];
        let path = test.split_once("](").and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or_else(|| panic!("{test}: no link"));
        let source = text(path);
        let tests = ["#[test]", "#[tokio::test", "on_both_buses!(", "on_both!(", "on_both! {"].iter().any(|it| source.contains(it));
        assert!(tests || path.ends_with("docs/main.rs"), "`{path}` holds no test, and README says that it shows: {}", row[0]);
        if let Some((name, _)) = test.split_once(" in [") {
            assert!(source.contains(&format!("fn {name}(")), "`{path}` has no test `{name}`");
        }
    }
}

#[test]
fn every_attack_has_an_answer_and_tests_that_are_there() {
    let page = text("docs/attacks.md");
    let shown = Regex::new(r"(\w+(?: and \w+)*) in \[([\w/.]+)\]\(\.\./([\w/.]+)\)").unwrap();
    let rows = table(&page, &["no.", "attack", "answer", "tests"]);
    for (number, row) in (1..).zip(&rows) {
        assert_eq!(row[0], number.to_string(), "in order, and none is left out");
        assert!(!row[2].is_empty(), "{number} has no answer");
        for part in row[3].split("; ") {
            let found = shown.captures(part).unwrap_or_else(|| panic!("{number}: `{part}` names no test"));
            assert_eq!((&found[2], found[0].len()), (&found[3], part.len()), "{number}");
            let source = text(&found[3]);
            assert!(["#[test]", "#[tokio::test", "on_both_buses!("].iter().any(|it| source.contains(it)), "`{}` holds no test", &found[3]);
            for name in found[1].split(" and ") {
                assert!(source.contains(&format!("fn {name}(")), "{number}: `{}` has no test `{name}`", &found[3]);
            }
        }
    }
    assert_eq!(rows.len(), 26);
}

#[test]
fn the_map_shows_every_module_and_no_other() {
    let map = text("docs/ARCHITECTURE.md");
    let rows = table(section(&map, "The map"), &["layer", "module", "is"]);
    let shown: BTreeSet<String> = rows.iter().flat_map(|row| row[1].split(", ").map(str::to_owned).collect::<Vec<_>>()).collect();
    let library = text("src/lib.rs");
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';'));
    assert_eq!(shown, modules.map(str::to_owned).collect());
}

/// Every document of the project.
fn documents() -> Vec<PathBuf> {
    let (mut pending, mut found) = (vec![root()], Vec::new());
    while let Some(folder) = pending.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                pending.push(path);
            } else if path.extension() == Some("md".as_ref()) {
                found.push(path);
            }
        }
    }
    assert!(found.iter().any(|path| path == Path::new(&root().join("README.md"))));
    found
}

/// The names by which headings are linked to.
fn headings(text: &str) -> BTreeSet<String> {
    let of_line = |line: &str| line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim().to_lowercase());
    let kept = |it: &char| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_');
    text.lines().filter_map(of_line).map(|heading| heading.chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}
