//! CONTRIBUTING.md's examples compile: each file is put into a copy of the source, with the two lines that it says, and nothing else.

use std::{fs, path::Path, process::Command};

use crate::{
    markdown::{Block, blocks},
    root, text,
};

/// What a build of the library needs of the tree.
const TREE: &[&str] = &["src", "docs", "benches", "examples", "playbooks", "Cargo.toml", "Cargo.lock", "clippy.toml"];

#[test]
fn the_examples_compile_as_they_stand() {
    let copy = tempfile::tempdir().unwrap();
    for name in TREE {
        copy_to(&root().join(name), &copy.path().join(name));
    }
    // Another version, so that the copy shares the compiled dependencies with the project and nothing else.
    change(&copy.path().join("Cargo.toml"), |manifest| manifest.replacen("\nversion = \"", "\nversion = \"0.0.0-contributing.", 1));
    let blocks: Vec<Block> = blocks(&text("CONTRIBUTING.md")).into_iter().filter(|block| block.language == "rust").collect();
    let mut files = Vec::new();
    for pair in blocks.chunks(2) {
        let [file, lines] = pair else { panic!("an example is a file and two lines") };
        let path = file.file().unwrap_or_else(|| panic!("`{}` names no file", file.above));
        fs::write(copy.path().join(path), &file.text).unwrap();
        list(copy.path(), path, lines);
        files.push(path);
    }
    assert_eq!(files.len(), 3, "an action, a channel and an adapter: {files:?}");
    let output = check(copy.path());
    assert!(output.0, "{}", output.1);
    for file in files {
        assert!(!output.1.contains(file), "the compiler warns of `{file}`:\n{}", output.1);
    }
}

/// Puts the two lines where they belong: the module among the modules, the entry into the catalog.
fn list(copy: &Path, path: &str, lines: &Block) {
    let member = Path::new(path).file_stem().unwrap().to_str().unwrap();
    let folder = Path::new(path).parent().unwrap().join("mod.rs");
    assert!(
        lines.above.contains(&format!("`{}`, add two lines:", folder.display())),
        "`{}` does not name `{}`",
        lines.above,
        folder.display()
    );
    let [module, entry] = lines.text.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {}", lines.text) };
    assert_eq!(module, format!("mod {member};"));
    // This is what `tests/tidy.rs` looks for: without the entry, that test names the forgotten file.
    assert!(entry.contains(&format!("of::<{member}::")) && text("tests/tidy.rs").contains("of::<{member}::"));
    change(&copy.join(folder), |source| {
        let source = source.replacen("\nmod ", &format!("\n{module}\nmod "), 1);
        let (before, after) = source.split_once("CATALOG: &[Entry] =").unwrap();
        format!("{before}CATALOG: &[Entry] ={}", after.replacen("&[", &format!("&[\n{entry}\n"), 1))
    });
}

/// Whether the copy compiles, and what the compiler said. Only the library is checked, against dependencies that are there already
/// when this test runs for the second time.
fn check(copy: &Path) -> (bool, String) {
    let target = Path::new(env!("CARGO_BIN_EXE_quell")).ancestors().nth(2).unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["check", "--lib", "--offline", "--quiet", "--color=never"]).current_dir(copy).env("CARGO_TARGET_DIR", target);
    // What the outer build was told is not for this one.
    for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn change(path: &Path, change: impl FnOnce(String) -> String) {
    let before = fs::read_to_string(path).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "nothing was changed in {}", path.display());
    fs::write(path, after).unwrap();
}

fn copy_to(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "target") {
            copy_to(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}
