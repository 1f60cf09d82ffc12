//! The page for people: what happened last, what was changed, and how the customers stand.

use std::sync::Arc;

use crate::{
    answer::Answer,
    call::Call,
    core::Core,
    ledger::Entry,
    world::{Customer, EntitlementStatus},
};

/// As much as fits on a screen or two.
const TAIL: usize = 60;

const HEAD: &str = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"refresh\" content=\"2\"><title>Quell simulator</title><style>\
body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1c2430;background:#fafbfc}\
table{border-collapse:collapse;width:100%;background:#fff}th,td{text-align:left;padding:.25rem .6rem;\
border-bottom:1px solid #e3e7ec;vertical-align:top;overflow-wrap:anywhere}h1{font-size:1.3rem}h2{font-size:1.05rem}\
.applied{background:#fff3e0}.cut{color:#b3261e}.counts span{display:inline-block;margin-right:1.2rem}\
</style></head><body>";

pub(crate) fn page(core: &Arc<Core>, call: &Call) -> Answer {
    let state = core.state(call.now);
    let mut html = String::from(HEAD);
    html.push_str(
        "<h1>Quell simulator</h1><p>Microsoft, Slack, Teams, PagerDuty and mail, imitated. \
        <a href=\"/admin\">Admin interface</a></p><p class=\"counts\">",
    );
    let counts = serde_json::json!(state.ledger.counts());
    for (name, count) in counts.as_object().into_iter().flatten() {
        push(&mut html, format_args!("<span>{name} <b>{count}</b></span>"));
    }
    html.push_str("</p><h2>Ledger, newest first</h2><table><tr><th>#<th>time<th>service<th>request<th>status<th>effect</tr>");
    for entry in state.ledger.entries().iter().rev().take(TAIL) {
        entry_row(&mut html, entry);
    }
    html.push_str("</table><h2>Customers</h2><table><tr><th>name<th>tenant<th>Azure plan<th>Azure subscriptions</tr>");
    for customer in &state.customers {
        customer_row(&mut html, customer);
    }
    html.push_str("</table></body></html>");
    Answer::html(200, &html)
}

fn entry_row(html: &mut String, entry: &Entry) {
    let class = if entry.applied { "applied" } else { "" };
    let status = if entry.answered { entry.status.to_string() } else { "<span class=\"cut\">no answer</span>".to_owned() };
    let effect = entry.effect.as_ref().map_or_else(String::new, |effect| {
        let repeat = if effect.repeat { " (again)" } else { "" };
        format!("{} {}{repeat}", escaped(&effect.kind), escaped(&effect.target))
    });
    let time = entry.at.strftime("%H:%M:%S%.3f");
    push(
        html,
        format_args!(
            "<tr class=\"{class}\"><td>{}<td>{time}<td>{}<td>{} {}<td>{status}<td>{effect}</tr>",
            entry.seq,
            escaped(&entry.service),
            escaped(&entry.method),
            escaped(&entry.path),
        ),
    );
}

fn customer_row(html: &mut String, customer: &Customer) {
    let subscriptions = customer.plan.entitlements.iter().map(|it| {
        let state = match (it.status, it.cancels_at) {
            (EntitlementStatus::Active, Some(_)) => "being cancelled",
            (status, _) => status.name(),
        };
        format!("{} {} <b>{state}</b>", escaped(&it.name), escaped(&it.id))
    });
    let subscriptions: Vec<_> = subscriptions.collect();
    push(
        html,
        format_args!(
            "<tr><td>{}<td>{}<td>{} <b>{}</b><td>{}</tr>",
            escaped(&customer.name),
            escaped(&customer.tenant_id),
            escaped(&customer.plan.id),
            customer.plan.status.name(),
            subscriptions.join("<br>"),
        ),
    );
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.push_str(&text.to_string());
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
