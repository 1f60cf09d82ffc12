//! The tables of README.md are the program's own: catalogs, commands, metrics, shipped playbooks.

use std::collections::BTreeSet;

use clap::CommandFactory;
use quell::{actions, adapters, channels, cli::Cli, playbook::Library};
use regex::Regex;

use crate::{markdown::table, root, text};

#[test]
fn actions_adapters_and_channels_are_those_of_the_catalogs() {
    let readme = text("README.md");
    let destructive = |is: bool| if is { "yes" } else { "no" };
    let rows: Vec<_> = actions::CATALOG
        .iter()
        .map(|it| vec![it.name.to_owned(), it.class.to_string(), destructive(it.destructive).to_owned(), it.summary.to_owned()])
        .collect();
    assert_eq!(table(&readme, &["action", "class", "destructive", "does"]), rows);
    let rows: Vec<_> = adapters::CATALOG.iter().map(|it| vec![it.name.to_owned(), it.summary.to_owned()]).collect();
    assert_eq!(table(&readme, &["adapter", "does"]), rows);
    let rows: Vec<_> = channels::CATALOG.iter().map(|it| vec![it.kind.to_owned(), it.summary.to_owned()]).collect();
    assert_eq!(table(&readme, &["channel", "does"]), rows);
}

#[test]
fn shipped_playbooks_are_those_in_the_folder() {
    let library = Library::load(&root().join("playbooks"));
    let shipped: BTreeSet<_> = library.playbooks.iter().map(|it| (it.name.clone(), it.mode.to_string())).collect();
    let rows = table(&text("README.md"), &["playbook", "mode", "answers", "does"]);
    let listed: BTreeSet<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(listed, shipped);
}

#[test]
fn commands_and_exit_codes_are_those_of_the_help() {
    let readme = text("README.md");
    let rows = table(&readme, &["command", "does"]);
    let command = Cli::command();
    let known: Vec<_> = command.get_subcommands().collect();
    let names: Vec<_> = known.iter().map(|it| format!("quell {}", it.get_name())).collect();
    assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), names);
    for (row, command) in rows.iter().zip(known) {
        let about = command.get_about().unwrap().to_string().replace('`', "");
        assert!(about.starts_with(&row[1]), "`{}` does `{about}`, and README says `{}`", row[0], row[1]);
    }
    let codes: Vec<_> = table(&readme, &["code", "means"]).iter().map(|row| row.join(" ")).collect();
    let help = command.get_after_help().unwrap().to_string();
    assert!(help.contains(&format!("Exit codes: {}.", codes.join(", "))), "{help}");
}

#[test]
fn metrics_are_those_that_are_registered() {
    let source = text("src/telemetry/metrics.rs");
    let registered = source.split("Ok(Self {").nth(1).unwrap().split("registry,").next().unwrap();
    let call = Regex::new(r#"(?s)make\s*\.\w+\(\s*"(\w+)",\s*"([^"]+)"(?:,\s*&\[([^\]]*)\])?"#).unwrap();
    let known: Vec<_> = call
        .captures_iter(registered)
        .map(|it| {
            let labels = it.get(3).map(|labels| labels.as_str().replace('"', "")).unwrap_or_default();
            vec![format!("quell_{}", &it[1]), labels, it[2].to_owned()]
        })
        .collect();
    assert!(known.len() > 15, "the source is not written as this test reads it");
    assert_eq!(table(&text("README.md"), &["metric", "labels", "is"]), known);
}
