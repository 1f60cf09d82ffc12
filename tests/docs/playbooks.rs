//! docs/playbooks.md: its tutorial is walked and tried, its examples are read, and no key of the language is without a word in it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use quell::{
    playbook::{Library, json_schema},
    problem::Severity,
    trial::{Chosen, Report, Suite},
};
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    markdown::{self, Block, blocks, code, keeps, section},
    text,
};

const PAGE: &str = "docs/playbooks.md";

#[test]
fn the_tutorial_is_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    for block in blocks(section(&text(PAGE), "Write one")) {
        if block.file().is_some() {
            write(folder.path(), &block);
        }
        block.commands().iter().for_each(|command| type_in(folder.path(), command));
    }
}

#[tokio::test]
async fn the_tutorial_ends_in_a_playbook_that_its_tests_touch_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    blocks(section(&text(PAGE), "Write one")).iter().filter(|block| block.file().is_some()).for_each(|block| write(folder.path(), block));
    let library = Library::load(&folder.path().join("playbooks"));
    assert!(library.problems.is_empty(), "{:#?}", library.problems);
    let report = tried(folder.path()).await;
    assert_eq!(report.coverage.iter().map(quell::trial::Coverage::percent).collect::<Vec<_>>(), [100]);
}

#[tokio::test]
async fn every_example_can_be_used_and_every_example_of_a_test_passes() {
    let (folder, count) = examples();
    let library = Library::load(&folder.path().join("playbooks"));
    let errors: Vec<_> = library.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(library.playbooks.len(), count);
    tried(folder.path()).await;
}

#[test]
fn every_key_of_a_playbook_has_a_word_in_the_page() {
    let schema = json_schema();
    let (properties, trigger) = (&schema["properties"], &schema["properties"]["trigger"]["properties"]);
    let step = &schema["$defs"]["step"]["properties"];
    let clause = &schema["$defs"]["clause.anything"]["oneOf"][2];
    let of_alert = &trigger["alert"]["properties"];
    let parts = [properties, trigger, of_alert, &trigger["schedule"]["properties"], &trigger["manual"]["oneOf"][1]["properties"], step];
    let inner = ["retry", "rollback", "verify", "stop", "approval"].map(|name| &step[name]["properties"]);
    let all = parts.into_iter().chain(inner).chain([&clause["properties"]]);
    all_named("The language", &all.flat_map(names).collect());
}

#[test]
fn every_key_of_a_test_has_a_word_in_the_page() {
    let format = text("src/trial/format.rs");
    let written = format.split("/// One, or a list of them.").next().unwrap();
    let field = Regex::new(r"(?m)^    pub\(super\) ([a-z_]+): ").unwrap();
    let fields: BTreeSet<String> = field.captures_iter(written).map(|it| it[1].to_owned()).filter(|it| it != "all").collect();
    assert!(fields.contains("never_calls") && fields.contains("decision"), "the format is read no more as it is written");
    all_named("Tests", &fields);
}

fn names(properties: &Value) -> Vec<String> {
    properties.as_object().unwrap_or_else(|| panic!("the schema has another form: {properties}")).keys().cloned().collect()
}

/// Each name stands in marks of code in that section: alone, or among others as in `{key, window}`.
fn all_named(heading: &str, names: &BTreeSet<String>) {
    let page = text(PAGE);
    let prose = Regex::new(r"(?ms)^```.*?^```").unwrap().replace_all(section(&page, heading), "").into_owned();
    let word = Regex::new("[a-z_]+").unwrap();
    let told: BTreeSet<&str> = code(&prose).into_iter().flat_map(|code| word.find_iter(code).map(|it| it.as_str())).collect();
    let missing: Vec<_> = names.iter().filter(|name| !told.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "`{heading}` in {PAGE} has no word about {missing:?}");
}

/// The playbooks of the reference in one folder, since some call others, and how many there are.
fn examples() -> (TempDir, usize) {
    let folder = tempfile::tempdir().unwrap();
    let page = text(PAGE);
    let of_language = blocks(section(&page, "The language"));
    assert!(of_language.iter().all(|block| block.language == "yaml"), "an example of the language that is no playbook is not read");
    for block in &of_language {
        let name = block.text.lines().find_map(|line| line.strip_prefix("playbook: ")).unwrap();
        put(folder.path(), &format!("playbooks/{name}.yaml"), &block.text);
    }
    for block in blocks(section(&page, "Tests")) {
        write(folder.path(), &block);
    }
    (folder, of_language.len())
}

async fn tried(folder: &Path) -> Report {
    let suite = Suite::load(&folder.join("playbooks")).unwrap();
    assert!(suite.problems.is_empty(), "{:#?}", suite.problems);
    let report = suite.run(&Chosen::default()).await.unwrap();
    let failed: Vec<_> = report.tried.iter().filter(|it| !it.passed()).map(|it| (&it.name, &it.differences)).collect();
    assert!(failed.is_empty() && !report.tried.is_empty(), "{failed:#?}");
    report
}

fn write(folder: &Path, block: &Block) {
    put(folder, block.file().unwrap_or_else(|| panic!("no file is named above\n{}", block.text)), &block.text);
}

fn put(folder: &Path, path: &str, text: &str) {
    let path: PathBuf = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Types a command where `quell` is the one that was built, and nothing else is set.
fn type_in(folder: &Path, command: &markdown::Command) {
    let programs = Path::new(env!("CARGO_BIN_EXE_quell")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(&command.line).current_dir(folder).env("PATH", path);
    // The mark by which `tests/run` finds what a killed test left behind stays.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("QUELL_") && name != "QUELL_TEST_SESSION") {
        shell.env_remove(name);
    }
    let Output { status, stdout, stderr } = shell.output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let fails = command.promised.iter().any(|line| line.starts_with("error"));
    assert_eq!(status.code(), Some(i32::from(fails)), "`{}`:\n{printed}", command.line);
    keeps(&printed, &command.promised).unwrap_or_else(|fault| panic!("`{}`: {fault}", command.line));
}
