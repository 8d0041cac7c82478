//! Events cross links once, and only where somebody wants them.

use crate::world::{World, play};

fn events_said(world: &World, server: &str) -> usize {
    world.servers[server].said.iter().filter(|kind| *kind == "event").count()
}

#[test]
fn an_event_reaches_whoever_wants_it_on_other_servers() {
    let mut world = play(
        r#"
        A - B
        B - C
        ear@C > {"type":"subscribe","topic":"order.>"}
        ear@C < {"type":"subscribed"}
        +50
        web@A > {"type":"publish","topic":"order.new","id":1} {"n":1}
        web@A < {"type":"accepted","id":1}
        ear@C < {"type":"event","topic":"order.new","from":"web","course":null} {"n":1}
        web@A > {"type":"publish","topic":"other","id":2}
        web@A < {"type":"accepted","id":2}
        "#,
    );
    assert_eq!((events_said(&world, "A"), events_said(&world, "B"), events_said(&world, "C")), (1, 1, 0));
    world.play(
        r#"
        ear@C > {"type":"unsubscribe","topic":"order.>"}
        ear@C < {"type":"unsubscribed"}
        +50
        web@A > {"type":"publish","topic":"order.new","id":3}
        web@A < {"type":"accepted","id":3}
        "#,
    );
    assert_eq!(events_said(&world, "A"), 1, "nobody wants it there any more");
}

#[test]
fn in_a_mesh_an_event_crosses_each_link_once() {
    let world = play(
        r#"
        A - B
        B - C
        C - A
        a@A > {"type":"subscribe","topic":"t"}
        a@A < {"type":"subscribed"}
        b@B > {"type":"subscribe","topic":"*"}
        b@B < {"type":"subscribed"}
        b@B > {"type":"subscribe","topic":"t"}
        b@B < {"type":"subscribed"}
        c@C > {"type":"subscribe","topic":">"}
        c@C < {"type":"subscribed"}
        +50
        web@A > {"type":"publish","topic":"t"} 1
        a@A < {"type":"event"} 1
        b@B < {"type":"event"} 1
        c@C < {"type":"event"} 1
        "#,
    );
    assert_eq!((events_said(&world, "A"), events_said(&world, "B"), events_said(&world, "C")), (2, 0, 0));
}

#[test]
fn in_a_ring_where_two_ways_meet_an_event_is_heard_once() {
    play(
        r#"
        A - B
        B - C
        C - D
        D - A
        b@B > {"type":"subscribe","topic":"t"}
        b@B < {"type":"subscribed"}
        d@D > {"type":"subscribe","topic":"t"}
        d@D < {"type":"subscribed"}
        c@C > {"type":"subscribe","topic":"t"}
        c@C < {"type":"subscribed"}
        +50
        web@A > {"type":"publish","topic":"t"} 1
        b@B < {"type":"event"} 1
        c@C < {"type":"event"} 1
        d@D < {"type":"event"} 1
        "#,
    );
}

#[test]
fn one_member_of_a_group_hears_it_wherever_it_is() {
    play(
        r#"
        A - B
        B - C
        C - A
        b@B > {"type":"subscribe","topic":"t","group":"g"}
        b@B < {"type":"subscribed"}
        +50
        web@A > {"type":"publish","topic":"t"} 1
        b@B < {"type":"event","group":"g"} 1
        a@A > {"type":"subscribe","topic":"t","group":"g"}
        a@A < {"type":"subscribed"}
        +50
        web@A > {"type":"publish","topic":"t"} 2
        a@A < {"type":"event","group":"g"} 2
        web@C > {"type":"publish","topic":"t"} 3
        web@C > {"type":"publish","topic":"t"} 4
        a@A < {"type":"event","group":"g"} 3
        b@B < {"type":"event","group":"g"} 4
        "#,
    );
}

#[test]
fn what_a_server_tells_of_itself_stays_there() {
    play(
        r#"
        ear@A > {"type":"subscribe","topic":"$events.>"}
        ear@A < {"type":"subscribed"}
        A - B
        ear@A < {"type":"event","topic":"$events.client.connected"} …
        ear@A < {"type":"event","topic":"$events.peer.up"} {"node":"00000000000002","server":"B"}
        +50
        new@B > {"type":"ping"}
        new@B < {"type":"pong"}
        A x B
        ear@A < {"type":"event","topic":"$events.peer.down"} …
        ear@A < {"type":"event","topic":"$events.client.disconnected"} …
        "#,
    );
}

#[test]
fn after_a_break_what_is_wanted_is_told_again() {
    play(
        r#"
        A - B
        ear@B > {"type":"subscribe","topic":"t"}
        ear@B < {"type":"subscribed"}
        A x B
        web@A > {"type":"publish","topic":"t"} 1
        A - B
        +50
        web@A > {"type":"publish","topic":"t"} 2
        ear@B < {"type":"event"} 2
        "#,
    );
}
