//! Durable requests: on disk before they are accepted or delivered, refused when the disk fails.

use crate::script::{Stage, play_with};
use answerback_broker::{Input, Item, Settings, StoreNews};

pub(crate) fn with_store(settings: &mut Settings) {
    settings.has_store = true;
}

#[test]
fn a_durable_send_is_on_disk_before_it_is_accepted_or_delivered() {
    let stage = play_with(
        with_store,
        r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","durable":true,"reply":false} {"n":1}
        web .
        svc .
        written
        web < {"type":"accepted","id":1}
        svc < {"type":"deliver","id":$d,"attempt":1} {"n":1}
        svc > {"type":"reply","id":$d}
        written
        "#,
    );
    assert!(stage.shelf.journal.is_empty(), "{:?}", stage.shelf.journal);
}

/// The step that puts it says already that a handler is about to get it: one sync, and no doubt after a crash.
#[test]
fn a_free_handler_makes_it_one_step() {
    let mut stage = play_with(
        with_store,
        r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        written
        svc < {"type":"deliver"} 1
        "#,
    );
    let Some(Item::Request(saved)) = stage.shelf.journal.values().next().cloned() else { panic!("it is there") };
    assert!(saved.progress.delivered && saved.progress.attempt == 1 && saved.durable);
    // Its session is the first one.
    assert_eq!(saved.progress.handler, Some(1));
    assert!(stage.broker.take_steps().is_none());
}

/// A queued one is marked before it goes to a handler: a server that dies in between knows that it may have run.
#[test]
fn one_that_waited_is_marked_before_it_is_delivered() {
    play_with(
        with_store,
        r#"
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        web > {"type":"request","id":2,"action":"a","durable":true} 2
        written
        web > {"type":"request","id":3,"action":"a"} 3
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc .
        written
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d} "one"
        web < {"type":"reply","id":1} "one"
        written
        svc < {"type":"deliver","id":$e} 2
        svc > {"type":"reply","id":$e}
        web < {"type":"reply","id":2}
        svc < {"type":"deliver"} 3
        "#,
    );
}

#[test]
fn when_the_disk_fails_it_is_refused_and_others_go_on() {
    let mut stage = play_with(
        with_store,
        r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        web > {"type":"request","id":2,"action":"a","durable":true,"reply":false} 2
        refused
        web < {"type":"reply","id":1,"error":{"code":"unavailable","ran":"no"}}
        web < {"type":"reply","id":2,"error":{"code":"unavailable","ran":"no"}}
        web > {"type":"request","id":3,"action":"a"} 3
        svc < {"type":"deliver","id":$d} 3
        svc > {"type":"reply","id":$d} 3
        web < {"type":"reply","id":3} 3
        "#,
    );
    let failing = StoreNews::Health { takes_durable: false, unsaved_since: Some(stage.now) };
    stage.input(Input::Store(failing));
    stage.play(
        r#"
        web > {"type":"request","id":4,"action":"a","durable":true}
        web < {"type":"reply","id":4,"error":{"code":"unavailable","ran":"no"}}
        +500
        web > {"type":"request","id":5,"action":"$stats"}
        web < {"type":"reply","id":5} …
        "#,
    );
    stage.input(Input::Store(StoreNews::Health { takes_durable: true, unsaved_since: None }));
    stage.play(
        r#"
        web > {"type":"request","id":6,"action":"a","durable":true} 6
        written
        svc < {"type":"deliver"} 6
        "#,
    );
    assert_eq!(stage.shelf.journal.len(), 1);
}

#[test]
fn durable_by_setting() {
    let mut stage = play_with(
        |settings| {
            with_store(settings);
            settings.durable_actions = vec!["billing.>".to_owned()];
        },
        r#"
        web > {"type":"request","id":1,"action":"billing.pay","reply":false}
        web .
        web > {"type":"request","id":2,"action":"billing","reply":false}
        web < {"type":"accepted","id":2}
        web > {"type":"request","id":3,"action":"billing.pay","broadcast":true}
        web < {"type":"reply","id":3,"error":{"code":"no_handler"}}
        written
        web < {"type":"accepted","id":1}
        "#,
    );
    assert_eq!(stage.shelf.journal.len(), 1);
    assert!(stage.broker.take_steps().is_none());
}

/// Durable requests that cannot be marked leave the queue to the others, and come first when the disk is well again.
#[test]
fn a_disk_that_fails_holds_up_nobody_else() {
    let mut stage = play_with(
        with_store,
        r#"
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        web > {"type":"request","id":2,"action":"a","durable":true} 2
        written
        web > {"type":"request","id":3,"action":"a"} 3
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc .
        refused
        svc .
        "#,
    );
    stage.input(Input::Store(StoreNews::Health { takes_durable: false, unsaved_since: Some(stage.now) }));
    stage.play(
        r#"
        svc < {"type":"deliver","id":$c} 3
        "#,
    );
    stage.input(Input::Store(StoreNews::Health { takes_durable: true, unsaved_since: None }));
    stage.play(
        r#"
        written
        svc > {"type":"reply","id":$c}
        web < {"type":"reply","id":3}
        written
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d}
        web < {"type":"reply","id":1}
        written
        svc < {"type":"deliver"} 2
        "#,
    );
}

/// The credit that waited for it is free for others at once.
#[test]
fn one_that_ends_while_it_is_marked_leaves_its_place() {
    play_with(
        with_store,
        r#"
        web > {"type":"request","id":1,"action":"a","durable":true} 1
        written
        web > {"type":"request","id":2,"action":"a"} 2
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc .
        web > {"type":"cancel","id":1}
        web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"no"}}
        svc < {"type":"deliver"} 2
        "#,
    );
}

/// What is being written can be cancelled, run out of time or lose its caller; then it must not stay on disk.
#[test]
fn one_that_ends_while_it_is_written_does_not_stay() {
    for (how, answer) in [
        (
            r#"web > {"type":"cancel","id":1}"#,
            r#"web < {"type":"reply","id":1,"error":{"code":"cancelled","ran":"no"}}"#,
        ),
        ("+60", r#"web < {"type":"reply","id":1,"error":{"ran":"no"}}"#),
        (r#"web > {"type":"bye"}"#, "web closed"),
    ] {
        let mut stage = Stage::new(Settings { has_store: true, ..Settings::default() });
        stage.play(&format!(
            r#"
            web > {{"type":"request","id":1,"action":"a","durable":true,"timeout":50}}
            {how}
            {answer}
            written
            "#
        ));
        // All that may be left is what its caller was told.
        let left = stage.shelf.journal.values().filter(|item| !matches!(item, Item::Kept(_))).count();
        assert_eq!((left, stage.held().requests), (0, 0), "{how}");
    }
}

/// The reply to a durable call is part of the step that ends it, and stays until its caller has it.
#[test]
fn a_reply_is_kept_on_disk_until_it_is_acknowledged() {
    let mut stage = play_with(
        with_store,
        r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a","durable":true,"key":"k"} 1
        written
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d} "one"
        web < {"type":"reply","id":1} "one"
        written
        "#,
    );
    let kinds: Vec<_> = stage.shelf.journal.values().map(|item| matches!(item, Item::Kept(_))).collect();
    assert_eq!(kinds.len(), 2, "the reply for the caller, and the one under the key");
    stage.play(
        r#"
        web > {"type":"ack","replies":1}
        written
        "#,
    );
    assert!(matches!(stage.shelf.journal.values().collect::<Vec<_>>()[..], [Item::Stored(_)]));
}

/// Somebody who joins a call that is not durable, and says `durable`, waits until it is.
#[test]
fn joining_makes_the_first_durable() {
    let stage = play_with(
        with_store,
        r#"
        web > {"type":"request","id":1,"action":"a","key":"k"} 1
        bob > {"type":"request","id":1,"action":"a","key":"k","durable":true,"reply":false} 1
        bob .
        written
        bob < {"type":"accepted","id":1}
        "#,
    );
    assert_eq!(stage.shelf.journal.len(), 1);
}

/// With `ttl:0` it is taken because a handler is free. That the disk takes a moment is not its fault.
#[test]
fn a_ttl_of_nothing_is_not_used_up_by_the_disk() {
    play_with(
        with_store,
        r#"
        web > {"type":"request","id":1,"action":"a","durable":true,"ttl":0}
        web < {"type":"reply","id":1,"error":{"code":"no_handler"}}
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        web > {"type":"request","id":2,"action":"a","durable":true,"ttl":0} 2
        +5
        written
        svc < {"type":"deliver"} 2
        "#,
    );
}
