//! The admin interface, and the ledger file that other processes read.

use quell_simulator::{AlertSeed, Entry, Options};
use serde_json::json;

use crate::support::{Lab, quick};

#[tokio::test]
async fn the_ledger_file_has_a_line_for_every_entry() {
    let path = std::env::temp_dir().join(format!("quell-simulator-{}.jsonl", std::process::id()));
    drop(std::fs::remove_file(&path));
    let options = Options { ledger: Some(path.clone()), ..quick() };
    let lab = Lab::with(options).await;
    lab.get(&lab.plan_url()).await;
    lab.cancel_all().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    std::fs::remove_file(&path).unwrap();
    let ledger = lab.simulator.ledger();
    assert_eq!(lines.len(), ledger.len());
    assert_eq!(lines.last().unwrap().effect, ledger.last().unwrap().effect);
    assert!(lines.iter().map(|it| it.seq).eq(1..=lines.len() as u64));
    assert!(!text.contains(&lab.simulator.client_secret()), "a secret is in the ledger");
}

#[tokio::test]
async fn the_admin_interface_offers_what_the_library_does() {
    let lab = Lab::start().await;
    let admin = format!("{}/admin", lab.simulator.url());
    let added = lab.send("POST", &format!("{admin}/alerts"), &json!({ "alert_type": "X", "customer": 3 })).await;
    let id = added.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(lab.simulator.alert(&id).unwrap()["alertType"], "X");
    let fault = json!({ "path": "/graph", "times": 1, "kind": "status", "status": 503 });
    assert_eq!(lab.send("POST", &format!("{admin}/faults"), &fault).await.status, 200);
    assert_eq!(lab.get(&lab.alerts_url()).await.status, 503);
    let all = lab.get(&format!("{admin}/ledger")).await.json();
    let tokens = lab.get(&format!("{admin}/ledger?effect=token.issued&since=1")).await.json();
    assert_eq!((all.as_array().unwrap().len(), tokens.as_array().unwrap().len()), (3, 1));
    assert_eq!(lab.get(&format!("{admin}/counts")).await.json()["tokens"], 2);
    assert_eq!(lab.get(&format!("{admin}/world")).await.json().as_array().unwrap().len(), 20);
    let misspelt = json!({ "kind": "truncate", "pth": "/graph" });
    let url = format!("{admin}/faults");
    assert_eq!(lab.send("POST", &url, &misspelt).await.status, 400);
    let wrong = lab.send("POST", &format!("{admin}/alerts"), &json!({ "colour": 1 })).await;
    assert_eq!(wrong.status, 400);
    assert!(lab.get(&admin).await.json()["admin"]["POST /admin/deliver"].is_string());
}

#[tokio::test]
async fn the_page_escapes_what_it_shows() {
    let lab = Lab::start().await;
    let url = format!("{}/slack/<script>", lab.simulator.url());
    lab.send("POST", &url, &json!({ "text": "x" })).await;
    let page = lab.get(&format!("{}/", lab.simulator.url())).await.text;
    assert!(page.contains("Quell simulator") && !page.contains("<script>"));
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port() {
    let lab = Lab::start().await;
    let watcher = lab.simulator.clone();
    watcher.add_alert(AlertSeed::default());
    let address = watcher.url().replace("http://", "");
    lab.simulator.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert_eq!(watcher.counts().tokens, 2);
}
