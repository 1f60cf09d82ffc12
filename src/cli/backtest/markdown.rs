//! The report as a comment on a pull request.

use super::{
    super::output,
    report::Report,
    text::{counted, heading, line, more, numbers},
};

pub(super) fn print(report: &Report) {
    let (since, until) = (report.within.since.to_string(), report.within.until.to_string());
    let mut lines = vec!["### Backtest\n".to_owned(), format!("{}.\n", counted(report, &since, &until))];
    let differences: Vec<_> = report.differences.all().into_iter().filter(|(list, _)| list.count > 0).collect();
    if differences.is_empty() {
        lines.push("**No difference from what was done.**\n".to_owned());
    }
    for (list, what) in differences {
        lines.push(format!("<details><summary><b>{}</b></summary>\n", heading(list, what)));
        lines.extend(list.shown.iter().map(|item| format!("- {}", escaped(&line(item)))));
        lines.extend(more(list).map(|more| format!("- {more}")));
        lines.push("\n</details>\n".to_owned());
    }
    lines.push("| playbook | mode | matched | runs | held | failed | destructive | notifications | guardrails | approvals |".to_owned());
    lines.push("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |".to_owned());
    for (name, counts) in &report.playbooks {
        lines.push(format!("| {name} | {} | {} |", counts.mode, numbers(counts).join(" | ")));
    }
    if report.refused > 0 {
        lines.push(format!("\n{} files of playbooks cannot be used; `quell check` says why.", report.refused));
    }
    output::print(&lines.join("\n"));
}

/// Text from outside, so that it cannot be read as markup.
fn escaped(text: &str) -> String {
    let text = output::short(text, 300);
    text.chars().flat_map(|letter| if "\\`*_{}[]<>#|!@&~".contains(letter) { vec!['\\', letter] } else { vec![letter] }).collect()
}
