//! What the holder of a key may do, who it is for others, and what is its own.

use crate::durable::with_store;
use crate::script::{Stage, play, play_with};
use answerback_broker::Settings;

/// A holder for each right that a row is about, and `ops`, who may do everything.
const OPS: &str = "
    holder ops call=> serve=> publish=> subscribe=> admin
    ops is ops
    svc is ops
";

fn with_ops(script: &str) -> Stage {
    play(&format!("{OPS}{script}"))
}

#[test]
fn call_needs_a_grant() {
    let stage = with_ops(
        r#"
        holder shop call=user.*,mail.send
        web is shop
        svc > {"type":"serve","action":"mail.send","credit":9}
        svc < {"type":"serving"}
        svc > {"type":"serve","action":"mail.read","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"mail.send"} 1
        svc < {"type":"deliver","action":"mail.send","id":$d} 1
        svc > {"type":"reply","id":$d} 2
        web < {"type":"reply","id":1,"error":null} 2
        web > {"type":"request","id":2,"action":"mail.read"} 1
        web < {"type":"reply","id":2,"error":{"code":"denied","ran":"no","attempts":0,"message":"shop may not call mail.read: its key has no grant call = [\"mail.read\"]"}}
        svc .
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().queued), (0, 0));
}

#[test]
fn sends_and_broadcasts_are_calls() {
    let stage = with_ops(
        r#"
        holder shop call=a
        web is shop
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        svc > {"type":"serve","action":"b","credit":9}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"b","reply":false} 1
        web < {"type":"reply","id":1,"error":{"code":"denied","ran":"no"}}
        web > {"type":"request","id":2,"action":"b","broadcast":true} 1
        web < {"type":"reply","id":2,"error":{"code":"denied","ran":"no"}}
        web > {"type":"request","id":3,"action":"b","key":"k"} 1
        web < {"type":"reply","id":3,"error":{"code":"denied","ran":"no"}}
        web > {"type":"request","id":4,"action":"a","reply":false} 4
        web < {"type":"accepted","id":4}
        svc < {"type":"deliver","id":$s,"from":"shop/web"} 4
        web > {"type":"request","id":5,"action":"a","broadcast":true} 5
        svc < {"type":"deliver","id":$b,"from":"shop/web"} 5
        svc > {"type":"reply","id":$s}
        svc > {"type":"reply","id":$b} 6
        web < {"type":"reply","id":5,"part":true,"from":"ops/svc"} 6
        web < {"type":"reply","id":5,"gather":{"answered":1}}
        "#,
    );
    assert_eq!((stage.held().requests, stage.held().stored_replies), (0, 0));
}

/// With a store, too, nothing of what was refused is written down.
#[test]
fn nothing_of_a_refused_request_is_stored() {
    let stage = play_with(
        with_store,
        r#"
        holder shop call=a
        web is shop
        web > {"type":"request","id":1,"action":"b","durable":true,"reply":false} 1
        web < {"type":"reply","id":1,"error":{"code":"denied","ran":"no"}}
        web > {"type":"request","id":2,"action":"b","durable":true,"key":"k"} 1
        web < {"type":"reply","id":2,"error":{"code":"denied","ran":"no"}}
        web > {"type":"ack","replies":2}
        written
        saved
        "#,
    );
    assert!(stage.shelf.journal.is_empty() && stage.shelf.snapshot.is_empty());
    assert_eq!((stage.held().actions, stage.held().bytes), (0, 0));
}

/// Whether anybody serves it, or has its queue full, is nobody's business who may not call it.
#[test]
fn a_refusal_says_nothing_about_the_action() {
    let change = |settings: &mut Settings| settings.limits.requests_per_action = 1;
    let denied = |id: u64, name: &str| {
        format!(
            "web > {{\"type\":\"request\",\"id\":{id},\"action\":\"{name}\",\"ttl\":0}}\n\
             web < {{\"type\":\"reply\",\"id\":{id},\"error\":{{\"code\":\"denied\",\"retry_after\":null,\"message\":\
             \"shop may not call {name}: its key has no grant call = [\\\"{name}\\\"]\"}}}}\n"
        )
    };
    play_with(
        change,
        &format!(
            r#"{OPS}
            holder shop call=x
            web is shop
            svc > {{"type":"serve","action":"served","credit":1}}
            svc < {{"type":"serving"}}
            ops > {{"type":"request","id":1,"action":"full","reply":false}}
            ops < {{"type":"accepted"}}
            {}{}{}
            drain 1000
            svc < {{"type":"goaway"}}
            ops < {{"type":"goaway"}}
            web < {{"type":"goaway"}}
            {}
            "#,
            denied(1, "served"),
            denied(2, "full"),
            denied(3, "unknown"),
            denied(4, "served"),
        ),
    );
}

#[test]
fn serve_needs_a_grant() {
    let stage = play(
        r#"
        holder mail serve=mail.>
        svc is mail
        svc > {"type":"serve","action":"mail.send","credit":1}
        svc < {"type":"serving","action":"mail.send"}
        svc > {"type":"serve","action":"user.get","credit":1}
        svc < {"type":"error","code":"denied","action":"user.get","fatal":null,"message":"mail may not serve user.get: its key has no grant serve = [\"user.get\"]"}
        svc > {"type":"serve","action":"$echo","credit":1}
        svc < {"type":"error","code":"denied","action":"$echo","message":"names that start with…"}
        svc > {"type":"unserve","action":"user.get"}
        svc < {"type":"unserved"}
        "#,
    );
    assert_eq!(stage.held().actions, 1);
}

#[test]
fn publish_needs_a_grant() {
    with_ops(
        r#"
        holder shop publish=order.*
        web is shop
        ops > {"type":"subscribe","topic":">"}
        ops < {"type":"subscribed"}
        web > {"type":"publish","topic":"order.new","id":1} 1
        ops < {"type":"event","topic":"order.new","from":"shop/web"} 1
        web < {"type":"accepted","id":1}
        web > {"type":"publish","topic":"order.new.eu"} 2
        web < {"type":"error","code":"denied","topic":"order.new.eu","fatal":null,"message":"shop may not publish to order.new.eu: its key has no grant publish = [\"order.new.eu\"]"}
        web > {"type":"publish","topic":"user.new","id":2} 3
        web < {"type":"error","code":"denied","id":2}
        web > {"type":"publish","topic":"$events.x","id":3} 3
        web < {"type":"error","code":"denied","id":3,"message":"topics that start with…"}
        ops > {"type":"publish","topic":"$events.x","id":3} 3
        ops < {"type":"error","code":"denied","id":3,"message":"topics that start with…"}
        "#,
    );
}

#[test]
fn subscribe_needs_one_grant_that_covers_it() {
    let stage = with_ops(
        r#"
        holder shop subscribe=order.*,user.>
        web is shop
        web > {"type":"subscribe","topic":"order.new","group":"g"}
        web < {"type":"subscribed","topic":"order.new"}
        web > {"type":"subscribe","topic":"user.*.eu"}
        web < {"type":"subscribed","topic":"user.*.eu"}
        web > {"type":"subscribe","topic":"order.>"}
        web < {"type":"error","code":"denied","topic":"order.>","fatal":null,"message":"shop may not subscribe to order.>: its key has no grant subscribe = [\"order.>\"]"}
        web > {"type":"subscribe","topic":">"}
        web < {"type":"error","code":"denied","topic":">"}
        ops > {"type":"publish","topic":"order.new"} 1
        web < {"type":"event","topic":"order.new","from":"ops/ops"} 1
        ops > {"type":"publish","topic":"order.new.eu"} 2
        ops > {"type":"publish","topic":"secret"} 3
        web .
        "#,
    );
    assert_eq!(stage.held().subscriptions, 2);
}

/// `$echo` is for everybody; the rest for an admin, or for whom a grant names it.
#[test]
fn names_of_the_broker_need_admin_or_a_grant_that_names_them() {
    play(
        r#"
        holder shop call=> subscribe=>
        web is shop
        web > {"type":"request","id":1,"action":"$echo"} 1
        web < {"type":"reply","id":1,"error":null} 1
        web > {"type":"request","id":2,"action":"$stats"}
        web < {"type":"reply","id":2,"error":{"code":"denied","ran":"no","message":"shop may not call $stats: its key has no grant admin = true, nor call = [\"$stats\"]"}}
        web > {"type":"request","id":3,"action":"$nothing"}
        web < {"type":"reply","id":3,"error":{"code":"denied","message":"shop may not call $nothing: its key has no grant admin = true, nor call = [\"$nothing\"]"}}
        web > {"type":"request","id":4,"action":"$explain","reply":false} {"id":1}
        web < {"type":"reply","id":4,"error":{"code":"denied"}}
        web > {"type":"subscribe","topic":"$events.>"}
        web < {"type":"error","code":"denied","topic":"$events.>","message":"shop may not subscribe to $events.>: its key has no grant admin = true, nor subscribe = [\"$events.>\"]"}
        web > {"type":"subscribe","topic":">"}
        web < {"type":"subscribed"}
        holder ops admin
        ops is ops
        ops > {"type":"request","id":1,"action":"$stats"}
        ops < {"type":"reply","id":1,"error":null} …
        ops > {"type":"request","id":2,"action":"$nothing"}
        ops < {"type":"reply","id":2,"error":{"code":"no_handler"}}
        ops > {"type":"subscribe","topic":"$events.>"}
        ops < {"type":"subscribed"}
        ops > {"type":"request","id":3,"action":"a"}
        ops < {"type":"reply","id":3,"error":{"code":"denied"}}
        holder watch call=$stats subscribe=$events.*
        mon is watch
        mon > {"type":"request","id":1,"action":"$stats"}
        ops < {"type":"event","topic":"$events.client.connected","from":"server1"} …
        mon < {"type":"reply","id":1,"error":null} …
        mon > {"type":"request","id":2,"action":"$sessions"}
        mon < {"type":"reply","id":2,"error":{"code":"denied"}}
        mon > {"type":"subscribe","topic":"$events.x"}
        mon < {"type":"subscribed"}
        mon > {"type":"subscribe","topic":"$events.>"}
        mon < {"type":"error","code":"denied"}
        "#,
    );
}

/// Every place where a client is named has its holder in front, whatever the client calls itself.
#[test]
fn from_cannot_be_forged() {
    let mut stage = with_ops(
        r#"
        holder shop call=a publish=t
        other/x is shop
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        svc > {"type":"subscribe","topic":"t"}
        svc < {"type":"subscribed"}
        other/x > {"type":"request","id":1,"action":"a","info":true} 1
        svc < {"type":"deliver","from":"shop/other/x","id":$d} 1
        ops > {"type":"request","id":1,"action":"$explain"} {"client":2,"id":1}
        ops < {"type":"reply","id":1} {"client":2,"id":1,"text":"came 0 ms ago, 30000 ms left, its caller waits: handler `ops/svc` has had it for 0 ms"}
        svc > {"type":"reply","id":$d} 2
        other/x < {"type":"reply","id":1,"info":{"by":"ops/svc"}} 2
        other/x > {"type":"publish","topic":"t"} 3
        svc < {"type":"event","topic":"t","from":"shop/other/x"} 3
        ops > {"type":"request","id":2,"action":"$sessions"}
        ops < {"type":"reply","id":2} {"more":0,"sessions":[{"address":"127.0.0.1:5001","client":1,"connected":true,"holding":0,"is_server":false,"name":"ops/svc","serves":["a"],"serving":1,"subscriptions":1,"waiting":0},{"address":"127.0.0.1:5002","client":2,"connected":true,"holding":0,"is_server":false,"name":"shop/other/x","serves":[],"serving":0,"subscriptions":0,"waiting":0},{"address":"127.0.0.1:5003","client":3,"connected":true,"holding":0,"is_server":false,"name":"ops/ops","serves":[],"serving":0,"subscriptions":0,"waiting":0}]}
        other/x > {"type":"bye"}
        "#,
    );
    let notes = format!("{:?}", std::mem::take(&mut stage.notes));
    assert!(notes.contains(r#""shop/other/x""#) && !notes.contains(r#""other/x""#), "{notes}");
}

/// `from` is a name like others, of 255 bytes at most, so that every client can read it.
#[test]
fn a_name_must_have_room_for_its_holder() {
    let (fits, long) = ("n".repeat(250), "n".repeat(251));
    play(&format!(
        r#"
        holder shop admin
        {fits} is shop
        {fits} > {{"type":"request","id":1,"action":"$echo"}}
        {fits} < {{"type":"reply","id":1}}
        "#
    ));
    let mut stage = play("holder shop admin\nweb is shop");
    stage.open("web", 7);
    stage.play(&format!(
        r#"
        web > {{"type":"hello","protocol":[1,1],"name":"{long}","session":"00000000000000000000000000000007"}}
        web < {{"type":"error","code":"bad_request","fatal":true,"message":"this client's name behind `shop/` is 251 bytes long, the most allowed is 250; choose a shorter one"}}
        web closed
        "#
    ));
    assert_eq!(stage.held().sessions, 0);
}

const SAYS_SESSION_1: &str =
    r#"{"type":"hello","protocol":[1,1],"name":"web","session":"00000000000000000000000000000001"}"#;

/// A session is a secret, but should it leak: under another holder the same words name another session.
#[test]
fn a_session_is_not_taken_over_by_another_holder() {
    let mut stage = with_ops(
        r#"
        holder shop call=a
        holder evil call=a serve=a
        web is shop
        eve is evil
        web > {"type":"request","id":1,"action":"a","timeout":90000} 1
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d} 1
        "#,
    );
    stage.open("eve", 1);
    stage.play(&format!(
        r#"
        eve > {SAYS_SESSION_1}
        eve < {{"type":"welcome","resumed":false,"session":"00000000000000000000000000000001"}}
        web .
        eve > {{"type":"resume","holding":[$d]}}
        eve < {{"type":"cancel","id":$d}}
        eve > {{"type":"reply","id":$d}} "forged"
        eve > {{"type":"cancel","id":1}}
        web breaks
        eve > {{"type":"request","id":1,"action":"a","again":true,"ttl":5}} 1
        svc > {{"type":"reply","id":$d}} 2
        svc < {{"type":"deliver","from":"evil/web","id":$e}} 1
        web returns
        web < {{"type":"welcome","resumed":true,"session":"00000000000000000000000000000001"}}
        web > {{"type":"request","id":1,"action":"a"}} 1
        web < {{"type":"reply","id":1}} 2
        svc > {{"type":"reply","id":$e}} 3
        eve < {{"type":"reply","id":1}} 3
        eve > {{"type":"bye"}}
        web > {{"type":"ping"}}
        web < {{"type":"pong"}}
        "#
    ));
    assert_eq!(stage.held().sessions, 2, "those of web and svc");
}

/// Two keys of one holder are the same holder: so a key can be replaced without a gap.
#[test]
fn a_session_goes_on_with_another_key_of_its_holder() {
    play(
        r#"
        holder shop admin
        web is shop
        web > {"type":"ping"}
        web < {"type":"pong"}
        web loses its key
        web < {"type":"error","code":"denied","fatal":true,"message":"the key of this connection was removed from this server; connect with another key of `shop`"}
        web closed
        web returns
        web < {"type":"welcome","resumed":true}
        "#,
    );
}

/// The store knows sessions by holder without knowing holders: after a restart everything finds its owner again, and nobody else does.
#[test]
fn sessions_of_holders_go_on_after_a_restart() {
    let says_session_2 = SAYS_SESSION_1.replace("01\"", "02\"");
    for durable in ["", r#","durable":true"#] {
        let mut stage = play_with(
            with_store,
            &format!(
                r#"{OPS}
                holder shop call=a
                holder evil call=a
                web is shop
                eve is evil
                svc > {{"type":"serve","action":"a","credit":4}}
                svc < {{"type":"serving"}}
                web > {{"type":"request","id":1,"action":"a"{durable}}} 1
                written
                web > {{"type":"request","id":2,"action":"a"{durable}}} 2
                written
                svc < {{"type":"deliver","id":$d}} 1
                svc < {{"type":"deliver","id":$e}} 2
                web breaks
                svc > {{"type":"reply","id":$d}} "done"
                written
                saved
                killed
                "#
            ),
        );
        stage.open("eve", 2);
        stage.play(&format!(
            r#"
            eve > {says_session_2}
            eve < {{"type":"welcome","resumed":false,"restarted":true}}
            eve > {{"type":"resume","holding":[]}}
            svc returns
            svc < {{"type":"welcome","restarted":true}}
            svc > {{"type":"resume","holding":[$e]}}
            svc > {{"type":"serve","action":"a","credit":4}}
            svc < {{"type":"serving"}}
            web returns
            web < {{"type":"welcome","restarted":true,"session":"00000000000000000000000000000002"}}
            web > {{"type":"resume","holding":[]}}
            web > {{"type":"request","id":1,"action":"a","again":true{durable}}} 1
            web < {{"type":"reply","id":1}} "done"
            web > {{"type":"request","id":2,"action":"a","again":true{durable}}} 2
            svc > {{"type":"reply","id":$e}} "too"
            written
            web < {{"type":"reply","id":2}} "too"
            written
            "#
        ));
    }
}

/// What was accepted stays accepted; what is announced and was not is judged by the rights of now, and may have run.
#[test]
fn a_restart_forgets_no_request_that_was_accepted() {
    let mut stage = play_with(
        with_store,
        r#"
        holder shop call=a,b
        holder ops serve=>
        web is shop
        svc is ops
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        written
        web > {"type":"request","id":2,"action":"b"} 2
        killed
        holder shop call=c
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a","durable":true,"again":true} 1
        web > {"type":"request","id":2,"action":"b","again":true} 2
        web < {"type":"reply","id":2,"error":{"code":"handler_lost","ran":"maybe","message":"denied…"}}
        web > {"type":"request","id":3,"action":"a"} 3
        web < {"type":"reply","id":3,"error":{"code":"denied","ran":"no"}}
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        written
        svc < {"type":"deliver","id":$d,"from":"shop/web"} 1
        svc > {"type":"reply","id":$d} 5
        written
        web < {"type":"reply","id":1} 5
        web > {"type":"ack","replies":3}
        written
        "#,
    );
    stage.pass(1_000);
}

/// A key belongs to its holder. Were it not so, who guesses one would read what another was answered.
#[test]
fn idempotency_keys_belong_to_holders() {
    for end in ["", "saved\nkilled"] {
        play_with(
            with_store,
            &format!(
                r#"{OPS}
                holder shop call=a
                holder evil call=a
                web is shop
                app is shop
                eve is evil
                svc > {{"type":"serve","action":"a","credit":9}}
                svc < {{"type":"serving"}}
                web > {{"type":"request","id":1,"action":"a","key":"k"}} 1
                svc < {{"type":"deliver","id":$d,"from":"shop/web"}} 1
                eve > {{"type":"request","id":1,"action":"a","key":"k"}} 1
                svc < {{"type":"deliver","id":$e,"from":"evil/eve"}} 1
                app > {{"type":"request","id":1,"action":"a","key":"k"}} 1
                svc .
                svc > {{"type":"reply","id":$d}} "shop's"
                web < {{"type":"reply","id":1}} "shop's"
                app < {{"type":"reply","id":1}} "shop's"
                svc > {{"type":"reply","id":$e}} "evil's"
                eve < {{"type":"reply","id":1}} "evil's"
                {end}
                mal is evil
                mal > {{"type":"request","id":2,"action":"a","key":"k"}} 1
                mal < {{"type":"reply","id":2}} "evil's"
                bob is shop
                bob > {{"type":"request","id":2,"action":"a","key":"k"}} 1
                bob < {{"type":"reply","id":2}} "shop's"
                bob > {{"type":"request","id":3,"action":"a","key":"k"}} 2
                bob < {{"type":"reply","id":3,"error":{{"code":"conflict"}}}}
                "#
            ),
        );
    }
}

/// A call that runs under a key, of the life before.
#[test]
fn a_key_that_runs_over_a_restart_belongs_to_its_holder() {
    play_with(
        with_store,
        r#"
        holder shop call=a
        holder evil call=a
        holder ops serve=a
        web is shop
        eve is evil
        svc is ops
        web > {"type":"request","id":1,"action":"a","key":"k","reply":false,"durable":true} 1
        written
        web < {"type":"accepted","id":1}
        killed
        eve > {"type":"request","id":1,"action":"a","key":"k"} 2
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        written
        svc < {"type":"deliver","id":$e,"from":"evil/eve"} 2
        svc < {"type":"deliver","id":$d,"from":"shop/web"} 1
        svc > {"type":"reply","id":$d} "shop's"
        svc > {"type":"reply","id":$e} "evil's"
        eve < {"type":"reply","id":1} "evil's"
        written
        "#,
    );
}

/// Without keys everybody may do everything, under the name that he gives himself.
#[test]
fn a_server_without_keys_asks_nobody() {
    play(
        r#"
        svc > {"type":"serve","action":"a","credit":9}
        svc < {"type":"serving"}
        shop/web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","from":"shop/web"} 1
        shop/web > {"type":"request","id":2,"action":"$stats"}
        shop/web < {"type":"reply","id":2,"error":null} …
        shop/web > {"type":"subscribe","topic":"$events.>"}
        shop/web < {"type":"subscribed"}
        "#,
    );
}
