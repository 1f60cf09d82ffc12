//! The pages about problems: one for each code, and what they show as wrong has that problem alone, what they show as right has none.

use std::{collections::BTreeSet, fs, time::Duration};

use quell::{
    actions::Pattern,
    playbook::{CODES, Library, TEST_FILE},
    trial::Suite,
};

use crate::{
    markdown::{blocks, section},
    root, text,
};

/// What no block of text can show.
const NOT_A_TEXT: &[&str] = &["P0022"];

/// The sections of a page, in order.
const SECTIONS: &[&str] = &["## Wrong", "## Why it matters", "## How to mend it"];

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let files: BTreeSet<String> =
        fs::read_dir(root().join("docs/problems")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, CODES.iter().map(|code| format!("{}.md", code.id)).collect());
    for code in CODES {
        assert_eq!(code.page, text(&format!("docs/problems/{}.md", code.id)), "{}: the page of another code", code.id);
        assert!(code.page.starts_with(&format!("# {}: ", code.id)), "{}: the title begins with the code", code.id);
        let sections: Vec<&str> = code.page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(sections, SECTIONS, "{}", code.id);
    }
}

#[test]
fn what_a_page_shows_as_wrong_has_its_problem_alone() {
    for code in checked() {
        let found = problems(code.page, "Wrong");
        let codes: BTreeSet<&str> = found.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, BTreeSet::from([code.id]), "{}: {found:#?}", code.id);
        let is_warning = code.meaning.starts_with("warning: ");
        assert!(
            found.iter().all(|(_, severity)| (severity == "Warning") == is_warning),
            "{}: `meaning` says whether it is a warning",
            code.id
        );
    }
}

#[test]
fn what_a_page_shows_as_right_has_no_problem() {
    for code in checked() {
        let found = problems(code.page, "How to mend it");
        assert!(found.is_empty(), "{}: {found:#?}", code.id);
    }
}

fn checked() -> impl Iterator<Item = &'static quell::playbook::Code> {
    CODES.iter().filter(|code| !NOT_A_TEXT.contains(&code.id))
}

/// The problems of the files that a section shows, in a folder of their own where only `log` is a channel.
fn problems(page: &str, heading: &str) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    let files = blocks(section(page, heading));
    assert!(!files.is_empty(), "{page}");
    for block in files {
        let path = folder.path().join(block.file().unwrap_or("example.yaml"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, block.text).unwrap();
    }
    let mut library = Library::load(folder.path());
    library.check_tables([]);
    library.check_channels(|channel| if channel.starts_with("log:") { Ok(()) } else { Err("no such channel".to_owned()) });
    // The site of which the pages speak.
    let limits = if page.starts_with("# P0031") {
        vec![(Pattern::parse("subscription.*").unwrap(), 3, Duration::from_hours(1))]
    } else {
        Vec::new()
    };
    library.check_connections(|_name| Err("no connection has `customer_access`".to_owned()));
    library.check_guardrails(|_action| true, &limits);
    let tests = Suite::load(folder.path()).unwrap().problems.into_iter().filter(|problem| problem.code == TEST_FILE);
    library.problems.iter().cloned().chain(tests).map(|problem| (problem.code, format!("{:?}", problem.severity))).collect()
}
