//! Troubles: every service answers as it does where something is wrong that a person has to put right. And the sign-in with a code.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use quell_simulator::{Options, Trouble};
use serde_json::Value;

use crate::support::{GRAPH, Lab, PARTNER_CENTER, quick};

fn claims(token: &str) -> Value {
    let middle = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap()
}

impl Lab {
    async fn grant(&self, kind: &str, more: &[(&str, &str)]) -> Value {
        let form = self.app_form(more).replace("client_credentials", kind);
        self.sign_in("oauth2/v2.0/token", &form).await.json()
    }
}

#[tokio::test]
async fn a_token_tells_what_it_is_good_for() {
    let lab = Lab::start().await;
    let app = claims(&lab.token(GRAPH).await);
    assert_eq!((&app["roles"][0], &app["tid"]), (&"PartnerSecurity.ReadWrite.All".into(), &lab.simulator.tenant_id().into()));
    let person = claims(&lab.user_token(PARTNER_CENTER).await);
    assert_eq!((&person["scp"], &person["amr"][1]), (&"user_impersonation".into(), &"mfa".into()));
    lab.simulator.trouble(Trouble::MfaMissing);
    lab.simulator.trouble(Trouble::AlertsUnchangeable);
    assert_eq!(claims(&lab.user_token(PARTNER_CENTER).await)["amr"], serde_json::json!(["pwd"]));
    assert_eq!(claims(&lab.token(GRAPH).await)["roles"][0], "PartnerSecurity.Read.All");
}

#[tokio::test]
async fn a_sign_in_is_refused_with_the_documented_code_until_it_is_put_right() {
    let lab = Lab::start().await;
    for (trouble, code) in [
        (Trouble::SecretExpired, 7_000_222),
        (Trouble::ConsentMissing, 65_001),
        (Trouble::MfaWanted, 50_076),
        (Trouble::PolicyBlocks, 53_003),
    ] {
        lab.simulator.trouble(trouble);
        let refused = lab.grant("client_credentials", &[("scope", GRAPH)]).await;
        assert_eq!(refused["error_codes"][0], code, "{trouble:?}");
        lab.simulator.clear_troubles();
        assert!(!lab.token(GRAPH).await.is_empty());
    }
}

#[tokio::test]
async fn a_missing_right_is_refused_by_the_service_itself() {
    let lab = Lab::start().await;
    let customers = format!("{}/v1/customers", lab.simulator.partner_center_url());
    for (trouble, url, status, code) in [
        (Trouble::AlertsUnreadable, lab.alerts_url(), 403, "Authorization_RequestDenied"),
        (Trouble::BetaGone, lab.alerts_url(), 400, "BadRequest"),
        (Trouble::FilterRefused, format!("{}?$filter=status%20eq%20'active'", lab.alerts_url()), 400, "$filter"),
        (Trouble::AdminAgentMissing, customers.clone(), 403, "900308"),
    ] {
        assert_eq!(lab.get(&url).await.status, 200);
        lab.simulator.trouble(trouble);
        let refused = lab.get(&url).await;
        assert!(refused.status == status && refused.text.contains(code), "{trouble:?}: {}", refused.text);
        lab.simulator.clear_troubles();
    }
    lab.simulator.trouble(Trouble::NoCustomers);
    assert_eq!(lab.get(&customers).await.json()["totalCount"], 0);
    lab.simulator.trouble(Trouble::ClockAhead);
    let there = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(lab.get(&customers).await.header("date")).unwrap();
    assert!(there.duration_since(jiff::Timestamp::now()).as_secs() > 590);
}

#[tokio::test]
async fn a_device_code_waits_for_a_person_and_is_good_once() {
    let lab = Lab::with(Options { device_interval: Duration::from_millis(200), ..quick() }).await;
    let begin = async || {
        let form = lab.app_form(&[("scope", PARTNER_CENTER)]);
        let code = lab.sign_in("oauth2/v2.0/devicecode", &form).await.json();
        code["device_code"].as_str().unwrap().to_owned()
    };
    let ask = async |code: &str| {
        let more = [("scope", PARTNER_CENTER), ("device_code", code)];
        lab.grant("urn:ietf:params:oauth:grant-type:device_code", &more).await
    };
    let code = begin().await;
    assert_eq!(ask(&code).await["error"], "authorization_pending");
    assert_eq!(ask(&code).await["error"], "slow_down");
    assert_eq!(lab.simulator.approve_devices(), 1);
    assert!(ask(&code).await["refresh_token"].is_string());
    assert_eq!(ask(&code).await["error"], "bad_verification_code");
    let code = begin().await;
    lab.simulator.decline_devices();
    assert_eq!(ask(&code).await["error"], "authorization_declined");
    let code = begin().await;
    lab.simulator.expire_devices();
    assert_eq!(ask(&code).await["error"], "expired_token");
}
