use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn run(name: &str) -> RunId {
    RunId(name.to_owned())
}

fn windows() -> Windows {
    Windows {
        threshold: Some(Threshold { key: "t".to_owned(), count: 3, within: seconds(60) }),
        dedup: Some(Dedup { key: "d".to_owned(), window: seconds(60) }),
        group: Some(Group { key: "g".to_owned(), wait: seconds(30), interval: seconds(600) }),
        throttle: Some(Throttle { key: "r".to_owned(), max: 2, per: seconds(3600) }),
        concurrency: Some(Concurrency { key: "c".to_owned(), max: 2, strategy: Strategy::Queue }),
    }
}

fn of(strategy: Strategy) -> Windows {
    Windows { concurrency: Some(Concurrency { key: "c".to_owned(), max: 2, strategy }), ..Windows::default() }
}

#[test]
fn windows_are_asked_in_their_order() {
    let full = Seen {
        hits: 1,
        holder: Some((run("a"), at(10))),
        gathering: Some(run("b")),
        last_start: Some(at(-500)),
        starts: vec![at(-1), at(-9)],
        open: vec![run("c"), run("d")],
        queued: vec![],
    };
    let held = |admission| if let Admission::Held { rule, detail, until } = admission { Some((rule, detail, until)) } else { None };
    let first = held(admit(&windows(), &full, at(0)));
    assert_eq!(first, Some(("threshold", "threshold: 2 of 3 within 1m for the key `t`".to_owned(), None)));

    let seen = Seen { hits: 2, ..full };
    let (rule, detail, until) = held(admit(&windows(), &seen, at(0))).unwrap();
    assert_eq!((rule, until), ("dedup", Some(at(10))));
    assert_eq!(detail, format!("dedup: run a holds the key `d` until {}", at(10)));

    let seen = Seen { holder: Some((run("a"), at(0))), ..seen };
    assert_eq!(admit(&windows(), &seen, at(0)), Admission::Join { run: run("b") });

    let seen = Seen { gathering: None, ..seen };
    let (rule, detail, until) = held(admit(&windows(), &seen, at(0))).unwrap();
    assert_eq!((rule, until), ("throttle", Some(at(3591))));
    assert!(detail.starts_with("throttle: at most 2 runs within 1h for the key `r`, the next one at "), "{detail}");

    let seen = Seen { starts: vec![at(-1)], ..seen };
    assert_eq!(admit(&windows(), &seen, at(0)), Admission::Queue { due: at(100), cancel: vec![] });

    let seen = Seen { open: vec![run("c")], ..seen };
    assert_eq!(admit(&windows(), &seen, at(0)), Admission::Begin { due: at(100) });
    assert_eq!(admit(&Windows::default(), &Seen::default(), at(0)), Admission::Begin { due: at(0) });
}

#[test]
fn a_group_waits_for_others_and_keeps_its_distance_from_the_last_run() {
    for (last, due) in [(None, 30), (Some(-1000), 30), (Some(-580), 30), (Some(-100), 500), (Some(0), 600), (Some(9999), 600)] {
        let seen = Seen { last_start: last.map(at), ..Seen::default() };
        let windows = Windows { group: windows().group, ..Windows::default() };
        assert_eq!(admit(&windows, &seen, at(0)), Admission::Begin { due: at(due) }, "{last:?}");
    }
}

#[test]
fn strategies_differ_only_where_no_place_is_free() {
    let places = |open: &[&str], queued: &[&str]| {
        let runs = |names: &[&str]| names.iter().map(|name| run(name)).collect();
        Seen { open: runs(open), queued: runs(queued), ..Seen::default() }
    };
    for strategy in [Strategy::Queue, Strategy::Skip, Strategy::CancelRunning] {
        assert_eq!(admit(&of(strategy), &places(&["a"], &[]), at(0)), Admission::Begin { due: at(0) });
    }
    let full = places(&["a", "b"], &["c"]);
    assert_eq!(admit(&of(Strategy::Queue), &full, at(0)), Admission::Queue { due: at(0), cancel: vec![] });
    let cancel = ["a", "b", "c"].map(run).to_vec();
    assert_eq!(admit(&of(Strategy::CancelRunning), &full, at(0)), Admission::Queue { due: at(0), cancel });
    let Admission::Held { rule, detail, until } = admit(&of(Strategy::Skip), &full, at(0)) else { panic!("held") };
    assert_eq!((rule, until), ("concurrency", None));
    assert_eq!(detail, "concurrency: 2 runs of the key `c` are open already, such as a");
    // An edit made room while others wait: they are first.
    assert_eq!(admit(&of(Strategy::Queue), &places(&["a"], &["c"]), at(0)), Admission::Queue { due: at(0), cancel: vec![] });
}

#[test]
fn what_is_held_counts_for_the_threshold_and_for_nothing_else() {
    let kinds = |admission: &Admission| entries(&windows(), admission, at(0)).iter().map(|it| it.kind).collect::<Vec<_>>();
    let held = Admission::Held { rule: "dedup", detail: String::new(), until: None };
    assert_eq!(kinds(&held), [Kind::Threshold]);
    assert_eq!(kinds(&Admission::Join { run: run("a") }), [Kind::Threshold, Kind::Dedup]);
    let all = [Kind::Threshold, Kind::Dedup, Kind::Group, Kind::Throttle];
    assert_eq!(kinds(&Admission::Begin { due: at(5) }), all);
    assert_eq!(kinds(&Admission::Queue { due: at(5), cancel: vec![] }), all);
}

#[test]
fn a_freed_place_goes_to_the_one_that_has_waited_for_longest() {
    let mut memory = Memory::default();
    let windows = of(Strategy::Queue);
    for name in ["a", "b", "c", "d"] {
        let admission = admit(&windows, &memory.seen("p", &windows, at(0)), at(0));
        memory.note(("p", &run(name)), &windows, &admission, at(0));
    }
    memory.ended(&run("a"));
    let seen = memory.seen("p", &windows, at(0));
    assert_eq!((seen.open, seen.queued), (vec![run("b"), run("c")], vec![run("d")]));
}

#[test]
fn a_group_is_over_at_its_time() {
    let mut memory = Memory::default();
    let windows = Windows { group: windows().group, ..Windows::default() };
    let mut answer = |name: &str, now: Timestamp| {
        memory.pass(now);
        let admission = admit(&windows, &memory.seen("p", &windows, now), now);
        memory.note(("p", &run(name)), &windows, &admission, now);
        admission
    };
    assert_eq!(answer("a", at(0)), Admission::Begin { due: at(30) });
    assert_eq!(answer("b", at(29)), Admission::Join { run: run("a") });
    assert_eq!(answer("c", at(40)), Admission::Begin { due: at(630) });
    assert_eq!(answer("d", at(629)), Admission::Join { run: run("c") });
}
