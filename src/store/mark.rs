//! The mark: a small file outside of the journal that keeps how far the journal had come. A journal that has come less far than its mark was
//! restored from a backup, or its server has lost what it had committed.
//!
//! It is written between the commit of an intent and the call, so that nothing can have happened in the world that it does not know of. It
//! need not survive a failure of the power by itself: one that says too little takes nobody for restored.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing::warn;

use super::{StoreError, file_of};
use crate::failpoints;

/// Where the marks of a journal are. Cheap to clone; every copy knows the same.
#[derive(Debug, Clone)]
pub struct Mark {
    /// What the names of the files begin with; the id of the journal follows. A journal that is accepted after a restore has a new id, and
    /// the file of the old one stays, for a backup from before may be restored once more.
    stem: PathBuf,
    known: Arc<Mutex<Known>>,
}

/// What is known of one journal.
#[derive(Debug, Default)]
struct Known {
    id: String,
    intents: i64,
    /// None where it cannot be written.
    file: Option<File>,
}

/// The number stands at the front with always as many digits, so that one write in place replaces it.
const DIGITS: usize = 20;

/// For whoever finds the file.
const ADVICE: &str =
    " intents were recorded in the journal. Leave this file out of backups: it tells a restored journal from the last one.\n";

impl Mark {
    /// The marks of the journal at that URL: beside the file, or in the folder where a server keeps it.
    ///
    /// # Errors
    /// The URL is none of a journal.
    pub fn of(url: &str, folder: &Path) -> Result<Self, StoreError> {
        let stem = match file_of(url)? {
            Some(mut file) => {
                file.as_mut_os_string().push(".mark-");
                file
            }
            None => folder.join("journal.mark-"),
        };
        Ok(Self { stem, known: Arc::default() })
    }

    /// Whether more is known of a journal than it knows itself.
    pub(super) fn is_behind(&self, id: &str, intents: i64) -> bool {
        self.lock(id, intents).intents > intents && !failpoints::mistake("restore_unnoticed")
    }

    /// Remembers how far a journal has come.
    pub(super) fn raise(&self, id: &str, intents: i64) {
        let mut known = self.lock(id, intents);
        if intents <= known.intents {
            return;
        }
        known.intents = intents;
        let written = known.file.as_ref().map(|file| file.write_all_at(number(intents).as_bytes(), 0));
        if let Some(Err(error)) = written {
            known.file = None;
            self.complain(id, &error);
        }
    }

    /// What is known of that journal; looked up where it is another than before.
    fn lock(&self, id: &str, intents: i64) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.id != id {
            let kept = read(&self.path(id));
            let most = kept.max(intents);
            let file = open(&self.path(id), most).map_err(|error| self.complain(id, &error)).ok();
            *known = Known { id: id.to_owned(), intents: most, file };
        }
        known
    }

    fn path(&self, id: &str) -> PathBuf {
        let mut path = self.stem.clone();
        path.as_mut_os_string().push(id);
        path
    }

    fn complain(&self, id: &str, error: &io::Error) {
        let path = self.path(id);
        let path = path.display();
        warn!(%error, "a restore of the journal will not be noticed by itself, because `{path}` cannot be written: {error}; \
                       make it writable and start again, and use `--after-restore` after a restore");
    }
}

/// What a file says; nothing if there is none. One that is there and says nothing may have said anything.
fn read(path: &Path) -> i64 {
    match fs::read_to_string(path) {
        Ok(text) => text.get(..DIGITS).and_then(|number| number.parse().ok()).unwrap_or(i64::MAX),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => 0,
        Err(_unreadable) => i64::MAX,
    }
}

/// The file with that number in it, durable, so that later ones only replace bytes that have their place on the disk.
fn open(path: &Path, intents: i64) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    // What cannot be read stays as it is, for a person to look at.
    if intents < i64::MAX {
        file.write_all_at(format!("{}{ADVICE}", number(intents)).as_bytes(), 0)?;
        file.sync_all()?;
    }
    Ok(file)
}

fn number(intents: i64) -> String {
    format!("{intents:0DIGITS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(folder: &Path) -> Mark {
        Mark::of("postgres://host/quell", folder).unwrap()
    }

    #[test]
    fn a_journal_that_knows_less_than_the_file_is_behind_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mark = marks(folder.path());
        assert!(!mark.is_behind("a", 7), "the first start");
        mark.raise("a", 9);
        mark.raise("a", 8);
        for mark in [mark, marks(folder.path())] {
            let behind: Vec<_> = [7, 8, 9, 10].into_iter().filter(|intents| mark.is_behind("a", *intents)).collect();
            assert_eq!(behind, [7, 8], "in the process, and after its restart");
            assert!(!mark.is_behind("b", 0), "another journal");
            assert!(mark.is_behind("a", 8), "and back again");
        }
    }

    #[test]
    fn a_first_look_at_a_journal_writes_how_far_it_has_come() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!marks(folder.path()).is_behind("a", 12_345));
        assert!(marks(folder.path()).is_behind("a", 12_344));
        let text = fs::read_to_string(folder.path().join("journal.mark-a")).unwrap();
        assert!(text.starts_with("00000000000000012345 intents were recorded") && text.ends_with('\n'), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_written_notices_nothing_and_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("no-folder");
        fs::write(&file, "").unwrap();
        let mark = marks(&file);
        assert!(!mark.is_behind("a", 1));
        mark.raise("a", 2);
        assert!(mark.is_behind("a", 1), "as long as the process runs, it knows without the file");
        assert!(!marks(&file).is_behind("a", 1));
    }

    #[test]
    fn a_file_that_says_nothing_may_have_said_anything_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "twelve", "-1"] {
            let file = folder.path().join("journal.mark-a");
            fs::write(&file, text).unwrap();
            assert!(marks(folder.path()).is_behind("a", 1_000), "`{text}`");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[test]
    fn the_file_of_a_sqlite_journal_is_beside_it() {
        let mark = Mark::of("sqlite:data/quell.db", Path::new("elsewhere")).unwrap();
        assert_eq!(mark.path("a"), Path::new("data/quell.db.mark-a"));
    }
}
