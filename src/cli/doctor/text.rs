//! What the doctor found, for people: a line for what is good, and what to do for what is not.

use comfy_table::{Cell, Color};

use super::super::output;
use crate::{
    doctor::{Finding, Grade},
    news::Language,
};

/// The words around the findings.
struct Labels {
    headings: [&'static str; 4],
    answered: &'static str,
    advice: &'static str,
    summary: fn(usize, usize) -> String,
}

const ENGLISH: Labels = Labels {
    headings: ["", "part", "of", "found"],
    answered: "answered",
    advice: "do",
    summary: |wrong, all| match wrong {
        0 => format!("all {all} findings are well"),
        _ => format!("{wrong} of {all} findings want somebody; docs/doctor.md says what each means"),
    },
};

const KOREAN: Labels = Labels {
    headings: ["", "항목", "대상", "결과"],
    answered: "응답",
    advice: "조치",
    summary: |wrong, all| match wrong {
        0 => format!("{all}건 모두 정상입니다"),
        _ => format!("{all}건 중 {wrong}건을 확인하세요. 각 의미는 docs/doctor.md에 있습니다"),
    },
};

pub(super) fn render(findings: &[Finding], language: Language) -> String {
    let labels = match language {
        Language::En => &ENGLISH,
        Language::Ko => &KOREAN,
    };
    let mut table = output::table(&labels.headings);
    for finding in findings {
        let subject = if finding.subject == finding.part { "" } else { &finding.subject };
        table.add_row([
            mark(finding.diagnosis.grade),
            Cell::new(finding.part),
            Cell::new(output::printable(subject)),
            said(finding, labels, language),
        ]);
    }
    let wrong = findings.iter().filter(|finding| finding.diagnosis.grade != Grade::Good).count();
    format!("{table}\n{}\n", (labels.summary)(wrong, findings.len()))
}

fn mark(grade: Grade) -> Cell {
    let colour = match grade {
        Grade::Good => Color::Green,
        Grade::Warning | Grade::Unreachable => Color::Yellow,
        Grade::Fault => Color::Red,
    };
    Cell::new(grade.as_str()).fg(colour)
}

fn said(finding: &Finding, labels: &Labels, language: Language) -> Cell {
    let code = if finding.diagnosis.grade == Grade::Good { String::new() } else { format!(" [{}]", finding.diagnosis.code) };
    let mut lines = vec![format!("{}{code}", finding.what(language))];
    for (label, text) in [(labels.answered, finding.seen.clone()), (labels.advice, finding.advice(language))] {
        if !text.is_empty() {
            lines.push(format!("{label}: {text}"));
        }
    }
    Cell::new(output::printable(&lines.join("\n")))
}
