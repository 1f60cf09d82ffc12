//! Tests: an index leaves exactly the rows that judging each of them leaves.

use std::{path::Path, sync::LazyLock};

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, json};

use super::*;
use crate::{
    expression::Sandbox,
    playbook::{
        clause::Holding,
        node::{self, Kind},
        reader::Reader,
    },
};

/// Reads a `match` as playbooks do.
fn clauses(matches: &Value) -> Vec<Clause> {
    let text = matches.to_string();
    let sandbox = Sandbox::default();
    let mut reader = Reader::new(&sandbox, Path::new("p.yaml"), &text);
    let Kind::Map(entries) = node::parse(&text).unwrap().kind else { panic!("`{text}` is no map") };
    let clauses = entries.iter().flat_map(|(key, value)| Clause::read(&mut reader, &key.name, value)).collect();
    let (problems, _calls, _lookups) = reader.into_parts();
    assert!(problems.is_empty(), "`{text}`: {problems:?}");
    clauses
}

fn remaining(rows: &[Vec<Clause>], alert: &Value) -> Vec<usize> {
    Index::new(rows.iter().map(Vec::as_slice)).remaining(alert)
}

/// What the index must say, found the long way.
fn one_by_one(rows: &[Vec<Clause>], alert: &Value) -> Vec<usize> {
    let is_left = |row: &[Clause]| row.iter().all(|clause| !matches!(clause.judge(alert), Holding::No(_)));
    rows.iter().enumerate().filter(|(_, row)| is_left(row)).map(|(number, _)| number).collect()
}

/// Each row alone in the table, and all of them at once, which makes their fields crowded.
fn check(matches: &[Value], alert: &Value, expected: &[usize]) {
    let rows: Vec<Vec<Clause>> = matches.iter().map(clauses).collect();
    assert_eq!(one_by_one(&rows, alert), expected, "one by one: {alert}");
    assert_eq!(remaining(&rows, alert), expected, "the index: {alert}");
    let many: Vec<Vec<Clause>> = rows.iter().cycle().take(rows.len() * 20).cloned().collect();
    assert_eq!(remaining(&many, alert), one_by_one(&many, alert), "crowded: {alert}");
}

#[test]
fn a_row_without_clauses_always_remains() {
    check(&[json!({}), json!({"kind": "x"}), json!({})], &json!({"kind": "y"}), &[0, 2]);
    assert_eq!(Index::default().remaining(&json!({})), Vec::<usize>::new());
}

#[test]
fn values_are_equal_as_a_clause_compares_them() {
    let rows = [
        json!({"details.x": 1}),
        json!({"details.x": 1.0}),
        json!({"details.x": ["a", "b"]}),
        json!({"details.x": "A"}),
        json!({"details.x": true}),
        json!({"details.x": ["b", 2]}),
        json!({"details.x": -0.0}),
    ];
    // A value of another kind is unclear, and must be told.
    for (value, expected) in [
        (json!(1), vec![0, 1, 2, 3, 4, 5]),
        (json!(1.0), vec![0, 1, 2, 3, 4, 5]),
        (json!(0), vec![2, 3, 4, 5, 6]),
        (json!("a"), vec![0, 1, 2, 4, 5, 6]),
        (json!(["c", "b"]), vec![0, 1, 2, 4, 5, 6]),
        (json!([]), vec![]),
        (json!(null), vec![]),
        (json!({"a": 1}), vec![0, 1, 2, 3, 4, 5, 6]),
    ] {
        check(&rows, &json!({"details": {"x": value}}), &expected);
    }
    check(&rows, &json!({"details": "x"}), &[]);
}

#[test]
fn every_operator_finds_its_rows() {
    let row = |operator: &str, operand: Value| json!({"details.x": {operator: operand}});
    let cases = [
        ("any_of", json!(["a", "b"]), vec![json!("b"), json!(["c", "a"])], vec![json!("c"), json!(null)]),
        ("not", json!(["a", "b"]), vec![json!("c"), json!(null), json!([])], vec![json!("a"), json!(["c", "a"])]),
        (
            "prefix",
            json!(["ab", "ü"]),
            vec![json!("abc"), json!("ab"), json!("üb"), json!(["c", "ab"])],
            vec![json!("a"), json!("b"), json!("€")],
        ),
        ("prefix", json!(""), vec![json!(""), json!("a")], vec![json!([]), json!(null)]),
        ("suffix", json!(["bc", "ü"]), vec![json!("abc"), json!("bc"), json!("bü")], vec![json!("c"), json!("ab"), json!("€")]),
        ("contains", json!("b"), vec![json!("abc"), json!(["x", "b"])], vec![json!("ac"), json!(null)]),
        (
            "contains",
            json!(["bc", "ü"]),
            vec![json!("abc"), json!("xü"), json!(["x", "bcd"]), json!(1)],
            vec![json!("b"), json!("B"), json!([])],
        ),
        ("contains", json!(""), vec![json!(""), json!("a")], vec![json!([]), json!(null)]),
        ("regex", json!("^a.c$"), vec![json!("abc")], vec![json!("ac"), json!(null)]),
        ("gt", json!(2), vec![json!(2.5), json!([1, 3])], vec![json!(2), json!([1, 2])]),
        ("gte", json!(2), vec![json!(2), json!("no number")], vec![json!(1.9), json!(null)]),
        ("lt", json!(2), vec![json!(1), json!([3, 1])], vec![json!(2), json!([2, 3])]),
        ("lte", json!(2), vec![json!(2), json!(-5)], vec![json!(2.1), json!([])]),
        ("gt", json!(-0.0), vec![json!(1)], vec![json!(0), json!(-0.0)]),
        ("exists", json!(true), vec![json!(false), json!([]), json!({})], vec![json!(null)]),
        ("exists", json!(false), vec![json!(null)], vec![json!(0), json!([])]),
        (
            "cidr",
            json!(["10.0.0.0/8", "2001:db8::/32"]),
            vec![json!(" 10.9.8.7 "), json!("2001:db8::1")],
            vec![json!("11.0.0.1"), json!("::1")],
        ),
        ("cidr", json!("0.0.0.0/0"), vec![json!("1.2.3.4"), json!("no address")], vec![json!("::1"), json!(null)]),
        ("at_least", json!("medium"), vec![json!("medium"), json!("CRITICAL"), json!("no severity")], vec![json!("low"), json!(null)]),
    ];
    for (operator, operand, fitting, others) in cases {
        let rows = [row(operator, operand)];
        for value in fitting {
            check(&rows, &json!({"details": {"x": value}}), &[0]);
        }
        for value in others {
            check(&rows, &json!({"details": {"x": value}}), &[]);
        }
    }
}

#[test]
fn rows_that_differ_in_their_last_clause_are_told_apart() {
    let row = |number: usize| json!({"kind": "x", "details.host": format!("h{}", number / 10), "details.cost": {"gte": number}});
    let rows: Vec<Value> = (0..100).map(row).collect();
    check(&rows, &json!({"kind": "x", "details": {"host": "h4", "cost": 42}}), &[40, 41, 42]);
    check(&rows, &json!({"kind": "y", "details": {"host": "h4", "cost": 42}}), &[]);
}

#[test]
fn texts_that_overlap_are_all_found() {
    let rows = ["min", "mining", "ing", "in", "rig"].map(|part| json!({"title": {"contains": part}}));
    check(&rows, &json!({"title": "crypto mining mining"}), &[0, 1, 2, 3]);
    check(&rows, &json!({"title": ["x", "a rig", "minor"]}), &[0, 3, 4]);
    check(&rows, &json!({"title": ["x", 1]}), &[0, 1, 2, 3, 4]);
}

#[test]
fn a_regular_expression_is_found_by_what_it_must_hold() {
    let rows =
        ["miner", "(?i)XMRIG|monero", "^vm-[0-9]+-gpu$", "[a-z]{4}[0-9]$", "(?i)straße", "a|"].map(|it| json!({"title": {"regex": it}}));
    for (title, expected) in [
        (json!("a Miner"), vec![5]),
        (json!("a miner"), vec![0, 5]),
        (json!("Monero"), vec![1, 5]),
        (json!("Xmrig7"), vec![1, 3, 5]),
        (json!(["vm-12-gpu", "STRASSE"]), vec![2, 5]),
        (json!("STRAßE"), vec![4, 5]),
        (json!(["x", 5]), vec![0, 1, 2, 3, 4, 5]),
        (json!(""), vec![5]),
        (json!([]), vec![]),
    ] {
        check(&rows, &json!({"title": title}), &expected);
    }
}

/// A text of which a pattern cannot say in time whether it holds it is unclear, whatever else it holds.
#[test]
fn a_text_that_an_expression_takes_too_long_for_is_judged() {
    let slow = json!({"title": {"regex": r"\b(\w{1,4} ){4}needle\b"}});
    let rows = [slow, json!({"title": {"regex": "needle"}})];
    check(&rows, &json!({"title": "ü ".repeat(20_000)}), &[0]);
    check(&rows, &json!({"title": "ü"}), &[]);
}

#[test]
fn each_of_several_ranges_is_found() {
    let range = |number: i32| json!({"details.cost": {"gte": number, "lt": number + 2}});
    let mut rows: Vec<Value> = (0..40).map(range).collect();
    rows.extend([json!({"details.cost": {"gt": 5}}), json!({"details.cost": {"lte": 5}}), json!({"details.cost": {"gt": 7, "lt": 3}})]);
    let cost = |value: Value| json!({"details": {"cost": value}});
    check(&rows, &cost(json!(5)), &[4, 5, 41]);
    check(&rows, &cost(json!(5.5)), &[4, 5, 40]);
    check(&rows, &cost(json!(-1)), &[41]);
    check(&rows, &cost(json!(null)), &[]);
    // One item is over a floor, and another under a ceiling.
    check(&rows, &cost(json!([8, 6])), &[5, 6, 7, 8, 40]);
    check(&rows, &cost(json!([2, 8])), &(1..9).chain([40, 41, 42]).collect::<Vec<_>>());
}

#[test]
fn what_must_not_be_there_is_asked_once_for_all_that_want_it() {
    let rows = [
        json!({"kind": {"not": ["a", "b"]}}),
        json!({"kind": {"not": "b"}, "details.x": {"exists": false}}),
        json!({"kind": {"not": ["a", "c"]}, "details.x": {"exists": false}}),
        json!({"kind": {"not": "c"}, "source": "graph"}),
        json!({"details.x": {"exists": false, "not": 1}}),
    ];
    check(&rows, &json!({"kind": "a", "source": "graph"}), &[1, 3, 4]);
    check(&rows, &json!({"kind": "b", "details": {"x": 1}}), &[]);
    check(&rows, &json!({"kind": "d", "details": {"x": 1}}), &[0]);
    check(&rows, &json!({"kind": ["d", "c"], "source": "graph"}), &[0, 1, 4]);
    check(&rows, &json!({}), &[0, 1, 2, 4]);
}

#[test]
fn a_path_deeper_than_the_index_goes_is_judged() {
    let path = format!("details{}", ".x".repeat(100));
    let deep = (0..100).fold(json!("a"), |inside, _| json!({"x": inside}));
    let rows = [json!({path.as_str(): "a"}), json!({path.as_str(): "b"}), json!({"kind": "k", path.as_str(): "a"})];
    check(&rows, &json!({"kind": "k", "details": deep}), &[0, 2]);
}

const FIELDS: [&str; 5] = ["details.a", "details.b.c", "details.b", "raw.a", "details.a.x"];

/// One clause of each sort on each field.
static CLAUSES: LazyLock<Vec<Clause>> = LazyLock::new(|| {
    let tests = [
        json!("a"),
        json!(["b", "ab"]),
        json!(1),
        json!([0, -0.0, "a"]),
        json!(true),
        json!("10.0.0.1"),
        json!({"not": "a"}),
        json!({"not": ["b", 1]}),
        json!({"not": ["b", "ab", "ü"]}),
        json!({"not": [1, 0]}),
        json!({"prefix": "a"}),
        json!({"prefix": ["ab", "hi"]}),
        json!({"suffix": ["b", ".1"]}),
        json!({"suffix": "igh"}),
        json!({"contains": "b"}),
        json!({"contains": ["ab", "ba", "bab", "ü"]}),
        json!({"contains": ["", "igh"]}),
        json!({"regex": "^[ab]+$"}),
        json!({"regex": "B|(?i)HIGH$"}),
        json!({"regex": "^(ab)+|[0-9]+\\.1"}),
        json!({"regex": "(?i)Ü|low"}),
        json!({"regex": ""}),
        json!({"gt": 0}),
        json!({"gte": 1}),
        json!({"lt": 1, "gt": -1}),
        json!({"gte": 0, "lte": 1}),
        json!({"gt": 1, "lt": 1}),
        json!({"gt": -5, "gte": 0, "lt": 7}),
        json!({"lte": 1}),
        json!({"lt": -0.0}),
        json!({"exists": true}),
        json!({"exists": false}),
        json!({"cidr": "10.0.0.0/8"}),
        json!({"cidr": ["10.0.0.0/24", "::/0"]}),
        json!({"at_least": "low"}),
        json!({"at_least": "high"}),
    ];
    let fixed = json!({
        "kind": ["a", "b"], "severity": {"at_least": "medium"}, "confidence": "high", "resources": {"suffix": "/a"}, "is_test": false,
        "status": {"not": "active"}, "customer_tenant_id": "a",
    });
    let each = FIELDS.iter().flat_map(|field| tests.iter().map(move |test| json!({*field: test})));
    each.chain([fixed]).flat_map(|it| clauses(&it)).collect()
});

fn value() -> impl Strategy<Value = Value> {
    let values = [
        json!("a"),
        json!("b"),
        json!("ab"),
        json!("abab"),
        json!(""),
        json!("high"),
        json!("Low"),
        json!("10.0.0.1"),
        json!("10.1.0.1"),
        json!("::1"),
        json!("ü"),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(0.5),
        json!(-2),
        json!(u64::MAX),
        json!(true),
        json!(false),
        json!(null),
        json!([]),
        json!({}),
        json!({"c": "a"}),
        json!({"x": 1, "c": null}),
        json!([["a"]]),
        json!([{"x": "a"}]),
    ];
    let item = select(values.to_vec());
    prop_oneof![4 => item.clone(), 1 => vec(item, 0..4).prop_map(Value::Array)]
}

fn alert() -> impl Strategy<Value = Value> {
    let details = prop_oneof![
        6 => (value(), value()).prop_map(|(a, c)| json!({"a": a, "b": {"c": c, "more": 1}})),
        2 => (value(), value()).prop_map(|(x, b)| json!({"a": {"x": x}, "b": b})),
        1 => value(),
    ];
    let texts = ["kind", "severity", "confidence", "resources", "is_test", "status", "customer_tenant_id"];
    let others = vec(proptest::option::of(value()), texts.len());
    (details, value(), others).prop_map(move |(details, raw, others)| {
        let named = texts.iter().zip(others).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        let mut alert: Map<String, Value> = named.collect();
        alert.insert("details".to_owned(), details);
        alert.insert("raw".to_owned(), json!({"a": raw}));
        Value::Object(alert)
    })
}

/// Rows of few different clauses are crowded, rows of many are not.
fn rows() -> impl Strategy<Value = Vec<Vec<Clause>>> {
    let row = |clauses: Vec<Clause>| vec(select(clauses), 0..4);
    let few = vec(select(CLAUSES.clone()), 1..8);
    prop_oneof![vec(row(CLAUSES.clone()), 0..60), few.prop_flat_map(move |few| vec(row(few), 0..60))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_500))]

    #[test]
    fn the_index_leaves_what_judging_every_row_leaves(rows in rows(), alerts in vec(alert(), 1..4)) {
        let index = Index::new(rows.iter().map(Vec::as_slice));
        for alert in alerts {
            prop_assert_eq!(index.remaining(&alert), one_by_one(&rows, &alert), "{}", alert);
        }
    }
}
