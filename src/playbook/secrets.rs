//! Finds secrets that are written into a playbook. What a step gives its action is kept in the journal and shown by commands, so that
//! nothing secret may be there.

use super::{
    codes,
    node::{Key, Kind, Node},
    reader::Reader,
};

/// Headers that carry nothing but what gives access.
const SECRET_HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Reports headers that give access. An expression is no better than the text: its value is what the journal keeps.
pub(super) fn check(reader: &mut Reader<'_>, action: &str, with: Option<&Node>) {
    if action != "http.request" {
        return;
    }
    for (key, _) in with.and_then(|with| entry(with, "headers")).map(entries).unwrap_or_default() {
        if SECRET_HEADERS.iter().any(|header| key.name.eq_ignore_ascii_case(header)) {
            let message = format!("the header `{}` gives access, and the journal would keep and show it", key.name);
            let help =
                "secrets in playbooks are not supported yet; call a service that needs none, e.g. a relay of your own under `net.allow`";
            reader.report_with_help(codes::SECRET, &key.span, message, Some(help.to_owned()));
        }
    }
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    entries(node).iter().find(|(key, _)| key.name == name).map(|(_, value)| value)
}

fn entries(node: &Node) -> &[(Key, Node)] {
    match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => &[],
    }
}
