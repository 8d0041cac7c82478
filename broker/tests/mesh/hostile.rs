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

/// A reload that changed anything of a server's key took back what it offers and wants, as if it served and heard for itself.
#[test]
fn other_rights_of_a_servers_key_leave_its_link_alone() {
    play(
        r#"
        B holder mesh peer
        B holder shop call=a publish=t
        A dials as mesh
        A - B
        svc@A > {"type":"serve","action":"a","credit":4}
        svc@A < {"type":"serving"}
        ear@A > {"type":"subscribe","topic":"t"}
        ear@A < {"type":"subscribed"}
        +50
        B holder mesh peer call=x
        +50
        web@B is shop
        web@B > {"type":"request","id":1,"action":"a","ttl":0} 1
        svc@A < {"type":"deliver","id":$d} 1
        svc@A > {"type":"reply","id":$d}
        web@B < {"type":"reply","id":1}
        web@B > {"type":"publish","topic":"t","id":2} 2
        web@B < {"type":"accepted","id":2}
        ear@A < {"type":"event","topic":"t"} 2
        "#,
    );
}

/// `peer = true` was taken out of the keys file, and the link went on for ever.
#[test]
fn a_key_that_is_no_servers_any_more_is_cut_off() {
    let world = play(
        r#"
        B holder mesh peer
        B holder shop call=a
        A dials as mesh
        A - B
        svc@A > {"type":"serve","action":"a","credit":4}
        svc@A < {"type":"serving"}
        +50
        B holder mesh call=x
        +11000
        web@B is shop
        web@B > {"type":"request","id":1,"action":"a","ttl":0} 1
        web@B < {"type":"reply","id":1,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
    assert_eq!((world.servers["A"].broker.peers_up(), world.servers["B"].broker.peers_up()), (0, 0));
    let notes = format!("{:?}", world.servers["A"].notes);
    assert!(notes.contains("PeerRefused") && notes.contains("peer = true"), "{notes}");
}

/// A server could offer more than all sessions may serve together, as long as the names were known.
#[test]
fn offers_count_against_the_limit_of_handlers() {
    play_with(
        |settings| settings.limits.handlers = 1,
        &format!(
            r#"{UP}
            svc@A > {{"type":"serve","action":"a","credit":1}}
            svc@A < {{"type":"serving"}}
            bad@A < {{"type":"offer","action":"a","credit":1}}
            bad@A > {{"type":"offer","action":"a","credit":9,"path":[99]}}
            web@A > {{"type":"request","id":1,"action":"a"}} 1
            svc@A < {{"type":"deliver","id":$d}} 1
            bad@A < {{"type":"offer","action":"a","credit":0}}
            web@A > {{"type":"request","id":2,"action":"a","ttl":0}} 2
            web@A < {{"type":"reply","id":2,"error":{{"code":"expired","ran":"no"}}}}
            svc@A > {{"type":"reply","id":$d}}
            web@A < {{"type":"reply","id":1}}
            bad@A < {{"type":"offer","action":"a","credit":1}}
            "#
        ),
    );
}

/// A server offered the way to the very server that it told, and took it back: then others believed that this one knows no keys any more.
#[test]
fn a_server_is_the_home_of_its_keys_whatever_others_say() {
    for key in ["k1", "k2", "k3", "k4"] {
        with_bad(&format!(
            r#"
            B - A
            svc@B > {{"type":"serve","action":"a","credit":4}}
            svc@B < {{"type":"serving"}}
            bad@A > {{"type":"offer","action":"$home.00000000000001","credit":5,"path":[99]}}
            +50
            bad@A > {{"type":"offer","action":"$home.00000000000001","credit":0,"path":[]}}
            +50
            web@B > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            svc@B < {{"type":"deliver","id":$d}} 1
            svc@B > {{"type":"reply","id":$d}} "one"
            web@B < {{"type":"reply","id":1}} "one"
            other@A > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            other@A < {{"type":"reply","id":1}} "one"
            "#
        ));
    }
}

/// Broadcasts of others were remembered until their deadlines, and with so many of them all others were refused: for up to a year, after the last
/// handler had long answered.
#[test]
fn broadcasts_with_long_deadlines_do_not_keep_out_others() {
    let mut world = with_bad(
        r#"
        svc@A > {"type":"serve","action":"a","credit":1}
        svc@A < {"type":"serving"}
        bad@A < {"type":"offer","action":"a"}
        svc@A breaks
        bad@A < {"type":"offer","action":"a","credit":0}
        "#,
    );
    for n in 1..=65_600 {
        let via = format!(r#"{{"from":"x","path":[99],"attempt":1,"cast":{n}}}"#);
        let ask = r#"{"type":"request","action":"a","broadcast":true,"timeout":9000000000,"#;
        world.play(&format!(
            r#"
            bad@A > {ask}"id":{n},"via":{via}}}
            bad@A < {{"type":"reply","id":{n},"gather":{{"expected":0}}}}
            "#
        ));
    }
}
