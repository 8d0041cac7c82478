//! Strangers and clients at the door, in virtual time.

use super::*;
use crate::settings::Settings;

fn origin(text: &str) -> Origin {
    Origin::of(text.parse().unwrap())
}

fn admission(change: impl FnOnce(&mut Settings)) -> Admission {
    let mut settings = Settings::default();
    change(&mut settings);
    Admission::new(Rules::of(&settings))
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// Comes in, if that is allowed.
fn come(door: &mut Admission, from: Origin, now: Time) -> Result<(), Limit> {
    door.may_come(from, now)?;
    door.came(from, now);
    Ok(())
}

#[test]
fn ten_thousand_clients_that_come_back_at_once_are_all_let_in() {
    let mut door = admission(|_| {});
    let balancer = origin("192.0.2.1");
    for client in 0..10_000 {
        // Each says hello soon after it was accepted, as 64 a turn are.
        assert_eq!(come(&mut door, balancer, at(client / 64)), Ok(()), "client {client}");
        door.welcomed(balancer, at(client / 64));
    }
}

#[test]
fn connections_of_one_address_are_counted_and_ipv6_counts_by_site() {
    let mut door = admission(|settings| settings.max_connections_per_address = 2);
    for (from, expected) in [
        ("192.0.2.1", Ok(())),
        ("::ffff:192.0.2.1", Ok(())),
        ("192.0.2.1", Err(Limit::ConnectionsPerAddress { most: 2 })),
        ("192.0.2.2", Ok(())),
        ("2001:db8::1", Ok(())),
        ("2001:db8::2", Ok(())),
        ("2001:db8::3", Err(Limit::ConnectionsPerAddress { most: 2 })),
        ("2001:db8:0:1::3", Ok(())),
        ("127.0.0.1", Ok(())),
        ("127.0.0.1", Ok(())),
        ("127.0.0.1", Err(Limit::ConnectionsPerAddress { most: 2 })),
    ] {
        assert_eq!(come(&mut door, origin(from), at(0)), expected, "{from}");
    }
    door.left(origin("192.0.2.1"), Left::Stranger, at(1));
    assert_eq!(come(&mut door, origin("192.0.2.1"), at(1)), Ok(()));
}

#[test]
fn handshakes_have_a_burst_and_a_rate_in_all_and_for_each_address() {
    let mut door = admission(|settings| {
        (settings.handshakes_per_second, settings.handshakes_per_address) = (10, 3);
    });
    let mut tried = |from: &str, now, times: usize| -> (usize, Option<Limit>) {
        let all: Vec<_> = (0..times).map(|_| door.may_come(origin(from), at(now))).collect();
        (all.iter().filter(|answer| answer.is_ok()).count(), all.into_iter().find_map(Result::err))
    };
    let (per_address, in_all) = (Some(Limit::HandshakesPerAddress { most: 3 }), Some(Limit::Handshakes { most: 10 }));
    assert_eq!(tried("192.0.2.1", 0, 10), (6, per_address), "a burst of two seconds");
    assert_eq!(tried("127.0.0.1", 0, 10), (6, per_address), "what was set holds for loopback too");
    assert_eq!(tried("192.0.2.3", 0, 6), (6, None));
    assert_eq!(tried("192.0.2.4", 0, 6), (2, in_all));
    assert_eq!(tried("192.0.2.1", 1_000, 10), (3, per_address), "and then the rate");
}

#[test]
fn who_fails_again_and_again_is_given_rests_that_grow_to_a_bound() {
    let mut door = admission(|_| {});
    let scanner = origin("192.0.2.66");
    let (mut let_in, mut rests) = (0, Vec::new());
    for ms in 0..60_000 {
        match come(&mut door, scanner, at(ms)) {
            Ok(()) => {
                let_in += 1;
                rests.extend(door.left(scanner, Left::Stranger, at(ms)));
            }
            Err(limit) => assert_eq!(limit, Limit::Rest),
        }
    }
    assert_eq!(rests[..7], [100, 200, 400, 800, 1_600, 3_200, 5_000].map(Duration::from_millis));
    assert!(rests.iter().all(|rest| *rest <= Duration::from_secs(5)));
    assert!(let_in < 20 + 60 + rests.len(), "{let_in} of 60,000 were let in");
    assert_eq!(come(&mut door, origin("192.0.2.67"), at(60_000)), Ok(()), "others are not meant");
}

#[test]
fn a_hello_makes_up_for_what_failed() {
    let mut door = admission(|_| {});
    let nat = origin("192.0.2.1");
    for ms in 0..10_000 {
        // A stranger and a client behind one address.
        assert_eq!(come(&mut door, nat, at(ms)), Ok(()));
        assert_eq!(door.left(nat, Left::Stranger, at(ms)), None);
        assert_eq!(come(&mut door, nat, at(ms)), Ok(()));
        door.welcomed(nat, at(ms));
        assert_eq!(door.left(nat, Left::Welcomed, at(ms)), None);
    }
}

#[test]
fn a_probe_that_connects_and_says_nothing_is_not_a_scanner() {
    let mut door = admission(|_| {});
    let probe = origin("192.0.2.1");
    for second in 0..3_600 {
        assert_eq!(come(&mut door, probe, at(second * 1_000)), Ok(()));
        assert_eq!(door.left(probe, Left::Stranger, at(second * 1_000 + 1)), None);
    }
}

#[test]
fn after_a_quiet_time_rests_begin_anew() {
    let mut door = admission(|_| {});
    let from = origin("192.0.2.1");
    let first_rest =
        |door: &mut Admission, begin: u64| (begin..begin + 1_000).find_map(|ms| door.failed(from, at(ms))).unwrap();
    assert_eq!(first_rest(&mut door, 0), REST_LEAST);
    assert_eq!(first_rest(&mut door, 5_000), REST_LEAST * 2);
    assert_eq!(first_rest(&mut door, 60_000), REST_LEAST);
}

#[test]
fn loopback_is_spared_what_is_against_strangers_and_rests_can_be_switched_off() {
    for (from, off) in [("127.0.0.1", false), ("::1", false), ("192.0.2.1", true)] {
        let mut door = admission(|settings| {
            if off {
                settings.stranger_rest = Duration::ZERO;
            }
        });
        let from = origin(from);
        for _ in 0..1_000 {
            assert_eq!(come(&mut door, from, at(0)), Ok(()));
            assert_eq!(door.left(from, Left::Stranger, at(0)), None);
        }
    }
}

#[test]
fn one_address_has_only_a_part_of_the_places_before_it_says_hello() {
    let mut door = admission(|settings| settings.max_connections = 400);
    let (attacker, spared) = (origin("192.0.2.1"), origin("127.0.0.1"));
    for _ in 0..100 {
        assert_eq!(come(&mut door, attacker, at(0)), Ok(()));
    }
    assert_eq!(come(&mut door, attacker, at(0)), Err(Limit::Strangers { most: 100 }));
    for _ in 0..200 {
        assert_eq!(come(&mut door, spared, at(0)), Ok(()));
    }
    door.welcomed(attacker, at(1));
    assert_eq!(come(&mut door, attacker, at(1)), Ok(()), "one of them was a client");
}

#[test]
fn a_hundred_thousand_addresses_cost_a_bounded_table() {
    let mut door = admission(|settings| settings.handshakes_per_second = 0);
    for number in 0..100_000_u32 {
        let from = Origin::V4(number.into());
        assert_eq!(come(&mut door, from, at(0)), Ok(()));
        door.left(from, Left::Stranger, at(0));
    }
    assert_eq!(door.known(), super::super::addresses::KEPT);
}

#[test]
fn a_key_that_was_shown_is_no_failure_even_if_its_hello_is_refused() {
    let mut door = admission(|_| {});
    let holder = origin("192.0.2.1");
    for _ in 0..1_000 {
        assert_eq!(come(&mut door, holder, at(0)), Ok(()), "its place is free again");
        assert_eq!(door.left(holder, Left::Proven, at(0)), None);
    }
}

/// Whatever it is turned away for, an address has so many tries a second.
#[test]
fn who_is_turned_away_spends_a_handshake_of_its_address_and_of_nobody_else() {
    let mut door = admission(|settings| {
        (settings.max_connections_per_address, settings.handshakes_per_address) = (1, 3);
        settings.handshakes_per_second = 10;
    });
    let from = origin("192.0.2.1");
    for _ in 0..100 {
        let _ = come(&mut door, from, at(0));
    }
    door.left(from, Left::Welcomed, at(0));
    assert_eq!(come(&mut door, from, at(0)), Err(Limit::HandshakesPerAddress { most: 3 }));
    assert_eq!(come(&mut door, origin("192.0.2.2"), at(0)), Ok(()));
}
