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

/// A client in a group that also subscribes without one hears an event for each of the two, and which is which.
#[test]
fn an_event_says_for_which_group_it_came() {
    play(
        r#"
        one > {"type":"subscribe","topic":"a"}
        one < {"type":"subscribed"}
        one > {"type":"subscribe","topic":"*","group":"g"}
        one < {"type":"subscribed"}
        pub > {"type":"publish","topic":"a"} 1
        one < {"type":"event","topic":"a","group":null} 1
        one < {"type":"event","topic":"a","group":"g"} 1
        one .
        "#,
    );
}

/// Seed 60: to one client, by its public number, if it is there and subscribes.
#[test]
fn an_event_may_be_for_one_client() {
    play(
        r#"
        one > {"type":"subscribe","topic":"a"}
        one < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"a","group":"g"}
        two < {"type":"subscribed"}
        pub > {"type":"publish","topic":"a","to":1,"id":1} 1
        one < {"type":"event","topic":"a","from":"pub"} 1
        pub < {"type":"accepted","id":1}
        pub > {"type":"publish","topic":"a","to":2,"id":2} 2
        two < {"type":"event","topic":"a","group":"g"} 2
        pub < {"type":"accepted","id":2}
        pub > {"type":"publish","topic":"b","to":2,"id":3} 3
        pub < {"type":"error","code":"no_handler","id":3,"message":"client 2 is not here, or does not subscribe to `b`; it got nothing"}
        one breaks
        pub > {"type":"publish","topic":"a","to":1,"id":4} 4
        pub < {"type":"error","code":"no_handler","id":4}
        pub > {"type":"publish","topic":"a","to":9007199254740991} 5
        pub .
        two .
        "#,
    );
}

/// Seed 56: whether a publisher hears itself is its choice.
#[test]
fn a_publisher_may_leave_itself_out() {
    play(
        r#"
        one > {"type":"subscribe","topic":"a"}
        one < {"type":"subscribed"}
        two > {"type":"subscribe","topic":"a"}
        two < {"type":"subscribed"}
        one > {"type":"publish","topic":"a","others":true} 1
        two < {"type":"event","topic":"a"} 1
        one > {"type":"publish","topic":"a"} 2
        one < {"type":"event","topic":"a"} 2
        two < {"type":"event","topic":"a"} 2
        one .
        "#,
    );
}

/// Who was away can count what it missed.
#[test]
fn subscribed_says_how_many_events_there_were() {
    play(
        r#"
        one > {"type":"subscribe","topic":"a"}
        one < {"type":"subscribed","events":0}
        pub > {"type":"publish","topic":"a"} 1
        one < {"type":"event"} 1
        one breaks
        pub > {"type":"publish","topic":"a"} 2
        pub > {"type":"publish","topic":"a"} 3
        one returns
        one < {"type":"welcome","resumed":true}
        pub > {"type":"publish","topic":"a"} 4
        one < {"type":"event"} 4
        one > {"type":"subscribe","topic":"a"}
        one < {"type":"subscribed","events":4}
        "#,
    );
}

/// Seed 62: who comes and goes, and what is served, told by the broker itself.
#[test]
fn the_broker_tells_of_its_own_life() {
    play(
        r#"
        early > {"type":"serve","action":"known","credit":1}
        early < {"type":"serving"}
        watch > {"type":"subscribe","topic":"$events.>"}
        watch < {"type":"subscribed"}
        web > {"type":"serve","action":"a","credit":1}
        watch < {"type":"event","topic":"$events.client.connected","from":"server1"} …
        web < {"type":"serving"}
        watch < {"type":"event","topic":"$events.action.online"} {"action":"a"}
        web > {"type":"serve","action":"known","credit":1}
        web < {"type":"serving"}
        web breaks
        watch < {"type":"event","topic":"$events.client.disconnected"} …
        watch < {"type":"event","topic":"$events.action.offline"} {"action":"a"}
        web returns
        web < {"type":"welcome"}
        watch < {"type":"event","topic":"$events.client.connected"} …
        watch < {"type":"event","topic":"$events.action.online"} {"action":"a"}
        web > {"type":"unserve","action":"a"}
        web < {"type":"unserved"}
        watch < {"type":"event","topic":"$events.action.offline"} {"action":"a"}
        web > {"type":"bye"}
        watch < {"type":"event","topic":"$events.client.disconnected"} …
        watch > {"type":"unsubscribe","topic":"$events.>"}
        watch < {"type":"unsubscribed"}
        early > {"type":"bye"}
        watch .
        "#,
    );
}
