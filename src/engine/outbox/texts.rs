//! What people read in messages, in each language. A name in braces stands for a value; what is a value stays as it is in every language.

/// Every text of one language.
pub(super) struct Texts {
    pub approval_opened: &'static str,
    pub approval_escalated: &'static str,
    pub approved: &'static str,
    pub rejected: &'static str,
    pub expired: &'static str,
    pub void: &'static str,
    pub why: &'static str,
    pub plan: &'static str,
    pub empty_plan: &'static str,
    pub unknown: &'static str,
    pub answer: &'static str,
    pub silent_yes: &'static str,
    pub approved_by: &'static str,
    pub rejected_by: &'static str,
    pub nobody_decided: &'static str,
    pub nothing_to_decide: &'static str,
    pub run_in_doubt: &'static str,
    pub run_in_doubt_text: &'static str,
    pub run_failed: &'static str,
    pub run_failed_text: &'static str,
    pub step_held: &'static str,
    pub step_held_text: &'static str,
    pub playbook_error: &'static str,
    pub playbook_error_text: &'static str,
    pub actions_stopped: &'static str,
    pub actions_stopped_text: &'static str,
    pub actions_resumed: &'static str,
    pub actions_resumed_text: &'static str,
    pub quarantined: &'static str,
    pub quarantined_text: &'static str,
    pub times: &'static str,
    pub quorum: &'static str,
    pub facts: Facts,
}

/// The names of facts.
pub(super) struct Facts {
    pub asks: &'static str,
    pub until: &'static str,
    pub plan: &'static str,
    pub playbook: &'static str,
    pub run: &'static str,
    pub approval: &'static str,
    pub alert: &'static str,
    pub step: &'static str,
    pub action: &'static str,
    pub since: &'static str,
    pub who: &'static str,
    pub reason: &'static str,
    pub occurrences: &'static str,
}

pub(super) const ENGLISH: Texts = Texts {
    approval_opened: "Approval needed: {title}",
    approval_escalated: "Approval still needed: {title}",
    approved: "Approved: {title}",
    rejected: "Rejected: {title}",
    expired: "Expired: {title}",
    void: "No longer needed: {title}",
    why: "Why: {why}",
    plan: "If you agree, exactly this is done:",
    empty_plan: "- nothing of what it asks about, as things stand",
    unknown: "{why}; you will be asked again",
    answer: "Look: quell approvals show {id}\n\
             Then: quell approvals approve {id} --hash {hash} (or: reject {id} --hash {hash} --reason \"…\")\n\
             Or through the API: POST /api/v1/approvals/{id}/approve",
    silent_yes: "Nobody answered in time, and that counts as a yes",
    approved_by: "Approved by {who}",
    rejected_by: "Rejected by {who}",
    nobody_decided: "Nobody decided in time, and nothing of it is done",
    nothing_to_decide: "Nothing is to be decided any more",
    run_in_doubt: "A run of {playbook} waits for a person: nobody knows whether a step happened",
    run_in_doubt_text: "{reason}\n\n\
                        The run has stopped and keeps its target locked. Look at the other side, then say what you saw.\n\
                        Look: quell runs show {run}\n\
                        Then: quell runs settle {run} --happened --reason \"…\" (or: --did-not, --give-up)",
    run_failed: "A run of {playbook} failed",
    run_failed_text: "{reason}\n\nLook: quell runs show {run}",
    step_held: "A step of {playbook} was held back",
    step_held_text: "{why}\n\nThe step was not taken and will not be. Look: quell runs show {run}",
    playbook_error: "The playbook {playbook} fails on alerts",
    playbook_error_text: "{detail}\n\n\
                          It does not answer alerts on which it fails. They are counted, and this is told once for this text of the \
                          playbook. Look at the first of them: quell alerts show {alert}",
    actions_stopped: "All actions are stopped",
    actions_stopped_text: "Nothing begins that changes anything but what people are told, and what waits goes on when actions are resumed.\n\
                           Then: quell resume-actions --reason \"…\"",
    actions_resumed: "Actions are resumed",
    actions_resumed_text: "What waited goes on.",
    quarantined: "What came is not an alert: {reason}",
    quarantined_text: "{detail}\n\nIt is kept with its bytes until a person decides. Look: quell quarantine list",
    times: "The first of {times} is shown.",
    quorum: "{quorum} of {groups}",
    facts: Facts {
        asks: "Asks",
        until: "Until",
        plan: "Plan",
        playbook: "Playbook",
        run: "Run",
        approval: "Approval",
        alert: "Alert",
        step: "Step",
        action: "Action",
        since: "Since",
        who: "Who",
        reason: "Reason",
        occurrences: "Occurrences",
    },
};

/// The text with values in the place of their names. What a value holds in braces is left as it is.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut pieces = text.split('{');
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let named = piece.split_once('}').and_then(|(name, rest)| Some((values.iter().find(|(known, _)| *known == name)?.1, rest)));
        match named {
            Some((value, rest)) => filled.extend([value, rest]),
            None => filled.extend(["{", piece]),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_looked_into() {
        assert_eq!(fill("{a} and {b}, {c} {", &[("a", "{b}"), ("b", "2")]), "{b} and 2, {c} {");
    }
}
