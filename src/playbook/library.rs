//! A folder of playbooks, with the functions and lookup tables that they share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{Body, Index, Playbook, codes, reader::place_in};
use crate::{
    expression::{Sandbox, Table, Tables},
    problem::{Place, Problem, Severity},
    run::Mode,
};

/// What a folder holds: the playbooks that can be run, and what is wrong with the others.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// In the order of their names.
    pub playbooks: Vec<Arc<Playbook>>,
    /// Everything that is wrong, file by file; warnings too.
    pub problems: Vec<Problem>,
    /// The texts of all files that were read, for excerpts.
    pub sources: BTreeMap<PathBuf, String>,
    /// The engine with the folder's functions and tables.
    pub sandbox: Sandbox,
    /// The playbooks that alerts trigger, and the index of their `match`.
    alerted: (Vec<Arc<Playbook>>, Index),
}

/// A lookup table as large as this takes half a second to read.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Deeper than people sort files; a folder that links to itself has no end.
const DEEPEST: usize = 8;

impl Library {
    /// Reads a folder: playbooks in it and in folders below, functions in `lib/*.rhai`, tables in `tables/*.csv`. Names that start with `_`
    /// or `.`, and tests (`*.test.yaml`), are left out. A folder that cannot be read is a problem, and the library is then empty.
    pub fn load(folder: &Path) -> Self {
        let mut library = Self::default();
        let mut files = Vec::new();
        library.list(folder, 0, &mut files);
        files.sort();
        library.load_tables(folder, &files);
        library.load_functions(folder, &files);
        for path in files.iter().filter(|path| is_playbook(path)) {
            library.load_playbook(path);
        }
        library.playbooks.sort_by(|left, right| left.name.cmp(&right.name));
        library.index();
        library
    }

    /// The same functions and tables with one playbook alone, in place of all that are here.
    #[must_use]
    pub fn with_only(&self, playbook: Arc<Playbook>) -> Self {
        let mut library = Self { playbooks: vec![playbook], ..self.clone() };
        library.index();
        library
    }

    /// The playbooks that an alert may trigger: those that are enabled and of whose `match` no line is plainly false.
    pub fn candidates(&self, alert: &Value) -> impl Iterator<Item = &Arc<Playbook>> {
        let (playbooks, index) = &self.alerted;
        index.remaining(alert).into_iter().filter_map(|row| playbooks.get(row))
    }

    fn index(&mut self) {
        let is_alerted = |it: &&Arc<Playbook>| it.mode != Mode::Disabled && it.trigger.alert().is_some();
        let playbooks: Vec<_> = self.playbooks.iter().filter(is_alerted).cloned().collect();
        let index = Index::new(playbooks.iter().filter_map(|it| it.trigger.alert()).map(|it| it.clauses.as_slice()));
        self.alerted = (playbooks, index);
    }

    /// Reads one text with this library's functions and tables: a run goes on with the text that it started with.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn compile(&self, path: &Path, text: &str) -> Result<Playbook, Vec<Problem>> {
        Playbook::parse(&self.sandbox, path, text).map(|(playbook, _warnings)| playbook)
    }

    /// How many files cannot be used.
    pub fn refused(&self) -> usize {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        errors.map(|problem| &problem.place.path).collect::<BTreeSet<_>>().len()
    }

    /// The playbook of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Playbook>> {
        self.playbooks.iter().find(|it| it.name == name)
    }

    /// Warns of steps that tell people through a channel that the settings do not have. Only names that are written out can be judged.
    pub fn check_channels(&mut self, check: impl Fn(&str) -> Result<(), String>) {
        for playbook in &self.playbooks {
            for step in playbook.every_step() {
                let Body::Action { entry, with } = &step.body else { continue };
                let channels = if entry.name == "notify" { with.constant_texts("channels") } else { Vec::new() };
                for (channel, why) in channels.into_iter().filter_map(|channel| Some((channel, check(channel).err()?))) {
                    let place = text_place(&playbook.path, &playbook.text, channel);
                    let message = format!("step `{}` cannot tell anybody: {why}", step.id);
                    self.problems.push(Problem::warning(codes::UNKNOWN_CHANNEL, message, place));
                }
            }
        }
    }

    fn list(&mut self, folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.report_file(folder, &format!("cannot be read: {error}")),
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            if name.is_empty() || name.starts_with(['_', '.']) {
                continue;
            }
            if !path.is_dir() {
                files.push(path);
            } else if depth < DEEPEST {
                self.list(&path, depth + 1, files);
            }
        }
    }

    fn load_tables(&mut self, folder: &Path, files: &[PathBuf]) {
        let mut tables = Tables::default();
        for path in files.iter().filter(|path| path.parent() == Some(&folder.join("tables")) && has_extension(path, "csv")) {
            let Some(text) = self.read(path) else { continue };
            let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
            match read_table(&text) {
                Ok(table) => tables.insert(name, table),
                Err((message, line)) => {
                    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
                    self.problems.push(Problem::error(codes::TABLE, message, place_in(path, &text, &(start..start))));
                }
            }
        }
        self.sandbox = Sandbox::with_tables(tables);
    }

    fn load_functions(&mut self, folder: &Path, files: &[PathBuf]) {
        for path in files.iter().filter(|path| path.parent() == Some(&folder.join("lib")) && has_extension(path, "rhai")) {
            let Some(text) = self.read(path) else { continue };
            match self.sandbox.clone().with_functions(&text) {
                Ok(sandbox) => self.sandbox = sandbox,
                Err(error) => {
                    let place = place_in(path, &text, &(error.offset..error.offset + 1));
                    self.problems.push(Problem::error(codes::FUNCTIONS, error.message, place));
                }
            }
        }
    }

    fn load_playbook(&mut self, path: &Path) {
        let Some(text) = self.read(path) else { return };
        match Playbook::parse(&self.sandbox, path, &text) {
            Ok((playbook, warnings)) => {
                self.problems.extend(warnings);
                if let Some(other) = self.get(&playbook.name) {
                    let message = format!("the playbook `{}` is in `{}` already", playbook.name, other.path.display());
                    self.problems.push(Problem::error(codes::DUPLICATE_PLAYBOOK, message, name_place(path, &text, &playbook.name)));
                } else {
                    self.playbooks.push(Arc::new(playbook));
                }
            }
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn read(&mut self, path: &Path) -> Option<String> {
        let size = fs::metadata(path).map_or(0, |it| it.len());
        if size > LARGEST_FILE {
            self.report_file(path, &format!("has {size} bytes, over {LARGEST_FILE}"));
            return None;
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                self.sources.insert(path.to_owned(), text.clone());
                Some(text)
            }
            Err(error) => {
                self.report_file(path, &format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn report_file(&mut self, path: &Path, what: &str) {
        self.problems.push(Problem::error(codes::FILE, format!("`{}` {what}", path.display()), Place::file(path)));
    }
}

fn is_playbook(path: &Path) -> bool {
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let is_test = name.ends_with(".test.yaml") || name.ends_with(".test.yml");
    (has_extension(path, "yaml") || has_extension(path, "yml")) && !is_test
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|it| it == extension)
}

/// Where a text stands first.
fn text_place(path: &Path, text: &str, wanted: &str) -> Place {
    let start = text.find(wanted).unwrap_or_default();
    place_in(path, text, &(start..start + wanted.len()))
}

fn name_place(path: &Path, text: &str, name: &str) -> Place {
    let start = text.find("playbook:").and_then(|at| Some(at + text.get(at..)?.find(name)?)).unwrap_or_default();
    place_in(path, text, &(start..start + name.len()))
}

/// Reads a table whose first line names the columns and whose first column is the key.
fn read_table(text: &str) -> Result<Table, (String, usize)> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let line_of = |error: &csv::Error| error.position().map_or(1, |it| usize::try_from(it.line()).unwrap_or(1));
    let columns = reader.headers().map_err(|error| (error.to_string(), line_of(&error)))?.clone();
    let mut table = Table::default();
    for record in reader.records() {
        let record = record.map_err(|error| (error.to_string(), line_of(&error)))?;
        let line = record.position().map_or(1, |it| usize::try_from(it.line()).unwrap_or(1));
        let key = record.get(0).unwrap_or_default();
        if !table.insert(key, columns.iter().zip(record.iter())) {
            return Err((format!("the key `{key}` is there twice"), line));
        }
    }
    Ok(table)
}
