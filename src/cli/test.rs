//! `quell test`: playbooks tried on their tests.

use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::{Exit, output};
use crate::{
    app::Look,
    config::{Config, ConfigError},
    problem::Problem,
    trial::{Chosen, Coverage, Report, Suite, Survivor, Tally, Tried},
};

#[derive(Debug, Args)]
pub(super) struct Test {
    /// The folder of playbooks and tests; without it, the one in the settings.
    folder: Option<PathBuf>,
    /// Only tests with this text in `PLAYBOOK: NAME`.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Decides the order of the tests and how retries are spread.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Write the results as XML for a build server.
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    junit: Option<PathBuf>,
    /// Fail when the tests of a playbook touch less than this of its steps and branches, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    /// Change each playbook in one place after the other, and list the changes that no test notices.
    #[arg(long, conflicts_with_all = ["junit", "min_coverage", "watch"])]
    mutate: bool,
    /// Try again whenever a file of the folder changes, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

/// Soon enough for somebody who has just saved a file.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

impl Test {
    pub(super) async fn execute(self, config: Result<Config, ConfigError>, json: bool) -> Exit {
        // The settings only say where the playbooks are.
        let folder = match (&self.folder, config) {
            (Some(folder), _) => folder.clone(),
            (None, Ok(config)) => config.playbooks,
            (None, Err(error)) => return Exit::usage(&error.to_string()),
        };
        if !folder.is_dir() {
            return Exit::usage(&format!("`{}` is not a folder of playbooks", folder.display()));
        }
        if self.mutate {
            return self.mutate(&folder, json).await;
        }
        if self.watch { self.watch(&folder, json).await } else { self.run(&folder, json).await }
    }

    async fn watch(&self, folder: &Path, json: bool) -> Exit {
        // Heard also while tests are tried; those of which nobody saw the end have not passed.
        let (mut told_to_end, mut exit) = (pin!(tokio::signal::ctrl_c()), Exit::Problems);
        loop {
            // What is saved while they are tried is tried after that.
            let before = Look::at(folder);
            tokio::select! {
                _ = &mut told_to_end => return exit,
                tried = self.run(folder, json) => exit = tried,
            }
            let changed = async {
                while Look::at(folder) == before {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            };
            tokio::select! {
                _ = &mut told_to_end => return exit,
                () = changed => {}
            }
        }
    }

    async fn mutate(&self, folder: &Path, json: bool) -> Exit {
        let suite = match Suite::load(folder) {
            Ok(suite) => suite,
            Err(error) => return Exit::unreachable(&format!("{error:#}")),
        };
        let tried = match suite.run(&self.chosen()).await {
            Ok(report) => report,
            Err(error) => return Exit::problem(&format!("{error:#}")),
        };
        if tried.tried.is_empty() || tried.failed() > 0 || !suite.problems.is_empty() {
            return Exit::problem("changes can be tried only on tests that are there and pass; `quell test` shows what does not");
        }
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let told = |done, all| {
            bar.set_length(u64::try_from(all).unwrap_or(u64::MAX));
            bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        };
        let mutated = suite.mutate(&self.chosen(), told).await;
        bar.finish_and_clear();
        match mutated {
            Ok((survivors, all)) => print_survivors(&survivors, all, json),
            Err(error) => Exit::problem(&format!("{error:#}")),
        }
    }

    async fn run(&self, folder: &Path, json: bool) -> Exit {
        let suite = match Suite::load(folder) {
            Ok(suite) => suite,
            Err(error) => return Exit::unreachable(&format!("{error:#}")),
        };
        let report = match suite.run(&self.chosen()).await {
            Ok(report) => report,
            Err(error) => return Exit::problem(&format!("{error:#}")),
        };
        if let Some(file) = &self.junit
            && let Err(error) = fs::write(file, report.to_junit())
        {
            return Exit::unreachable(&format!("write `{}`: {error}", file.display()));
        }
        let thin = self.thin(&report);
        if json {
            let problems: Vec<String> = suite.problems.iter().map(ToString::to_string).collect();
            output::print_json(&json!({"problems": problems, "results": report.to_json()}));
        } else {
            print_text(&suite, &report, &thin);
        }
        if report.tried.is_empty() && suite.problems.is_empty() {
            return Exit::problem(&format!("no test of `{}` is chosen; tests stand in files `*.test.yaml` there", folder.display()));
        }
        if report.failed() == 0 && suite.problems.is_empty() && thin.is_empty() { Exit::Done } else { Exit::Problems }
    }

    fn chosen(&self) -> Chosen {
        Chosen { filter: self.filter.clone(), seed: self.seed }
    }

    /// The playbooks that are touched too little.
    fn thin<'a>(&self, report: &'a Report) -> Vec<&'a Coverage> {
        let least = self.min_coverage.map_or(0, usize::from);
        report.coverage.iter().filter(|coverage| coverage.percent() < least).collect()
    }
}

fn print_text(suite: &Suite, report: &Report, thin: &[&Coverage]) {
    for problem in &suite.problems {
        output::print(&rendered(suite, problem));
    }
    for tried in &report.tried {
        print_tried(tried);
    }
    for coverage in &report.coverage {
        output::print(&format!("coverage {}: {}", coverage.playbook, told(coverage)));
    }
    for name in suite.untested() {
        output::print(&format!("coverage {name}: it has no tests"));
    }
    for coverage in thin {
        output::print(&format!("too little is touched of {}: {} percent", coverage.playbook, coverage.percent()));
    }
    let (failed, all) = (report.failed(), report.tried.len());
    output::print(&format!("{} tests passed, {failed} failed; {} problems", all - failed, suite.problems.len()));
}

fn print_survivors(survivors: &[Survivor], all: usize, json: bool) -> Exit {
    if json {
        let survived = survivors.iter().map(|it| json!({"playbook": it.playbook, "line": it.line, "change": it.what}));
        output::print_json(&json!({"changes": all, "survived": survived.collect::<Vec<_>>()}));
    } else {
        for it in survivors {
            output::print(&format!("survived: {}:{} {}", it.playbook, it.line, it.what));
        }
        output::print(&format!("{all} changes, of which no test noticed {}", survivors.len()));
    }
    if survivors.is_empty() { Exit::Done } else { Exit::Problems }
}

fn rendered(suite: &Suite, problem: &Problem) -> String {
    let source = suite.sources.get(&problem.place.path).map_or("", String::as_str);
    format!("{}\n", problem.render(source, output::colour()))
}

fn print_tried(tried: &Tried) {
    let (playbook, name, took) = (&tried.playbook, output::printable(&tried.name), tried.took.as_millis());
    if tried.passed() {
        return output::print(&format!("ok {playbook}: {name} ({took} ms)"));
    }
    output::print(&format!("FAILED {playbook}: {name} ({}:{}, {took} ms)", tried.path.display(), tried.line));
    for difference in &tried.differences {
        output::print(&format!("  {}", output::printable(difference).replace('\n', "\n  ")));
    }
}

fn told(coverage: &Coverage) -> String {
    let part = |what: &str, tally: &Tally| format!("{what} {}/{}", tally.touched, tally.all);
    let missing: Vec<&str> = coverage.steps.missing.iter().chain(&coverage.branches.missing).map(String::as_str).collect();
    let missing = if missing.is_empty() { String::new() } else { format!(" ({})", missing.join("; ")) };
    format!("{}, {}{missing}", part("steps", &coverage.steps), part("branches", &coverage.branches))
}
