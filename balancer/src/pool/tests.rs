//! Tables of inputs and outputs for the pool.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rules(strategy: Strategy) -> Rules {
    Rules {
        strategy,
        fall: 2,
        rise: 2,
        interval: SECOND,
        rest: SECOND,
        rest_max: 4 * SECOND,
        slow_start: 10 * SECOND,
        resolve_every: 30 * SECOND,
    }
}

fn specs(texts: &[&str]) -> Vec<Spec> {
    read_list(texts.iter().map(|text| (String::new(), *text))).unwrap()
}

/// A pool whose backends are all up.
fn pool(strategy: Strategy, texts: &[&str]) -> (Pool, Instant) {
    let now = Instant::now();
    let mut pool = Pool::new(rules(strategy), specs(texts), 7, now);
    for key in 0..texts.len() {
        assert_eq!(pool.probes_due(now).len(), if key == 0 { texts.len() } else { 0 });
        assert_eq!(pool.probed(Key(key), now, Ok(())), Some(Change::Up));
    }
    (pool, now)
}

const THREE: [&str; 3] = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];

fn chosen(pool: &mut Pool, now: Instant, count: usize) -> Vec<usize> {
    (0..count).map(|_| pool.choose(now, &[]).unwrap().0.0).collect()
}

fn counts(chosen: &[usize], of: usize) -> Vec<usize> {
    (0..of).map(|key| chosen.iter().filter(|other| **other == key).count()).collect()
}

#[test]
fn round_robin_gives_everybody_a_turn() {
    let (mut pool, now) = pool(Strategy::RoundRobin, &THREE);
    assert_eq!(chosen(&mut pool, now, 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn least_connections_fills_the_emptiest() {
    let (mut pool, now) = pool(Strategy::LeastConnections, &THREE);
    let all = chosen(&mut pool, now, 30);
    assert_eq!(counts(&all, 3), [10, 10, 10]);
    for _ in 0..5 {
        pool.release(Key(1));
    }
    assert_eq!(chosen(&mut pool, now, 5), [1; 5]);
}

#[test]
fn two_choices_are_nearly_even() {
    let (mut pool, now) = pool(Strategy::TwoChoices, &THREE);
    let all = chosen(&mut pool, now, 300);
    assert!(counts(&all, 3).iter().all(|count| (90..=110).contains(count)), "{:?}", counts(&all, 3));
}

#[test]
fn those_tried_drained_full_or_down_are_left_out() {
    for strategy in [Strategy::RoundRobin, Strategy::LeastConnections, Strategy::TwoChoices] {
        let (mut pool, now) = pool(strategy, &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1,max=1"]);
        assert_eq!(pool.choose(now, &[Key(0), Key(1)]).unwrap().0, Key(2));
        assert_eq!(pool.choose(now, &[Key(0), Key(1)]), None, "it is full");
        assert_eq!(pool.drain("10.0.0.1:1", true), Some(Key(0)));
        assert_eq!(chosen(&mut pool, now, 3), [1; 3]);
        assert_eq!(pool.refused(Key(1), now, "refused"), None);
        assert!(matches!(pool.refused(Key(1), now, "refused"), Some(Change::Rests { .. })));
        assert_eq!(pool.choose(now, &[]), None);
        pool.drain("10.0.0.1:1", false);
        assert_eq!(chosen(&mut pool, now, 2), [0; 2]);
        assert_eq!(pool.drain("10.0.0.9:1", true), None);
    }
}

#[test]
fn pauses_grow_and_good_probes_bring_a_backend_back() {
    let (mut pool, mut now) = pool(Strategy::RoundRobin, &THREE[..1]);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        loop {
            now = now.max(pool.next_probe().unwrap());
            assert_eq!(pool.probes_due(now).len(), 1);
            if let Some(Change::Rests { pause, why }) = pool.probed(Key(0), now, Err("gone")) {
                assert_eq!((why.as_str(), pool.next_probe()), ("gone", Some(now + pause)));
                pauses.push(pause.as_secs());
                break;
            }
        }
    }
    assert_eq!(pauses, [1, 2, 4, 4, 4]);
    now = pool.next_probe().unwrap();
    pool.probes_due(now);
    assert_eq!((pool.get(Key(0)).unwrap().state, pool.probed(Key(0), now, Ok(()))), (State::Trying, None));
    now = pool.next_probe().unwrap();
    pool.probes_due(now);
    assert_eq!(pool.probed(Key(0), now, Ok(())), Some(Change::Up));
    assert_eq!(pool.up(), 1);
}

/// A server that leaves takes connections and says that it is not ready.
#[test]
fn connects_do_not_make_up_for_bad_probes() {
    let (mut pool, _) = pool(Strategy::RoundRobin, &THREE[..1]);
    for outcome in [None, Some(())] {
        pool.get_mut(Key(0)).unwrap().connected();
        let now = pool.next_probe().unwrap();
        pool.probes_due(now);
        assert_eq!(pool.probed(Key(0), now, Err("503 draining")).map(drop), outcome);
    }
}

#[test]
fn who_comes_back_is_started_gently() {
    let (mut pool, mut now) = pool(Strategy::RoundRobin, &THREE[..2]);
    for _ in 0..2 {
        pool.refused(Key(0), now, "gone");
    }
    for _ in 0..2 {
        now = pool.iter().find(|(key, _)| *key == Key(0)).unwrap().1.next_probe().unwrap();
        pool.probes_due(now);
        pool.probed(Key(0), now, Ok(()));
    }
    for (after, least, most) in [(0, 8, 11), (5, 32, 35), (10, 49, 51)] {
        let part = counts(&chosen(&mut pool, now + after * SECOND, 100), 2)[0];
        assert!((least..=most).contains(&part), "{part} of 100 after {after} s");
    }
}

#[test]
fn nobody_is_chosen_while_nothing_is_known_but_when_nobody_is_known_to_be_up() {
    let now = Instant::now();
    let mut pool = Pool::new(rules(Strategy::RoundRobin), specs(&["10.0.0.1:1", "node.example:1"]), 7, now);
    // Where the second one is has not been looked up.
    assert_eq!(chosen(&mut pool, now, 2), [0, 0]);
    pool.get_mut(Key(1)).unwrap().resolved(vec!["10.0.0.2:1".parse().unwrap(), "10.0.0.3:1".parse().unwrap()]);
    let due = pool.probes_due(now);
    assert_eq!((due[0].resolve, due[1].resolve, due[1].address), (false, true, "10.0.0.2:1".parse().ok()));
    pool.probed(Key(1), now, Ok(()));
    let ips: Vec<_> = (0..2).map(|_| pool.choose(now, &[]).unwrap().1.to_string()).collect();
    assert_eq!(ips, ["10.0.0.2:1", "10.0.0.3:1"]);
}

#[test]
fn a_reload_keeps_who_stays_and_lets_who_goes_finish() {
    let (mut pool, now) = pool(Strategy::RoundRobin, &THREE);
    chosen(&mut pool, now, 2);
    let told = pool.reload(specs(&["10.0.0.2:1,max=5", "10.0.0.4:1"]), now);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (added, removed, changed) =
        (names(&["10.0.0.4:1"]), names(&["10.0.0.1:1", "10.0.0.3:1"]), names(&["10.0.0.2:1"]));
    assert_eq!(told, Reloaded { added, removed, changed });
    // The first has a connection, so its place is not given away; the third had none.
    assert_eq!(
        pool.iter().map(|(key, backend)| (key.0, backend.gone)).collect::<Vec<_>>(),
        [(0, true), (1, false), (2, false)]
    );
    assert_eq!(chosen(&mut pool, now, 2), [1, 1], "of the fourth nothing is known");
    pool.release(Key(0));
    assert!(pool.get(Key(0)).is_none());
    assert_eq!(pool.get(Key(1)).unwrap().connections, 3);
    // One that comes back while it leaves is the same one.
    assert_eq!(pool.reload(specs(&["10.0.0.4:1"]), now).removed, ["10.0.0.2:1"]);
    assert_eq!(pool.reload(specs(&["10.0.0.4:1", "10.0.0.2:1"]), now).added, ["10.0.0.2:1"]);
    assert_eq!(pool.get(Key(1)).unwrap().connections, 3);
}

#[test]
fn a_share_of_what_is_too_much_moves_to_the_emptiest() {
    let (mut pool, now) = pool(Strategy::RoundRobin, &THREE);
    pool.drain(THREE[2], true);
    chosen(&mut pool, now, 60);
    pool.drain(THREE[2], false);
    // 30, 30 and 0: each of the first two has ten too many.
    assert_eq!(pool.surplus(20, now), [(Key(0), 2), (Key(1), 2)]);
    assert_eq!(pool.surplus(100, now), [(Key(0), 10), (Key(1), 10)]);
    for _ in 0..4 {
        pool.release(Key(0));
    }
    pool.expect_moved(4);
    assert_eq!(chosen(&mut pool, now, 4), [2; 4], "whatever the strategy");
    assert_eq!(pool.surplus(20, now + SECOND).len(), 2);
}

#[test]
fn lists() {
    let file =
        "# ours\n10.0.0.1:7040\n\n  node2.example:7040, admin=node2.example:7041 , proxy=v2 # far\n[::1]:1,max=5\n";
    let specs = read_list(lines(file)).unwrap();
    let names: Vec<_> = specs.iter().map(|spec| &*spec.name).collect();
    assert_eq!(names, ["10.0.0.1:7040", "node2.example:7040", "[::1]:1"]);
    assert_eq!((specs[1].admin.as_deref(), specs[1].proxy), (Some("node2.example:7041"), Proxy::V2));
    assert_eq!((specs[0].proxy, specs[2].max), (Proxy::No, Some(5)));
    let wrong = "a\na:0\na:70000\n:1\na b:1\n[x]:1\na:1,proxy=v1\na:1,max=0\na:1,other=2\nok:1\nok:1\n\u{1b}:1";
    let mistakes = read_list(lines(wrong)).unwrap_err();
    assert_eq!(mistakes.len(), 11, "{mistakes:#?}");
    assert!(mistakes[9].starts_with("line 11: ok:1 stands there twice"), "{mistakes:#?}");
    assert!(!mistakes.concat().contains('\u{1b}'));
}
