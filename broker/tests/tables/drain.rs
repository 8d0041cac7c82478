//! The server leaves.

use crate::script::{play, play_with};

/// Seed 49: no new work; calls that wait go elsewhere; what runs may finish; accepted sends are still delivered.
#[test]
fn drain_lets_what_runs_finish() {
    play_with(
        |settings| settings.elsewhere = vec!["10.0.0.2:7040".to_owned()],
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        web > {"type":"request","id":2,"action":"a"} 2
        web > {"type":"request","id":3,"action":"a","reply":false} 3
        web < {"type":"accepted","id":3}
        drain 1000
        svc < {"type":"goaway","reason":"draining","after":0,"elsewhere":["10.0.0.2:7040"]}
        web < {"type":"goaway","after":2}
        web < {"type":"reply","id":2,"error":{"code":"draining","ran":"no"}}
        web > {"type":"request","id":4,"action":"a"}
        web < {"type":"reply","id":4,"error":{"code":"draining","ran":"no"}}
        svc > {"type":"reply","id":$a} 11
        web < {"type":"reply","id":1} 11
        svc < {"type":"deliver","id":$b} 3
        svc > {"type":"reply","id":$b}
        drained true
        "#,
    );
}

#[test]
fn drain_of_an_idle_server_is_over_at_once() {
    play("drain 1000\ndrained true");
}

#[test]
fn drain_tells_everybody_at_its_deadline() {
    let stage = play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        web > {"type":"request","id":2,"action":"a","reply":false}
        web < {"type":"accepted","id":2}
        drain 1000
        svc < {"type":"goaway"}
        web < {"type":"goaway"}
        +1000
        svc < {"type":"cancel","id":$a}
        web < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe"}}
        drained false
        "#,
    );
    assert_eq!(stage.held().requests, 0);
}

/// A session that has something to come back to may; a new one is sent elsewhere.
#[test]
fn drain_lets_known_sessions_come_back() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$a} 1
        web breaks
        drain 1000
        svc < {"type":"goaway"}
        web returns
        web < {"type":"welcome","resumed":true}
        web < {"type":"goaway"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc > {"type":"reply","id":$a} 5
        web < {"type":"reply","id":1} 5
        svc > {"type":"bye"}
        svc returns
        svc < {"type":"error","code":"draining","fatal":true}
        svc closed
        drained true
        "#,
    );
}
