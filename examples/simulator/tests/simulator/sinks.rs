//! Messages are taken, kept and counted.

use serde_json::json;

use crate::support::Lab;

#[tokio::test]
async fn slack_takes_webhooks_and_posts() {
    let lab = Lab::start().await;
    let base = lab.simulator.slack_url();
    let answer = lab.send("POST", &format!("{base}/services/T/B/x"), &json!({ "text": "hi" })).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "ok"));
    let url = format!("{base}/api/chat.postMessage");
    let answer = lab.send("POST", &url, &json!({ "channel": "#soc", "text": "hi" })).await;
    assert_eq!(answer.json()["ok"], true);
    assert_eq!(lab.send("POST", &url, &json!({ "channel": "#soc" })).await.json()["error"], "no_text");
    assert_eq!(lab.simulator.counts().slack, 2);
    assert_eq!(lab.simulator.effects("message.slack")[1].body, Some(json!({ "channel": "#soc", "text": "hi" })));
}

#[tokio::test]
async fn teams_takes_cards() {
    let lab = Lab::start().await;
    let url = format!("{}/workflows/1", lab.simulator.teams_url());
    let card = json!({ "type": "message", "attachments": [{ "content": {} }] });
    assert_eq!(lab.send("POST", &url, &card).await.status, 202);
    assert_eq!(lab.send("POST", &url, &json!({})).await.status, 400);
    assert_eq!(lab.simulator.counts().teams, 1);
}

#[tokio::test]
async fn pagerduty_counts_a_deduplication_key_once() {
    let lab = Lab::start().await;
    let url = format!("{}/v2/enqueue", lab.simulator.pagerduty_url());
    let event = |action: &str| {
        json!({
            "routing_key": "r", "event_action": action, "dedup_key": "run-1",
            "payload": { "summary": "s", "source": "quell", "severity": "critical" },
        })
    };
    for action in ["trigger", "trigger", "resolve"] {
        assert_eq!(lab.send("POST", &url, &event(action)).await.status, 202);
    }
    assert_eq!(lab.send("POST", &url, &json!({ "routing_key": "r" })).await.status, 400);
    let counts = lab.simulator.counts();
    assert_eq!((counts.pagerduty, counts.repeats), (2, 1));
}
