//! The report as a comment on a pull request.

use super::{
    super::output,
    report::Report,
    text::{heading, line, more, numbers},
};

pub(super) fn print(report: &Report) {
    let mut text = format!(
        "### Backtest\n\n{} alerts from {} to {}; {} of them no playbook answers.\n\n",
        report.alerts, report.within.since, report.within.until, report.unanswered
    );
    let differences: Vec<_> = report.differences.all().into_iter().filter(|(list, _)| list.count > 0).collect();
    if differences.is_empty() {
        text.push_str("**No difference from what was done.**\n\n");
    }
    for (list, what) in differences {
        text.push_str(&format!("<details><summary><b>{}</b></summary>\n\n", heading(list, what)));
        list.shown.iter().for_each(|item| text.push_str(&format!("- {}\n", escaped(&line(item)))));
        more(list).iter().for_each(|more| text.push_str(&format!("- {more}\n")));
        text.push_str("\n</details>\n\n");
    }
    text.push_str("| playbook | mode | matched | runs | held | failed | destructive | notifications | guardrails | approvals |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (name, counts) in &report.playbooks {
        text.push_str(&format!("| {name} | {} | {} |\n", counts.mode, numbers(counts).join(" | ")));
    }
    if report.refused > 0 {
        text.push_str(&format!("\n{} files of playbooks cannot be used; `quell check` says why.\n", report.refused));
    }
    output::print(&text);
}

/// Text from outside, so that it cannot be read as markup.
fn escaped(text: &str) -> String {
    let text = output::short(text, 300);
    text.chars().flat_map(|letter| if "\\`*_{}[]<>#|!@&~".contains(letter) { vec!['\\', letter] } else { vec![letter] }).collect()
}
