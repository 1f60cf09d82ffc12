//! Tests: what rules rely on. What scripts may not do is in `traps`.

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
fn a_secret_is_a_place_in_a_text_until_the_text_is_used() {
    let known = |name: &str| if name == "key" { Ok("s3cret") } else { Err(format!("no `{name}`")) };
    for (text, shown, revealed) in [
        (r#"${secret("key")}"#, r#"secret("key")"#, "s3cret"),
        (r#"${  secret( "key" )  }"#, r#"secret("key")"#, "s3cret"),
        (r#"Bearer ${secret("key")}."#, r#"Bearer secret("key")."#, "Bearer s3cret."),
        (r#"${alert.cost}:${secret("key")}${secret("key")} ${alert.cost}"#, r#"12:secret("key")secret("key") 12"#, "12:s3crets3cret 12"),
    ] {
        let template = Sandbox::new().template_with_secrets(text, &["alert"]).unwrap();
        assert_eq!(template.render(&mut scope()), Ok(json!(shown)), "{text}");
        assert_eq!(template.reveal(shown, known).as_deref(), Ok(revealed), "{text}");
        assert!(Sandbox::new().template(text, &["alert"]).unwrap_err().is_of_secret(), "{text}");
    }
    let other = Sandbox::new().template_with_secrets(r#"${secret("kye")}"#, &[]).unwrap();
    assert_eq!(other.reveal(r#"secret("kye")"#, known), Err("no `kye`".to_owned()));
}

#[test]
fn data_that_looks_like_a_secret_is_none() {
    let mut scope = scope();
    scope.set("alert", &json!({"title": "secret(\"key\")"}));
    let alone = Sandbox::new().template_with_secrets("${alert.title}", &["alert"]).unwrap();
    let shown = alone.render(&mut scope).unwrap();
    assert_eq!(alone.reveal(shown.as_str().unwrap(), |_| Ok("s3cret")).as_deref(), Ok("secret(\"key\")"));
    for text in [r#"${alert.title} ${secret("key")}"#, r#"${secret("key")} ${alert.title}"#, r#"secret("key") ${secret("key")}"#] {
        let error = Sandbox::new().template_with_secrets(text, &["alert"]).unwrap().render(&mut scope).unwrap_err();
        assert!(error.to_string().contains("must not hold"), "{text}: {error}");
    }
}

#[test]
fn no_script_has_a_secret() {
    for text in [r#"secret("key")"#, r#"1 + secret("key").len()"#, "secret (alert.id)", r#""key".secret()"#] {
        assert!(Sandbox::new().expression(text, &["alert"]).unwrap_err().is_of_secret(), "{text}");
        assert!(Sandbox::new().script(text, &["alert"]).unwrap_err().is_of_secret(), "{text}");
        assert!(Sandbox::new().with_functions(&format!("fn f() {{ {text} }}")).unwrap_err().is_of_secret(), "{text}");
        let inside = Sandbox::new().template_with_secrets(&format!("${{ {text} + 1 }}"), &["alert"]).unwrap_err();
        assert!(inside.is_of_secret() && inside.to_string().contains("not inside a larger expression"), "{inside}");
    }
    // What a scan of words does not see is no function that there is.
    let hidden = Sandbox::new().expression(r#"`${secret("key")}`"#, &[]).unwrap().value(&mut scope()).unwrap_err();
    assert!(hidden.to_string().contains("there is no function `secret"), "{hidden}");
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

fn script(text: &str) -> Result<Value, String> {
    let sandbox = Sandbox::new().with_functions("fn double(x) { x * 2 }").unwrap();
    sandbox.script(text, &["alert"]).and_then(|it| it.value(&mut scope())).map_err(|error| error.to_string())
}

#[test]
fn a_script_gives_the_value_of_its_last_statement() {
    for (text, value) in [
        ("alert.cost", json!(12)),
        ("let n = 0;\nfor it in alert.resources { n += it.len(); }\nn", json!(2)),
        (
            "let rows = []; for (it, at) in alert.resources { rows.push(#{id: it, at: at}); } rows",
            json!([{"id": "a", "at": 0}, {"id": "b", "at": 1}]),
        ),
        ("if alert.cost > 10 { double(alert.cost) } else { 0 }", json!(24)),
        ("let d = alert.details; d.estimated_cost = 1; d.set(\"new\", 2); d[\"newer\"] = 3; d.newest = 4; d.len()", json!(6)),
        ("const LIMIT = 3; alert.cost > LIMIT", json!(true)),
        ("if alert.cost < 5 { return \"low\"; } \"high\"", json!("high")),
        ("let x = 0; try { throw \"x\" } catch (error) { x = error; } x", json!("x")),
        ("let x = 1; while x < 100 { x *= 2; } x", json!(128)),
        ("let x = 5; // its own\nx;", json!(5)),
        ("for it in alert.resources {}", Value::Null),
    ] {
        assert_eq!(script(text), Ok(value), "{text}");
    }
}

#[test]
fn a_script_changes_only_what_is_its_own() {
    for (text, reason) in [
        ("alert = 5; 1", "`alert` cannot be changed; copy it into a variable with `let` first"),
        ("alert.cost = 5; 1", "`alert` cannot be changed"),
        ("alert.details.ip = 5; 1", "`alert` cannot be changed"),
        ("alert[\"cost\"] = 5; 1", "`alert` cannot be changed"),
        ("alert.resources.push(1)", "`push` would change a value that Quell gives"),
        ("const X = 1; X = 2;", "`X` cannot be changed"),
        ("let alert = 5; alert", "`alert` is a name that Quell gives; take another for a variable"),
        ("for alert in [1] {}", "`alert` is a name that Quell gives"),
        ("fn f() { 1 } f()", "a script defines no functions"),
        ("let x = nothing_such; x", "unknown name `nothing_such`"),
        ("let x = alert.severty; x", "`alert` has no `severty`; did you mean `severity`?"),
        ("x = 1; x", "unknown name `x`"),
        ("  ", "the script is empty"),
        ("let x = 1; x +", "the script ends too early"),
    ] {
        let error = script(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let mut scope = scope();
    let sandbox = Sandbox::new();
    let first = sandbox.script("let x = alert.details; x.ip = 1; x.ip", &["alert"]).unwrap();
    assert_eq!(first.value(&mut scope), Ok(json!(1)));
    assert_eq!(first.value(&mut scope), Ok(json!(1)));
    assert_eq!(sandbox.script("alert.details.ip", &["alert"]).unwrap().value(&mut scope), Ok(json!("10.1.2.3")));
}

#[test]
fn an_error_points_into_the_script() {
    let sandbox = Sandbox::new().with_functions("\n\n  fn bad(x) { x.nothing }").unwrap();
    let run = |text: &str| sandbox.script(text, &["alert"]).and_then(|it| it.value(&mut scope())).unwrap_err();
    for (text, line, column) in [
        ("let x = 1;\nlet y = alert.severty;\ny", 2, 15),
        ("let x = 1;\n  x +", 2, 6),
        ("let x = 1;\n\n  bad(x)", 3, 3),
        ("/* ü */ let u = 1; alert.cost = u;", 1, 20),
        ("let x = 1;\nfn f() {}", 2, 1),
    ] {
        let error = run(text);
        assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
    }
}

#[test]
fn the_examples_of_the_functions_are_theirs() {
    let sandbox = Sandbox::new();
    for function in FUNCTIONS.iter().chain(RHAI_FUNCTIONS) {
        assert!(sandbox.has_function(function.name), "`{}` is not there", function.name);
        assert!(function.example.contains(function.name), "`{}` shows something else", function.name);
        assert!(function.signature.contains(function.name), "`{}` is written otherwise", function.name);
    }
}

#[test]
fn what_a_source_may_leave_out_of_an_alert_is_nothing() {
    let mut scope = Scope::new("2026-03-02T04:11:09Z".parse().unwrap());
    scope.set("alert", &json!({"id": "a-1"}));
    scope.set("alerts", &json!([{"id": "a-1"}, {"id": "a-2", "customer_name": "c"}]));
    for (text, value) in [
        ("alert.customer_name", Value::Null),
        ("alerts[0].customer_name", Value::Null),
        (r#"pluck(alerts, "customer_name")"#, json!([null, "c"])),
    ] {
        assert_eq!(Sandbox::new().expression(text, &["alert", "alerts"]).unwrap().value(&mut scope), Ok(value), "{text}");
    }
}
