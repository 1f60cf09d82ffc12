//! `quell login`: a person consents with a code, what comes of it is kept, and what runs already works with it.

use std::{
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use quell_simulator::{Options, Simulator, Trouble};

use crate::support::lab::Lab;

const PATIENCE: Duration = Duration::from_secs(30);

/// An installation whose connection waits for somebody's consent.
async fn unconsented() -> Lab {
    let options = Options { device_interval: Duration::from_secs(1), ..Options::default() };
    let lab = Lab::new("url: embedded", options).await;
    lab.change_settings(&format!("refresh_token: {}", lab.simulator.refresh_token()), "login: true");
    lab
}

/// Runs the command while the person does something, once there is a code.
async fn login(lab: &Lab, person: impl Fn(&Simulator) -> bool) -> Output {
    let mut command = lab.command(&["login"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let begun = Instant::now();
    while !ended.is_finished() && !person(&lab.simulator) {
        assert!(begun.elapsed() < PATIENCE, "nobody asked for a code");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ended.await.unwrap()
}

#[track_caller]
fn said(output: &Output, code: i32, parts: &[&str]) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    assert!(!text.contains("eyJ") && !text.contains("1.0.") && !text.contains("simulator-secret"), "a secret is shown: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_consents_with_a_code_and_the_connection_works_for_them() {
    let lab = unconsented().await;
    said(&lab.quell(&["doctor", "--only", "consent"]), 1, &["consent-nobody", "quell login contoso"]);
    let done = login(&lab, |simulator| simulator.approve_devices() > 0).await;
    said(&done, 0, &["/login/device", "works for soc@partner.example"]);
    said(&lab.quell(&["doctor", "--only", "consent,sign_in,partner_center"]), 0, &["0 days old", "Example Partner"]);
    let kept = std::fs::read(lab.path("quell.db")).unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains(&lab.simulator.refresh_token()[..4]), "the token is sealed");
    let audited = lab.json(&["audit", "list"]);
    let last = audited.as_array().unwrap().last().unwrap();
    assert_eq!((last["what"].as_str(), last["detail"]["person"].as_str()), (Some("connection.login"), Some("soc@partner.example")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_says_no_or_nothing_or_has_no_second_factor_is_told_apart() {
    let lab = unconsented().await;
    said(&login(&lab, |simulator| simulator.decline_devices() > 0).await, 1, &["said no"]);
    // The code is over its time as soon as it was given.
    let expired = |simulator: &Simulator| {
        let codes = simulator.ledger().iter().filter(|entry| entry.path.ends_with("/devicecode")).count();
        if codes == 2 {
            simulator.expire_devices();
        }
        codes == 2
    };
    said(&login(&lab, expired).await, 1, &["nobody entered the code in time"]);
    lab.simulator.trouble(Trouble::MfaMissing);
    said(&login(&lab, |simulator| simulator.approve_devices() > 0).await, 1, &["without a second factor"]);
    lab.simulator.clear_troubles();
    lab.simulator.trouble(Trouble::SecretExpired);
    said(&lab.quell(&["login"]), 1, &["AADSTS7000222"]);
    lab.change_settings("login: true", "graph_version: beta");
    said(&lab.quell(&["login"]), 1, &["set its `login` to true"]);
    said(&lab.quell(&["login", "nobody"]), 2, &["there is no connection `nobody`"]);
}
