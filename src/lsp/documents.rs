//! The files that are open in the editor, with their texts as they are there, saved or not.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use gen_lsp_types::Uri;
use url::Url;

use crate::{app::check::Checked, config::Fault, problem::Problem};

/// The open files, by the names that the editor gives them.
#[derive(Debug, Default)]
pub(super) struct Documents(BTreeMap<String, Document>);

/// An open file.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// Its file; a relative name where it is in none yet.
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
    /// The editor's number for this text.
    pub(super) version: i32,
    /// What the last check found.
    pub(super) seen: Option<Seen>,
}

/// What a check found in a file.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Of which text.
    pub(super) version: i32,
    pub(super) problems: Vec<Problem>,
    /// What is wrong with the settings, where the file has them.
    pub(super) faults: Vec<Fault>,
    /// The folder, and what the settings give.
    pub(super) checked: Arc<Checked>,
}

impl Documents {
    pub(super) fn open(&mut self, uri: &Uri, version: i32, text: &str) {
        let document = Document { path: path_of(uri), text: text.into(), version, seen: None };
        self.0.insert(uri.0.clone(), document);
    }

    /// Takes another text for an open file.
    pub(super) fn change(&mut self, uri: &Uri, version: i32, text: &str) {
        if let Some(document) = self.0.get_mut(&uri.0) {
            (document.version, document.text) = (version, text.into());
        }
    }

    pub(super) fn close(&mut self, uri: &Uri) {
        self.0.remove(&uri.0);
    }

    pub(super) fn get(&self, uri: &Uri) -> Option<&Document> {
        self.0.get(&uri.0)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Uri, &Document)> {
        self.0.iter().map(|(uri, document)| (Uri(uri.clone()), document))
    }

    /// Keeps what a check found, and says whether it is about the text of now.
    pub(super) fn see(&mut self, uri: &Uri, seen: Seen) -> bool {
        let Some(document) = self.0.get_mut(&uri.0) else { return false };
        let is_current = document.version == seen.version;
        document.seen = Some(seen);
        is_current
    }
}

impl Document {
    /// What is wrong, if the text was checked as it is now.
    pub(super) fn problems(&self) -> &[Problem] {
        self.seen_now().map_or(&[], |seen| &seen.problems)
    }

    /// The same of settings.
    pub(super) fn faults(&self) -> &[Fault] {
        self.seen_now().map_or(&[], |seen| &seen.faults)
    }

    fn seen_now(&self) -> Option<&Seen> {
        self.seen.as_ref().filter(|seen| seen.version == self.version)
    }
}

/// The file of a name, or the name itself where it means none.
pub(super) fn path_of(uri: &Uri) -> PathBuf {
    let path = Url::parse(&uri.0).ok().and_then(|url| url.to_file_path().ok());
    path.unwrap_or_else(|| Path::new(uri.0.rsplit(['/', ':']).next().unwrap_or_default()).to_owned())
}
