//! Problems as editors show them, and the changes that mend them.

use std::collections::HashMap;

use gen_lsp_types::{
    self as lsp, CodeAction, CodeActionKind, CodeActionParams, CodeDescription, Diagnostic, DiagnosticSeverity, PublishDiagnosticsParams,
    Range, TextEdit, Uri, WorkspaceEdit,
};

use super::{documents::Document, position};
use crate::{
    playbook::{CODES, Code},
    problem::{Place, Problem, Severity},
};

/// What is wrong with an open file.
pub(super) fn all(uri: &Uri, document: &Document) -> PublishDiagnosticsParams {
    let problems = document.problems().iter().map(|problem| diagnostic(problem, &document.text));
    let faults = document.faults().iter().map(|fault| plain(fault.message.clone(), fault.place.as_ref(), &document.text));
    let diagnostics = problems.chain(faults).collect();
    PublishDiagnosticsParams { uri: uri.clone(), version: Some(document.version), diagnostics }
}

/// That nothing is wrong with a file any more, as far as the editor is concerned.
pub(super) fn none(uri: &Uri) -> PublishDiagnosticsParams {
    PublishDiagnosticsParams { uri: uri.clone(), version: None, diagnostics: Vec::new() }
}

/// The changes that mend what is wrong in a part of an open file: the same that `quell check --fix` makes.
pub(super) fn mending(params: &CodeActionParams, document: &Document) -> Vec<CodeAction> {
    let is_quick_fix = |kind: &CodeActionKind| matches!(kind, CodeActionKind::Empty | CodeActionKind::QuickFix);
    if params.context.only.as_ref().is_some_and(|only| !only.iter().any(is_quick_fix)) {
        return Vec::new();
    }
    let touches = |range: &Range| range.start <= params.range.end && params.range.start <= range.end;
    let action = |problem: &Problem| {
        let fix = problem.fix.as_ref()?;
        let shown = diagnostic(problem, &document.text);
        let edit = TextEdit { range: position::range(&document.text, &fix.span), new_text: fix.text.clone() };
        touches(&shown.range).then(|| CodeAction {
            title: format!("write `{}`", fix.text),
            kind: Some(CodeActionKind::QuickFix),
            diagnostics: Some(vec![shown]),
            is_preferred: Some(true),
            edit: Some(WorkspaceEdit {
                changes: Some(HashMap::from([(params.text_document.uri.clone(), vec![edit])])),
                ..WorkspaceEdit::default()
            }),
            ..CodeAction::default()
        })
    };
    document.problems().iter().filter_map(action).collect()
}

fn diagnostic(problem: &Problem, text: &str) -> Diagnostic {
    let help = problem.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    let address = CODES.iter().find(|code| code.id == problem.code).and_then(Code::address);
    Diagnostic {
        severity: Some(match problem.severity {
            Severity::Error => DiagnosticSeverity::Error,
            Severity::Warning => DiagnosticSeverity::Warning,
        }),
        code: Some(lsp::Code::String(problem.code.to_owned())),
        code_description: address.map(|address| CodeDescription { href: Uri(address) }),
        ..plain(format!("{}{help}", problem.message), Some(&problem.place), text)
    }
}

/// An error without a code.
fn plain(message: String, place: Option<&Place>, text: &str) -> Diagnostic {
    // What is wrong with a whole file is shown at its first line.
    let first_line = || 0..text.lines().next().unwrap_or_default().len();
    let span = place.filter(|place| place.line > 0).map_or_else(first_line, |place| place.span.clone());
    Diagnostic {
        range: position::range(text, &span),
        severity: Some(DiagnosticSeverity::Error),
        code: None,
        code_description: None,
        source: Some("quell".to_owned()),
        message: message.into(),
        tags: None,
        related_information: None,
        data: None,
    }
}
