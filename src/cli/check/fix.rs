//! `quell check --fix`: mends in the files what a program may mend.
//!
//! Which changes those are is said by whoever reports a problem. Here they are only written: each file at once, or not at all.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    playbook::Library,
    problem::{Fix, Place},
};

/// A change that was made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mended {
    /// Where the text was.
    pub(super) place: Place,
    pub(super) was: String,
    pub(super) now: String,
}

/// What stands below a misspelt key is read only after that is mended, so one round shows the work of the next. Playbooks nest less deeply.
const MOST_ROUNDS: usize = 10;

/// Mends the files of a folder, and adds what was changed in them.
///
/// # Errors
/// Names the file that could not be written; it is as it was, and those before it are mended.
pub(super) fn mend(folder: &Path, mended: &mut Vec<Mended>) -> Result<(), String> {
    for _ in 0..MOST_ROUNDS {
        let library = Library::load(folder);
        let changes = changes(&library);
        if changes.is_empty() {
            break;
        }
        for (path, fixes) in changes {
            let text = library.sources.get(path).map_or("", String::as_str);
            let made = applied(path, text, &fixes);
            replace(path, text, &made.0).map_err(|error| format!("write `{}`: {error}", path.display()))?;
            mended.extend(made.1);
        }
    }
    Ok(())
}

/// The changes of each file, from its beginning. One problem may be reported twice where an alias repeats it, and is mended once.
fn changes(library: &Library) -> BTreeMap<&PathBuf, Vec<&Fix>> {
    let mut found: BTreeMap<&PathBuf, Vec<&Fix>> = BTreeMap::new();
    for problem in &library.problems {
        if let Some(fix) = &problem.fix {
            found.entry(&problem.place.path).or_default().push(fix);
        }
    }
    for fixes in found.values_mut() {
        fixes.sort_by_key(|fix| fix.span.start);
        fixes.dedup_by(|later, earlier| later.span.start < earlier.span.end);
    }
    found
}

/// The text with the changes made from its end, so that those before keep their places.
fn applied(path: &Path, text: &str, fixes: &[&Fix]) -> (String, Vec<Mended>) {
    let mut changed = text.to_owned();
    let mut mended = Vec::new();
    for fix in fixes.iter().rev() {
        let Some(was) = text.get(fix.span.clone()) else { continue };
        changed.replace_range(fix.span.clone(), &fix.text);
        mended.push(Mended { place: Place::in_text(path, text, fix.span.clone()), was: was.to_owned(), now: fix.text.clone() });
    }
    mended.reverse();
    (changed, mended)
}

/// Puts another text in the place of the file's, unless somebody has changed it meanwhile. A reader sees the one or the other.
fn replace(path: &Path, before: &str, after: &str) -> io::Result<()> {
    // A link stays a link; what it leads to is replaced.
    let path = fs::canonicalize(path)?;
    if fs::read_to_string(&path)? != before {
        return Err(io::Error::other("it was changed while it was checked; check again"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Names that begin with a dot are no playbooks. A process that died here leaves a file of its own name behind, and harms no other.
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write_beside(&path, &beside, after).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

fn write_beside(path: &Path, beside: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(beside)?;
    file.set_permissions(fs::metadata(path)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three slips that can be mended, in the middle of what must stay as it is; the last is seen only after its key is mended.
    const SLIPS: &str = "# by hand\r\nplaybook:   a  # ü\nownr: secops # mode\ntrigger:\n  alert:\n    mtach:\n      severity: {at_lest: 'low'}\n\
                         steps: [{id: s, stop: {outcome: doen, reason: \"ownr\"}}]\n\n\n";

    fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn what_only_one_word_can_mean_is_mended_and_all_else_stays() {
        let (folder, path) = folder(SLIPS);
        let mut mended = Vec::new();
        mend(folder.path(), &mut mended).unwrap();
        let expected = SLIPS.replace("ownr: ", "owner: ").replace("mtach", "match").replace("at_lest", "at_least").replace("doen", "done");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        let changes: Vec<_> = mended.iter().map(|it| (it.place.line, it.was.as_str(), it.now.as_str())).collect();
        assert_eq!(changes, [(3, "ownr", "owner"), (6, "mtach", "match"), (8, "doen", "done"), (7, "at_lest", "at_least")]);
        assert!(Library::load(folder.path()).problems.is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_a_person_must_decide_is_left_alone() {
        let step = |with: &str| format!("playbook: a\ntrigger: {{alert: {{match: {{kind: x}}}}}}\nsteps: [{{id: s, {with}}}]\n");
        let log = "action: log, with: {message: x}";
        for text in [
            step("action: subscription.suspnd, with: {customer_tenant_id: a, subscription_id: b}"),
            step("action: notify, with: {chanels: ['log:default'], text: x}"),
            step("action: log, with: {message: '${alert.titel}'}"),
            step("action: log, with: {message: '${steps.t.output}'}"),
            // It would act.
            step(log).replace("trigger", "mode: enforc\ntrigger"),
            // The key is there already.
            step(log).replace("trigger", "owner: a\nownr: b\ntrigger"),
            // Two operators are near.
            step(log).replace("kind: x", "details.x: {lts: 5}"),
            // In quotes it does not stand as it reads.
            step(log).replace("trigger", "\"own\\x72\": b\ntrigger"),
        ] {
            let (folder, path) = folder(&text);
            let mut mended = Vec::new();
            mend(folder.path(), &mut mended).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap(), mended), (text, Vec::new()));
            assert!(!Library::load(folder.path()).problems.is_empty());
        }
    }

    #[test]
    fn a_file_that_was_changed_meanwhile_stays_as_it_is() {
        let (_folder, path) = folder("new");
        let error = replace(&path, "old", "mended").unwrap_err();
        assert!(error.to_string().contains("was changed"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
