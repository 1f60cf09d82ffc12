use super::*;

/// What is typed at the `|`, as `outer/inner` with `-` for items, the slot, and the whole word there.
fn at_bar(text: &str) -> (String, Slot, String) {
    let offset = text.find('‸').unwrap();
    let text = text.replace('‸', "");
    let sketch = Sketch::of(&text);
    let spot = sketch.spot(offset);
    let names: Vec<_> = spot.around.iter().map(|at| sketch.name(*at).unwrap_or("-")).collect();
    (names.join("/"), spot.slot, text.get(spot.whole).unwrap().to_owned())
}

#[test]
fn a_place_is_found_in_lines_that_are_whole_and_half() {
    use Slot::{Either, Item, Key, Value};
    for (text, around, slot, whole) in [
        ("‸", "", Either, ""),
        ("play‸", "", Either, "play"),
        ("playbook: a\nmo‸", "", Either, "mo"),
        ("playbook: a\nmode: ‸", "mode", Value, ""),
        ("playbook: a\nmode: sh‸\nowner: b", "mode", Value, "sh"),
        ("mo‸de: shadow", "", Key, "mode"),
        ("trigger:\n  alert:\n    match:\n      se‸", "trigger/alert/match", Either, "se"),
        ("trigger:\n  alert:\n    match:\n      kind: x\n    ‸\nsteps: []", "trigger/alert", Either, ""),
        ("trigger:\n  alert:\n    match:\n      kind: x\n  ‸", "trigger", Either, ""),
        ("trigger:\n  alert: {match: {kind: x, se‸}}", "trigger/alert/match", Key, "se"),
        ("trigger: {alert: {match: {kind: x, ‸}}}\nsteps: []", "trigger/alert/match", Key, ""),
        ("trigger: {alert: {match: {severity: ‸}}}", "trigger/alert/match/severity", Value, ""),
        ("trigger: {alert: {match: {severity: hi‸, kind: x}}}", "trigger/alert/match/severity", Value, "hi"),
        ("trigger: {alert: {match: {kind: x, ‸\nsteps:\n  - id: a", "trigger/alert/match", Key, ""),
        ("steps:\n  - ‸", "steps/-", Either, ""),
        ("steps:\n  - id: a\n    ac‸", "steps/-", Either, "ac"),
        ("steps:\n- id: a\n  ac‸", "steps/-", Either, "ac"),
        ("steps:\n  - id: a\n    action: ‸\n  - id: b", "steps/-/action", Value, ""),
        ("steps:\n  - id: a\n    with:\n      ‸\n  - id: b", "steps/-/with", Either, ""),
        ("steps:\n  - {id: a, with: {channels: [‸]}}", "steps/-/with/channels", Item, ""),
        ("steps:\n  - {id: a, with: {channels: [log:d‸]}}", "steps/-/with/channels/-", Either, "log:d"),
        ("with:\n  channels:\n    - log:d‸", "with/channels/-", Either, "log:d"),
        ("with:\n  text: \"a, b: ${al‸}\"  # c", "with/text", Value, "\"a, b: ${al}\""),
        ("with: {text: \"a, b: ${al‸}\"}", "with/text", Value, "\"a, b: ${al}\""),
        ("script: |\n  let a = #{b: 1};\n  al‸\nid: x", "script", Value, "|\n  let a = #{b: 1};\n  al\n"),
        ("script: |\n  a\n‸\nid: x", "", Either, ""),
        ("on: {a: 1,\n  b: {c: ‸}}\nd: 1", "on/b/c", Value, ""),
        ("\"quo‸ted\": x", "", Key, "\"quoted\""),
        ("a: x # b‸", "", Either, "a: x # b"),
    ] {
        assert_eq!(at_bar(text), (around.to_owned(), slot, whole.to_owned()), "{text}");
    }
}

#[test]
fn nothing_that_can_be_typed_stops_it() {
    let text = "a: {b: [c, \"d\", 'e', {f: ${g}}], h: \"🔥\n- i: |\n   j\n  k: [l\n- \"m: n\n- - o: p\n\u{feff}q: &r *s\n? t\r\n  : u # v\n\t-\n[{]},:";
    let characters: Vec<char> = text.chars().collect();
    for start in 0..characters.len() {
        for end in start..=characters.len() {
            let part: String = characters[start..end].iter().collect();
            let sketch = Sketch::of(&part);
            for (offset, _) in part.char_indices().step_by(3) {
                let spot = sketch.spot(offset);
                assert!(part.get(spot.whole.clone()).is_some(), "{part:?} {spot:?}");
            }
        }
    }
    let _deep = Sketch::of(&"[".repeat(100_000));
    let _dashes = Sketch::of(&"- ".repeat(20_000));
}
