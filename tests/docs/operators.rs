//! What operators read is true: every shipped playbook has its page, which names what it needs, and every row of `docs/guide.md` is shown by
//! a test or a page that is there.

use std::{collections::BTreeSet, fs, process::Command};

use clap::CommandFactory;
use quell::{actions, adapters, cli::Cli, playbook::Library};
use regex::Regex;
use serde_json::Value;

use crate::{markdown::code, root, text};

/// What a section about a playbook tells, in this order; the last is either.
const TOLD: &[&str] = &["Does:", "Switch it on:", "Needs:", "Never:", "Try it:", "When it"];

#[test]
fn every_shipped_playbook_has_one_page_that_tells_what_an_operator_asks() {
    let sections = sections();
    let shipped: BTreeSet<String> = Library::load(&root().join("playbooks")).playbooks.iter().map(|it| it.name.clone()).collect();
    let told: Vec<&str> = sections.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(told.iter().map(|&it| it.to_owned()).collect::<BTreeSet<_>>(), shipped);
    assert_eq!(told.len(), shipped.len(), "a playbook is told of twice: {told:?}");
    let label = Regex::new(r"(?m)^- \*\*([^*]+)\*\*").unwrap();
    for (name, section) in &sections {
        let labels: Vec<&str> = label.captures_iter(section).map(|it| it.extract::<1>().1[0]).collect();
        let are_right = labels.len() == TOLD.len() && labels.iter().zip(TOLD).all(|(label, told)| label.starts_with(told));
        assert!(are_right, "`{name}` tells {labels:?}, and should tell {TOLD:?}");
    }
}

#[test]
fn a_page_names_the_mode_the_channels_and_the_tables_of_its_playbook() {
    let channel = Regex::new(r"\b(?:slack|teams|email|log):[a-z]+\b").unwrap();
    let table = Regex::new(r#"lookup\("([a-z_]+)""#).unwrap();
    let group = Regex::new(r"groups: \[([a-z-]+)\]").unwrap();
    let library = Library::load(&root().join("playbooks"));
    for (name, section) in sections() {
        let playbook = library.get(&name).unwrap();
        let ships = format!("ships in `{}`", playbook.mode);
        assert!(section.contains(&ships), "`{name}` {ships}, and its page does not say so");
        let source = fs::read_to_string(&playbook.path).unwrap();
        let channels = channel.find_iter(&source).map(|it| it.as_str());
        let others = [&table, &group].into_iter().flat_map(|of| of.captures_iter(&source).map(|it| it.extract::<1>().1[0]));
        for needed in channels.chain(others) {
            assert!(code(&in_one_line(&section)).contains(&needed), "the page does not say that `{name}` needs `{needed}`");
        }
    }
}

#[test]
fn an_alert_that_a_page_says_to_try_is_answered_by_its_playbook() {
    let folder = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for (name, section) in sections() {
        let section = in_one_line(&section).replace("\"…\"", "\"22222222-bbbb-4bbb-8bbb-000000000002\"");
        for alert in code(&section).into_iter().filter(|it| it.starts_with('{')) {
            let file = folder.path().join("alert.json");
            fs::write(&file, alert).unwrap();
            let mut explain = Command::new(env!("CARGO_BIN_EXE_quell"));
            explain.arg("explain").arg(&file).args(["--playbook", &name, "--json"]).current_dir(folder.path());
            let output = explain.env("QUELL_PLAYBOOKS", root().join("playbooks")).output().unwrap();
            let explained: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("`{name}` {alert}: {error}"));
            assert_eq!(explained["playbooks"][0]["verdict"], "matches", "`{name}` does not answer {alert}");
            tried += 1;
        }
    }
    assert!(tried > 5, "{tried} alerts were tried");
}

#[test]
fn every_command_that_operators_are_told_to_type_is_known() {
    let documents = pages().into_iter().chain(["docs/operate.md".to_owned(), "docs/guide.md".to_owned()]);
    let (mut faults, mut checked) = (Vec::new(), 0);
    for document in documents {
        let text = text(&document);
        let line = in_one_line(&text);
        let typed = code(&line).into_iter().chain(text.lines()).filter_map(|line| line.strip_prefix("quell "));
        for line in typed {
            checked += 1;
            if let Err(unknown) = known(line) {
                faults.push(format!("{document}: `quell {line}`: {unknown}"));
            }
        }
    }
    assert!(faults.is_empty() && checked > 40, "{checked} commands\n{}\n", faults.join("\n"));
}

#[test]
fn every_row_of_the_guide_is_shown_by_something_that_is_there() {
    let test = Regex::new(r"`([^`]+)` in \[([^\]]+)\]").unwrap();
    let mut faults = Vec::new();
    for row in rows() {
        let [guide, how, shown] = &row[..] else { panic!("a row has three cells: {row:?}") };
        if !shown.contains("](") {
            faults.push(format!("{guide}: shown by nothing"));
        }
        // What a person must do says why no machine does it.
        if how.contains("by hand") && !how.contains("by hand:") && !how.contains("by hand, where") {
            faults.push(format!("{guide}: by hand, without a reason"));
        }
        for found in test.captures_iter(shown) {
            let (name, path) = (&found[1], &found[2]);
            let source = fs::read_to_string(root().join(path)).unwrap_or_default();
            let is_there = source.contains(&format!("fn {name}(")) || has_test(&source, name);
            if !is_there {
                faults.push(format!("{guide}: `{name}` is not in `{path}`"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_guide_names_every_shipped_playbook_and_every_action_and_adapter_of_microsofts() {
    let guide = text("docs/guide.md");
    let guide = in_one_line(&guide);
    let named: BTreeSet<&str> = code(&guide).into_iter().collect();
    let library = Library::load(&root().join("playbooks"));
    // Those that reach other services than Microsoft's, or nothing.
    let elsewhere = ["notify", "log", "http.request", "amqp.publish", "webhook", "poll", "amqp"];
    let actions = actions::CATALOG.iter().map(|it| it.name);
    let adapters = adapters::CATALOG.iter().map(|it| it.name);
    let all = library.playbooks.iter().map(|it| it.name.as_str()).chain(actions).chain(adapters).filter(|it| !elsewhere.contains(it));
    let missing: Vec<_> = all.filter(|it| !named.contains(it)).collect();
    assert!(missing.is_empty(), "docs/guide.md has no row for {missing:?}");
}

/// What stands in marks of code may go on in the next line.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().filter(|word| !word.starts_with("```")).collect::<Vec<_>>().join(" ")
}

/// Whether a file of tests has one of that name.
fn has_test(source: &str, name: &str) -> bool {
    source.lines().any(|line| line.trim() == format!("- name: {name}"))
}

/// The cells of every row of the guide's tables.
fn rows() -> Vec<Vec<String>> {
    let guide = text("docs/guide.md");
    let lines = guide.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = |line: &str| line.split(" | ").map(str::to_owned).collect();
    let rows: Vec<Vec<String>> = lines.filter(|line| !line.starts_with("---") && !line.starts_with("the guide |")).map(cells).collect();
    assert!(rows.len() > 55, "the guide has more rows than {}", rows.len());
    rows
}

/// Each section about a playbook, by its name.
fn sections() -> Vec<(String, String)> {
    let of_page = |page: String| {
        let text = text(&page);
        text.split("\n## ")
            .skip(1)
            .map(|it| it.split_once('\n').unwrap())
            .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            .collect::<Vec<_>>()
    };
    pages().into_iter().filter(|page| !page.ends_with("README.md")).flat_map(of_page).collect()
}

/// The pages about playbooks.
fn pages() -> Vec<String> {
    let folder = fs::read_dir(root().join("docs/playbooks")).unwrap();
    let mut pages: Vec<String> = folder.map(|it| format!("docs/playbooks/{}", it.unwrap().file_name().display())).collect();
    pages.sort();
    pages
}

/// Whether there is such a command; the words up to the first that is none are its name.
fn known(line: &str) -> Result<(), String> {
    let mut command = Cli::command();
    let mut depth = 0;
    for word in line.split_whitespace() {
        let Some(next) = command.find_subcommand(word).cloned() else {
            let is_complete = depth > 0 && !command.has_subcommands();
            return if is_complete { Ok(()) } else { Err(format!("`{word}` is no command")) };
        };
        command = next;
        depth += 1;
    }
    if depth > 0 { Ok(()) } else { Err("no command".to_owned()) }
}
