//! README's first five minutes, walked: its files are written, its commands typed, and what it promises must be printed.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    markdown::{self, blocks, keeps, section},
    root, text,
};

/// Commands that no test types: how each begins, why not, and the file that it is about.
const NOT_TYPED: &[(&str, &str, &str)] = &[
    ("cargo run --release --example demo", "builds everything again, optimised; `.ci/run` runs it", "examples/demo"),
    ("tests/run", "runs this test", "tests/run"),
    ("cargo install --locked --path .", "changes the machine", "Cargo.toml"),
    ("rabbitmqctl set_permissions", "needs a broker of one's own", "tests/support/rabbitmq"),
    ("cp .env.example .env", "is for Docker", ".env.example"),
    ("docker compose up", "needs Docker; `tests/static/check-compose.py` checks the file", "docker-compose.yml"),
];

/// Many times what any command here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `quell run` that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_first_five_minutes_are_as_readme_says() {
    let folder = tempfile::tempdir().unwrap();
    let readme = text("README.md");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = folder.path().join("quell.log");
    let mut running = None;
    for block in blocks(section(&readme, "A first playbook")) {
        if let Some(path) = block.file() {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &block.text).unwrap();
        }
        for command in block.commands().iter().filter(|command| !is_not_typed(&command.line)) {
            if command.line == "quell run" {
                running = Some(start(folder.path(), port, &log));
                wait_for(|| keeps(&fs::read_to_string(&log).unwrap(), &command.promised));
            } else {
                type_in(folder.path(), port, command);
            }
        }
    }
    assert!(running.is_some(), "README starts Quell");
    assert!(readme.contains("`quell run` has logged `Mining at Fabrikam`"));
    assert!(fs::read_to_string(&log).unwrap().contains("Mining at Fabrikam"));
}

#[test]
fn every_other_command_is_known_and_about_something_that_is_there() {
    let readme = text("README.md");
    let walk = section(&readme, "A first playbook").to_owned();
    let elsewhere = readme.replace(&walk, "");
    for command in blocks(&elsewhere).iter().flat_map(markdown::Block::commands) {
        assert!(is_not_typed(&command.line), "`{}` is typed by no test: add it to the walk or to NOT_TYPED", command.line);
    }
    for (start, reason, path) in NOT_TYPED {
        assert!(readme.contains(&format!("$ {start}")), "README no longer has `{start}`, which {reason}");
        let is_there = [*path, &format!("{path}.rs"), &format!("{path}/main.rs")].iter().any(|path| root().join(path).is_file());
        assert!(is_there, "`{start}` is about `{path}`, which is not there");
    }
}

fn is_not_typed(line: &str) -> bool {
    NOT_TYPED.iter().any(|(start, ..)| line.starts_with(start))
}

fn type_in(folder: &Path, port: u16, command: &markdown::Command) {
    // What only reads may be asked again until the engine has come so far.
    let reads = command.line.starts_with("quell alerts") || command.line.starts_with("quell runs");
    let fails = command.promised.iter().any(|line| line.starts_with("error"));
    let once = || {
        let Output { status, stdout, stderr } = shell(folder, port, &command.line).output().unwrap();
        let printed = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        if status.code() != Some(i32::from(fails)) {
            return Err(format!("`{}` ended with {status}:\n{printed}", command.line));
        }
        keeps(&printed, &command.promised).map_err(|fault| format!("`{}`: {fault}", command.line))
    };
    if reads { wait_for(once) } else { once().unwrap_or_else(|fault| panic!("{fault}")) }
}

fn start(folder: &Path, port: u16, log: &Path) -> Running {
    let mut command = shell(folder, port, "exec quell run");
    Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log).unwrap()).spawn().unwrap())
}

/// A shell where `quell` is the one that was built, listening where nobody else does, and nothing else is set.
fn shell(folder: &Path, port: u16, line: &str) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_quell")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).current_dir(folder);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("QUELL_")) {
        // The mark by which `tests/run` finds what a killed test left behind stays.
        if name != "QUELL_TEST_SESSION" {
            command.env_remove(name);
        }
    }
    command.env("PATH", format!("{}:{path}", programs.display())).env("QUELL_WEB__LISTEN", format!("127.0.0.1:{port}"));
    command
}

fn wait_for(mut attempt: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(fault) = attempt() {
        assert!(begun.elapsed() < PATIENCE, "{fault}");
        thread::sleep(Duration::from_millis(50));
    }
}
