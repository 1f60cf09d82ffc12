//! Tests: what scripts may not do, kept as a table of what was tried, and what rules rely on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

fn scope() -> Scope {
    let mut scope = Scope::new("2026-03-02T04:11:09Z".parse().unwrap());
    let alert = json!({
        "severity": "high", "title": " Coins ", "customer_name": null, "resources": ["a", "b"], "cost": 12, "subscription_id": "s-1",
        "details": {"estimated_cost": 250.5, "ip": "10.1.2.3", "big": u64::MAX},
    });
    scope.set("alert", &alert);
    scope
}

fn evaluate(text: &str) -> Result<Value, String> {
    let expression = Sandbox::new().expression(text, &["alert"]).map_err(|error| error.to_string())?;
    expression.value(&mut scope()).map_err(|error| error.to_string())
}

#[test]
fn expressions_read_what_is_in_scope() {
    for (text, value) in [
        (r#"alert.severity == "high" && alert.details.estimated_cost >= 200"#, json!(true)),
        ("alert.cost + 1", json!(13)),
        (r#"alert.customer_name ?? "unknown""#, json!("unknown")),
        (r#"get(alert.details, "nothing", 7)"#, json!(7)),
        (r#"alert.details.get("ip", "")"#, json!("10.1.2.3")),
        ("is_null(alert.customer_name)", json!(true)),
        (r#"at_least(alert.severity, "medium")"#, json!(true)),
        (r#"cidr(alert.details.ip, "10.0.0.0/8")"#, json!(true)),
        (r#"cidr("2001:db8::1", "2001:db8::/32") && !cidr("10.0.0.1", "::/0") && cidr("1.2.3.4", "0.0.0.0/0")"#, json!(true)),
        (r#"matches(alert.title, "^\\s*C")"#, json!(true)),
        ("alert.title.trim().lower()", json!("coins")),
        (r#""a" in alert.resources && !("z" in alert.resources) && "ip" in alert.details"#, json!(true)),
        (r#"join(split("a,b", ","), "+")"#, json!("a+b")),
        ("now()", json!("2026-03-02T04:11:09Z")),
        (r#"seconds(now()) - seconds("2026-03-02T04:11:00Z")"#, json!(9)),
        (r#"if alert.cost > 10 { "dear" } else { "cheap" }"#, json!("dear")),
        (r#"json("{\"a\": [1]}").a[0]"#, json!(1)),
        (r#"base64_decode(base64_encode("ü"))"#, json!("ü")),
        (r#"hash("abc")"#, json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        ("alert.details.big", json!("18446744073709551615")),
        (r"#{a: [1, 2.5], b: ()}", json!({"a": [1, 2.5], "b": null})),
        (r#"[1, "a"] == [1, "a"] && #{a: 1} == #{a: 1} && 2 == 2.0 && () == ()"#, json!(true)),
        (r#""abc".contains("b") && "abc".starts_with("a") && "abc".ends_with("c") && "abc".len() == 3"#, json!(true)),
        (r#"alert.resources.len() == 2 && alert.details?.ip != """#, json!(true)),
    ] {
        assert_eq!(evaluate(text), Ok(value), "{text}");
    }
}

#[test]
fn a_mistake_is_an_error_that_says_what_was_meant() {
    for (text, reason) in [
        (r#"5 > "x""#, "the number `5` cannot be compared with the text `x`"),
        (r#"() == "x""#, "nothing cannot be compared with the text `x`; ask `is_null(x)`"),
        ("alert.cost == true", "the number `12` cannot be compared with `true`"),
        (r#""1" in [1]"#, "cannot be compared"),
        (r#"alert.severty == "high""#, "`alert` has no `severty`; did you mean `severity`?"),
        ("alert.details.estimated_cst > 1", "`alert.details` has no `estimated_cst`; did you mean `estimated_cost`?"),
        (r#"alert.details["estimated_cst"] > 1"#, "`alert.details` has no `estimated_cst`; did you mean `estimated_cost`?"),
        ("alrt.id", "unknown name `alrt`; did you mean `alert`?"),
        ("event.id", "unknown name `event`; the names here are `alert`"),
        ("alert.customer_name.trim()", "trim"),
        (r#"at_least("hihg", "low")"#, "`hihg` is no severity"),
        (r#"lookup("customer", "1")"#, "there is no lookup table `customer`"),
        (r#"matches("a", "(")"#, "unclosed group"),
        (r#"cidr("10.0.0.1", "10.0.0.0/33")"#, "is not a range"),
        (r#"cidr("host", "10.0.0.0/8")"#, "is not an IP address"),
        ("frob(1)", "there is no function `frob (i64)`"),
        ("alert.cost ==", "ends too early"),
        ("alert.cost = 5", "="),
        ("1; 2", ";"),
        ("", "the expression is empty"),
        ("9223372036854775807 + 1", "overflow"),
        ("1 / 0", "zero"),
    ] {
        let error = evaluate(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn an_error_points_into_the_text() {
    let sandbox = Sandbox::new();
    let error = sandbox.expression("alert.severty == 5", &["alert"]).unwrap().boolean(&mut scope()).unwrap_err();
    assert_eq!((error.line, error.column, error.offset), (1, 7, 6));
    let error = sandbox.template("ü ${alert.cost}\n${ alert.severty }", &["alert"]).unwrap().render(&mut scope()).unwrap_err();
    assert_eq!((error.line, error.column), (2, 10));
    assert_eq!(sandbox.template("a ${alrt}", &["alert"]).unwrap_err().column, 5);
}

#[test]
fn a_condition_is_true_or_false_and_nothing_else() {
    let error = Sandbox::new().expression("alert.cost", &["alert"]).unwrap().boolean(&mut scope()).unwrap_err();
    assert_eq!(error.to_string(), "a condition must be true or false, and this is a i64");
}

#[test]
fn a_template_keeps_the_type_of_a_whole_expression() {
    for (text, value) in [
        ("plain", json!("plain")),
        ("", json!("")),
        ("${alert.resources}", json!(["a", "b"])),
        ("${ alert.cost }", json!(12)),
        ("costs ${alert.cost} for ${alert.subscription_id}.", json!("costs 12 for s-1.")),
        ("$${alert.cost}", json!("${alert.cost}")),
        ("${\"}\"} ${ #{a: 1}.a }", json!("} 1")),
        ("a $ b } {", json!("a $ b } {")),
        ("all: ${alert.resources}", json!("all: [\"a\",\"b\"]")),
    ] {
        let template = Sandbox::new().template(text, &["alert"]).unwrap();
        assert_eq!(template.render(&mut scope()), Ok(value), "{text}");
    }
}

#[test]
fn nothing_is_no_part_of_a_text() {
    let template = Sandbox::new().template("for ${alert.customer_name}", &["alert"]).unwrap();
    assert_eq!(
        template.render(&mut scope()).unwrap_err().to_string(),
        "`alert.customer_name` is nothing, which is no part of a text; write `alert.customer_name ?? \"…\"`"
    );
    assert!(Sandbox::new().template("${alert.cost", &["alert"]).unwrap_err().to_string().contains("has no `}`"));
}

#[test]
fn a_table_is_read_by_key_and_its_columns_are_known() {
    let mut table = Table::default();
    table.insert("t-1", [("tier", "gold")]);
    let mut tables = Tables::default();
    tables.insert("customers", table);
    let sandbox = Sandbox::with_tables(tables);
    let value = |text: &str| sandbox.expression(text, &[]).unwrap().value(&mut scope()).map_err(|error| error.to_string());
    assert_eq!(value(r#"lookup("customers", "t-1").tier"#), Ok(json!("gold")));
    assert_eq!(value(r#"lookup("customers", "t-2")?.tier ?? "none""#), Ok(json!("none")));
    assert!(value(r#"lookup("custmers", "t-1")"#).unwrap_err().contains("did you mean `customers`?"));
}

#[test]
fn an_expression_cannot_change_what_the_next_one_sees() {
    let mut scope = scope();
    let sandbox = Sandbox::new();
    for text in ["alert.details.clear()", "alert.resources.push(1)", "alert.title.make_upper()"] {
        let outcome = sandbox.expression(text, &["alert"]).and_then(|it| it.value(&mut scope));
        assert!(outcome.is_err(), "{text}: {outcome:?}");
    }
    let all =
        sandbox.expression(r#"alert.details.len() == 3 && alert.resources.len() == 2 && alert.title == " Coins ""#, &["alert"]).unwrap();
    assert_eq!(all.boolean(&mut scope), Ok(true));
}

/// Scripts that hang, grow or reach outside, as the body of a function.
const HOSTILE: &[(&str, &str)] = &[
    ("an endless loop", "loop {}"),
    ("an endless condition", "while true { 1 }"),
    ("a huge range", "let s = 0; for i in 0..9223372036854775807 { s += i }; s"),
    ("endless recursion", "f()"),
    ("doubled strings", r#"let s = "xxxxxxxxxxxxxxxx"; loop { s += s; }"#),
    ("padded strings", r#"let s = "x"; s.pad(100000000, 'x'); s"#),
    ("grown lists", "let a = []; loop { a.push(1); }"),
    ("padded lists", "let a = []; a.pad(100000000, 1); a"),
    ("nested lists", "let a = [1]; loop { a = [a, a, a, a]; }"),
    ("maps grown by key", "let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }"),
    ("maps grown by set", "let m = #{}; let i = 0; loop { m.set(`k${i}`, i); i += 1; }"),
    ("many long strings", r#"let s = "x"; s.pad(1000000, 'x'); let a = []; loop { a.push(s + a.len()); }"#),
    ("split strings", r#"let s = "x"; s.pad(1000000, 'x'); s.split("")"#),
    ("eval", r#"eval("1")"#),
    ("import", r#"import "x" as y;"#),
    ("a closure", "let f = |x| x; f.call(1)"),
    ("a pointer to a function", r#"Fn("f").call()"#),
    ("curried functions", r#"let f = Fn("f"); loop { f = f.curry(f); }"#),
    ("sleep", "sleep(10)"),
    ("sleep for a fraction", "sleep(10.0)"),
    ("the clock", "timestamp()"),
    ("exit", "exit(1)"),
    ("an endless regular expression", r#"matches("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "(a*)*b(((a{1000}){1000}){1000})")"#),
];

#[test]
fn a_hostile_script_ends_with_an_error_within_a_second() {
    for (what, body) in HOSTILE {
        let start = Instant::now();
        let outcome = Sandbox::new()
            .with_functions(&format!("fn f() {{ {body} }}"))
            .and_then(|sandbox| sandbox.expression("f()", &[]))
            .and_then(|expression| expression.value(&mut scope()));
        assert!(outcome.is_err(), "{what}: {outcome:?}");
        assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
    }
}

#[test]
fn a_hostile_text_is_refused_within_a_second() {
    let texts = [
        "(".repeat(15_000),
        format!("{}1{}", "(".repeat(7_000), ")".repeat(7_000)),
        format!("{}1{}", "[".repeat(7_000), "]".repeat(7_000)),
        "!".repeat(16_000),
        "-".repeat(16_000),
        format!("1{}", "+1".repeat(8_000)),
        format!("alert{}", ".a".repeat(8_000)),
        format!("alert{}", "[0]".repeat(5_000)),
        format!("true{}", "&&true".repeat(2_500)),
        format!("`{}`", "${`".repeat(5_000)),
        "if true {".repeat(1_700),
        "|x| ".repeat(4_000),
        "fn f() { 1 }".to_owned(),
        "let x = 1".to_owned(),
        "loop {}".to_owned(),
        "x".repeat(20_000),
    ];
    for text in texts {
        let start = Instant::now();
        let _outcome = evaluate(&text);
        assert!(start.elapsed() < Duration::from_secs(1), "`{}…` took {:?}", text.get(..8).unwrap_or(&text), start.elapsed());
    }
}

#[test]
fn a_library_holds_functions_only() {
    assert!(Sandbox::new().with_functions("let x = 1;").is_err());
    let sandbox = Sandbox::new().with_functions("fn double(x) { x * 2 }").unwrap();
    assert!(
        sandbox.has_function("double") && sandbox.has_function("lookup") && sandbox.has_function("len") && !sandbox.has_function("frob")
    );
    assert_eq!(sandbox.expression("double(4)", &[]).unwrap().value(&mut scope()), Ok(json!(8)));
}

#[test]
fn evaluation_is_quick() {
    let mut scope = scope();
    let text = r#"alert.severity == "high" && alert.details.estimated_cost >= 200"#;
    let expression = Sandbox::new().expression(text, &["alert"]).unwrap();
    let start = Instant::now();
    for _ in 0..10_000 {
        assert_eq!(expression.boolean(&mut scope), Ok(true));
    }
    // About 2 µs each when optimised; a debug build on a busy machine is far slower.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
