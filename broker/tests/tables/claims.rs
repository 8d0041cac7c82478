//! What is said after a restart about deliveries that nobody knows yet, by those who have no right to them.

use crate::durable::with_store;
use crate::script::{Stage, play_with};
use answerback_broker::Settings;

/// Not known to the store: the handler says what became of it before the caller speaks.
const BEFORE: &str = r#"
    holder ops call=> serve=>
    holder shop call=a
    svc is ops
    web is shop
    svc > {"type":"serve","action":"a","credit":4}
    svc < {"type":"serving"}
    web > {"type":"request","id":1,"action":"a"} 1
    svc < {"type":"deliver","id":$d} 1
"#;

const ANSWERS: &str = r#"
    svc returns
    svc < {"type":"welcome","restarted":true}
    svc > {"type":"resume","holding":[$d]}
    svc > {"type":"reply","id":$d} "done"
"#;

const ANNOUNCES: &str = r#"
    web returns
    web < {"type":"welcome","restarted":true}
    web > {"type":"resume","holding":[]}
    web > {"type":"request","id":1,"action":"a","again":true} 1
    web < {"type":"reply","id":1} "done"
"#;

fn small(settings: &mut Settings) {
    with_store(settings);
    settings.limits.kept_reply_bytes_in_all = 8_192;
    settings.limits.kept_reply_bytes_per_session = 1_024;
    settings.limits.kept_replies_per_session = 2;
}

/// The room for what handlers say before their callers come was for everybody: who had no right to serve anything filled it, and real answers were
/// lost. Nor does one who may serve something get all of it.
#[test]
fn nobody_fills_the_room_for_what_handlers_say() {
    for (rights, cancels) in [("call=a", true), ("serve=b", false)] {
        let mut stage = play_with(small, &format!("{BEFORE} killed\n holder evil {rights}\n eve is evil"));
        for id in 1..=20 {
            stage.play(&format!(r#"eve > {{"type":"reply","id":{id}}} "mine""#));
        }
        if cancels {
            let held = r#"eve > {"type":"resume","holding":[30]}"#;
            stage.play(&format!("{held}\n eve < {}", r#"{"type":"cancel","id":30}"#));
        }
        stage.play(&format!("{ANSWERS} {ANNOUNCES}"));
    }
}

/// Who may not serve an action has not run it either, whatever it says, before its caller speaks or after.
#[test]
fn only_who_may_serve_it_can_have_a_delivery_of_the_life_before() {
    let takes = r#"
        holder evil serve=b
        eve is evil
        eve > {"type":"resume","holding":[$d]}
        EARLY
        eve > {"type":"reply","id":$d} "mine"
    "#;
    let cancelled = r#"eve < {"type":"cancel","id":$d}"#;
    // The store knew of it, so that it is clear at once.
    let mut stage: Stage = play_with(with_store, &format!("{BEFORE} saved\n killed"));
    stage.play(&format!("{} {ANSWERS} {ANNOUNCES}", takes.replace("EARLY", cancelled)));
    // It did not: when the caller announces it, it waits for a handler like one that is new.
    let mut stage = play_with(with_store, &format!("{BEFORE} killed {}", takes.replace("EARLY", "")));
    stage.play(
        r#"
        web returns
        web < {"type":"welcome","restarted":true}
        web > {"type":"resume","holding":[]}
        web > {"type":"request","id":1,"action":"a","again":true} 1
        web .
        "#,
    );
    stage.play(&format!("{ANSWERS} web < {}", r#"{"type":"reply","id":1} "done""#));
}
