//! A folder of playbooks with their tests: read, and tried file by file, several at once.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use futures_util::{StreamExt, stream};

use super::{
    Coverage, Report, Tried,
    coverage::Touched,
    format::{Lookups, Tests},
    judge,
    play::{self, nowhere},
    scenario::{Scenario, scenarios},
};
use crate::{
    actions::Services,
    expression::{Table, Tables},
    playbook::{Library, Playbook},
    problem::{Place, Problem, Severity},
};

/// A folder of playbooks with their tests.
pub struct Suite {
    library: Arc<Library>,
    files: Vec<Arc<File>>,
    services: Arc<Services>,
    /// What is wrong with the playbooks and with the tests. A file that cannot be used is not tried.
    pub problems: Vec<Problem>,
    /// The texts of all files, for excerpts.
    pub sources: BTreeMap<PathBuf, String>,
}

/// Which tests are tried, and how.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Only tests with this in `PLAYBOOK: NAME`.
    pub filter: Option<String>,
    /// Decides the order of the tests and how retries are spread.
    pub seed: u64,
}

struct File {
    path: PathBuf,
    playbook: Arc<Playbook>,
    scenarios: Vec<Scenario>,
}

/// The code under which a file of tests without a playbook is reported.
const NO_PLAYBOOK: &str = "T0002";

impl Suite {
    /// Reads a folder.
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    pub fn load(folder: &Path) -> anyhow::Result<Self> {
        let library = Library::load(folder);
        let mut suite = Self {
            files: Vec::new(),
            services: nowhere()?,
            problems: library.problems.iter().filter(|problem| problem.severity == Severity::Error).cloned().collect(),
            sources: library.sources.clone(),
            library: Arc::new(library),
        };
        for path in tests_in(folder) {
            match suite.read(&path) {
                Ok(file) => suite.files.push(Arc::new(file)),
                Err(problem) => suite.problems.push(*problem),
            }
        }
        Ok(suite)
    }

    /// Tries everything that is chosen.
    ///
    /// # Errors
    /// A journal in memory cannot be used.
    pub async fn run(&self, chosen: &Chosen) -> anyhow::Result<Report> {
        let trials = self.files.iter().map(|file| self.try_file(Arc::clone(file), chosen.clone()));
        let mut trials = stream::iter(trials).buffered(at_once());
        let mut report = Report::default();
        let mut touched: BTreeMap<String, Touched> = BTreeMap::new();
        while let Some(tried) = trials.next().await {
            let (file, tried) = tried?;
            let all = touched.entry(file.playbook.name.clone()).or_default();
            for (tried, touched) in tried {
                report.tried.push(tried);
                all.extend(touched);
            }
        }
        let coverage = touched.iter().filter_map(|(name, touched)| Some(Coverage::of(self.library.get(name)?, touched)));
        report.coverage = coverage.collect();
        Ok(report)
    }

    /// The playbooks that no test names.
    pub fn untested(&self) -> Vec<&str> {
        let is_tested = |name: &str| self.files.iter().any(|file| file.playbook.name == name);
        self.library.playbooks.iter().map(|playbook| playbook.name.as_str()).filter(|name| !is_tested(name)).collect()
    }

    /// On a thread of its own, so that what is random there depends on the seed alone.
    async fn try_file(&self, file: Arc<File>, chosen: Chosen) -> anyhow::Result<(Arc<File>, Vec<(Tried, Touched)>)> {
        let (library, services) = (Arc::clone(&self.library), Arc::clone(&self.services));
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let mut order: Vec<usize> = (0..file.scenarios.len()).collect();
            fastrand::Rng::with_seed(chosen.seed).shuffle(&mut order);
            let mut tried = Vec::new();
            for at in order {
                let Some(scenario) = file.scenarios.get(at).filter(|scenario| is_chosen(&file, scenario, &chosen)) else { continue };
                fastrand::seed(chosen.seed.wrapping_add(u64::try_from(at).unwrap_or_default()));
                tried.push((at, runtime.block_on(try_one(&file, scenario, &library, &services))?));
            }
            tried.sort_by_key(|(at, _)| *at);
            anyhow::Ok((file, tried.into_iter().map(|(_, tried)| tried).collect()))
        };
        tokio::task::spawn_blocking(work).await?
    }

    fn read(&mut self, path: &Path) -> Result<File, Box<Problem>> {
        let unusable = |message: String| Box::new(Problem::error(NO_PLAYBOOK, message, Place::file(path)));
        let text = fs::read_to_string(path).map_err(|error| unusable(format!("it cannot be read: {error}")))?;
        self.sources.insert(path.to_owned(), text.clone());
        let tests = Tests::parse(path, &text)?;
        let name = tests.subject(path);
        let Some(playbook) = self.library.get(&name).map(Arc::clone) else {
            let names: Vec<&str> = self.library.playbooks.iter().map(|playbook| playbook.name.as_str()).collect();
            return Err(unusable(format!("there is no playbook `{name}` that can be used; there are `{}`", names.join("`, `"))));
        };
        let scenarios = scenarios(&tests, path, &text)?;
        Ok(File { path: path.to_owned(), playbook, scenarios })
    }
}

fn is_chosen(file: &File, scenario: &Scenario, chosen: &Chosen) -> bool {
    chosen.filter.as_ref().is_none_or(|part| format!("{}: {}", file.playbook.name, scenario.name).contains(part))
}

async fn try_one(file: &File, scenario: &Scenario, library: &Library, services: &Arc<Services>) -> anyhow::Result<(Tried, Touched)> {
    let begun = Instant::now();
    let mut touched = Touched::default();
    let differences = match on_its_own_tables(&file.playbook, library, scenario) {
        Ok((playbook, library)) => {
            let played = play::play(scenario, Arc::clone(&playbook), &library, Arc::clone(services)).await?;
            touched.add(&playbook, &played);
            judge::differences(&scenario.expect, &played)
        }
        Err(problems) => problems,
    };
    let tried = Tried {
        path: file.path.clone(),
        line: scenario.line,
        playbook: file.playbook.name.clone(),
        name: scenario.name.clone(),
        took: begun.elapsed(),
        differences,
    };
    Ok((tried, touched))
}

/// The playbook as the scenario wants it: in its mode, and compiled with the rows that the test gives.
fn on_its_own_tables(playbook: &Playbook, library: &Library, scenario: &Scenario) -> Result<(Arc<Playbook>, Library), Vec<String>> {
    let mut library = library.clone();
    let mut playbook = playbook.clone();
    if !scenario.lookups.is_empty() {
        library.sandbox = library.sandbox.with_other_tables(tables(&scenario.lookups));
        let compiled = library.compile(&playbook.path, &playbook.text);
        playbook = compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    }
    playbook.mode = scenario.mode;
    Ok((Arc::new(playbook), library))
}

fn tables(lookups: &Lookups) -> Tables {
    let mut tables = Tables::default();
    for (name, rows) in lookups {
        let mut table = Table::default();
        for (key, row) in rows {
            table.insert(key, row.iter().map(|(column, text)| (column.as_str(), text.as_str())));
        }
        tables.insert(name, table);
    }
    tables
}

/// As many as there are cores; two keep one busy while the other waits for its journal.
fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

/// Every file of tests under a folder, in order.
fn tests_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    for path in entries.unwrap_or_default() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            found.extend(tests_in(&path));
        } else if name.ends_with(".test.yaml") || name.ends_with(".test.yml") {
            found.push(path);
        }
    }
    found.sort();
    found
}
