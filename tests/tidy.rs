//! Rules about the tree that the compiler cannot check. `MAY_USE` is the architecture, as `docs/ARCHITECTURE.md` draws it.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Every top-level module, lowest layer first, with the modules that it may name.
const MAY_USE: &[(&str, &str)] = &[
    // Words.
    ("word", ""),
    ("alert", "word"),
    ("clock", ""),
    ("digest", ""),
    ("duration", ""),
    ("mention", ""),
    ("problem", ""),
    ("retry", ""),
    ("run", "word"),
    ("secret", "problem"),
    ("people", "secret word"),
    ("approval", "digest people run word"),
    ("window", "duration run"),
    ("news", "approval run word"),
    // Ground.
    ("lifecycle", ""),
    ("telemetry", "approval run"),
    ("net", "retry secret"),
    ("expression", "alert digest duration problem"),
    ("failpoints", ""),
    // The path of an alert, from its end to its start.
    ("store", "alert approval clock digest duration failpoints lifecycle mention news people run secret telemetry window word"),
    ("bus", "alert lifecycle retry secret store"),
    ("connections", "lifecycle net secret store"),
    ("channels", "alert connections net problem secret"),
    ("actions", "alert bus channels connections duration net problem run secret"),
    ("playbook", "actions alert approval digest duration expression problem retry run"),
    (
        "engine",
        "actions alert approval bus channels clock duration expression failpoints lifecycle mention news playbook retry run secret store telemetry window",
    ),
    ("adapters", "alert bus connections duration expression failpoints lifecycle net problem retry secret store telemetry"),
    // The edge.
    ("web", "adapters approval engine lifecycle people playbook run secret store telemetry"),
    ("config", "adapters bus channels connections engine net news people playbook problem secret store telemetry web"),
    ("app", "actions adapters bus channels config connections engine lifecycle net news playbook problem store telemetry web"),
    ("doctor", "adapters alert app bus channels config connections engine lifecycle net news playbook run store telemetry"),
    (
        "trial",
        "actions alert approval bus channels clock connections duration engine expression lifecycle net playbook problem run secret store telemetry",
    ),
    ("lsp", "actions adapters app channels config expression lifecycle playbook problem trial"),
    (
        "cli",
        "actions adapters alert app approval bus config connections digest doctor duration engine lifecycle lsp mention net news people playbook problem run store telemetry trial window",
    ),
];

/// Folders whose files are interchangeable, each with the files that all members share; every other file must be in the
/// `CATALOG` of the folder's `mod.rs`.
const FAMILIES: &[(&str, &[&str])] = &[
    ("actions", &["mod", "alert", "answers", "azure", "contract", "entitlement", "entra", "pattern", "plan"]),
    ("channels", &["mod", "contract", "notice"]),
    ("doctor", &["mod", "case", "finding", "judge", "tests"]),
    ("adapters", &["mod", "feed", "inlet", "mapping", "microsoft", "review", "seen", "settings", "task", "testing"]),
];

/// A file longer than this wants to be two.
const MAX_LINES: usize = 500;

#[test]
fn a_module_names_only_what_its_row_allows() {
    let rows: BTreeMap<&str, &str> = MAY_USE.iter().copied().collect();
    let mut faults = Vec::new();
    for (path, text) in sources(&src()) {
        let Some(module) = top_level_module(&path) else {
            continue;
        };
        if path.ends_with("tests.rs") {
            continue;
        }
        let Some(allowed) = rows.get(module.as_str()) else {
            faults.push(format!("{}: `{module}` has no row in MAY_USE", path.display()));
            continue;
        };
        for (line, used) in named_modules(&text, &rows) {
            if used != module && !allowed.split(' ').any(|it| it == used) {
                faults.push(format!("{}:{line}: `{module}` must not use `{used}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_row_names_only_rows_above_it() {
    let mut lower = BTreeSet::new();
    for (module, allowed) in MAY_USE {
        for used in allowed.split_terminator(' ') {
            assert!(lower.contains(used), "`{module}` uses `{used}`, which is not below it");
        }
        lower.insert(*module);
    }
}

#[test]
fn a_file_says_what_it_is_and_stays_short() {
    let mut faults = Vec::new();
    let folders = [src(), root().join("examples"), root().join("tests"), root().join("benches")];
    for (path, text) in folders.iter().filter(|folder| folder.exists()).flat_map(|folder| sources(folder)) {
        if !text.starts_with("//! ") && !path.ends_with("tests.rs") {
            faults.push(format!("{}: the first line must be a `//!` doc", path.display()));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines, over {MAX_LINES}", path.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_member_of_a_family_is_in_its_catalog() {
    for (family, shared) in FAMILIES {
        let folder = src().join(family);
        let catalog = fs::read_to_string(folder.join("mod.rs")).unwrap();
        let files = sources(&folder).into_iter().map(|(path, _)| path);
        for path in files.filter(|path| path.parent() == Some(&folder)) {
            let member = path.file_stem().unwrap().to_str().unwrap();
            assert!(
                shared.contains(&member) || catalog.contains(&format!("of::<{member}::")),
                "`{family}/{member}.rs` is not in the CATALOG of `{family}/mod.rs`"
            );
        }
    }
}

#[test]
fn a_row_allows_nothing_that_is_not_used() {
    let rows: BTreeMap<&str, &str> = MAY_USE.iter().copied().collect();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources(&src()) {
        if let Some(module) = top_level_module(&path) {
            used.entry(module).or_default().extend(named_modules(&text, &rows).into_iter().map(|(_, name)| name));
        }
    }
    for (module, allowed) in MAY_USE {
        for name in allowed.split_terminator(' ') {
            let is_used = used.get(*module).is_some_and(|it| it.contains(name));
            assert!(is_used, "`{module}` may use `{name}` and does not: take it out of MAY_USE");
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (path, text) in sources(&src()) {
        for word in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("] {
            assert!(!text.contains(word), "{}: `{word}`", path.display());
        }
    }
}

#[test]
fn only_tests_can_make_the_program_die_or_be_mistaken() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let is_named = line.contains("failpoints") && !line.starts_with('#');
        let is_declared = section == "[features]" && line == "failpoints = []";
        assert!(!is_named || is_declared || section == "[dev-dependencies]", "{section}: `{line}`");
        assert!(!(section == "[features]" && line.starts_with("default")), "`{line}`: what is built by default is what is shipped");
    }
    for shipped in ["Dockerfile", "docker-compose.yml"] {
        let text = fs::read_to_string(root().join(shipped)).unwrap();
        assert!(!text.contains("failpoints") && !text.contains("--features") && !text.contains("--all-features"), "{shipped}");
    }
    let failpoints = fs::read_to_string(src().join("failpoints.rs")).unwrap();
    assert!(failpoints.contains("#[cfg(all(feature = \"failpoints\", debug_assertions))]\nmod kind {"), "they are in debug builds alone");
}

#[test]
fn every_place_and_every_mistake_is_proven_by_a_test() {
    let tests: String = sources(&root().join("tests/integration")).into_iter().map(|(_, text)| text).collect();
    let mut found = BTreeSet::new();
    for (path, text) in sources(&src()) {
        for call in ["failpoints::crash(\"", "failpoints::mistake(\""] {
            for (at, _) in text.match_indices(call) {
                let name = identifier(&text[at + call.len()..]);
                assert!(tests.contains(&format!("\"{name}")), "{}: no test names `{name}`", path.display());
                found.insert(name);
            }
        }
    }
    assert!(found.len() > 40, "only {} were found", found.len());
}

#[test]
fn the_scanner_sees_every_spelling() {
    let rows = ["a", "b", "c", "d"].map(|it| (it, "")).into();
    let text = "use crate::{a::{x, y}, b};\n// crate::a\nfn f() { crate::c::g(); super::d::h(); }\n";
    let found: Vec<_> = named_modules(text, &rows).into_iter().collect();
    assert_eq!(found, [(1, "a"), (1, "b"), (3, "c"), (3, "d")].map(|(at, it)| (at, it.to_owned())));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn src() -> PathBuf {
    root().join("src")
}

/// Every Rust file under a folder, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut pending = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "no sources found");
    found.sort();
    found
}

/// `src/engine/plan.rs` is in `engine`; `lib.rs` and `main.rs` are in none.
fn top_level_module(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(src()).ok()?;
    let first = Path::new(inside.components().next()?.as_os_str()).file_stem()?.to_str()?;
    (first != "lib" && first != "main").then(|| first.to_owned())
}

/// The top-level modules that the text names through `crate::` or `super::`, with the line.
///
/// What stands below `#[cfg(test)]` may reach further: a test sets a scene that its subject does not know.
fn named_modules(text: &str, rows: &BTreeMap<&str, &str>) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    let subject = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let code: String = subject.lines().flat_map(|line| [if line.trim_start().starts_with("//") { "" } else { line }, "\n"]).collect();
    for prefix in ["crate::", "super::"] {
        for (at, _) in code.match_indices(prefix) {
            let line = code[..at].matches('\n').count() + 1;
            let rest = &code[at + prefix.len()..];
            let names = match rest.strip_prefix('{') {
                Some(list) => top_of_list(list),
                None => vec![identifier(rest)],
            };
            let known = names.into_iter().filter(|name| rows.contains_key(name.as_str()));
            found.extend(known.map(|name| (line, name)));
        }
    }
    found
}

/// The first segment of each item of `a::{b, c}, d}…`, up to the closing brace.
fn top_of_list(list: &str) -> Vec<String> {
    let (mut depth, mut item, mut names) = (0_usize, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if 0 < depth => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(identifier(list[item..at].trim_start()));
                item = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => (),
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
}
