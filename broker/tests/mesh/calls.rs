//! A caller at one server, a handler at another.

use crate::world::play;

#[test]
fn a_call_reaches_a_handler_at_another_server_and_its_answer_comes_back() {
    for link in ["A - B", "B - A"] {
        play(&format!(
            r#"
            {link}
            svc@B > {{"type":"serve","action":"a","credit":4}}
            svc@B < {{"type":"serving"}}
            web@A > {{"type":"request","id":1,"action":"a","info":true,"trace":"t"}} {{"n":1}}
            svc@B < {{"type":"deliver","id":$d,"action":"a","from":"web","attempt":1,"trace":"t"}} {{"n":1}}
            svc@B > {{"type":"reply","id":$d}} "done"
            web@A < {{"type":"reply","id":1,"error":null,"info":{{"by":"svc"}}}} "done"
            "#
        ));
    }
}

#[test]
fn the_near_handler_is_first_and_the_far_one_helps_when_it_is_busy() {
    play(
        r#"
        A - B
        far@B > {"type":"serve","action":"a","credit":1}
        far@B < {"type":"serving"}
        near@A > {"type":"serve","action":"a","credit":1}
        near@A < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"} 1
        near@A < {"type":"deliver","id":$d} 1
        web@A > {"type":"request","id":2,"action":"a"} 2
        far@B < {"type":"deliver","id":$e} 2
        web@A > {"type":"request","id":3,"action":"a"} 3
        near@A .
        far@B .
        far@B > {"type":"reply","id":$e}
        web@A < {"type":"reply","id":2}
        +10
        far@B < {"type":"deliver","id":$f} 3
        far@B > {"type":"reply","id":$f}
        web@A < {"type":"reply","id":3}
        near@A > {"type":"reply","id":$d}
        web@A < {"type":"reply","id":1}
        "#,
    );
}

#[test]
fn what_waits_leaves_when_either_side_gets_a_handler() {
    play(
        r#"
        A - B
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        +10
        svc@B < {"type":"deliver","id":$d} 1
        svc@B > {"type":"reply","id":$d}
        web@A < {"type":"reply","id":1}
        "#,
    );
}

#[test]
fn faults_cancels_and_deadlines_go_both_ways() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"}
        svc@B < {"type":"deliver","id":$d}
        svc@B > {"type":"reply","id":$d,"error":{"code":"no_stock","message":"none left","retryable":true}} {"left":0}
        web@A < {"type":"reply","id":1,"error":{"code":"fault","ran":"yes","attempts":1,"fault":{"code":"no_stock","retryable":true}}} {"left":0}
        web@A > {"type":"request","id":2,"action":"a"}
        svc@B < {"type":"deliver","id":$e}
        web@A > {"type":"cancel","id":2}
        web@A < {"type":"reply","id":2,"error":{"code":"cancelled","ran":"maybe"}}
        svc@B < {"type":"cancel","id":$e}
        svc@B > {"type":"release","id":$e}
        web@A > {"type":"request","id":3,"action":"a","timeout":500}
        svc@B < {"type":"deliver","id":$f}
        +600
        web@A < {"type":"reply","id":3,"error":{"code":"timeout","ran":"maybe"}}
        svc@B < {"type":"cancel","id":$f}
        "#,
    );
}

#[test]
fn parts_come_one_by_one() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"}
        svc@B < {"type":"deliver","id":$d}
        svc@B > {"type":"reply","id":$d,"part":true,"seq":1} 1
        web@A < {"type":"reply","id":1,"part":true,"seq":1} 1
        svc@B > {"type":"reply","id":$d,"part":true,"seq":2} 2
        web@A < {"type":"reply","id":1,"part":true,"seq":2} 2
        svc@B > {"type":"reply","id":$d}
        web@A < {"type":"reply","id":1,"part":null,"seq":3}
        "#,
    );
}

#[test]
fn a_lost_handler_is_tried_again_as_often_as_the_caller_said() {
    play(
        r#"
        A - B
        one@B > {"type":"serve","action":"a","credit":1}
        one@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a","attempts":2}
        one@B < {"type":"deliver","attempt":1}
        two@B > {"type":"serve","action":"a","credit":1}
        two@B < {"type":"serving"}
        one@B > {"type":"bye"}
        two@B < {"type":"deliver","attempt":2}
        two@B > {"type":"bye"}
        web@A < {"type":"reply","id":1,"error":{"code":"handler_lost","ran":"maybe","attempts":2}}
        "#,
    );
}

#[test]
fn a_ttl_ends_where_the_request_waits() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a"}
        svc@B < {"type":"deliver","id":$d}
        web@A > {"type":"request","id":2,"action":"a","ttl":300}
        web@A > {"type":"request","id":3,"action":"a","ttl":0}
        web@A < {"type":"reply","id":3,"error":{"code":"expired","ran":"no"}}
        +400
        web@A < {"type":"reply","id":2,"error":{"code":"expired","ran":"no"}}
        web@A > {"type":"request","id":4,"action":"other","ttl":0}
        web@A < {"type":"reply","id":4,"error":{"code":"no_handler","ran":"no"}}
        svc@B > {"type":"reply","id":$d}
        web@A < {"type":"reply","id":1}
        "#,
    );
}

#[test]
fn sends_pass_too() {
    play(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":1}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a","reply":false} 1
        web@A < {"type":"accepted","id":1}
        svc@B < {"type":"deliver","id":$d,"attempt":1} 1
        svc@B > {"type":"reply","id":$d}
        "#,
    );
}

/// Its caller went on to the handler's own server: `from` is what the first server says, and nobody else can say it.
#[test]
fn a_client_cannot_pass_for_a_server() {
    play(
        r#"
        svc@A > {"type":"serve","action":"a","credit":1}
        svc@A < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a","via":{"from":"boss","path":[7],"attempt":1}}
        web@A < {"type":"reply","id":1,"error":{"code":"bad_request","ran":"no"}}
        web@A > {"type":"offer","action":"a","credit":9,"path":[7]}
        web@A < {"type":"error","code":"denied","action":"a"}
        "#,
    );
}
