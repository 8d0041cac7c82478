//! Actions of the broker's own.

use crate::script::play;

#[test]
fn echo_answers_with_what_came() {
    play(
        r#"
        web > {"type":"request","id":1,"action":"$echo"} {"x":  1}
        web < {"type":"reply","id":1} {"x":  1}
        web > {"type":"request","id":2,"action":"$nothing"}
        web < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        web > {"type":"request","id":3,"action":"$echo","reply":false}
        web < {"type":"accepted","id":3}
        "#,
    );
}

/// Seed 11: who serves what.
#[test]
fn actions_lists_who_serves_what() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":3}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver"} 1
        web > {"type":"request","id":2,"action":"b"} 1
        +7
        web > {"type":"request","id":3,"action":"$actions"}
        web < {"type":"reply","id":3} {"actions":[{"action":"a","bytes":257,"credit":3,"handlers":1,"in_flight":1,"oldest_ms":null,"queued":0},{"action":"b","bytes":257,"credit":0,"handlers":0,"in_flight":0,"oldest_ms":7,"queued":1}],"more":0}
        "#,
    );
}

/// Seeds 63, 64: statistics and who is there. The session's id is a secret and is not shown.
#[test]
fn sessions_and_stats() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":3}
        svc < {"type":"serving"}
        svc > {"type":"request","id":1,"action":"$sessions"}
        svc < {"type":"reply","id":1} {"more":0,"sessions":[{"address":"127.0.0.1:5001","client":1,"connected":true,"holding":0,"name":"svc","serves":["a"],"serving":1,"subscriptions":0,"waiting":0}]}
        svc > {"type":"request","id":2,"action":"$stats"}
        svc < {"type":"reply","id":2} …
        "#,
    );
}

#[test]
fn explain_says_in_words_why_a_request_waits() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"}
        svc < {"type":"deliver"}
        web > {"type":"request","id":2,"action":"a"}
        web > {"type":"request","id":3,"action":"$explain"} {"action":"a"}
        web < {"type":"reply","id":3} {"action":"a","text":"1 requests wait for `a`, 1 run: every handler has as many as it takes (1 of 1)"}
        web > {"type":"request","id":4,"action":"$explain"} {"id":1}
        web < {"type":"reply","id":4} {"id":1,"text":"came 0 ms ago, 30000 ms left, its caller waits: handler `svc` has had it for 0 ms"}
        web > {"type":"request","id":5,"action":"$explain"} {"id":77}
        web < {"type":"reply","id":5} {"id":77,"text":"no request 77 of this session waits: it has been answered, or was never announced"}
        web > {"type":"request","id":6,"action":"$explain"} 5
        web < {"type":"reply","id":6,"error":{"code":"bad_request"}}
        web > {"type":"request","id":7,"action":"$explain"} {"action":"zzz"}
        web < {"type":"reply","id":7} {"action":"zzz","text":"nobody serves `zzz` and nothing waits for it"}
        "#,
    );
}
