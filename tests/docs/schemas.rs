//! The schemas that editors read are those that `quell schema` prints.

use std::fs;

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

fn fresh(name: &str, schema: &Value) {
    let path = root().join(format!("docs/schema/{name}.json"));
    let schema = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
    if std::env::var_os("QUELL_UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let is_fresh = fs::read_to_string(&path).unwrap_or_default() == schema;
    assert!(is_fresh, "run this test once with QUELL_UPDATE_SNAPSHOTS=1, or `quell schema {name} > {}`", path.display());
}
