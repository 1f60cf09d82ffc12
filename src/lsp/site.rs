//! Where the settings and the playbooks are, and the check of what is open: what `quell check` would find if everything were saved.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use gen_lsp_types::Uri;

use super::{
    documents::{Document, Seen},
    schema::Form,
};
use crate::{
    app::check::{Checked, check},
    config::{Config, ConfigError, DEFAULT_FILE, Fault},
    playbook::is_test,
    problem::Problem,
    trial,
};

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Site {
    /// The settings that were named; without it, [`DEFAULT_FILE`] in the editor's folder, if it is there.
    pub settings: Option<PathBuf>,
    /// Settings above those of the file.
    pub variables: Vec<(String, String)>,
    /// The folder of playbooks that was named; without it, the one in the settings.
    pub playbooks: Option<PathBuf>,
    /// The editor's folder.
    pub root: PathBuf,
}

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// In the open files.
    pub(super) seen: Vec<(Uri, Seen)>,
    /// In the site's settings, where these are not open.
    pub(super) faults: Vec<Fault>,
}

/// Open files, by the names that the editor gives them.
type Open<'d> = Vec<&'d (Uri, Document)>;

/// The open files of a folder, by the names that the folder knows them by.
type Folders<'d> = BTreeMap<PathBuf, Vec<(PathBuf, &'d Uri, &'d Document)>>;

impl Site {
    /// What a file holds, by its name.
    pub(super) fn form(&self, path: &Path) -> Form {
        if path.file_name().is_some_and(|name| name == DEFAULT_FILE) || is_same(path, &self.settings()) {
            return Form::Settings;
        }
        if is_test(path) { Form::Tests } else { Form::Playbook }
    }

    /// Checks the open files: settings each alone, playbooks and tests each with its folder.
    pub(super) async fn look(self, open: Vec<(Uri, Document)>) -> Looked {
        let mut looked = Looked::default();
        let (settings, others): (Open<'_>, Open<'_>) = open.iter().partition(|(_, document)| self.form(&document.path) == Form::Settings);
        let own = settings.iter().find(|(_, document)| self.is_own(document)).map(|(_, document)| document);
        let config = self.config(own);
        self.look_at_playbooks(others, config.as_ref().ok(), &mut looked).await;
        for (uri, document) in settings {
            let seen = if self.is_own(document) {
                self.look_at_settings(document).await
            } else {
                Self::of(document).look_at_settings(document).await
            };
            looked.seen.push((uri.clone(), seen));
        }
        match config {
            // They are shown where they are open.
            _ if own.is_some() => looked.faults.clear(),
            Err(ConfigError(faults)) => looked.faults = faults,
            Ok(_) => {}
        }
        looked
    }

    async fn look_at_playbooks(&self, open: Open<'_>, config: Option<&Config>, looked: &mut Looked) {
        let site = self.folder(config);
        let mut folders: Folders<'_> = BTreeMap::new();
        for (uri, document) in open {
            match home(site.as_deref(), document) {
                Some((folder, path)) => folders.entry(folder).or_default().push((path, uri, document)),
                None => looked.seen.push((uri.clone(), document.seen(Vec::new(), &Arc::default()))),
            }
        }
        for (folder, files) in folders {
            let edited = files.iter().map(|(path, _, document)| (path.clone(), document.text.to_string())).collect();
            let mut checked = check(Some(&folder), edited, config).await;
            // The same with every folder, but for the functions that adapters use.
            looked.faults = std::mem::take(&mut checked.faults);
            let checked = Arc::new(checked);
            for (path, uri, document) in files {
                looked.seen.push((uri.clone(), document.seen(problems(&path, &document.text, &checked), &checked)));
            }
        }
    }

    /// What is wrong with settings: what they cannot be read for, or else what cannot be built of them.
    async fn look_at_settings(&self, document: &Document) -> Seen {
        let (checked, faults) = match self.config(Some(document)) {
            Ok(config) => {
                let mut checked = check(self.folder(Some(&config)).as_deref(), BTreeMap::new(), Some(&config)).await;
                let faults = std::mem::take(&mut checked.faults);
                (checked, faults)
            }
            Err(ConfigError(faults)) => (Checked::default(), faults),
        };
        Seen { faults, ..document.seen(Vec::new(), &Arc::new(checked)) }
    }

    /// The site of settings that are not this one's: without variables, which are meant for this.
    fn of(settings: &Document) -> Self {
        let root = settings.path.parent().map(Path::to_owned).unwrap_or_default();
        Self { settings: Some(settings.path.clone()), variables: Vec::new(), playbooks: None, root }
    }

    fn is_own(&self, document: &Document) -> bool {
        is_same(&document.path, &self.settings())
    }

    /// The file of the settings, whether it is there or not.
    fn settings(&self) -> PathBuf {
        self.settings.clone().unwrap_or_else(|| self.root.join(DEFAULT_FILE))
    }

    /// The folder of playbooks, if it is there.
    fn folder(&self, config: Option<&Config>) -> Option<PathBuf> {
        let named = self.playbooks.as_deref().or_else(|| Some(config?.playbooks.as_path()))?;
        fs::canonicalize(self.root.join(named)).ok()
    }

    /// The settings, as the editor has them where they are open.
    fn config(&self, open: Option<&Document>) -> Result<Config, ConfigError> {
        let variables = self.variables.iter().cloned();
        let file = self.settings();
        match open {
            Some(document) => Config::parse(&document.text, &file.display().to_string(), variables),
            None if self.settings.is_some() || file.exists() => Config::load(Some(&file), variables),
            None => Config::parse("", DEFAULT_FILE, variables),
        }
    }
}

impl Document {
    fn seen(&self, problems: Vec<Problem>, checked: &Arc<Checked>) -> Seen {
        Seen { version: self.version, problems, faults: Vec::new(), checked: Arc::clone(checked) }
    }
}

/// The problems of one file; of a file of tests, those of its playbook's steps as well.
fn problems(path: &Path, text: &str, checked: &Checked) -> Vec<Problem> {
    let library = &checked.library;
    let mut found: Vec<Problem> = library.problems.iter().filter(|problem| problem.place.path == path).cloned().collect();
    if library.tests.iter().any(|test| test == path) {
        found.extend(trial::fault(path, text, library));
    }
    found
}

/// The folder that a file is checked with, and its name there: the site's if it lies in that, else its own if it looks like one of ours.
fn home(site: Option<&Path>, document: &Document) -> Option<(PathBuf, PathBuf)> {
    if let Some((site, path)) = site.and_then(|site| Some((site, inside(site, &document.path)?))) {
        return Some((site.to_owned(), path));
    }
    let name = document.path.file_name()?;
    let is_ours = is_test(&document.path) || document.text.lines().any(|line| line.starts_with("playbook:"));
    let own = fs::canonicalize(document.path.parent()?).ok().filter(|_| is_ours)?;
    let path = own.join(name);
    Some((own, path))
}

/// The name of a file in a folder, by whatever links the editor came to it.
fn inside(folder: &Path, path: &Path) -> Option<PathBuf> {
    let around = path.ancestors().skip(1).find(|around| fs::canonicalize(around).is_ok_and(|it| it == folder))?;
    Some(folder.join(path.strip_prefix(around).ok()?))
}

/// Whether two names mean one file, by whatever links.
fn is_same(left: &Path, right: &Path) -> bool {
    left == right || fs::canonicalize(left).is_ok_and(|left| fs::canonicalize(right).is_ok_and(|right| left == right))
}
