//! Tokens: issued, bound to an audience, expiring; refresh tokens that rotate.

use std::time::Duration;

use quell_simulator::Options;

use crate::support::{GRAPH, Lab, PARTNER_CENTER, quick};

#[tokio::test]
async fn a_refresh_token_rotates_and_the_old_one_stays_good() {
    let lab = Lab::start().await;
    let first = lab.simulator.refresh_token();
    let form = |token: &str| {
        let form = lab.app_form(&[("scope", PARTNER_CENTER), ("refresh_token", token)]);
        form.replace("client_credentials", "refresh_token")
    };
    let answer = lab.sign_in("oauth2/v2.0/token", &form(&first)).await.json();
    let second = answer["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    for token in [&first, &second] {
        assert_eq!(lab.sign_in("oauth2/v2.0/token", &form(token)).await.status, 200);
    }
    lab.simulator.revoke_refresh_tokens();
    let refused = lab.sign_in("oauth2/v2.0/token", &form(&second)).await;
    assert_eq!((refused.status, refused.json()["error_codes"][0].as_i64()), (400, Some(700_082)));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_in_the_documented_shape() {
    let lab = Lab::start().await;
    let form = lab.app_form(&[("scope", GRAPH)]).replace("simulator-secret", "wrong");
    let refused = lab.sign_in("oauth2/v2.0/token", &form).await;
    assert_eq!((refused.status, refused.json()["error"].as_str()), (401, Some("invalid_client")));
    assert!(refused.json()["error_description"].as_str().unwrap().starts_with("AADSTS7000215: "));
}

#[tokio::test]
async fn a_token_is_good_for_its_audience_only() {
    let lab = Lab::start().await;
    let url = format!("{}/v1/customers", lab.simulator.partner_center_url());
    let client = reqwest::Client::builder().build().unwrap();
    let status = async |token: String| {
        let answer = client.get(&url).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(status(lab.token(PARTNER_CENTER).await).await.0, 200);
    let (code, text) = status(lab.token(GRAPH).await).await;
    assert_eq!(code, 401);
    assert!(text.contains("900420"), "{text}");
    let form = lab.app_form(&[("resource", "https://graph.windows.net")]);
    let old = lab.sign_in("oauth2/token", &form).await.json();
    assert!(old["expires_in"].is_string());
    let (code, text) = status(old["access_token"].as_str().unwrap().to_owned()).await;
    assert!(code == 401 && text.contains("900420"), "{text}");
    let own = format!("{}/.default", lab.simulator.partner_center_url());
    assert_eq!(status(lab.token(&own).await).await.0, 200);
}

#[tokio::test]
async fn a_token_expires() {
    let options = Options { token_lifetime: Duration::from_millis(60), ..quick() };
    let lab = Lab::with(options).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    let answer = lab.get(&lab.alerts_url()).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["code"], "InvalidAuthenticationToken");
}
