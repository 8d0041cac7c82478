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
        web < {"type":"reply","id":3} {"actions":[{"action":"a","bytes":257,"credit":3,"elsewhere":[],"handlers":1,"in_flight":1,"oldest_ms":null,"queued":0},{"action":"b","bytes":257,"credit":0,"elsewhere":[],"handlers":0,"in_flight":0,"oldest_ms":7,"queued":1}],"more":0}
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
        svc < {"type":"reply","id":1} {"more":0,"sessions":[{"address":"127.0.0.1:5001","client":1,"connected":true,"holding":0,"is_server":false,"name":"svc","serves":["a"],"serving":1,"subscriptions":0,"waiting":0}]}
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
        web < {"type":"reply","id":3} {"action":"a","handlers":1,"more":0,"text":"1 request waits for `a`, 1 runs: every handler has as many as it takes (1 of 1)","waiting":[{"client":2,"id":2,"left_ms":30000,"name":"web","waits_ms":0}]}
        web > {"type":"request","id":4,"action":"$explain"} {"id":1}
        web < {"type":"reply","id":4} {"id":1,"text":"came 0 ms ago, 30000 ms left, its caller waits: handler `svc` has had it for 0 ms"}
        web > {"type":"request","id":5,"action":"$explain"} {"id":77}
        web < {"type":"reply","id":5} {"id":77,"text":"no request 77 of this client waits: it has been answered, or was never announced"}
        web > {"type":"request","id":6,"action":"$explain"} 5
        web < {"type":"reply","id":6,"error":{"code":"bad_request"}}
        web > {"type":"request","id":7,"action":"$explain"} {"action":"zzz"}
        web < {"type":"reply","id":7} {"action":"zzz","handlers":0,"more":0,"text":"nobody serves `zzz` and nothing waits for it","waiting":[]}
        "#,
    );
}

/// A person at a shell has a session of his own, on which nothing waits. So he asks by the public numbers of others.
#[test]
fn explain_tells_about_the_request_of_another_client() {
    play(
        r#"
        web > {"type":"request","id":9,"action":"a","ttl":500}
        +20
        ops > {"type":"request","id":1,"action":"$explain"} {"client":1,"id":9}
        ops < {"type":"reply","id":1} {"client":1,"id":9,"text":"came 20 ms ago, 29980 ms left, its caller waits: 1 request waits for `a`, 0 run: nobody serves it"}
        ops > {"type":"request","id":2,"action":"$explain"} {"client":1,"id":8}
        ops < {"type":"reply","id":2} {"client":1,"id":8,"text":"no request 8 of this client waits: it has been answered, or was never announced"}
        ops > {"type":"request","id":3,"action":"$explain"} {"client":7,"id":9}
        ops < {"type":"reply","id":3} {"client":7,"id":9,"text":"no client 7 is here; `$sessions` lists who is"}
        ops > {"type":"request","id":4,"action":"$explain"} {"client":1}
        ops < {"type":"reply","id":4,"error":{"code":"bad_request"}}
        +480
        web < {"type":"reply","id":9,"error":{"code":"no_handler"}}
        "#,
    );
}

/// The list is what waits longest, in order, and never long. A send has no client any more, only a name.
#[test]
fn explain_lists_what_waits_longest() {
    let mut stage = play(
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false,"timeout":2000}
        web < {"type":"accepted","id":1}
        +5
        ops > {"type":"request","id":50,"action":"$explain"} {"action":"a"}
        ops < {"type":"reply","id":50} {"action":"a","handlers":0,"more":0,"text":"1 request waits for `a`, 0 run: nobody serves it","waiting":[{"client":null,"id":null,"left_ms":1995,"name":"web","waits_ms":5}]}
        "#,
    );
    let line = |id: u64| format!(r#"{{"client":1,"id":{id},"left_ms":30000,"name":"web","waits_ms":0}}"#);
    let calls: Vec<_> = (2..=10).map(line).collect();
    let send = r#"{"client":null,"id":null,"left_ms":1995,"name":"web","waits_ms":5}"#;
    let text = "15 requests wait for `a`, 0 run: nobody serves it";
    let waiting = format!("[{send},{}]", calls.join(","));
    for id in 2..=15 {
        stage.play(&format!(r#"web > {{"type":"request","id":{id},"action":"a"}}"#));
    }
    stage.play(&format!(
        r#"
        ops > {{"type":"request","id":51,"action":"$explain"}} {{"action":"a"}}
        ops < {{"type":"reply","id":51}} {{"action":"a","handlers":0,"more":5,"text":"{text}","waiting":{waiting}}}
        "#
    ));
}
