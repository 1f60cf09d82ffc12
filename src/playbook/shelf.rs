//! The playbooks in use: one [`Library`] at a time, taken and replaced as a whole.
//!
//! Reading the folder again and deciding when to is not done here; what a reading leads to is ([`Library::read_again`]), and it is pure.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{Library, Playbook};
use crate::problem::Severity;

/// The playbooks in use, and those that open runs began with. Cheap to clone; all clones are the same shelf.
#[derive(Debug, Clone)]
pub struct Shelf(Arc<RwLock<Shelved>>);

/// What reading the folder again leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Every file is as it was.
    Unchanged,
    /// The new set takes the place of the old one.
    Replace(Changes),
    /// Something is wrong with the new set, so the old one stays: every error, one each.
    Keep(Vec<String>),
}

/// In what a set of playbooks differs from an earlier one; the names of the playbooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Changes {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

#[derive(Debug)]
struct Shelved {
    library: Arc<Library>,
    /// The library's playbooks by the hash of their text and of what it leans on.
    current: HashMap<String, Arc<Playbook>>,
    /// Replaced ones by the same hash, with the tables of their time.
    earlier: HashMap<String, Arc<Playbook>>,
}

/// Texts that were compiled again after a restart. Open runs rarely use more, and one that was let go is only compiled once more.
const MOST_KEPT: usize = 1_000;

/// People change a few at once; when it is more, the numbers say enough.
const MOST_NAMED: usize = 10;

impl Shelf {
    /// A shelf with a first library.
    pub fn new(library: Arc<Library>) -> Self {
        let current = by_hash(&library);
        Self(Arc::new(RwLock::new(Shelved { library, current, earlier: HashMap::new() })))
    }

    /// The library in use. Whoever works on several things that belong together takes it once.
    pub fn current(&self) -> Arc<Library> {
        Arc::clone(&self.read().library)
    }

    /// Puts another library in the place of the one in use. Playbooks that it does not have are still found, until
    /// [`Shelf::forget_all_but`].
    pub fn replace(&self, library: Arc<Library>) {
        // Hashing a large library is not done while others wait.
        let current = by_hash(&library);
        let mut shelved = self.write();
        let replaced = std::mem::replace(&mut shelved.current, current);
        shelved.library = library;
        let Shelved { current, earlier, .. } = &mut *shelved;
        earlier.extend(replaced);
        earlier.retain(|hash, _| !current.contains_key(hash));
    }

    /// The playbook whose text has that hash: the one in use, else as it was when it was last in use.
    pub fn find(&self, hash: &str) -> Option<Arc<Playbook>> {
        let shelved = self.read();
        shelved.current.get(hash).or_else(|| shelved.earlier.get(hash)).cloned()
    }

    /// Keeps a playbook that was compiled again for a run.
    pub fn keep(&self, playbook: Arc<Playbook>) {
        let mut shelved = self.write();
        if shelved.earlier.len() >= MOST_KEPT {
            shelved.earlier.clear();
        }
        shelved.earlier.insert(playbook.hash.clone(), playbook);
    }

    /// Lets go of every replaced playbook that no open run uses, given the hashes of the texts that they do use.
    pub fn forget_all_but(&self, in_use: &HashSet<String>) {
        self.write().earlier.retain(|hash, _| in_use.contains(hash));
    }

    fn read(&self) -> RwLockReadGuard<'_, Shelved> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelved> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Library {
    /// What it leads to that the folder, read again, is now `new`.
    pub fn read_again(&self, new: &Self) -> Reading {
        if self.sources == new.sources && self.problems == new.problems {
            return Reading::Unchanged;
        }
        let errors = new.errors();
        if errors.is_empty() { Reading::Replace(self.changes(new)) } else { Reading::Keep(errors) }
    }

    /// What makes files of it unusable.
    pub fn errors(&self) -> Vec<String> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect()
    }

    fn changes(&self, new: &Self) -> Changes {
        let before: HashMap<_, _> = self.playbooks.iter().map(|it| (it.name.as_str(), it.hash.as_str())).collect();
        let after: HashSet<_> = new.playbooks.iter().map(|it| it.name.as_str()).collect();
        let mut changes = Changes::default();
        for playbook in &new.playbooks {
            match before.get(playbook.name.as_str()) {
                None => changes.added.push(playbook.name.clone()),
                Some(hash) if *hash != playbook.hash => changes.changed.push(playbook.name.clone()),
                Some(_) => {}
            }
        }
        let removed = self.playbooks.iter().filter(|it| !after.contains(it.name.as_str()));
        changes.removed = removed.map(|it| it.name.clone()).collect();
        changes
    }
}

impl Changes {
    /// The names, the first few of each: `+a +b ~c`.
    pub fn names(&self) -> String {
        let lists = [("+", &self.added), ("~", &self.changed), ("-", &self.removed)];
        let signed = |(sign, names): (&str, &Vec<String>)| {
            let more = names.len().checked_sub(MOST_NAMED).filter(|more| *more > 0).map(|more| format!("{sign}{more} more"));
            names.iter().take(MOST_NAMED).map(|name| format!("{sign}{name}")).chain(more).collect::<Vec<_>>()
        };
        lists.into_iter().flat_map(signed).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} ~{} -{}", self.added.len(), self.changed.len(), self.removed.len())
    }
}

fn by_hash(library: &Library) -> HashMap<String, Arc<Playbook>> {
    library.playbooks.iter().map(|playbook| (playbook.hash.clone(), Arc::clone(playbook))).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// A folder of playbooks with these names and messages.
    fn library(folder: &Path, playbooks: &[(&str, &str)]) -> Library {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder.join("lib")).unwrap();
        for (name, message) in playbooks {
            let text = format!(
                "playbook: {name}\nmode: enforce\ntrigger: {{alert: {{match: {{kind: k}}}}}}\n\
                 steps: [{{id: a, action: log, with: {{message: '{message}'}}}}]\n"
            );
            fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
        }
        Library::load(folder)
    }

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("playbooks");
        (folder, path)
    }

    #[test]
    fn what_reading_again_leads_to_is_told_by_what_differs() {
        let (_folder, path) = folder();
        let old = library(&path, &[("a", "1"), ("b", "1"), ("c", "1")]);
        assert_eq!(old.errors(), Vec::<String>::new());
        assert_eq!(old.read_again(&library(&path, &[("a", "1"), ("b", "1"), ("c", "1")])), Reading::Unchanged);
        let Reading::Replace(changes) = old.read_again(&library(&path, &[("b", "2"), ("c", "1"), ("d", "1"), ("e", "1")])) else {
            panic!("nothing is wrong with it")
        };
        assert_eq!((changes.to_string().as_str(), changes.names().as_str()), ("+2 ~1 -1", "+d +e ~b -a"));
        assert_eq!((changes.added, changes.changed, changes.removed), (vec!["d".into(), "e".into()], vec!["b".into()], vec!["a".into()]));
    }

    #[test]
    fn one_broken_file_keeps_all_of_the_old_set() {
        let (_folder, path) = folder();
        let old = library(&path, &[("a", "1"), ("b", "1")]);
        let Reading::Keep(problems) = old.read_again(&library(&path, &[("a", "2"), ("b", "${ nobody.knows }")])) else {
            panic!("it is broken")
        };
        assert!(problems.len() == 1 && problems[0].contains("b.yaml"), "{problems:?}");
        drop(fs::remove_dir_all(&path));
        assert!(matches!(old.read_again(&Library::load(&path)), Reading::Keep(_)), "a folder that is gone is no empty folder");
    }

    #[test]
    fn a_changed_function_changes_the_playbooks_although_every_text_is_the_same() {
        let (_folder, path) = folder();
        let old = library(&path, &[("a", "1")]);
        fs::write(path.join("lib/f.rhai"), "fn one() { 1 }").unwrap();
        let changes = Changes { changed: vec!["a".to_owned()], ..Changes::default() };
        assert_eq!(old.read_again(&Library::load(&path)), Reading::Replace(changes));
    }

    #[test]
    fn a_replaced_text_is_found_as_long_as_a_run_uses_it() {
        let (_folder, path) = folder();
        let old = Arc::new(library(&path, &[("a", "1"), ("b", "1")]));
        let new = Arc::new(library(&path, &[("a", "2"), ("b", "2")]));
        let hash = |library: &Library, name: &str| library.get(name).unwrap().hash.clone();
        let shelf = Shelf::new(Arc::clone(&old));
        shelf.replace(Arc::clone(&new));
        assert_eq!(hash(&shelf.current(), "a"), hash(&new, "a"));
        assert!(shelf.find(&hash(&old, "a")).is_some() && shelf.find(&hash(&new, "a")).is_some());

        shelf.forget_all_but(&HashSet::from([hash(&old, "b")]));
        assert!(shelf.find(&hash(&old, "a")).is_none() && shelf.find(&hash(&old, "b")).is_some());
        assert!(shelf.find(&hash(&new, "a")).is_some(), "what is in use is never forgotten");
        shelf.keep(Arc::clone(old.get("a").unwrap()));
        assert!(shelf.find(&hash(&old, "a")).is_some());
    }

    #[test]
    fn the_same_text_has_the_functions_of_the_library_in_use() {
        let (_folder, path) = folder();
        let old = Arc::new(library(&path, &[("a", "1")]));
        let shelf = Shelf::new(Arc::clone(&old));
        let new = Arc::new(library(&path, &[("a", "1")]));
        shelf.replace(Arc::clone(&new));
        let found = shelf.find(&new.get("a").unwrap().hash).unwrap();
        assert!(Arc::ptr_eq(&found, new.get("a").unwrap()));
    }
}
