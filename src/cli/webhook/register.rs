//! `quell webhook register`: has Partner Center send its events to an adapter.

use clap::Args;
use serde_json::json;

use super::{Taker, failed, print};
use crate::{
    cli::{Desk, Exit, identity::Identity},
    connections::Registration,
    net::Url,
    problem::nearest,
    store::Act,
};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct Register {
    /// The public address before the adapter's path, e.g. `https://soar.contoso.com`: the one of the proxy before Quell.
    #[arg(long, value_name = "ADDRESS")]
    url: String,
    /// Have the signature sent in `x-ms-signature`, for a proxy that takes `Authorization` for itself.
    #[arg(long)]
    own_header: bool,
    /// Take the place of a registration that leads elsewhere. A partner has one: whoever it leads to hears nothing more.
    #[arg(long)]
    replace: bool,
    /// Which adapter of type `partner_center_webhook`, if there are several.
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

const AFTER_HELP: &str = "\
The adapter's path and events are those of the settings.

  quell webhook register --url https://soar.contoso.com
  quell webhook test";

impl Register {
    pub(super) async fn execute(&self, desk: &Desk<'_>) -> Result<Exit, Exit> {
        let taker = Taker::find(desk, self.adapter.as_deref())?;
        let url = public(&self.url, &taker.callbacks.path).map_err(|why| Exit::usage(&why))?;
        let offered = taker.microsoft.webhook_events().await.map_err(|failure| failed("list the events", &failure))?;
        let events = spelt(&taker.callbacks.events, &offered).map_err(|why| Exit::problem(&why))?;
        let wanted = Registration { url, events, own_header: Some(self.own_header) };

        let before = taker.microsoft.webhook().await.map_err(|failure| failed("read the registration", &failure))?;
        if let Some(before) = &before {
            if before.is_as(&wanted) {
                print(desk, before, &[]);
                return Ok(Exit::Done);
            }
            if before.url != wanted.url && !self.replace {
                let why = format!("`{}` is registered, and a partner has one registration; `--replace` takes its place", before.url);
                return Err(Exit::problem(&why));
            }
        }
        let registered = taker.microsoft.register_webhook(&wanted, before.is_none()).await;
        let registered = registered.map_err(|failure| failed("register the webhook", &failure))?;
        // The path may be what keeps strangers out, so it is not told.
        let detail = json!({"events": wanted.events, "replaced": before.is_some()});
        let act = Act { who: self.identity.who(), what: "webhook.register", subject: format!("adapter {}", taker.adapter.name), detail };
        desk.store
            .audit(act)
            .await
            .map_err(|error| Exit::unreachable(&format!("it is registered, and the audit log cannot tell: {error}")))?;
        print(desk, &registered, &[]);
        Ok(Exit::Done)
    }
}

/// The address to register.
fn public(base: &str, path: &str) -> Result<String, String> {
    let url = Url::parse(base).map_err(|error| format!("`--url` is no address: {error}"))?;
    let is_here = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
    // Unencrypted, the path would be everybody's to read; the simulator is on this machine.
    if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
        return Err(format!("`--url` is `{base}`, and events are only sent to an address that begins with `https://`"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("`--url` is the address before the adapter's path, without user, query and fragment".to_owned());
    }
    let base = url.as_str().trim_end_matches('/');
    // Whoever gives the whole address means the same.
    Ok(if base.ends_with(path) { base.to_owned() } else { format!("{base}{path}") })
}

/// The events as Partner Center spells them.
fn spelt(wanted: &[String], offered: &[String]) -> Result<Vec<String>, String> {
    let mut events = Vec::new();
    for event in wanted {
        match offered.iter().find(|it| it.eq_ignore_ascii_case(event)) {
            Some(known) if events.contains(known) => {}
            Some(known) => events.push(known.clone()),
            None => {
                let meant = nearest(event, offered.iter().map(String::as_str));
                let meant = meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
                return Err(format!("Partner Center offers no event `{event}`{meant}"));
            }
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_encrypted_or_on_this_machine_and_ends_in_the_adapters_path() {
        let at = |base: &str| public(base, "/hooks/pc/k7");
        assert_eq!(at("https://soar.contoso.com").unwrap(), "https://soar.contoso.com/hooks/pc/k7");
        assert_eq!(at("https://soar.contoso.com/quell/").unwrap(), "https://soar.contoso.com/quell/hooks/pc/k7");
        assert_eq!(at("https://soar.contoso.com/hooks/pc/k7").unwrap(), "https://soar.contoso.com/hooks/pc/k7");
        assert_eq!(at("http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080/hooks/pc/k7");
        for wrong in ["soar.contoso.com", "http://soar.contoso.com", "https://u:p@soar.contoso.com", "https://soar.contoso.com/?a=b"] {
            assert!(at(wrong).unwrap_err().contains("`--url`"), "{wrong}");
        }
    }

    #[test]
    fn events_are_spelt_as_partner_center_spells_them_and_unknown_ones_are_named() {
        let list = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let offered = list(&["test-created", "usagerecords-thresholdExceeded"]);
        let both = spelt(&list(&["USAGERECORDS-thresholdexceeded", "test-created", "Test-Created"]), &offered);
        assert_eq!(both.unwrap(), list(&["usagerecords-thresholdExceeded", "test-created"]));
        assert!(spelt(&list(&["test-create"]), &offered).unwrap_err().contains("did you mean `test-created`?"));
    }
}
