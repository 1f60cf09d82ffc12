//! The traps of the script engine, each with what it must answer: what the engine would get wrong or allow by itself, measured once.
//!
//! Every row ends within a second, and all of them together leave the memory as it was.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::*;

const LIMIT: Duration = Duration::from_secs(1);

/// Longer than the busiest machine lets work wait.
const HANGS: Duration = Duration::from_secs(20);

/// What one script may take at its worst, in KiB.
const MOST_MEMORY: u64 = 64 * 1024;

/// Expressions with what their errors say.
const MISTAKES: &[(&str, &str)] = &[
    // A misspelt field is an error, not nothing.
    ("alert.severty", "`alert` has no `severty`; did you mean `severity`?"),
    ("alert?.severty", "`alert` has no `severty`; did you mean `severity`?"),
    (r#"alert["severty"]"#, "`alert` has no `severty`; did you mean `severity`?"),
    ("alert.details.estimated_cst", "`alert.details` has no `estimated_cst`; did you mean `estimated_cost`?"),
    (r#"pluck(alert.rows, "idd")"#, "item 0 of the list has no `idd`; did you mean `id`?"),
    ("alrt.id", "unknown name `alrt`; did you mean `alert`?"),
    // A comparison of unlike types is an error, not false.
    (r#"5 > "x""#, "the number `5` cannot be compared with the text `x`"),
    (r#"alert.cost == "12""#, "the number `12` cannot be compared with the text `12`"),
    (r#"() == "x""#, "nothing cannot be compared with the text `x`; ask `is_null(x)`"),
    ("alert.customer_name > 1", "nothing cannot be compared with the number `1`"),
    ("true == 1", "`true` cannot be compared with the number `1`"),
    ("[1] == 1", "a list cannot be compared with the number `1`"),
    ("#{a: 1} == [1]", "a map cannot be compared with a list"),
    (r#"["a"] == [1]"#, "the text `a` cannot be compared with the number `1`"),
    (r#""1" in [1]"#, "cannot be compared"),
    (r"alert.details.big > 5", "the text `18446744073709551615` cannot be compared with the number `5`"),
    // A reserved word as the name of a field.
    ("alert.module", r#"`module` is a reserved word of rhai; write `alert["module"]`"#),
    ("alert.details.default == 1", r#"`default` is a reserved word of rhai; write `alert.details["default"]`"#),
    ("1 + alert?.package", r#"`package` is a reserved word of rhai; write `alert?["package"]`"#),
    ("alert.if", r#"`if` is a reserved word of rhai; write `alert["if"]`"#),
    ("alert.in", r#"`in` is a reserved word of rhai; write `alert["in"]`"#),
    ("alert.import", r#"`import` is a reserved word of rhai; write `alert["import"]`"#),
    ("#{module: 1}", r#"`module` is a reserved word of rhai; write `"module": …`"#),
    ("module == 1", "`module` is a reserved word of rhai and no name"),
    // The words of other languages.
    ("alert.customer_name == null", "rhai has no `null`; write `()` for nothing, or ask `is_null(x)`"),
    ("nil == alert.id", "rhai has no `nil`; write `()`"),
    ("alert.customer_name != None", "rhai has no `None`; write `()`"),
    ("undefined", "rhai has no `undefined`; write `()`"),
    ("alert.is_test == True", "rhai has no `True`; write `true`"),
    ("alert.cost > 1 and alert.cost < 5", "rhai has no `and`; write `&&`"),
    ("alert.cost > 1 or alert.cost < 5", "rhai has no `or`; write `||`"),
    ("not alert.is_test", "rhai has no `not`; write `!`"),
    ("alert.cost === 5", "'==='"),
    // Nothing is changed by an expression.
    ("alert.cost = 5", "an expression changes nothing; `==` compares"),
    ("alert.cost += 5", "+="),
    ("alert = 5", "an expression changes nothing; `==` compares"),
    ("alert.resources.push(1)", "`push` would change a value that Quell gives"),
    ("1; 2", ";"),
    ("let x = 1", "let"),
    // Numbers that do not fit.
    ("9223372036854775807 + 1", "overflow"),
    ("9223372036854775808", "`9223372036854775808` is too large for a whole number; write it as a text"),
    ("1 / 0", "zero"),
    ("1 % 0", "zero"),
    ("2 ** 64", "overflow"),
    ("-9223372036854775807 - 2", "overflow"),
    ("1e308 * 10.0", "is not a finite number"),
    // What reaches outside.
    (r#"eval("1")"#, "`eval` is not allowed"),
    (r#"Fn("f")"#, "`Fn` is not allowed"),
    (r#"alert.call("f")"#, "`call` is a reserved word of rhai and no function"),
    ("curry(1)", "`curry` is not allowed"),
    ("print(1)", "`print` is not allowed"),
    ("|x| x", "|"),
    ("sleep(10)", "there is no function `sleep (i64)`"),
    ("timestamp()", "there is no function `timestamp ()`"),
    ("rand()", "there is no function `rand ()`"),
    (r#"env("HOME")"#, "there is no function `env"),
    (r#"open_file("/etc/passwd")"#, "there is no function `open_file"),
    ("exit(1)", "there is no function `exit (i64)`"),
    (r#"hour(now(), "../../etc/passwd")"#, "there is no time zone `../../etc/passwd`"),
];

/// Expressions and what they give.
const RIGHT: &[(&str, &str)] = &[
    // Whole numbers beyond 64 bits keep their digits.
    ("alert.details.big", r#""18446744073709551615""#),
    (r#"alert.details.big == "18446744073709551615""#, "true"),
    (r#"json("[18446744073709551615]")[0]"#, r#""18446744073709551615""#),
    (r#"to_json(json("9223372036854775807"))"#, r#""9223372036854775807""#),
    // Fields with the names of reserved words.
    (r#"alert["module"]"#, r#""m""#),
    (r#"#{"module": 1}["module"]"#, "1"),
    (r#"get(alert, "module", "")"#, r#""m""#),
    // What is nothing.
    ("is_null(alert.customer_name)", "true"),
    ("alert.customer_name == ()", "true"),
    ("alert.customer_name ?? 5", "5"),
    // Like things.
    ("2 == 2.0 && [1] == [1.0]", "true"),
];

/// Scripts that hang, grow or reach outside, with what their errors say; ` or ` where it depends on the speed of the machine.
const HOSTILE: &[(&str, &str)] = &[
    ("loop {}", "takes"),
    ("while true { 1 }", "takes"),
    ("do { } until false", "takes"),
    ("let s = 0; for i in 0..9223372036854775807 { s += i }; s", "takes"),
    ("try { loop {} } catch { loop {} }", "takes"),
    ("loop { try { loop {} } catch {} }", "takes"),
    ("forever()", "takes"),
    ("loop { try { forever() } catch {} }", "takes"),
    ("deep()", "functions call functions more than 16 deep"),
    // Growing texts, lists, maps.
    (r#"let s = "xxxxxxxxxxxxxxxx"; loop { s += s; }"#, "too large"),
    (r#"let s = "x"; s.pad(100000000, 'x'); s"#, "too large"),
    (r#"let s = long; s.replace("x", s)"#, "the text would be longer"),
    (r"let s = long; s.replace('x', s)", "the text would be longer"),
    (r"let s = long; let a = []; a.pad(100, 1); join(a, s)", "the text would be longer"),
    (r#"let s = long; s.split("")"#, "the text has more than 4096 parts"),
    (r#"let s = long; s.split("", 1000000)"#, "the text has more than 4096 parts"),
    (r"blanks.split()", "the text has more than 4096 parts"),
    (r"let s = long; s.to_chars()", "the text has more than 4096 parts"),
    ("let a = []; loop { a.push(1); }", "takes or too large"),
    ("let a = []; a.pad(100000000, 1); a", "too large"),
    ("let a = [1]; loop { a = [a, a, a, a]; }", "takes or too large"),
    ("let a = [1]; loop { a += a; }", "takes or too large"),
    ("let m = #{}; let i = 0; loop { m.set(`k${i}`, i); i += 1; }", "takes or too large"),
    ("let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }", "takes or too large"),
    (r"let s = long; let m = #{}; let i = 0; loop { m[`k${i}`] = s + i; i += 1; }", "needs more than 4 MiB"),
    (r"let s = long; let m = #{}; let i = 0; loop { try { m[`k${i}`] = s + i; } catch {} i += 1; }", "needs more"),
    (r"let s = long; let a = []; a.pad(1000, 0); for i in 0..1000 { a[i] = s + i; } 1", "needs more than 4 MiB"),
    (r"let s = long; let a = []; loop { a.push(s + a.len()); }", "too large"),
    (r"let s = long; let a = s + 1; let b = s + 2; let c = s + 3; let d = s + 4; let e = s + 5; e", "needs more"),
    (r"let s = long; const A = s + 1; const B = s + 2; const C = s + 3; const D = s + 4; s", "needs more"),
    ("let a = [1]; loop { a = [a]; }", "deeper than 64"),
    ("let m = #{}; loop { m = #{m: m}; }", "deeper than 64"),
    ("let a = [1]; for i in 0..3000 { a = [a]; } a", "deeper than 64"),
    ("wrap([1])", "deeper than 64"),
    // Bytes and ranges.
    ("let b = blob(100000000, 1); b", "there is no function `blob"),
    (r"let s = long; let b = s.to_blob(); loop { b += b; }", "too large or takes"),
    (r"let s = long; let a = []; loop { a.push(s.to_blob()); }", "too large or takes"),
    ("let a = []; for i in range(0, 100000000) { a.push(i); } a", "too large or takes"),
    // Functions that take long each.
    (r"let s = long; loop { hash(s); }", "takes"),
    (r"loop { upper(long); }", "takes"),
    (r#"let s = long; loop { matches(s, "(x+)*y"); }"#, "takes"),
    (r#"matches(long, "(?:x{1,100}){1,100}y")"#, "takes too long on a text of 1000000 bytes"),
    (r#"matches(long, "(?:x.?){1,400}y")"#, "takes too long"),
    (r#"matches(long, "(?:[a-z]{1,50}[x-z]){1,40}$y")"#, "takes too long"),
    (r"let a = []; a.pad(4000, 1); loop { a.sort(); }", "takes"),
    (r"let a = []; a.pad(4000, 1); loop { unique(a); }", "takes"),
    (r"json(blanks)", "the text is not JSON"),
    (r#"matches("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "(a*)*b(((a{1000}){1000}){1000})")"#, "the regular expression"),
    // Code made at run time, pointers to functions, closures, modules.
    (r#"eval("1")"#, "`eval` is not allowed"),
    (r#"import "x" as y;"#, "`import` is not allowed"),
    ("export let x = 1;", "`export` is not allowed"),
    ("let f = |x| x; f.call(1)", "|"),
    ("let f = || f; f", "|"),
    (r#"let f = Fn("f"); loop { f = f.curry(f); }"#, "`Fn` is not allowed"),
    ("let a = #{}; a.f = || a.big; a", "|"),
    ("this", "`this` is not allowed"),
    ("sleep(10)", "there is no function `sleep (i64)`"),
    ("sleep(10.0)", "there is no function `sleep (f64)`"),
    ("timestamp()", "there is no function `timestamp ()`"),
    ("exit(1)", "there is no function `exit (i64)`"),
];

/// What stands in `lib` beside the hostile scripts.
const LIBRARY: &str = "
    fn forever() { loop {} }
    fn deep() { deep() }
    fn wrap(a) { loop { a = [a]; } }
";

fn scope() -> Scope {
    let mut scope = Scope::new("2026-03-02T04:11:09Z".parse().unwrap());
    let alert = json!({
        "id": "a-1", "severity": "high", "title": "Coins", "customer_name": null, "resources": ["a"], "rows": [{"id": 1}], "cost": 12,
        "is_test": false, "module": "m", "details": {"estimated_cost": 250.5, "big": u64::MAX},
    });
    scope.set("alert", &alert);
    scope.set("long", &json!("x".repeat(1_000_000)));
    scope.set("blanks", &json!("[ ".repeat(500_000)));
    scope
}

fn expression(text: &str) -> Result<Value, String> {
    let compiled = Sandbox::new().expression(text, &["alert"]);
    compiled.and_then(|it| it.value(&mut scope())).map_err(|error| error.to_string())
}

fn script(text: &str) -> Result<Value, String> {
    let compiled = Sandbox::new().with_functions(LIBRARY).unwrap().script(text, &["alert", "long", "blanks"]);
    compiled.and_then(|it| it.value(&mut scope())).map_err(|error| error.to_string())
}

fn in_time<T>(text: &str, work: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), work_done());
    let result = work();
    let took = start.elapsed();
    // Where many share the processors, time passes without any work.
    let worked = before.zip(work_done()).map_or(took, |(before, now)| now.saturating_sub(before));
    assert!(worked < LIMIT && took < HANGS, "`{text}` took {took:?}, of which it worked {worked:?}");
    result
}

/// For how long this thread had a processor, where the system tells.
fn work_done() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[test]
fn a_trap_is_an_error_that_says_what_to_do() {
    let mut faults = Vec::new();
    for (text, part) in MISTAKES {
        match in_time(text, || expression(text)) {
            Err(error) if error.contains(part) => {}
            other => faults.push(format!("{text}\n  wanted {part}\n  was {other:?}")),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn what_is_right_beside_a_trap_has_its_value() {
    for (text, value) in RIGHT {
        let value: Value = serde_json::from_str(value).unwrap();
        assert_eq!(in_time(text, || expression(text)), Ok(value), "{text}");
    }
}

#[test]
fn a_hostile_script_ends_with_an_error_within_a_second() {
    let mut faults = Vec::new();
    for (text, part) in HOSTILE {
        let fits = |error: &str| part.split(" or ").any(|it| error.contains(it));
        let mut outcome = in_time(text, || script(text));
        // On a busy machine, the time may be over before the fault is reached.
        for _ in 0..3 {
            if outcome.as_ref().is_err_and(|error| !fits(error) && error.contains("takes longer")) {
                outcome = in_time(text, || script(text));
            }
        }
        match outcome {
            Err(error) if fits(&error) => {}
            Err(other) => faults.push(format!("{text}\n  wanted {part}\n  was {other}")),
            Ok(_) => faults.push(format!("{text}\n  wanted {part}\n  had a value")),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_hostile_function_ends_with_an_error_within_a_second() {
    for (text, _) in HOSTILE {
        let library = format!("{LIBRARY} fn f() {{ {text} }}");
        let outcome = in_time(text, || {
            let sandbox = Sandbox::new().with_functions(&library)?;
            sandbox.expression("f()", &[])?.value(&mut scope())
        });
        assert!(outcome.is_err(), "{text}: {outcome:?}");
    }
}

#[test]
fn a_hostile_script_takes_little_memory_and_gives_it_back() {
    let mut last = 0;
    // The first round fills what stays: the allocator's own, caches.
    for round in 0..3 {
        for (text, _) in HOSTILE {
            let before = memory("VmRSS");
            forget_peak();
            drop(script(text));
            let peak = memory("VmHWM").saturating_sub(before);
            assert!(peak < MOST_MEMORY, "`{text}` took {peak} KiB");
        }
        let now = memory("VmRSS");
        assert!(round < 2 || now < last + 10 * 1024, "{} KiB more in each round", now.saturating_sub(last));
        last = now;
    }
}

#[test]
fn a_hostile_script_does_no_harm_to_others() {
    thread::scope(|threads| {
        for (text, _) in HOSTILE.iter().take(8) {
            threads.spawn(move || script(text));
        }
        for _ in 0..200 {
            assert_eq!(expression("alert.cost + 1"), Ok(json!(13)));
        }
    });
}

#[test]
fn a_hostile_text_is_compiled_or_refused_within_a_second() {
    let texts = [
        "1;".repeat(limits::LONGEST_SCRIPT / 2),
        "let x = 1;".repeat(6_000),
        "(".repeat(60_000),
        "[".repeat(60_000),
        "{".repeat(60_000),
        "if true {".repeat(7_000),
        "|x| ".repeat(15_000),
        "|x| ".repeat(100_000),
        format!("[{}]", "|x| x, ".repeat(8_500)),
        "1;".repeat(128 * 1024),
        "-".repeat(60_000),
        format!("1{}", "+1".repeat(30_000)),
        format!("alert{}", ".a".repeat(30_000)),
        format!("`{}`", "${`".repeat(20_000)),
        format!("switch 1 {{ {} }}", "1 => 2, ".repeat(8_000)),
        "fn f() { 1 } ".repeat(5_000),
        "/*".repeat(30_000),
        "x".repeat(limits::LONGEST_SCRIPT + 1),
    ];
    for text in texts {
        let start: String = text.chars().take(12).collect();
        drop(in_time(&start, || script(&text)));
        drop(in_time(&start, || expression(&text)));
        drop(in_time(&start, || Sandbox::new().with_functions(&text)));
    }
}

/// A value of `/proc/self/status`, in KiB; 0 where there is no such file.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Lets `VmHWM` begin anew.
fn forget_peak() {
    drop(fs::write("/proc/self/clear_refs", "5"));
}
