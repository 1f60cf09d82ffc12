//! The report for people at a terminal.

use std::collections::BTreeMap;

use super::{
    super::output,
    report::{Counts, Item, List, Report},
};

pub(super) fn print(report: &Report) {
    let (since, until) = (output::time(report.within.since), output::time(report.within.until));
    output::print(&format!("{}\n", counted(report, &since, &until)));
    let mut table = output::table(&[
        "playbook",
        "mode",
        "matched",
        "runs",
        "held",
        "failed",
        "destructive",
        "notifications",
        "guardrails",
        "approvals",
    ]);
    for (name, counts) in &report.playbooks {
        table.add_row([name.clone(), counts.mode.clone()].into_iter().chain(numbers(counts)));
    }
    output::print(&table.to_string());
    let mut is_same = true;
    for (list, what) in report.differences.all().into_iter().filter(|(list, _)| list.count > 0) {
        is_same = false;
        output::print(&format!("\n{}", heading(list, what)));
        list.shown.iter().for_each(|item| output::print(&format!("  {}", output::short(&line(item), 200))));
        if let Some(more) = more(list) {
            output::print(&format!("  {more}"));
        }
    }
    if is_same {
        output::print("\nno difference from what was done");
    }
    if report.refused > 0 {
        output::print(&format!("\n{} files of playbooks cannot be used; `quell check` says why", report.refused));
    }
}

/// What was replayed.
pub(super) fn counted(report: &Report, since: &str, until: &str) -> String {
    let alerts = format!("{} alerts from {since} to {until}; {} of them no playbook answers", report.alerts, report.unanswered);
    if report.times == 0 { alerts } else { format!("{alerts}; {} times of schedules", report.times) }
}

/// The numbers of a playbook, from how often it matched on; what was done then stands in brackets where it is another number.
pub(super) fn numbers(counts: &Counts) -> [String; 8] {
    let with = |now: u64, was: u64| if now == was { now.to_string() } else { format!("{now} (was {was})") };
    let and = |made: String, shadowed: u64| if shadowed == 0 { made } else { format!("{made} + {shadowed} in shadow") };
    [
        counts.matched.to_string(),
        with(counts.runs, counts.was.runs),
        by_word(&counts.held),
        (counts.failed + counts.errors).to_string(),
        and(with(counts.destructive, counts.was.destructive), counts.shadowed.destructive),
        and(with(counts.notifications, counts.was.notifications), counts.shadowed.notifications),
        by_word(&counts.guardrails),
        counts.approvals.to_string(),
    ]
}

/// What a list says: `3 destructive calls would be new, 1 of them on what is protected (and so held back)`.
pub(super) fn heading(list: &List, what: &str) -> String {
    let protected = match list.protected {
        0 => String::new(),
        count => format!(", {count} of them on what is protected (and so held back)"),
    };
    format!("{} {what}{protected}", list.count)
}

/// One case on one line.
pub(super) fn line(item: &Item) -> String {
    let held = item.held.map(|rule| format!("held back: {rule}")).unwrap_or_default();
    let rest = [item.playbook.as_str(), item.what.as_str(), held.as_str()];
    let rest = rest.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    match (item.alert, item.time) {
        (Some(number), _) => format!("#{number} {} {rest}", item.id),
        (None, Some(time)) => format!("{time} {rest}"),
        (None, None) => rest,
    }
}

/// How many cases are not shown.
pub(super) fn more(list: &List) -> Option<String> {
    let shown = u64::try_from(list.shown.len()).unwrap_or(u64::MAX);
    (list.count > shown).then(|| format!("and {} more", list.count - shown))
}

fn by_word(counts: &BTreeMap<&'static str, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    counts.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}
