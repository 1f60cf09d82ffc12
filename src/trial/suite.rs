//! A folder of playbooks with their tests: read, and tried file by file, several at once.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use futures_util::{StreamExt, stream};
use serde_yaml::Spanned;
use tokio::runtime::Runtime;

use super::{
    Coverage, Report, Tried,
    coverage::Touched,
    format::{self, Lookups, Tests},
    judge,
    mutate::{Mutant, mutants},
    names,
    play::{self, nowhere},
    scenario::{Scenario, scenarios},
};
use crate::{
    actions::Services,
    expression::{Table, Tables},
    playbook::{Library, Playbook, TEST_FILE},
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

/// A change of a playbook that no test noticed.
#[derive(Debug, Clone)]
pub struct Survivor {
    /// The playbook's name.
    pub playbook: String,
    /// The line of what was changed; 0 where the text does not tell.
    pub line: usize,
    /// What was changed.
    pub what: String,
}

struct File {
    path: PathBuf,
    playbook: Arc<Playbook>,
    scenarios: Vec<Scenario>,
}

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
        let tests = suite.library.tests.clone();
        for path in tests {
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

    /// Changes every playbook that has chosen tests in one place after the other, and returns the changes that no test noticed, with the number of
    /// all. `told` is called after each of them with how many are done and how many there are.
    ///
    /// # Errors
    /// A journal in memory cannot be used.
    pub async fn mutate(&self, chosen: &Chosen, told: impl Fn(usize, usize)) -> anyhow::Result<(Vec<Survivor>, usize)> {
        let mut by_playbook: BTreeMap<&str, Vec<Arc<File>>> = BTreeMap::new();
        // What no test is chosen for is not asked about.
        for file in self.files.iter().filter(|file| file.scenarios.iter().any(|scenario| is_chosen(file, scenario, chosen))) {
            by_playbook.entry(&file.playbook.name).or_default().push(Arc::clone(file));
        }
        let mutants = by_playbook.values().filter_map(|files| Some((files, mutants(&files.first()?.playbook))));
        let mutants: Vec<_> = mutants.flat_map(|(files, mutants)| mutants.into_iter().map(|mutant| (files.clone(), mutant))).collect();
        let (all, mut done, mut survivors) = (mutants.len(), 0, Vec::new());
        let trials = mutants.into_iter().map(|(files, mutant)| self.survives(files, mutant, chosen.clone()));
        let mut trials = stream::iter(trials).buffered(at_once());
        while let Some(survivor) = trials.next().await {
            survivors.extend(survivor?);
            done += 1;
            told(done, all);
        }
        Ok((survivors, all))
    }

    async fn survives(&self, files: Vec<Arc<File>>, mutant: Mutant, chosen: Chosen) -> anyhow::Result<Option<Survivor>> {
        let bench = Bench { library: Arc::clone(&self.library), services: Arc::clone(&self.services), seed: chosen.seed };
        apart(move |runtime| {
            for (file, at) in files.iter().flat_map(|file| (0..file.scenarios.len()).map(move |at| (file, at))) {
                let Some(scenario) = file.scenarios.get(at).filter(|scenario| is_chosen(file, scenario, &chosen)) else { continue };
                if !runtime.block_on(bench.try_one(file, scenario, Some(&mutant)))?.0.passed() {
                    return Ok(None);
                }
            }
            let playbook = files.first().map(|file| file.playbook.name.clone()).unwrap_or_default();
            Ok(Some(Survivor { playbook, line: mutant.line, what: mutant.what }))
        })
        .await
    }

    async fn try_file(&self, file: Arc<File>, chosen: Chosen) -> anyhow::Result<(Arc<File>, Vec<(Tried, Touched)>)> {
        let bench = Bench { library: Arc::clone(&self.library), services: Arc::clone(&self.services), seed: chosen.seed };
        apart(move |runtime| {
            let mut order: Vec<usize> = (0..file.scenarios.len()).collect();
            fastrand::Rng::with_seed(chosen.seed).shuffle(&mut order);
            let mut tried = Vec::new();
            for at in order {
                let Some(scenario) = file.scenarios.get(at).filter(|scenario| is_chosen(&file, scenario, &chosen)) else { continue };
                tried.push((at, runtime.block_on(bench.try_one(&file, scenario, None))?));
            }
            tried.sort_by_key(|(at, _)| *at);
            Ok((file, tried.into_iter().map(|(_, tried)| tried).collect()))
        })
        .await
    }

    fn read(&mut self, path: &Path) -> Result<File, Box<Problem>> {
        let unusable = |error| Box::new(Problem::error(TEST_FILE, format!("it cannot be read: {error}"), Place::file(path)));
        let text = fs::read_to_string(path).map_err(unusable)?;
        self.sources.insert(path.to_owned(), text.clone());
        File::parse(path, &text, &self.library)
    }
}

/// What is wrong with the text of a test file, beside the playbooks of a folder.
pub fn fault(path: &Path, text: &str, library: &Library) -> Option<Problem> {
    File::parse(path, text, library).err().map(|problem| *problem)
}

impl File {
    fn parse(path: &Path, text: &str, library: &Library) -> Result<Self, Box<Problem>> {
        let unusable = |message: String| Box::new(Problem::error(TEST_FILE, message, Place::file(path)));
        let tests = Tests::parse(path, text)?;
        let name = tests.subject(path);
        let Some(playbook) = library.get(&name).map(Arc::clone) else {
            let names: Vec<&str> = library.playbooks.iter().map(|playbook| playbook.name.as_str()).collect();
            return Err(unusable(format!("there is no playbook `{name}` that can be used; there are `{}`", names.join("`, `"))));
        };
        names::check_defaults(&tests, &playbook, library).map_err(|why| unusable(format!("`defaults`: {why}")))?;
        for Spanned { value: test, referenced, .. } in &tests.all {
            let told = |why: String| Box::new(format::at(path, text, referenced, format!("the test `{}`: {why}", test.name)));
            names::check(test, &playbook, library).map_err(told)?;
        }
        let scenarios = scenarios(&tests, &playbook, path, text)?;
        Ok(Self { path: path.to_owned(), playbook, scenarios })
    }
}

fn is_chosen(file: &File, scenario: &Scenario, chosen: &Chosen) -> bool {
    chosen.filter.as_ref().is_none_or(|part| format!("{}: {}", file.playbook.name, scenario.name).contains(part))
}

/// Works on a thread of its own, so that what is random there depends on the seed alone.
async fn apart<T: Send + 'static>(work: impl FnOnce(&Runtime) -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(move || work(&tokio::runtime::Builder::new_current_thread().enable_all().build()?)).await?
}

/// What every trial needs.
struct Bench {
    library: Arc<Library>,
    services: Arc<Services>,
    seed: u64,
}

impl Bench {
    async fn try_one(&self, file: &File, scenario: &Scenario, mutant: Option<&Mutant>) -> anyhow::Result<(Tried, Touched)> {
        let begun = Instant::now();
        // The same for a test whatever stands before it in the file.
        fastrand::seed(self.seed.wrapping_add(scenario.line));
        let mut touched = Touched::default();
        let differences = match self.prepared(&file.playbook, scenario, mutant) {
            Ok((playbook, library)) => {
                let played = play::play(scenario, Arc::clone(&playbook), &library, &self.services).await?;
                touched.add(&playbook, &played);
                judge::differences(&scenario.expect, &played)
            }
            Err(problems) => problems,
        };
        let (path, playbook, name) = (file.path.clone(), file.playbook.name.clone(), scenario.name.clone());
        Ok((Tried { path, line: scenario.line, playbook, name, took: begun.elapsed(), differences }, touched))
    }

    /// The playbook as the scenario wants it: in its mode, and compiled with the rows that the test gives.
    fn prepared(&self, playbook: &Playbook, scenario: &Scenario, mutant: Option<&Mutant>) -> Result<(Arc<Playbook>, Library), Vec<String>> {
        let mut library = Library::clone(&self.library);
        let mut playbook = playbook.clone();
        if !scenario.lookups.is_empty() {
            library = library.with_other_tables(&tables(&scenario.lookups));
            let compiled = library.compile(&playbook.path, &playbook.text, &playbook.around);
            playbook = compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        }
        playbook.mode = scenario.mode;
        if let Some(mutant) = mutant {
            mutant.apply(&mut playbook);
        }
        Ok((Arc::new(playbook), library))
    }
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
