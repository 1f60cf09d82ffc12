//! A report for people: each problem with an excerpt of its file, and the sum at the end.

use std::collections::BTreeMap;

use super::{Report, output};

/// What a person mends in one go. A file with more is another kind of file, or one slip that has upset the rest.
const MOST_OF_A_FILE: usize = 50;

pub(super) fn print(report: &Report) {
    for mended in &report.mended {
        output::print(&format!("mended: {}: `{}` is now `{}`\n", mended.place, output::printable(&mended.was), mended.now));
    }
    for fault in &report.faults {
        output::print(&format!("error: {fault}\n"));
    }
    for advice in &report.advice {
        output::print(&format!("warning: {advice}\n"));
    }
    let mut shown = BTreeMap::new();
    for problem in &report.library.problems {
        let of_file: &mut usize = shown.entry(&problem.place.path).or_default();
        *of_file += 1;
        if *of_file <= MOST_OF_A_FILE {
            output::print(&format!("{}\n", problem.render(report.source(&problem.place.path), output::colour())));
        }
    }
    for (path, more) in shown.into_iter().filter_map(|(path, all)| Some((path, all.checked_sub(MOST_OF_A_FILE).filter(|it| *it > 0)?))) {
        output::print(&format!(
            "`{}` has {}; mend these first, or see all with `--format json`\n",
            path.display(),
            counted(more, "more problem")
        ));
    }
    output::print(&format!(
        "{} can be used; {}, {}",
        counted(report.library.playbooks.len(), "playbook"),
        counted(report.errors(), "error"),
        counted(report.warnings(), "warning")
    ));
}

/// `1 error`, `2 errors`.
fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
