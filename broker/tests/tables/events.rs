//! Publish and subscribe.

use crate::script::play;

/// Seeds 50, 51, 53: subscribers get what they asked for, once.
#[test]
fn s19_each_event_reaches_each_subscriber_once() {
    play(
        r#"
        all > {"type":"subscribe","topic":">"}
        all < {"type":"subscribed","topic":">","group":null}
        all > {"type":"subscribe","topic":"orders.*"}
        all < {"type":"subscribed","topic":"orders.*"}
        one > {"type":"subscribe","topic":"orders.new"}
        one < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"orders.*.eu"}
        two < {"type":"subscribed"}
        pub > {"type":"publish","topic":"orders.new"} 1
        all < {"type":"event","topic":"orders.new","from":"pub"} 1
        one < {"type":"event","topic":"orders.new"} 1
        pub > {"type":"publish","topic":"orders.new.eu","id":4} 2
        pub < {"type":"accepted","id":4}
        all < {"type":"event","topic":"orders.new.eu"} 2
        two < {"type":"event","topic":"orders.new.eu"} 2
        pub > {"type":"publish","topic":"orders"} 3
        all < {"type":"event","topic":"orders"} 3
        "#,
    );
}

/// Seed 52: subscriptions change at run time, with confirmation.
#[test]
fn unsubscribe_ends_it() {
    let stage = play(
        r#"
        one > {"type":"subscribe","topic":"a.>"}
        one < {"type":"subscribed"}
        one > {"type":"unsubscribe","topic":"a.>"}
        one < {"type":"unsubscribed","topic":"a.>"}
        pub > {"type":"publish","topic":"a.b"}
        "#,
    );
    assert_eq!(stage.held().subscriptions, 0);
}

#[test]
fn of_a_group_one_member_gets_each_event() {
    play(
        r#"
        one > {"type":"subscribe","topic":"a","group":"g"}
        one < {"type":"subscribed","group":"g"}
        two > {"type":"subscribe","topic":"a","group":"g"}
        two < {"type":"subscribed"}
        pub > {"type":"publish","topic":"a"} 1
        pub > {"type":"publish","topic":"a"} 2
        pub > {"type":"publish","topic":"a"} 3
        two < {"type":"event"} 1
        one < {"type":"event"} 2
        two < {"type":"event"} 3
        one breaks
        pub > {"type":"publish","topic":"a"} 4
        two < {"type":"event"} 4
        "#,
    );
}

/// At most once, never queued for the absent.
#[test]
fn events_are_not_kept_for_a_session_that_is_away() {
    play(
        r#"
        one > {"type":"subscribe","topic":"a"}
        one < {"type":"subscribed"}
        one breaks
        pub > {"type":"publish","topic":"a"} 1
        one returns
        one < {"type":"welcome","resumed":true}
        pub > {"type":"publish","topic":"a"} 2
        one < {"type":"event","topic":"a"} 2
        "#,
    );
}

#[test]
fn topics_must_be_tokens_between_dots() {
    play(
        r#"
        one > {"type":"subscribe","topic":"a..b"}
        one < {"type":"error","code":"bad_request"}
        one > {"type":"publish","topic":"a.*"}
        one < {"type":"error","code":"bad_request"}
        "#,
    );
}
