//! The schemas that editors read are those that `quell schema` prints.

use std::{fs, path::Path};

use serde_json::Value;

use crate::root;

#[test]
fn the_schemas_in_the_documentation_are_those_of_the_program() {
    let schemas =
        [("playbook", quell::playbook::json_schema()), ("test", quell::trial::json_schema()), ("config", quell::config::json_schema())];
    for (name, schema) in schemas {
        fresh(name, &schema);
    }
}

#[test]
fn every_shipped_file_tells_editors_its_schema() {
    let mut files = vec![root().join("deploy/quell.yaml")];
    files.extend(fs::read_dir(root().join("playbooks")).unwrap().map(|entry| entry.unwrap().path()));
    files.retain(|path| path.extension().is_some_and(|it| it == "yaml"));
    assert!(files.len() > 20, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let named = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let named = named.unwrap_or_else(|| panic!("the first line of {} names no schema", path.display()));
        let schema = root().join("docs/schema").join(schema_of(&path)).canonicalize().unwrap();
        assert_eq!(path.parent().unwrap().join(named).canonicalize().unwrap(), schema, "{}", path.display());
    }
}

fn schema_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap().to_str().unwrap();
    match name {
        "quell.yaml" => "config.json",
        _ if name.ends_with(".test.yaml") => "test.json",
        _ => "playbook.json",
    }
}

fn fresh(name: &str, schema: &Value) {
    let path = root().join(format!("docs/schema/{name}.json"));
    let schema = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
    if std::env::var_os("QUELL_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let is_fresh = fs::read_to_string(&path).unwrap_or_default() == schema;
    assert!(is_fresh, "run this test once with QUELL_UPDATE_SNAPSHOTS=1, or `quell schema {name} > {}`", path.display());
}
