//! Notices that something in a folder has changed: the system tells, and a look now and then finds what it does not tell.
//!
//! The system tells nothing on some network and container file systems, for a folder that is not there, and for one that was made again
//! or is a link that points elsewhere now. Such a change is found by the look, which also has the system tell of the new folder.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::Notify,
    time::{Interval, MissedTickBehavior, interval},
};
use tracing::debug;

/// Tells when a folder has changed.
pub(super) struct Watched {
    folder: PathBuf,
    told: Arc<Notify>,
    /// It tells as long as it is kept.
    watcher: Option<RecommendedWatcher>,
    seen: Look,
    looks: Interval,
}

/// How a folder looks without reading what is in its files: each file and folder with what changes when it is written or replaced.
/// Empty when the folder is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look(Vec<(PathBuf, Stamp)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    /// When it last changed, which nobody can set: copying programs set the time of modification back.
    changed: (i64, i64),
}

/// A person who waits for a change on such a file system hardly notices; ten thousand files are looked at in some 20 ms.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// As deep as playbooks are looked for.
const DEEPEST: usize = 8;

impl Watched {
    /// Watches a folder, which need not be there, from when it looked like `seen`.
    pub(super) fn new(folder: PathBuf, seen: Look) -> Self {
        let told = Arc::new(Notify::new());
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watcher = watch(&folder, &told);
        Self { folder, told, watcher, seen, looks }
    }

    /// Returns when something has changed since [`Watched::begin_reading`], perhaps more than once for one change. May be given up.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::select! {
                () = self.told.notified() => return,
                _ = self.looks.tick() => {}
            }
            let folder = self.folder.clone();
            let look = tokio::task::spawn_blocking(move || Look::at(&folder)).await;
            if look.is_ok_and(|look| look != self.seen) {
                // The system did not tell of it, so it watches something else, or nothing.
                self.watcher = watch(&self.folder, &self.told);
                return;
            }
        }
    }

    /// The folder is about to be read, so what was told until now is no reason to read it once more.
    pub(super) fn begin_reading(&self) {
        let _told = self.told.notified().now_or_never();
    }

    /// The folder was read, and looked like this when that began.
    pub(super) fn has_read(&mut self, look: Look) {
        self.seen = look;
    }
}

impl Look {
    /// Looks at a folder. Names that start with `_` or `.` are left out, as they are by those who read it.
    pub fn at(folder: &Path) -> Self {
        let mut look = Self::default();
        // What cannot be looked at is not there.
        drop(look.add(folder, 0));
        look.0.sort_by(|left, right| left.0.cmp(&right.0));
        look
    }

    fn add(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        let is_folder = metadata.is_dir();
        // A folder changes with every name in it, also with those that are left out.
        let stamp = Stamp {
            inode: metadata.ino(),
            size: if is_folder { 0 } else { metadata.size() },
            changed: if is_folder { (0, 0) } else { (metadata.ctime(), metadata.ctime_nsec()) },
        };
        self.0.push((path.to_owned(), stamp));
        if is_folder && depth <= DEEPEST {
            for entry in fs::read_dir(path)?.flatten() {
                if !entry.file_name().to_string_lossy().starts_with(['_', '.']) {
                    // It may be gone again.
                    drop(self.add(&entry.path(), depth + 1));
                }
            }
        }
        Ok(())
    }
}

/// Has the system tell of changes, if it can.
fn watch(folder: &Path, told: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let told = Arc::clone(told);
    let tell = move |event: notify::Result<notify::Event>| {
        // We read the files ourselves, and are told of that as well.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            told.notify_one();
        }
    };
    let watching = notify::recommended_watcher(tell).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    let every = LOOK_EVERY.as_secs();
    watching
        .inspect_err(|error| debug!(%error, "`{}` is looked at every {every} seconds, as it cannot be watched: {error}", folder.display()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn within(watched: &mut Watched, limit: Duration) -> bool {
        tokio::time::timeout(limit, watched.changed()).await.is_ok()
    }

    /// Takes what was told, until nothing more comes.
    async fn settled(watched: &mut Watched) {
        watched.has_read(Look::at(&watched.folder));
        while within(watched, Duration::from_millis(200)).await {
            watched.has_read(Look::at(&watched.folder));
        }
    }

    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn a_look_sees_writing_replacing_and_removing_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("lib")).unwrap();
        fs::write(at("lib/a.yaml"), "one").unwrap();
        let mut before = Look::at(folder.path());
        let mut differs = |what: &str, expected: bool| {
            let now = Look::at(folder.path());
            assert_eq!(now != before, expected, "{what}");
            before = now;
        };
        fs::read(at("lib/a.yaml")).unwrap();
        fs::write(at(".a.yaml.swp"), "x").unwrap();
        differs("nothing that is read", false);
        fs::write(at("new"), "one").unwrap();
        differs("a new file", true);
        fs::rename(at("new"), at("lib/a.yaml")).unwrap();
        differs("a file in the place of another", true);
        std::os::unix::fs::symlink(at("lib"), at("again")).unwrap();
        differs("a link to a folder", true);
        fs::remove_file(at("lib/a.yaml")).unwrap();
        differs("a file that is gone", true);
        assert_eq!(Look::at(&at("nowhere")), Look::default());
    }

    #[tokio::test]
    async fn reading_is_no_change_and_writing_is_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let file = folder.path().join("sub/a.yaml");
        fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(folder.path().to_owned(), Look::at(folder.path()));
        settled(&mut watched).await;
        fs::read(&file).unwrap();
        assert!(!within(&mut watched, LOOK_EVERY + Duration::from_millis(500)).await);
        fs::write(&file, "two").unwrap();
        assert!(within(&mut watched, Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn a_folder_that_is_made_later_or_again_or_linked_anew_is_noticed_and_then_watched() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("playbooks");
        let mut watched = Watched::new(folder.clone(), Look::at(&folder));
        fs::create_dir(&folder).unwrap();
        assert!(within(&mut watched, SOON).await, "it is there now");
        settled(&mut watched).await;
        fs::write(folder.join("a.yaml"), "one").unwrap();
        assert!(within(&mut watched, Duration::from_secs(1)).await, "it is watched");

        settled(&mut watched).await;
        fs::remove_dir_all(&folder).unwrap();
        assert!(within(&mut watched, SOON).await, "it is gone");
        settled(&mut watched).await;
        let other = around.path().join("other");
        fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&other, &folder).unwrap();
        assert!(within(&mut watched, SOON).await, "it is a link to another");
        settled(&mut watched).await;
        fs::write(other.join("b.yaml"), "one").unwrap();
        assert!(within(&mut watched, Duration::from_secs(1)).await, "what it links to is watched");
    }
}
