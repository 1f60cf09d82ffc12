//! The documents are true: what README.md tells to type is typed, what it lists is compared, what CONTRIBUTING.md shows is compiled.
//!
//! How the documents are read is in `markdown`: a fenced block below a line that ends with a path and a colon is that file; a line of a
//! `console` block that begins with `$ ` is a command, and the lines below it are what it promises to print.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may panic, and these tests are the outside: they start processes and wait for them"
)]

mod contributing;
mod expressions;
mod lists;
mod markdown;
mod operators;
mod playbooks;
mod problems;
mod references;
mod schemas;
mod settings;
mod walk;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A file of the project.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read `{path}`: {error}"))
}
