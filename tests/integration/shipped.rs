//! Each playbook that Quell is shipped with, run on an alert that it is for, with every part real but Microsoft.

use std::{fs, time::Duration};

use quell::{run::RunState, store::Timeline};
use quell_simulator::{AlertSeed, Event, Notify};
use serde_json::json;

use crate::{
    spine::{crypto_alert, customer_with},
    support::{lab::Lab, smtp::SmtpServer},
};

/// Long enough for a debug build on a loaded machine, a poll each second, and a cancellation that takes two.
const PATIENCE: Duration = Duration::from_mins(1);

async fn lab() -> Lab {
    let lab = Lab::embedded().await;
    lab.shipped_playbooks();
    lab.change_settings("adapters:\n", "adapters:\n  - {name: graph, type: graph_alerts, every: 1s, connection: contoso}\n");
    lab
}

fn seed(alert_type: &str) -> AlertSeed {
    AlertSeed {
        alert_type: alert_type.to_owned(),
        severity: "high".to_owned(),
        confidence: "high".to_owned(),
        notify: Notify::No,
        ..AlertSeed::default()
    }
}

fn the_run<'a>(runs: &'a [Timeline], playbook: &str) -> &'a Timeline {
    let found: Vec<_> = runs.iter().filter(|run| run.run.playbook == playbook).collect();
    assert_eq!(found.len(), 1, "{playbook}: {:?}", runs.iter().map(|run| &run.run.playbook).collect::<Vec<_>>());
    found[0]
}

fn states(run: &Timeline) -> Vec<(&str, &str)> {
    run.steps.iter().map(|step| (step.id.as_str(), step.state.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn crypto_mining_is_contained_once_the_site_says_enforce() {
    let lab = lab().await;
    let file = lab.path("playbooks/contain-crypto-mining.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nmode: shadow\n"), "it ships in shadow");
    fs::write(&file, text.replace("\nmode: shadow\n", "\nmode: enforce\n")).unwrap();
    let (alone, shared) = (customer_with(&lab.simulator, 1), customer_with(&lab.simulator, 3));
    let (id, _) = crypto_alert(&lab.simulator, alone);
    crypto_alert(&lab.simulator, shared);
    let _quell = lab.run().await;
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 2, PATIENCE).await;
    let unfinished = runs.iter().filter(|run| run.run.state != RunState::Done && run.run.playbook.contains("crypto-mining"));
    assert_eq!(unfinished.count(), 0, "{runs:#?}");
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended), (2, 1), "a plan with other work under it is left alone");
    let plan = |customer: usize| serde_json::to_value(lab.simulator.world()[customer].plan.status).unwrap();
    assert_eq!((plan(alone), plan(shared)), (json!("suspended"), json!("active")));
    assert_eq!(lab.simulator.alert(&id).unwrap()["resolvedReason"], "fraud");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_shipped_containment_only_records_what_it_would_do_and_people_are_told_at_once() {
    let lab = lab().await;
    let mail = SmtpServer::start();
    lab.change_settings(&format!("smtp://{}", lab.simulator.smtp_address()), &format!("smtp://127.0.0.1:{}", mail.port()));
    crypto_alert(&lab.simulator, customer_with(&lab.simulator, 1));
    let _quell = lab.run().await;
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, 1, PATIENCE).await;
    let run = the_run(&runs, "contain-crypto-mining");
    assert!(states(run).contains(&("cancel", "shadowed")), "{:?}", states(run));
    let counts = lab.simulator.counts();
    assert_eq!((counts.cancelled, counts.suspended, counts.alert_updates), (0, 0, 0));
    assert_eq!(the_run(&runs, "tell-crypto-mining").run.state, RunState::Done);
    assert_eq!(counts.slack, 1);
    let mails = mail.wait_for_mails(1, Duration::from_secs(10)).await;
    let subject = mails[0].header("Subject").expect("a subject");
    assert!(subject.contains("Crypto mining reported"), "{subject}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_kind_is_answered_by_its_playbook() {
    let lab = lab().await;
    let mail = SmtpServer::start();
    let sink = format!("smtp://{}", lab.simulator.smtp_address());
    lab.change_settings(&sink, &format!("smtp://127.0.0.1:{}", mail.port()));
    let kinds = [
        ("AzureMachineLearning_AnomalousDeployment", "triage-anomalous-compute"),
        ("ARM_SuspiciousOperations", "page-suspicious-operations"),
        ("ServiceHealthSecurityAdvisory", "tell-service-advisory"),
        ("QuotaIncrease", "note-quota-increase"),
        ("SomethingThatMicrosoftAddedYesterday", "tell-unknown-kind"),
    ];
    for (kind, _) in kinds {
        lab.simulator.add_alert(seed(kind));
    }
    let quell = lab.run().await;
    let store = lab.store().await;
    let (_, runs) = lab.settled(&store, kinds.len(), PATIENCE).await;
    for (_, playbook) in kinds {
        let run = the_run(&runs, playbook);
        assert_eq!(run.run.state, RunState::Done, "{playbook}: {}\n{}", run.run.reason, quell.log());
        assert!(states(run).iter().any(|(_, state)| *state == "succeeded"), "{playbook} did nothing: {:?}", states(run));
    }
    assert!(lab.simulator.counts().slack > 0);
    // A real mail server took the mail for the people on duty.
    let mails = mail.wait_for_mails(1, Duration::from_secs(10)).await;
    assert!(mails.iter().all(|mail| mail.header("To").is_some_and(|to| to.contains("oncall@partner.example"))));
    assert!(mails.iter().all(|mail| mail.header("Message-ID").is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_resolves_elsewhere_is_told_and_what_quell_resolved_is_not() {
    let lab = lab().await;
    let id = lab.simulator.add_alert(seed("AzureBatch_AnomalousDeployment"));
    let quell = lab.run().await;
    let store = lab.store().await;
    // The alert, and its change when Quell took it into work.
    let (_, runs) = lab.settled(&store, 2, PATIENCE).await;
    the_run(&runs, "triage-anomalous-compute");
    let told = lab.simulator.counts().slack;
    lab.simulator.set_alert_status(&id, "resolved", Some("legitimate"));
    let (_, runs) = lab.settled(&store, 3, PATIENCE).await;
    assert_eq!(the_run(&runs, "close-resolved-elsewhere").run.state, RunState::Done);
    assert_eq!(lab.simulator.counts().slack, told + 1);

    fs::write(lab.path("playbooks/tables/own_accounts.csv"), "account,what\nsoc@partner.example,Quell\n").unwrap();
    assert!(quell.terminate().success());
    let _quell = lab.run().await;
    let other = lab.simulator.add_alert(AlertSeed { customer: 3, ..seed("AzureBatch_AnomalousDeployment") });
    lab.settled(&store, 5, PATIENCE).await;
    lab.simulator.set_alert_status(&other, "resolved", Some("fraud"));
    let (_, runs) = lab.settled(&store, 6, PATIENCE).await;
    the_run(&runs, "close-resolved-elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_event_of_partner_center_proves_the_chain() {
    let lab = lab().await;
    let _quell = lab.run().await;
    let status = lab.simulator.deliver_webhook(&lab.url("/hooks/partner-center/k7p2"), Event::default()).await.unwrap();
    assert_eq!(status, 200);
    let store = lab.store().await;
    let (alerts, runs) = lab.settled(&store, 1, PATIENCE).await;
    assert_eq!(alerts[0].kind, "test");
    let run = the_run(&runs, "test-alert");
    assert_eq!(run.run.state, RunState::Done, "{}", run.run.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_folder_has_no_problems() {
    let lab = lab().await;
    let checked = lab.quell(&["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let count = fs::read_dir(lab.path("playbooks")).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension().is_some()).count();
    assert!(count >= 6, "{count} playbooks are shipped");
}
