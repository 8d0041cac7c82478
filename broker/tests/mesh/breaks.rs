//! Links break, servers die and leave.

use crate::world::{play, play_with};
use std::time::Duration;

#[test]
fn what_is_under_way_goes_on_after_a_break() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        web@A > {"type":"request","id":2,"action":"a"} 2
        svc@B < {"type":"deliver","id":$d} 1
        svc@B < {"type":"deliver","id":$e} 2
        A x B
        svc@B > {"type":"reply","id":$d} "one"
        +500
        A - B
        web@A < {"type":"reply","id":1} "one"
        svc@B > {"type":"reply","id":$e} "two"
        web@A < {"type":"reply","id":2} "two"
        svc@B .
        web@A > {"type":"request","id":3,"action":"a"} 3
        svc@B < {"type":"deliver","id":$f} 3
        svc@B > {"type":"reply","id":$f}
        web@A < {"type":"reply","id":3}
        "#,
    );
}

#[test]
fn what_was_cancelled_meanwhile_stops_there_when_the_link_is_back() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@B < {"type":"deliver","id":$d} 1
        A x B
        web@A > {"type":"cancel","id":1}
        web@A < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"maybe"}}
        A - B
        svc@B < {"type":"cancel","id":$d}
        svc@B > {"type":"release","id":$d}
        +10
        web@A > {"type":"request","id":2,"action":"a"} 2
        svc@B < {"type":"deliver","id":$e} 2
        svc@B > {"type":"reply","id":$e}
        web@A < {"type":"reply","id":2}
        "#,
    );
}

#[test]
fn a_link_that_does_not_come_back_loses_what_was_on_it_and_attempts_decide() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":2}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        web@A > {"type":"request","id":2,"action":"a","attempts":2} 2
        svc@B < {"type":"deliver","id":$d} 1
        svc@B < {"type":"deliver","id":$e} 2
        A x B
        near@A > {"type":"serve","action":"a","credit":1}
        near@A < {"type":"serving"}
        +11000
        web@A < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        near@A < {"type":"deliver","id":$f,"attempt":2} 2
        near@A > {"type":"reply","id":$f} "second"
        web@A < {"type":"reply","id":2} "second"
        svc@B < {"type":"cancel"}
        svc@B < {"type":"cancel"}
        svc@B > {"type":"reply","id":$e} "late"
        A - B
        web@A .
        "#,
    );
}

#[test]
fn a_server_that_dies_and_is_back_at_once_is_another_one() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":2}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@B < {"type":"deliver"} 1
        B dies
        A - B
        web@A < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":1}}
        again@B > {"type":"serve","action":"a","credit":2}
        again@B < {"type":"serving"}
        +10
        web@A > {"type":"request","id":2,"action":"a"} 2
        again@B < {"type":"deliver","id":$e} 2
        again@B > {"type":"reply","id":$e}
        web@A < {"type":"reply","id":2}
        "#,
    );
}

/// A server was killed and came back. Its handlers had come back before it, behind a balancer and so to other servers; it waited for them in vain, took
/// what nobody spoke of for never delivered, and gave it to another handler. Calls that may run once ran twice, and three times.
#[test]
fn what_a_crashed_server_may_have_given_to_a_handler_that_is_elsewhere_now_counts_as_given() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":2}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        web@A > {"type":"request","id":2,"action":"a","attempts":2} 2
        svc@B < {"type":"deliver"} 1
        svc@B < {"type":"deliver"} 2
        B crashes
        A - B
        other@B > {"type":"serve","action":"a","credit":2}
        other@B < {"type":"serving"}
        web@A .
        +11000
        other@B < {"type":"deliver","id":$d,"attempt":2} 2
        other@B > {"type":"reply","id":$d} "second"
        web@A < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        web@A < {"type":"reply","id":2} "second"
        "#,
    );
}

#[test]
fn the_server_that_passed_it_on_dies_and_its_handler_is_told() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":2}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@B < {"type":"deliver","id":$d} 1
        A dies
        +11000
        svc@B < {"type":"cancel","id":$d}
        "#,
    );
}

#[test]
fn a_silent_link_is_noticed() {
    let world = play_with(
        |settings| settings.heartbeat = Duration::from_millis(500),
        r#"
        A - B
        +3000
        "#,
    );
    // Both answer pings, so it is up for as long as they live.
    assert_eq!(world.servers["A"].broker.peers_up(), 1);
    assert!(world.servers["A"].said.iter().filter(|kind| *kind == "ping" || *kind == "pong").count() > 3);
}

#[test]
fn a_server_that_drains_gives_back_what_waits_and_finishes_what_runs() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@B < {"type":"deliver","id":$d} 1
        web@A > {"type":"request","id":2,"action":"a"} 2
        B drain 5000
        svc@B < {"type":"goaway"}
        near@A > {"type":"serve","action":"a","credit":1}
        near@A < {"type":"serving"}
        near@A < {"type":"deliver","id":$e} 2
        near@A > {"type":"reply","id":$e} "near"
        web@A < {"type":"reply","id":2} "near"
        svc@B > {"type":"reply","id":$d} "finished"
        web@A < {"type":"reply","id":1} "finished"
        B drained
        web@A > {"type":"request","id":3,"action":"a"} 3
        near@A < {"type":"deliver","id":$f} 3
        near@A > {"type":"reply","id":$f}
        web@A < {"type":"reply","id":3}
        "#,
    );
}

#[test]
fn a_server_that_drains_waits_for_what_it_passed_on() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@B < {"type":"deliver","id":$d} 1
        A drain 5000
        web@A < {"type":"goaway"}
        svc@B > {"type":"reply","id":$d} "finished"
        web@A < {"type":"reply","id":1} "finished"
        A drained
        "#,
    );
}

/// The handler leaves while requests of another server wait there: they go back and find another one.
#[test]
fn requests_that_are_stranded_are_handed_back() {
    play(
        r#"
        A - B
        B - C
        svc@B > {"type":"serve","action":"a","credit":2}
        svc@B < {"type":"serving"}
        +20
        local@B > {"type":"request","id":1,"action":"a"} 1
        svc@B < {"type":"deliver","id":$d} 1
        svc@B > {"type":"unserve","action":"a"}
        web@A > {"type":"request","id":2,"action":"a"} 2
        svc@B < {"type":"unserved"}
        far@C > {"type":"serve","action":"a","credit":2}
        far@C < {"type":"serving"}
        +50
        far@C < {"type":"deliver","id":$e} 2
        far@C > {"type":"reply","id":$e} "far"
        web@A < {"type":"reply","id":2} "far"
        svc@B > {"type":"reply","id":$d}
        local@B < {"type":"reply","id":1}
        "#,
    );
}

/// The request waited at the home of its key until the deadline of the drain: the one handler was behind the server that leaves.
#[test]
fn a_server_that_drains_gets_back_what_waits_at_the_home_of_its_key() {
    for key in ["k1", "k2", "k3", "k4"] {
        play(&format!(
            r#"
            A - B
            svc@A > {{"type":"serve","action":"a","credit":1}}
            svc@A < {{"type":"serving"}}
            local@A > {{"type":"request","id":1,"action":"a"}} 1
            svc@A < {{"type":"deliver","id":$d}} 1
            web@A > {{"type":"request","id":2,"action":"a","key":"{key}","timeout":60000}} 2
            +20
            A drain 20000
            svc@A < {{"type":"goaway"}}
            local@A < {{"type":"goaway"}}
            web@A < {{"type":"goaway"}}
            +20
            web@A < {{"type":"reply","id":2,"error":{{"code":"draining","ran":"no"}}}}
            svc@A > {{"type":"reply","id":$d}} "one"
            local@A < {{"type":"reply","id":1}} "one"
            A drained
            "#
        ));
    }
}

/// Both leave at once, and each has what the other one runs.
#[test]
fn two_servers_that_drain_at_once_finish_what_they_have_of_each_other() {
    play(
        r#"
        A - B
        svc@A > {"type":"serve","action":"a","credit":1}
        svc@A < {"type":"serving"}
        run@B > {"type":"serve","action":"b","credit":1}
        run@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"b"} 1
        web@A > {"type":"request","id":2,"action":"b"} 2
        other@B > {"type":"request","id":1,"action":"a"} 3
        other@B > {"type":"request","id":2,"action":"a"} 4
        run@B < {"type":"deliver","id":$d} 1
        svc@A < {"type":"deliver","id":$e} 3
        A drain 20000
        B drain 20000
        +20
        svc@A < {"type":"goaway"}
        run@B < {"type":"goaway"}
        web@A < {"type":"goaway"}
        other@B < {"type":"goaway"}
        web@A < {"type":"reply","id":2,"error":{"code":"draining","ran":"no"}}
        other@B < {"type":"reply","id":2,"error":{"code":"draining","ran":"no"}}
        svc@A > {"type":"reply","id":$e} "three"
        other@B < {"type":"reply","id":1} "three"
        run@B > {"type":"reply","id":$d} "one"
        web@A < {"type":"reply","id":1} "one"
        A drained
        B drained
        "#,
    );
}
