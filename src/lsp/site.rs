//! Where the settings and the playbooks are, and the check of what is open: what `quell check` would find if everything were saved.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use gen_lsp_types::Uri;

use super::documents::{Document, Seen};
use crate::{
    app::check::{Checked, check},
    config::{Config, ConfigError, DEFAULT_FILE},
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
    /// In the settings.
    pub(super) faults: Vec<String>,
}

/// The open files of a folder, by the names that the folder knows them by.
type Folders<'d> = BTreeMap<PathBuf, Vec<(PathBuf, &'d Uri, &'d Document)>>;

impl Site {
    /// Checks the open files, each with its folder.
    pub(super) async fn look(self, open: Vec<(Uri, Document)>) -> Looked {
        let mut looked = Looked::default();
        let config = self.config().map_err(|error| looked.faults.push(error.to_string())).ok();
        let named = self.playbooks.as_deref().or_else(|| Some(config.as_ref()?.playbooks.as_path()));
        let site = named.and_then(|folder| fs::canonicalize(self.root.join(folder)).ok());
        let mut folders: Folders<'_> = BTreeMap::new();
        for (uri, document) in &open {
            match home(site.as_deref(), document) {
                Some((folder, path)) => folders.entry(folder).or_default().push((path, uri, document)),
                None => looked.seen.push((uri.clone(), document.seen(Vec::new(), &Arc::default()))),
            }
        }
        for (folder, files) in folders {
            let edited = files.iter().map(|(path, _, document)| (path.clone(), document.text.to_string())).collect();
            let mut checked = check(Some(&folder), edited, config.as_ref()).await;
            looked.faults.append(&mut checked.faults);
            let checked = Arc::new(checked);
            for (path, uri, document) in files {
                looked.seen.push((uri.clone(), document.seen(problems(&path, &document.text, &checked), &checked)));
            }
        }
        looked.faults.sort();
        looked.faults.dedup();
        looked
    }

    fn config(&self) -> Result<Config, ConfigError> {
        let variables = self.variables.iter().cloned();
        let found = self.settings.clone().or_else(|| Some(self.root.join(DEFAULT_FILE)).filter(|path| path.exists()));
        match found {
            Some(file) => Config::load(Some(&file), variables),
            None => Config::parse("", DEFAULT_FILE, variables),
        }
    }
}

impl Document {
    fn seen(&self, problems: Vec<Problem>, checked: &Arc<Checked>) -> Seen {
        Seen { version: self.version, problems, checked: Arc::clone(checked) }
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
