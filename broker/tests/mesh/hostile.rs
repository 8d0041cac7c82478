//! A server that lies, or has a fault, and clients that say what only servers say: the others go on, and what they hold stays bounded.
//!
//! `bad` is played by the script: it says `hello` with a node, answers with `welcome`, and then says what no sound server would.

use crate::world::{World, play, play_with};

/// The first words of a server that the script plays.
const UP: &str = r#"
    bad@A is server 99
    bad@A > {"type":"welcome","protocol":1,"server":"bad","session":"00000000000000000000000000000001","resumed":false,"heartbeat":15000,"grace":10000,"max_frame":1000000}
    bad@A < {"type":"hello"}
    bad@A < {"type":"resume"}
    bad@A < {"type":"offer","action":"$home.00000000000001"}
"#;

fn with_bad(script: &str) -> World {
    play(&format!("{UP}{script}"))
}

/// Two groups with names of one length: the event for the second one was taken for that of the first.
#[test]
fn each_group_gets_an_event_whatever_its_name() {
    play(
        r#"
        A - B
        one@B > {"type":"subscribe","topic":"t","group":"g1"}
        one@B < {"type":"subscribed"}
        two@B > {"type":"subscribe","topic":"t","group":"g2"}
        two@B < {"type":"subscribed"}
        +50
        web@A > {"type":"publish","topic":"t","id":1} 1
        web@A < {"type":"accepted","id":1}
        one@B < {"type":"event","topic":"t","group":"g1"} 1
        two@B < {"type":"event","topic":"t","group":"g2"} 1
        "#,
    );
}

/// A server said an event of the broker's own, and clients took it for the word of their server.
#[test]
fn no_server_speaks_for_the_broker_of_another() {
    with_bad(
        r#"
        ear@A > {"type":"subscribe","topic":"$server.draining"}
        ear@A < {"type":"subscribed"}
        bad@A > {"type":"event","topic":"$server.draining","from":"x","course":{"cast":7,"hops":1,"been":[99]}} {}
        ear@A .
        "#,
    );
}
