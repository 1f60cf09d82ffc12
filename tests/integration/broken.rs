//! Broken playbooks, one fault each, and what `quell check` says of them: `tests/broken`.
//!
//! An entry is a file or a folder whose name begins with the code of its fault; a file that ends with `.csv` is a table, one that ends with
//! `.rhai` holds functions, and a folder's `quell.yaml` the settings. Beside it stands `NAME.txt`, the report. With `QUELL_UPDATE_SNAPSHOTS=1` the reports are written anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use quell::playbook::CODES;
use regex::Regex;

/// What a person at a terminal takes for at once.
const LONGEST: Duration = Duration::from_secs(1);

/// A busy machine may be slow some times; a bomb is slow every time.
const ATTEMPTS: usize = 8;

/// What takes this long hangs.
const HANGS: Duration = Duration::from_secs(20);

/// In KiB, of all private memory that can be written. Where a process asks for more it is refused, and ends by a signal.
const MOST_MEMORY: u32 = 100 * 1024;

/// What `quell test` reports, and what only settings make wrong (`check.rs` has that).
const NOT_REPORTED: &[&str] = &["P0037", "P0039"];

#[test]
fn a_broken_playbook_is_reported_as_before_at_once_and_in_little_memory() {
    let is_update = std::env::var_os("QUELL_UPDATE_SNAPSHOTS").is_some();
    let mut faults = Vec::new();
    for entry in entries() {
        let name = entry.file_stem().unwrap().to_str().unwrap();
        let checked = match check_in_time(&entry) {
            Ok(checked) => checked,
            Err(fault) => {
                faults.push(format!("{name}: {fault}"));
                continue;
            }
        };
        let report = entry.with_file_name(format!("{name}.txt"));
        if is_update {
            fs::write(&report, &checked.report).unwrap();
        }
        faults.extend(fault_of(name, &checked, &fs::read_to_string(report).unwrap_or_default()));
    }
    assert!(faults.is_empty(), "{} of them:\n{}\n", faults.len(), faults.join("\n"));
}

#[test]
fn there_are_broken_playbooks_for_every_code() {
    let names: Vec<String> = entries().iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.len() >= 80, "{}", names.len());
    let shown: BTreeSet<&str> = names.iter().map(|name| &name[..5]).collect();
    let reported = CODES.iter().map(|code| code.id).filter(|id| !NOT_REPORTED.contains(id));
    assert_eq!(reported.filter(|id| !shown.contains(id)).collect::<Vec<_>>(), Vec::<&str>::new());
    let reports =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("txt".as_ref()));
    for report in reports {
        let name = report.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(names.contains(&name), "`{}` is the report of nothing", report.display());
    }
}

#[test]
fn a_process_that_takes_too_much_memory_is_refused_it() {
    let folder = tempfile::tempdir().unwrap();
    let keep = |bytes: u64| format!("head -c {bytes} /dev/zero | tail -c {bytes} > /dev/null");
    assert!(limited(&keep(20_000_000), folder.path()).0.success(), "little memory is there");
    assert!(!limited(&keep(200_000_000), folder.path()).0.success(), "the limit does not hold");
}

/// What a check of one entry gave.
struct Checked {
    status: ExitStatus,
    report: String,
}

/// Checks an entry, again if the machine was slow.
fn check_in_time(entry: &Path) -> Result<Checked, String> {
    let mut fastest = Duration::MAX;
    for _ in 0..ATTEMPTS {
        let begun = Instant::now();
        let checked = check(entry);
        fastest = fastest.min(begun.elapsed());
        if let Some(signal) = checked.status.signal() {
            return Err(format!("ended by signal {signal}\n{}", checked.report));
        }
        if fastest <= LONGEST {
            return Ok(checked);
        }
    }
    Err(format!("took {fastest:?}"))
}

fn check(entry: &Path) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    place(entry, &folder.path().join("broken"));
    let (status, report) = limited("exec \"$QUELL\" check broken", folder.path());
    Checked { status, report }
}

/// Puts an entry where a folder of playbooks has it.
fn place(entry: &Path, home: &Path) {
    let name = entry.file_name().unwrap();
    let target = match entry.extension().and_then(|it| it.to_str()) {
        Some("csv") => home.join("tables").join(name),
        Some("rhai") => home.join("lib").join(name),
        _ if entry.is_dir() => {
            fs::create_dir_all(home).unwrap();
            for file in fs::read_dir(entry).unwrap().map(Result::unwrap) {
                // The settings stand where the command is given.
                let target = if file.file_name() == "quell.yaml" { home.with_file_name("quell.yaml") } else { home.join(file.file_name()) };
                fs::copy(file.path(), target).unwrap();
            }
            return;
        }
        _ => home.join(name),
    };
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(entry, target).unwrap();
}

/// Runs a line of shell with the limit of memory and nothing else set; gives what it printed.
fn limited(line: &str, folder: &Path) -> (ExitStatus, String) {
    let output = folder.join("output");
    let file = File::create(&output).unwrap();
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("ulimit -c 0 && ulimit -d {MOST_MEMORY} && {line}")).current_dir(folder);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("QUELL", env!("CARGO_BIN_EXE_quell"));
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > HANGS {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(2));
    };
    (status, String::from_utf8(fs::read(output).unwrap()).expect("a report is UTF-8"))
}

/// What is not as it should be with the report of an entry.
fn fault_of(name: &str, checked: &Checked, expected: &str) -> Option<String> {
    let report = &checked.report;
    let code = &name[..5];
    let label = Regex::new(r"(?m)^(error|warning)\[(P\d{4})\]: ").unwrap();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    found.extend(label.captures_iter(report).map(|it| (it[2].to_owned(), it[1].to_owned())));
    if found.keys().ne([code]) {
        return Some(format!("{name}: is to have one fault\n{report}"));
    }
    let is_error = found.values().any(|level| level == "error");
    if checked.status.code() != Some(i32::from(is_error)) {
        return Some(format!("{name}: ended with {}\n{report}", checked.status));
    }
    (report != expected).then(|| format!("{name}: expected\n{expected}\nfound\n{report}"))
}

/// Every entry, in order.
fn entries() -> Vec<PathBuf> {
    let all = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let is_entry =
        |path: &PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with('.') && path.extension() != Some("txt".as_ref());
    let mut entries: Vec<PathBuf> = all.filter(is_entry).collect();
    entries.sort();
    entries
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}
