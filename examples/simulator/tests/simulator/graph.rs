//! Alerts: paged, filtered, changed.

use quell_simulator::{AlertSeed, Options};
use serde_json::json;

use crate::support::{Lab, quick};

#[tokio::test]
async fn every_alert_is_seen_once_by_following_next_links() {
    let lab = Lab::start().await;
    let mut expected: Vec<_> = (0..23).map(|_| lab.simulator.add_alert(AlertSeed::default())).collect();
    let mut seen = Vec::new();
    let mut url = format!("{}?$count=true", lab.alerts_url());
    loop {
        let page = lab.get(&url).await.json();
        assert_eq!(page["@odata.count"], 23);
        let alerts = page["value"].as_array().unwrap();
        assert!(alerts.len() <= 10);
        seen.extend(alerts.iter().map(|alert| alert["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["@odata.nextLink"].as_str() else {
            break;
        };
        url = next.to_owned();
    }
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn odd_pages_begin_with_an_empty_one_and_repeat_an_alert() {
    let lab = Lab::with(Options { odd_pages: true, page_size: 2, ..quick() }).await;
    let expected: Vec<_> = (0..3).map(|_| lab.simulator.add_alert(AlertSeed::default())).collect();
    let (mut pages, mut url) = (Vec::new(), Some(lab.alerts_url()));
    while let Some(address) = url {
        let page = lab.get(&address).await.json();
        pages.push(page["value"].as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        url = page["@odata.nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(pages, [&[][..], &expected[..2], &expected[1..]]);
}

#[tokio::test]
async fn a_filter_selects_and_an_unknown_one_is_refused() {
    let lab = Lab::start().await;
    lab.simulator.add_alert(AlertSeed::default());
    let wanted = lab.simulator.add_alert(AlertSeed { severity: "low".to_owned(), ..AlertSeed::default() });
    let url = format!("{}?$filter=status%20eq%20'active'%20and%20severity%20eq%20'low'", lab.alerts_url());
    let found = lab.get(&url).await.json();
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    assert_eq!(found["value"][0]["id"], wanted.as_str());
    for query in ["$filter=displayName%20eq%20'x'", "$orderby=severity"] {
        let refused = lab.get(&format!("{}?{query}", lab.alerts_url())).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("BadRequest")));
    }
}

#[tokio::test]
async fn an_alert_is_resolved_once() {
    let lab = Lab::start().await;
    let id = lab.simulator.add_alert(AlertSeed::default());
    let url = format!("{}/{id}", lab.alerts_url());
    let body = json!({ "status": "resolved", "resolvedReason": "fraud" });
    for _ in 0..2 {
        let answer = lab.send("PATCH", &url, &body).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("resolved")));
    }
    assert_eq!(lab.simulator.counts().alert_updates, 1);
    let repeats: Vec<_> = lab.simulator.effects("alert.updated").iter().map(|it| !it.applied).collect();
    assert_eq!(repeats, [false, true]);
    let alert = lab.simulator.alert(&id).unwrap();
    assert_eq!(alert["activityLogs"].as_array().unwrap().len(), 1);
    assert_eq!(alert["resolvedReason"], "fraud");
}

#[tokio::test]
async fn what_cannot_be_written_is_refused() {
    let lab = Lab::start().await;
    let id = lab.simulator.add_alert(AlertSeed::default());
    let url = format!("{}/{id}", lab.alerts_url());
    let table =
        [json!({ "status": "resolved", "comment": "x" }), json!({ "status": "closed" }), json!({ "resolvedReason": "fraud" }), json!([])];
    for body in table {
        assert_eq!(lab.send("PATCH", &url, &body).await.status, 400, "{body}");
    }
    assert_eq!(lab.get(&format!("{}/none", lab.alerts_url())).await.status, 404);
    assert_eq!(lab.simulator.counts().alert_updates, 0);
}
