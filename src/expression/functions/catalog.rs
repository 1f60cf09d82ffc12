//! What there is to call, with an example that is run: the one list behind the checks at load and `docs/rhai.md`.

/// A function that expressions and scripts can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is written.
    pub signature: &'static str,
    /// What it gives, in a few words.
    pub meaning: &'static str,
    /// A script that uses it.
    pub example: &'static str,
    /// What the example gives, as JSON.
    pub value: &'static str,
}

/// The functions that Quell adds. The examples see one table, `customers`, in which `t-1` has the tier `gold`, and it is 04:11:09 on
/// 2 March 2026.
pub const FUNCTIONS: &[Function] = &[
    f(
        "at_least",
        "at_least(severity, level)",
        "whether a severity or confidence is that high or higher",
        r#"at_least("high", "medium")"#,
        "true",
    ),
    f("base64_decode", "base64_decode(text)", "the text that was encoded", r#"base64_decode("cXVlbGw=")"#, r#""quell""#),
    f("base64_encode", "base64_encode(text)", "the text in base64", r#"base64_encode("quell")"#, r#""cXVlbGw=""#),
    f(
        "between",
        "between(from, to)",
        "the seconds from one time to another",
        r#"between("2026-03-02T04:00:00Z", "2026-03-02T05:00:00Z")"#,
        "3600",
    ),
    f("cidr", "cidr(ip, range)", "whether an address lies in a range", r#"cidr("10.1.2.3", "10.0.0.0/8")"#, "true"),
    f("first", "first(list)", "its first item, or nothing", r#"first(["a", "b"])"#, r#""a""#),
    f(
        "format_time",
        "format_time(time, zone)",
        "the time for people in that zone",
        r#"format_time("2026-03-02T04:11:09Z", "Europe/Berlin")"#,
        r#""2026-03-02 05:11 CET""#,
    ),
    f(
        "get",
        "get(map, key, default)",
        "the value, or the default where there is none",
        r#"get(#{tier: "gold"}, "region", "eu")"#,
        r#""eu""#,
    ),
    f("hash", "hash(text)", "its SHA-256 in hexadecimal", r#"hash("abc").len()"#, "64"),
    f("hour", "hour(time, zone)", "the hour there, 0 to 23", r#"hour("2026-03-02T04:11:09Z", "America/New_York")"#, "23"),
    f("is_null", "is_null(value)", "whether it is nothing", "is_null(())", "true"),
    f("join", "join(list, separator)", "one text", r#"join(["a", "b"], ", ")"#, r#""a, b""#),
    f("json", "json(text)", "the value that a JSON text holds", r#"json("{\"cost\": 12}").cost"#, "12"),
    f("last", "last(list)", "its last item, or nothing", "last([])", "null"),
    f(
        "lookup",
        "lookup(table, key)",
        "the row of a lookup table, or nothing",
        r#"lookup("customers", "t-1")?.tier ?? "none""#,
        r#""gold""#,
    ),
    f("lower", "lower(text)", "in small letters", r#"lower("HIGH")"#, r#""high""#),
    f("matches", "matches(text, regex)", "whether a regular expression is found in it", r#"matches("vm-042", "^vm-[0-9]+$")"#, "true"),
    f("minus", "minus(time, span)", "the time that long before", r#"minus("2026-03-02T04:11:09Z", "30m")"#, r#""2026-03-02T03:41:09Z""#),
    f("now", "now()", "the moment of this evaluation", "now()", r#""2026-03-02T04:11:09Z""#),
    f(
        "pluck",
        "pluck(list, key)",
        "that value of each map in the list",
        r#"pluck([#{id: "vm-1"}, #{id: "vm-2"}], "id")"#,
        r#"["vm-1","vm-2"]"#,
    ),
    f("plus", "plus(time, span)", "the time that long after", r#"plus("2026-03-02T04:11:09Z", "24h")"#, r#""2026-03-03T04:11:09Z""#),
    f("replace", "replace(text, from, to)", "every `from` replaced", r#"replace("a-b-c", "-", ".")"#, r#""a.b.c""#),
    f("seconds", "seconds(time)", "its seconds since 1970", r#"seconds("2026-03-02T04:11:09Z")"#, "1772424669"),
    f("split", "split(text, separator)", "a list of its parts", r#"split("a,b", ",")"#, r#"["a","b"]"#),
    f("sum", "sum(list)", "its numbers added", "sum([1, 2, 3])", "6"),
    f("to_json", "to_json(value)", "the value as JSON text", "to_json([1, ()])", r#""[1,null]""#),
    f("trim", "trim(text)", "without blanks at its ends", r#"trim(" coins ")"#, r#""coins""#),
    f("unique", "unique(list)", "each value once", r#"unique(["a", "b", "a"])"#, r#"["a","b"]"#),
    f("upper", "upper(text)", "in capital letters", r#"upper("high")"#, r#""HIGH""#),
    f(
        "weekday",
        "weekday(time, zone)",
        "the day there, in small letters",
        r#"weekday("2026-03-02T04:11:09Z", "America/New_York")"#,
        r#""sunday""#,
    ),
];

/// Those of rhai's own that are of use to a playbook.
pub const RHAI_FUNCTIONS: &[Function] = &[
    f("abs", "abs(number)", "without its sign", "abs(-3)", "3"),
    f("append", "a.append(list)", "the list longer by another", "let a = [1]; a.append([2, 3]); a", "[1,2,3]"),
    f("ceiling", "x.ceiling()", "the next whole fraction", "2.1.ceiling()", "3.0"),
    f("contains", "x.contains(part)", "whether a text, list, map or range has it", r#""quell".contains("ell")"#, "true"),
    f("ends_with", "text.ends_with(end)", "whether it ends so", r#""a.json".ends_with(".json")"#, "true"),
    f("extract", "a.extract(start, count)", "a part of the list", "[1, 2, 3, 4].extract(1, 2)", "[2,3]"),
    f("floor", "x.floor()", "the whole fraction before", "2.9.floor()", "2.0"),
    f("index_of", "x.index_of(part)", "where it begins, from 0; -1 if nowhere", r#""quell".index_of("ell")"#, "2"),
    f("insert", "a.insert(at, item)", "the list with one more item there", "let a = [1, 3]; a.insert(1, 2); a", "[1,2,3]"),
    f("is_empty", "x.is_empty()", "whether nothing is in a text, list or map", "[].is_empty()", "true"),
    f("keys", "map.keys()", "a list of its keys", "#{a: 1, b: 2}.keys()", r#"["a","b"]"#),
    f("len", "x.len()", "how many characters or items", r#""quell".len()"#, "5"),
    f("max", "max(a, b)", "the larger", "max(2, 3)", "3"),
    f("min", "min(a, b)", "the smaller", "min(2, 3)", "2"),
    f("parse_float", "parse_float(text)", "the number in a text", r#"parse_float("2.5")"#, "2.5"),
    f("parse_int", "parse_int(text)", "the whole number in a text", r#"parse_int("42")"#, "42"),
    f("push", "a.push(item)", "the list with one more item", "let a = [1]; a.push(2); a", "[1,2]"),
    f("range", "range(from, to)", "whole numbers for a loop, also `from..to`", "let n = 0; for i in range(0, 4) { n += i } n", "6"),
    f(
        "remove",
        "x.remove(at)",
        "takes an item of a list or a key of a map away",
        r#"let m = #{a: 1, b: 2}; m.remove("a"); m"#,
        r#"{"b":2}"#,
    ),
    f("reverse", "a.reverse()", "the list from its end", "let a = [1, 2]; a.reverse(); a", "[2,1]"),
    f("round", "x.round()", "the nearest whole fraction", "2.5.round()", "3.0"),
    f("set", "map.set(key, value)", "the map with that key, new or not", r#"let m = #{}; m.set("a", 1); m"#, r#"{"a":1}"#),
    f("sort", "a.sort()", "the list in order", "let a = [3, 1, 2]; a.sort(); a", "[1,2,3]"),
    f("starts_with", "text.starts_with(start)", "whether it starts so", r#""vm-042".starts_with("vm-")"#, "true"),
    f("sub_string", "text.sub_string(start, count)", "a part of the text", r#""quell".sub_string(1, 3)"#, r#""uel""#),
    f("to_float", "number.to_float()", "a fraction", "3.to_float() / 2.0", "1.5"),
    f("to_int", "number.to_int()", "a whole number, without what follows the point", "2.9.to_int()", "2"),
    f("to_string", "x.to_string()", "as text", "42.to_string()", r#""42""#),
    f("type_of", "type_of(x)", "its type: i64, f64, bool, string, array, map, ()", "type_of(1.5)", r#""f64""#),
    f("values", "map.values()", "a list of its values", "#{a: 1, b: 2}.values()", "[1,2]"),
];

const fn f(name: &'static str, signature: &'static str, meaning: &'static str, example: &'static str, value: &'static str) -> Function {
    Function { name, signature, meaning, example, value }
}
