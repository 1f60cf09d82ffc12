//! What people read in messages, in each language. A name in braces stands for a value; what is a value stays as it is in every language.

use crate::news::Language;

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
    pub schedule_error: &'static str,
    pub schedule_error_text: &'static str,
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
    pub first_time: &'static str,
    pub since: &'static str,
    pub who: &'static str,
    pub reason: &'static str,
    pub occurrences: &'static str,
}

/// The texts of a language.
pub(super) fn of(language: Language) -> &'static Texts {
    match language {
        Language::En => &ENGLISH,
        Language::Ko => &KOREAN,
    }
}

const ENGLISH: Texts = Texts {
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
    schedule_error: "The playbook {playbook} fails when its schedule begins it",
    schedule_error_text: "{detail}\n\n\
                          No run begins at the times at which it fails. They are counted, and this is told once for this text of the playbook.",
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
        first_time: "First time",
        since: "Since",
        who: "Who",
        reason: "Reason",
        occurrences: "Occurrences",
    },
};

/// Particles that depend on the sound before them are avoided behind values.
const KOREAN: Texts = Texts {
    approval_opened: "승인 필요: {title}",
    approval_escalated: "승인이 아직 필요함: {title}",
    approved: "승인됨: {title}",
    rejected: "거부됨: {title}",
    expired: "기한 만료: {title}",
    void: "더 이상 필요 없음: {title}",
    why: "이유: {why}",
    plan: "동의하면 정확히 다음만 실행됩니다:",
    empty_plan: "- 현재로서는 질문한 단계 중 실행될 것이 없습니다",
    unknown: "{why}; 알게 되면 다시 묻습니다",
    answer: "보기: quell approvals show {id}\n\
             답하기: quell approvals approve {id} --hash {hash} (또는: reject {id} --hash {hash} --reason \"…\")\n\
             또는 API: POST /api/v1/approvals/{id}/approve",
    silent_yes: "기한 안에 아무도 답하지 않았으며, 이는 승인으로 간주됩니다",
    approved_by: "승인한 사람: {who}",
    rejected_by: "거부한 사람: {who}",
    nobody_decided: "기한 안에 아무도 결정하지 않아 아무것도 실행되지 않습니다",
    nothing_to_decide: "더 이상 결정할 것이 없습니다",
    run_in_doubt: "{playbook}: 실행이 사람을 기다립니다. 단계가 수행되었는지 알 수 없습니다",
    run_in_doubt_text: "{reason}\n\n\
                        실행이 멈췄고 대상은 잠긴 채로 있습니다. 상대 시스템을 확인한 뒤 본 것을 알려 주십시오.\n\
                        보기: quell runs show {run}\n\
                        정리하기: quell runs settle {run} --happened --reason \"…\" (또는: --did-not, --give-up)",
    run_failed: "{playbook}: 실행이 실패했습니다",
    run_failed_text: "{reason}\n\n보기: quell runs show {run}",
    step_held: "{playbook}: 단계가 차단되었습니다",
    step_held_text: "{why}\n\n이 단계는 수행되지 않았고 앞으로도 수행되지 않습니다. 보기: quell runs show {run}",
    playbook_error: "{playbook}: 플레이북이 경보에서 실패합니다",
    playbook_error_text: "{detail}\n\n\
                          실패하는 경보에는 응답하지 않습니다. 횟수는 계속 집계되며, 이 알림은 플레이북의 같은 본문에 대해 한 번만 보냅니다. \
                          첫 경보 보기: quell alerts show {alert}",
    schedule_error: "{playbook}: 예약된 시각에 플레이북이 시작되지 못합니다",
    schedule_error_text: "{detail}\n\n\
                          실패하는 시각에는 실행이 시작되지 않습니다. 횟수는 계속 집계되며, 이 알림은 플레이북의 같은 본문에 대해 한 번만 보냅니다.",
    actions_stopped: "모든 조치가 중지되었습니다",
    actions_stopped_text: "사람에게 알리는 것 외에는 아무것도 변경하지 않으며, 대기 중인 것은 조치가 재개되면 계속됩니다.\n\
                           재개하기: quell resume-actions --reason \"…\"",
    actions_resumed: "조치가 재개되었습니다",
    actions_resumed_text: "대기하던 것이 계속됩니다.",
    quarantined: "경보가 아닌 메시지: {reason}",
    quarantined_text: "{detail}\n\n사람이 결정할 때까지 원본 그대로 보관합니다. 보기: quell quarantine list",
    times: "{times}건 중 첫 번째를 표시합니다.",
    quorum: "{groups} 중 {quorum}명",
    facts: Facts {
        asks: "승인 대상",
        until: "기한",
        plan: "계획",
        playbook: "플레이북",
        run: "실행",
        approval: "승인",
        alert: "경보",
        step: "단계",
        action: "조치",
        first_time: "처음 시각",
        since: "시작",
        who: "누가",
        reason: "이유",
        occurrences: "횟수",
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
