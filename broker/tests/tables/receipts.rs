//! When a handler may forget its reply: not before a restart could not lose it.

use crate::durable::with_store;
use crate::script::play_with;

const CALL: &str = r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
"#;

#[test]
fn not_before_the_caller_has_it() {
    play_with(
        with_store,
        &format!(
            r#"
            {CALL}
            svc > {{"type":"reply","id":$d}} 1
            web < {{"type":"reply","id":1}} 1
            +1000
            web > {{"type":"ack","replies":1}}
            +250
            svc < {{"type":"ack","replies":1}}
            "#
        ),
    );
    let mut stage = play_with(
        with_store,
        &format!("{CALL}\nsvc > {{\"type\":\"reply\",\"id\":$d}} 1\nweb < {{\"type\":\"reply\"}} 1"),
    );
    stage.pass(5_000);
    assert_eq!(stage.acks_heard("svc"), 0, "its caller has not acknowledged it");
}

#[test]
fn or_the_snapshot_has_it_for_a_caller_that_is_away() {
    play_with(
        with_store,
        &format!(
            r#"
            {CALL}
            web breaks
            svc > {{"type":"reply","id":$d}} 1
            saved
            +250
            svc < {{"type":"ack","replies":1}}
            "#
        ),
    );
}

#[test]
fn or_the_end_of_a_send_is_on_disk() {
    for (durable, disk) in [(r#","durable":true"#, "written"), ("", "saved")] {
        let mut stage = play_with(
            with_store,
            &format!(
                r#"
                web > {{"type":"request","id":1,"action":"a","reply":false{durable}}} 1
                written
                web < {{"type":"accepted","id":1}}
                saved
                svc > {{"type":"serve","action":"a","credit":4}}
                svc < {{"type":"serving"}}
                written
                svc < {{"type":"deliver","id":$d}} 1
                svc > {{"type":"reply","id":$d}}
                "#
            ),
        );
        stage.pass(5_000);
        assert_eq!(stage.acks_heard("svc"), 0, "{disk}");
        stage.play(&format!(
            r#"
            {disk}
            +250
            svc < {{"type":"ack","replies":1}}
            "#
        ));
    }
}

/// What no store ever heard of needs nobody.
#[test]
fn at_once_for_a_send_that_came_and_went() {
    play_with(
        with_store,
        r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","reply":false} 1
        web < {"type":"accepted","id":1}
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d}
        +250
        svc < {"type":"ack","replies":1}
        "#,
    );
}

/// A copy names a delivery that has been answered, and nothing needs it; but the first one can still be lost.
#[test]
fn not_for_a_copy_on_a_new_connection_before_the_first_one() {
    let mut stage = play_with(
        with_store,
        &format!(
            r#"
            {CALL}
            svc > {{"type":"reply","id":$d}} 1
            web < {{"type":"reply","id":1}} 1
            svc breaks
            svc returns
            svc < {{"type":"welcome","resumed":true}}
            svc > {{"type":"reply","id":$d}} 1
            svc > {{"type":"resume","holding":[]}}
            "#
        ),
    );
    stage.pass(1_000);
    assert_eq!(stage.acks_heard("svc"), 0, "the caller has not acknowledged the first one");
    stage.play(
        r#"
        web > {"type":"ack","replies":1}
        +250
        svc < {"type":"ack","replies":1}
        "#,
    );
}
