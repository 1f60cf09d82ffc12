//! A folder of playbooks, with the functions and lookup tables that they share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Index, Playbook, codes,
    linking::{Around, Linking},
    parse::{self, Draft},
    reader::place_in,
};
use crate::{
    digest::sha256,
    expression::{Lookups, Sandbox, Table, Tables},
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
    /// The files of tests, in order; they are not read here.
    pub tests: Vec<PathBuf>,
    /// The texts of all files that were read, for excerpts.
    pub sources: BTreeMap<PathBuf, String>,
    /// The engine with the folder's functions and tables.
    pub sandbox: Sandbox,
    /// The playbooks that alerts trigger, and the index of their `match`.
    alerted: (Vec<Arc<Playbook>>, Index),
    /// The engine with the tables alone, for functions of another day.
    bare: Sandbox,
    /// The texts of the functions, in the order of their files.
    lib: Vec<String>,
    /// The files of the tables, by their names.
    pub(super) tables: BTreeMap<String, PathBuf>,
    /// Which tables playbooks and functions read, if all of them can be read.
    pub(super) lookups: Option<Lookups>,
}

/// A lookup table as large as this takes half a second to read.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Deeper than people sort files; a folder that links to itself has no end.
const DEEPEST: usize = 8;

impl Library {
    /// Reads a folder: playbooks in it and in folders below, functions in `lib/*.rhai`, tables in `tables/*.csv`. Names that start with `_`
    /// or `.`, and tests (`*.test.yaml`), are left out. A folder that cannot be read is a problem, and the library is then empty.
    pub fn load(folder: &Path) -> Self {
        Self::load_edited(folder, BTreeMap::new())
    }

    /// The same, where an editor has other texts for some of the files, or files that are not written yet.
    pub fn load_edited(folder: &Path, edited: BTreeMap<PathBuf, String>) -> Self {
        let mut files = Vec::new();
        let mut library = Self::default();
        library.list(folder, 0, &mut files);
        files.extend(edited.keys().filter(|path| is_listed(folder, path)).cloned());
        files.sort();
        files.dedup();
        library.sources = edited;
        library.load_tables(folder, &files);
        library.load_functions(folder, &files);
        library.lookups = library.load_playbooks(&files);
        library.index();
        library.tests = files.into_iter().filter(|path| is_test(path)).collect();
        library
    }

    /// The same functions and tables with one playbook alone, in place of all that are here.
    #[must_use]
    pub fn with_only(&self, playbook: Arc<Playbook>) -> Self {
        let mut library = Self { playbooks: vec![playbook], ..self.clone() };
        library.index();
        library
    }

    /// The same functions and playbooks with other rows in the tables; texts compiled from now on read those.
    #[must_use]
    pub fn with_other_tables(&self, tables: &Tables) -> Self {
        let (sandbox, bare) = (self.sandbox.with_other_tables(tables.clone()), self.bare.with_other_tables(tables.clone()));
        Self { sandbox, bare, ..self.clone() }
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

    /// Reads a text and what it leaned on when a run began with it, with the tables of today: see [`Playbook::around`].
    ///
    /// # Errors
    /// Everything that is wrong with the texts.
    pub fn compile(&self, path: &Path, text: &str, around: &str) -> Result<Playbook, Vec<Problem>> {
        let broken = |what: String| vec![Problem::error(codes::FILE, what, Place::file(path))];
        let around: Around =
            serde_json::from_str(around).map_err(|error| broken(format!("what the playbook leaned on is lost: {error}")))?;
        let functions = around.lib.iter().try_fold(self.bare.clone(), |sandbox, text| sandbox.with_functions(text));
        let sandbox = if around.lib == self.lib { self.sandbox.clone() } else { functions.map_err(|error| broken(error.to_string()))? };
        let main = parse::draft(&sandbox, path, text)?;
        let name = main.playbook.name.clone();
        let called = around.playbooks.iter().map(|(name, text)| parse::draft(&sandbox, Path::new(name), text));
        let mut drafts: Vec<Draft> = called.collect::<Result<_, _>>()?;
        drafts.push(main);
        let (playbooks, problems) = Linking::new(drafts, &[], &around.lib).finish();
        playbooks.into_iter().find(|it| it.name == name).map(Arc::unwrap_or_clone).ok_or(problems)
    }

    /// How many files cannot be used.
    pub fn refused(&self) -> usize {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        errors.map(|problem| &problem.place.path).collect::<BTreeSet<_>>().len()
    }

    /// One hash for all playbooks that can be run, whatever they lean on.
    pub fn hash(&self) -> String {
        let all: Vec<_> = self.playbooks.iter().map(|playbook| format!("{} {}\n", playbook.hash, playbook.name)).collect();
        sha256(&all.concat())
    }

    /// The playbook of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Playbook>> {
        self.playbooks.iter().find(|it| it.name == name)
    }

    fn list(&mut self, folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.report_file(folder, &format!("cannot be read: {error}")),
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            if is_left_out(name) {
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
                Ok(table) => {
                    tables.insert(name, table);
                    self.tables.insert(name.to_owned(), path.clone());
                }
                Err((message, line)) => {
                    let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
                    self.problems.push(Problem::error(codes::TABLE, message, place_in(path, &text, &(start..start))));
                }
            }
        }
        self.sandbox = Sandbox::with_tables(tables);
        self.bare = self.sandbox.clone();
    }

    fn load_functions(&mut self, folder: &Path, files: &[PathBuf]) {
        for path in files.iter().filter(|path| path.parent() == Some(&folder.join("lib")) && has_extension(path, "rhai")) {
            let Some(text) = self.read(path) else { continue };
            match self.sandbox.clone().with_functions(&text) {
                Ok(sandbox) => {
                    self.sandbox = sandbox;
                    self.lib.push(text);
                }
                Err(error) => {
                    let place = place_in(path, &text, &(error.offset..error.offset + 1));
                    self.problems.push(Problem::error(codes::FUNCTIONS, error.message, place));
                }
            }
        }
    }

    /// Returns which tables are read, if all files can be read.
    fn load_playbooks(&mut self, files: &[PathBuf]) -> Option<Lookups> {
        let (mut drafts, mut broken): (Vec<Draft>, Vec<String>) = (Vec::new(), Vec::new());
        for path in files.iter().filter(|path| is_playbook(path)) {
            let Some(text) = self.read(path) else { continue };
            match parse::draft(&self.sandbox, path, &text) {
                Ok(draft) => match drafts.iter().find(|other| other.playbook.name == draft.playbook.name) {
                    Some(Draft { playbook: other, .. }) => {
                        let message = format!("the playbook `{}` is in `{}` already", other.name, other.path.display());
                        let place = name_place(path, &text, &other.name);
                        self.problems.push(Problem::error(codes::DUPLICATE_PLAYBOOK, message, place));
                    }
                    None => drafts.push(draft),
                },
                Err(problems) => {
                    self.problems.extend(problems);
                    broken.extend(text.lines().find_map(|line| line.strip_prefix("playbook:")).map(|name| name.trim().to_owned()));
                }
            }
        }
        let mut lookups = Lookups::default();
        for text in &self.lib {
            lookups.add(text);
        }
        for draft in &drafts {
            lookups.extend(draft.lookups.clone());
        }
        let (playbooks, problems) = Linking::new(drafts, &broken, &self.lib).finish();
        self.playbooks = playbooks;
        self.problems.extend(problems);
        self.problems.iter().all(|problem| problem.severity == Severity::Warning).then_some(lookups)
    }

    fn read(&mut self, path: &Path) -> Option<String> {
        if let Some(edited) = self.sources.get(path) {
            return Some(edited.clone());
        }
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

/// Whether names of files and folders say that they are not meant.
fn is_left_out(name: &str) -> bool {
    name.is_empty() || name.starts_with(['_', '.'])
}

/// Whether the file would be found in the folder.
fn is_listed(folder: &Path, path: &Path) -> bool {
    let mut names = path.strip_prefix(folder).into_iter().flatten();
    path.starts_with(folder) && names.all(|name| name.to_str().is_some_and(|name| !is_left_out(name)))
}

fn is_playbook(path: &Path) -> bool {
    (has_extension(path, "yaml") || has_extension(path, "yml")) && !is_test(path)
}

/// Whether a file holds tests, by its name.
pub fn is_test(path: &Path) -> bool {
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|it| it == extension)
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
