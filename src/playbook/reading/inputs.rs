//! Reads what a playbook is given by a person or by another playbook.

use super::check_identifier;
use crate::playbook::{
    Input, InputKind, codes,
    node::{Kind, Node},
    reader::Reader,
};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (key, value) in reader.entries(node, "`inputs`").unwrap_or_default() {
        check_identifier(reader, &key.name, &key.span, "an input's name");
        inputs.extend(input(reader, &key.name, value));
    }
    inputs
}

fn input(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Input> {
    let plain = |kind| Input { name: name.to_owned(), kind, default: None, description: String::new() };
    if let Kind::Text(_) = &node.kind {
        return reader.word(node, "the type of an input", InputKind::ALL).map(plain);
    }
    let fields = reader.fields(node, "an input", &["type", "default", "description"])?;
    let kind = fields.require(reader, "type", "the input").and_then(|it| reader.word(it, "`type`", InputKind::ALL));
    let default = fields.get("default");
    if let (Some(kind), Some(node)) = (kind, default)
        && !kind.fits(&node.to_value())
    {
        reader.report(codes::WRONG_TYPE, &node.place(), format!("`default` must be {}, and is {}", kind.words(), node.what()));
    }
    let description = fields.get("description").and_then(|it| reader.text(it, "`description`")).unwrap_or_default().to_owned();
    Some(Input { default: default.map(Node::to_value), description, ..plain(kind?) })
}
