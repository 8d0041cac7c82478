//! Graphs of servers: chains, rings, pairs linked twice; broadcasts in them.

use crate::world::{play, play_with};

#[test]
fn a_chain_carries_as_far_as_it_may() {
    let script = |hops_end: &str| {
        format!(
            r#"
            A - B
            B - C
            C - D
            D - E
            svc@{hops_end} > {{"type":"serve","action":"a","credit":4}}
            svc@{hops_end} < {{"type":"serving"}}
            +50
            web@A > {{"type":"request","id":1,"action":"a","ttl":100}} 1
            "#
        )
    };
    play(&format!(
        r#"{}
        svc@D < {{"type":"deliver","id":$d,"from":"web"}} 1
        svc@D > {{"type":"reply","id":$d}} "far"
        web@A < {{"type":"reply","id":1}} "far"
        "#,
        script("D")
    ));
    // Four hops are one too many.
    play(&format!(
        r#"{}
        +200
        web@A < {{"type":"reply","id":1,"error":{{"code":"no_handler","ran":"no"}}}}
        "#,
        script("E")
    ));
}

#[test]
fn in_a_ring_a_request_finds_one_way_and_rumours_of_handlers_that_left_die() {
    let mut world = play(
        r#"
        A - B
        B - C
        C - A
        svc@C > {"type":"serve","action":"a","credit":1}
        svc@C < {"type":"serving"}
        +50
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@C < {"type":"deliver","id":$d} 1
        svc@C > {"type":"reply","id":$d}
        web@A < {"type":"reply","id":1}
        +50
        svc@C > {"type":"unserve","action":"a"}
        svc@C < {"type":"unserved"}
        +100
        web@A > {"type":"request","id":2,"action":"a","ttl":0}
        web@A < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
    // Nobody tells anybody anything any more.
    world.pass(1_000);
    let said: usize = world.servers.values().map(|server| server.said.len()).sum();
    world.pass(10_000);
    let later: usize = world.servers.values().map(|server| server.said.len()).sum();
    assert_eq!(said, later);
}

#[test]
fn two_links_between_two_servers_are_as_good_as_one() {
    play(
        r#"
        A - B
        B - A
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        +50
        web@A > {"type":"request","id":1,"action":"a","broadcast":true}
        svc@B < {"type":"deliver","id":$d}
        svc@B > {"type":"reply","id":$d} 1
        web@A < {"type":"reply","id":1,"part":true,"from":"svc"} 1
        web@A < {"type":"reply","id":1,"gather":{"expected":1,"answered":1,"failed":0,"lost":0}}
        A x B
        +50
        web@A > {"type":"request","id":2,"action":"a","timeout":1000}
        svc@B < {"type":"deliver","id":$e}
        svc@B > {"type":"reply","id":$e} 2
        web@A < {"type":"reply","id":2} 2
        "#,
    );
}

#[test]
fn a_broadcast_reaches_every_handler_once_whatever_the_ways() {
    play(
        r#"
        A - B
        B - C
        C - D
        D - A
        A - C
        one@A > {"type":"serve","action":"a","credit":1}
        one@A < {"type":"serving"}
        two@B > {"type":"serve","action":"a","credit":1}
        two@B < {"type":"serving"}
        three@C > {"type":"serve","action":"a","credit":1}
        three@C < {"type":"serving"}
        four@D > {"type":"serve","action":"a","credit":1}
        four@D < {"type":"serving"}
        +50
        web@B > {"type":"request","id":1,"action":"a","broadcast":true} 1
        one@A < {"type":"deliver","id":$a} 1
        two@B < {"type":"deliver","id":$b} 1
        three@C < {"type":"deliver","id":$c} 1
        four@D < {"type":"deliver","id":$d} 1
        one@A > {"type":"reply","id":$a} "a"
        web@B < {"type":"reply","id":1,"part":true,"from":"one","seq":1} "a"
        four@D > {"type":"reply","id":$d,"error":{"code":"x","message":"m"}}
        web@B < {"type":"reply","id":1,"part":true,"from":"four","seq":2,"error":{"code":"fault"}}
        three@C > {"type":"reply","id":$c} "c"
        web@B < {"type":"reply","id":1,"part":true,"from":"three","seq":3} "c"
        web@B .
        two@B > {"type":"bye"}
        web@B < {"type":"reply","id":1,"part":true,"from":"two","seq":4,"error":{"code":"handler_lost"}}
        web@B < {"type":"reply","id":1,"gather":{"expected":4,"answered":2,"failed":1,"lost":1},"seq":5}
        "#,
    );
}

#[test]
fn a_server_that_is_its_own_peer_says_so() {
    let world = play("A - A\n+10");
    let notes = format!("{:?}", world.servers["A"].notes);
    assert!(notes.contains("PeerRefused") && notes.contains("the server itself"), "{notes}");
}

#[test]
fn an_action_goes_home_with_its_key() {
    // Whoever is asked, the same server knows the key: the second call joins or hears the stored reply.
    for key in ["k1", "k2", "k3", "k4"] {
        play(&format!(
            r#"
            A - B
            B - C
            C - A
            svc@A > {{"type":"serve","action":"a","credit":4}}
            svc@A < {{"type":"serving"}}
            +50
            web@A > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            svc@A < {{"type":"deliver","id":$d,"from":"web"}} 1
            web@B > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            web@C > {{"type":"request","id":1,"action":"a","key":"{key}"}} 2
            web@C < {{"type":"reply","id":1,"error":{{"code":"conflict","ran":"no"}}}}
            svc@A .
            svc@A > {{"type":"reply","id":$d}} "once"
            web@A < {{"type":"reply","id":1}} "once"
            web@B < {{"type":"reply","id":1}} "once"
            web@C > {{"type":"request","id":2,"action":"a","key":"{key}"}} 1
            web@C < {{"type":"reply","id":2}} "once"
            "#
        ));
    }
}

#[test]
fn a_frame_that_is_too_long_for_a_server_stays_here() {
    play_with(
        |settings| settings.max_frame = if settings.server == "B" { 5_000 } else { 1 << 20 },
        &format!(
            r#"
            A - B
            svc@B > {{"type":"serve","action":"a","credit":4}}
            svc@B < {{"type":"serving"}}
            +50
            web@A > {{"type":"request","id":1,"action":"a","ttl":100}} "{}"
            +200
            web@A < {{"type":"reply","id":1,"error":{{"code":"expired","ran":"no"}}}}
            "#,
            "x".repeat(2_000)
        ),
    );
}

/// When a link came back beside another one to the same server, what had been offered over that other one was never taken back.
#[test]
fn what_was_offered_over_either_of_two_links_is_taken_back() {
    let world = play(
        r#"
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        A - B
        B - A
        A x B
        +50
        A - B
        +50
        svc@B > {"type":"unserve","action":"a"}
        svc@B < {"type":"unserved"}
        +50
        "#,
    );
    assert_eq!(world.servers["A"].broker.held().actions, 1, "only the way to B as a home is known");
}
