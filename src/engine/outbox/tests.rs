//! Tests: what people read.

use jiff::Timestamp;
use serde_json::json;

use super::{message::notice, texts::of, *};
use crate::{
    approval::{ApprovalId, Choice, OnTimeout, Planned, Question, Vote},
    bus::rabbitmq::Postbox,
    channels::{Channels, Notice},
    clock::Clock,
    connections::Connections,
    lifecycle::Tasks,
    net::{Net, NetConfig},
    news::{Outlet, RunNews, Tell, Topic},
    run::RunId,
    secret::Secrets,
    telemetry::Metrics,
};

fn outgoing(news: News) -> Outgoing {
    Outgoing { id: "n-1".to_owned(), channel: "log:default".to_owned(), attempts: 0, times: 1, news }
}

/// What is told of a question that stands so.
fn told(turn: Turn, state: ApprovalState) -> Notice {
    told_in(Language::En, turn, state)
}

fn told_in(language: Language, turn: Turn, state: ApprovalState) -> Notice {
    let planned = |step: &str, unknown: Option<&str>| Planned {
        step: step.to_owned(),
        action: "subscription.suspend".to_owned(),
        with: json!({"subscription_id": "s-1"}),
        target: None,
        unknown: unknown.map(ToOwned::to_owned),
    };
    let question = Question {
        playbook: "contain".to_owned(),
        title: "Suspend Production?".to_owned(),
        why: "the plan changed".to_owned(),
        rule: None,
        plan: vec![planned("suspend", None), planned("later", Some("not known yet"))],
        groups: vec!["leads".to_owned()],
        escalate: Vec::new(),
        quorum: 2,
        channels: vec!["log:default".to_owned()],
        requesters: Vec::new(),
        on_timeout: OnTimeout::Reject,
    };
    let vote = |choice| Vote {
        person: "ann".to_owned(),
        choice,
        reason: "seen it".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        hash: "h".to_owned(),
        via: "test".to_owned(),
    };
    let votes = match state {
        ApprovalState::Approved => vec![vote(Choice::Approve)],
        ApprovalState::Rejected => vec![vote(Choice::Reject)],
        ApprovalState::Open | ApprovalState::Expired | ApprovalState::Void => Vec::new(),
    };
    let approval = Approval {
        id: ApprovalId("a-1".to_owned()),
        run: RunId("r-1".to_owned()),
        asker: "ask".to_owned(),
        round: 1,
        hash: "0123456789abcdef".to_owned(),
        question,
        state,
        outcome: "seen it".to_owned(),
        opened_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        decided_at: None,
        votes,
    };
    let news = News::Approval { approval: approval.id.clone(), turn };
    notice(&outgoing(news), Some(&approval), of(language))
}

#[test]
fn a_question_shows_the_exact_plan_and_how_to_answer() {
    let notice = told(Turn::Opened, ApprovalState::Open);
    assert_eq!((notice.id.as_str(), notice.title.as_str()), ("n-1", "Approval needed: Suspend Production?"));
    for shown in [
        "Why: the plan changed",
        r#"- suspend: subscription.suspend {"subscription_id":"s-1"}"#,
        "- later: subscription.suspend — not known yet; you will be asked again",
        "quell approvals show a-1",
        "approve a-1 --hash 0123456789abcdef",
        "POST /api/v1/approvals/a-1/approve",
    ] {
        assert!(notice.text.contains(shown), "{shown}: {}", notice.text);
    }
    assert!(notice.facts.contains(&("Plan".to_owned(), "0123456789ab".to_owned())));
    assert!(told(Turn::Escalated, ApprovalState::Open).title.starts_with("Approval still needed"));
}

#[test]
fn an_ending_says_who_decided_and_why() {
    for (state, title, text) in [
        (ApprovalState::Approved, "Approved: Suspend Production?", "Approved by ann: seen it"),
        (ApprovalState::Rejected, "Rejected: Suspend Production?", "Rejected by ann: seen it"),
        (ApprovalState::Expired, "Expired: Suspend Production?", "Nobody decided in time"),
        (ApprovalState::Void, "No longer needed: Suspend Production?", "Nothing is to be decided any more"),
    ] {
        let notice = told(Turn::Decided, state);
        assert_eq!(notice.title, title);
        assert!(notice.text.contains(text), "{}", notice.text);
    }
}

#[test]
fn what_happened_often_says_how_often() {
    let news = News::Quarantined { reason: "malformed".to_owned(), detail: "not an alert: {EOF}".to_owned() };
    let told = notice(&Outgoing { times: 10_000, ..outgoing(news) }, None, of(Language::En));
    assert_eq!(told.title, "What came is not an alert: malformed");
    assert!(told.text.starts_with("not an alert: {EOF}\n") && told.text.contains("The first of 10000 is shown."), "{}", told.text);
    assert!(told.facts.contains(&("Occurrences".to_owned(), "10000".to_owned())));
}

#[test]
fn a_run_in_doubt_says_what_to_do() {
    let run = RunNews { run: RunId("r-1".to_owned()), playbook: "contain".to_owned(), alert: None, reason: "no answer".to_owned() };
    let told = notice(&outgoing(News::RunInDoubt(run)), None, of(Language::En));
    assert_eq!(told.title, "A run of contain waits for a person: nobody knows whether a step happened");
    assert!(told.text.starts_with("no answer\n") && told.text.contains("quell runs settle r-1 --happened"), "{}", told.text);
    assert_eq!(told.facts, [("Playbook".to_owned(), "contain".to_owned()), ("Run".to_owned(), "r-1".to_owned())]);
}

/// News of every kind.
fn every_news() -> Vec<News> {
    let run = || RunNews { run: RunId("r-1".to_owned()), playbook: "contain".to_owned(), alert: Some(7), reason: "no answer".to_owned() };
    let (who, reason) = (|| "mina".to_owned(), || "too many".to_owned());
    let (step, action, why) = ("suspend".to_owned(), "subscription.suspend".to_owned(), "a limit".to_owned());
    let fails = |occasion: &str| News::PlaybookError {
        playbook: "contain".to_owned(),
        occasion: occasion.to_owned(),
        detail: "no number".to_owned(),
        since: Timestamp::UNIX_EPOCH,
    };
    vec![
        News::RunInDoubt(run()),
        News::RunFailed(run()),
        News::StepHeld { run: run().run, playbook: run().playbook, step, action, why },
        fails("alert:7"),
        fails("tick:2026-03-02T04:00:00Z"),
        News::ActionsStopped { who: who(), reason: reason() },
        News::ActionsResumed { who: who(), reason: reason() },
        News::Quarantined { reason: "malformed".to_owned(), detail: "EOF".to_owned() },
    ]
}

/// The commands that a text tells people to give; they are the same in every language.
fn commands(text: &str) -> Vec<&str> {
    let mut found: Vec<_> =
        text.match_indices("quell ").filter_map(|(at, _)| text.get(at..)?.split(['\n', '(']).next()).map(str::trim).collect();
    found.sort_unstable();
    found
}

#[test]
fn every_message_is_there_in_every_language_with_the_same_values_and_commands() {
    let is_korean = |text: &str| text.chars().any(|it| ('\u{ac00}'..='\u{d7a3}').contains(&it));
    let pair = |language| {
        let news = every_news().into_iter().map(|news| notice(&Outgoing { times: 3, ..outgoing(news) }, None, of(language)));
        let states = ApprovalState::ALL.iter().map(|state| told_in(language, Turn::Decided, *state));
        let asked = [Turn::Opened, Turn::Escalated].map(|turn| told_in(language, turn, ApprovalState::Open));
        news.chain(states).chain(asked).collect::<Vec<_>>()
    };
    for (english, korean) in pair(Language::En).into_iter().zip(pair(Language::Ko)) {
        assert!(is_korean(&korean.title) && is_korean(&korean.text), "{korean:?}");
        assert!(!is_korean(&english.title) && !is_korean(&english.text), "{english:?}");
        for unfilled in [&english, &korean] {
            let whole = format!("{} {}", unfilled.title, unfilled.text);
            assert!(
                !["{title}", "{run}", "{playbook}", "{reason}", "{id}", "{hash}", "{who}", "{why}"].iter().any(|it| whole.contains(it)),
                "{whole}"
            );
        }
        assert_eq!(commands(&korean.text), commands(&english.text));
        assert_eq!((korean.severity, korean.facts.len(), &korean.id), (english.severity, english.facts.len(), &english.id));
        assert!(korean.facts.iter().all(|(name, _)| is_korean(name)), "{:?}", korean.facts);
    }
}

fn relay(store: Store) -> Relay {
    let net = Net::new(&NetConfig::default()).unwrap();
    let channels = Channels::build(&std::collections::BTreeMap::new(), &net).unwrap();
    let (connections, postbox, secrets) = (Connections::default(), Postbox::default(), Secrets::default());
    Relay {
        store,
        services: Arc::new(Services { net, connections, channels, postbox, secrets }),
        announcer: None,
        language: Language::En,
        signals: Signals::new(Metrics::new().unwrap()),
    }
}

#[tokio::test]
async fn a_message_whose_question_cannot_be_read_does_not_have_the_others_of_its_batch_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("quell.db").display());
    let clock = Clock::standing_at(Timestamp::UNIX_EPOCH);
    let outlet = Outlet::new(&[Tell { of: Topic::ALL.to_vec(), to: vec!["log:default".to_owned()] }], false);
    let store = Store::open(&url, &Tasks::default(), None).await.unwrap().dated_by(clock.clone()).with_outlet(outlet);
    store.stop_actions("mina", "a test").await.unwrap();
    let unreadable = "
        PRAGMA foreign_keys = OFF;
        INSERT INTO approval VALUES ('q', 'r', 'ask', 1, 'h', 'no question', 'open', '', 1, 2, NULL);
        INSERT INTO outbox (id, kind, about, channel, payload, times, at, due_at, attempts, error)
            VALUES ('n', 'approval_opened', 'approval q', 'log:default', '{\"news\":\"approval\",\"approval\":\"q\",\"turn\":\"opened\"}',
                    1, 0, 0, 0, '')";
    let database = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql(unreadable).execute(&database).await.unwrap();

    assert_eq!(relay(store.clone()).send_some().await.unwrap(), 2);
    let waits: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, error FROM outbox WHERE ended_at IS NULL").fetch_all(&database).await.unwrap();
    let [(kind, why)] = waits.as_slice() else { panic!("{waits:?}") };
    assert!(kind == "approval_opened" && why.contains("cannot be read"), "{waits:?}");
}
