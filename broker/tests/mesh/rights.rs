//! Rights across servers: each server asks those of its own clients, and only a server's key may pass on what others say.

use crate::world::play;

#[test]
fn each_server_asks_the_rights_of_its_own_clients() {
    play(
        r#"
        A holder shop call=a
        A holder guest call=b
        B holder mesh peer
        B holder worker serve=a
        B holder idler serve=b
        A dials as mesh
        A - B
        svc@B is worker
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        lazy@B is idler
        lazy@B > {"type":"serve","action":"a","credit":4}
        lazy@B < {"type":"error","code":"denied","action":"a"}
        web@A is shop
        web@A > {"type":"request","id":1,"action":"a"} 1
        svc@B < {"type":"deliver","id":$d,"from":"shop/web"} 1
        svc@B > {"type":"reply","id":$d}
        web@A < {"type":"reply","id":1}
        other@A is guest
        other@A > {"type":"request","id":1,"action":"a"} 1
        other@A < {"type":"reply","id":1,"error":{"code":"denied","ran":"no"}}
        "#,
    );
}

#[test]
fn a_key_without_the_right_to_be_a_peer_is_refused() {
    let world = play(
        r#"
        B holder shop call=> serve=> publish=> subscribe=> admin
        A dials as shop
        A - B
        svc@B is shop
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        +50
        web@A > {"type":"request","id":1,"action":"a","ttl":0} 1
        web@A < {"type":"reply","id":1,"error":{"code":"no_handler"}}
        "#,
    );
    let notes = format!("{:?}", world.servers["A"].notes);
    assert!(notes.contains("PeerRefused") && notes.contains("peer = true"), "{notes}");
}

/// Two holders may say the same key and mean different things, on every server.
#[test]
fn an_idempotency_key_belongs_to_its_holder_in_the_whole_mesh() {
    for key in ["k1", "k2", "k3"] {
        play(&format!(
            r#"
            A holder one call=a
            A holder two call=a
            B holder one call=a serve=a
            B holder mesh peer
            A dials as mesh
            A - B
            svc@B is one
            svc@B > {{"type":"serve","action":"a","credit":4}}
            svc@B < {{"type":"serving"}}
            web@A is one
            other@A is two
            web@A > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            svc@B < {{"type":"deliver","id":$d}} 1
            svc@B > {{"type":"reply","id":$d}} "one"
            web@A < {{"type":"reply","id":1}} "one"
            other@A > {{"type":"request","id":1,"action":"a","key":"{key}"}} 2
            svc@B < {{"type":"deliver","id":$e}} 2
            svc@B > {{"type":"reply","id":$e}} "two"
            other@A < {{"type":"reply","id":1}} "two"
            there@B is one
            there@B > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            there@B < {{"type":"reply","id":1}} "one"
            "#
        ));
    }
}

/// Who may publish is asked where the publisher is, who may hear of it where the subscriber is.
#[test]
fn events_cross_links_between_those_who_may() {
    play(
        r#"
        A holder teller publish=news.*
        A holder mute call=>
        B holder mesh peer
        B holder ear subscribe=news.>
        B holder deaf call=>
        A dials as mesh
        A - B
        ear@B is ear
        ear@B > {"type":"subscribe","topic":"news.>"}
        ear@B < {"type":"subscribed"}
        deaf@B is deaf
        deaf@B > {"type":"subscribe","topic":"news.>"}
        deaf@B < {"type":"error","code":"denied","topic":"news.>"}
        +50
        teller@A is teller
        teller@A > {"type":"publish","topic":"news.one"} 1
        ear@B < {"type":"event","topic":"news.one","from":"teller/teller"} 1
        teller@A > {"type":"publish","topic":"other"} 2
        teller@A < {"type":"error","code":"denied","topic":"other"}
        mute@A is mute
        mute@A > {"type":"publish","topic":"news.one"} 3
        mute@A < {"type":"error","code":"denied","topic":"news.one"}
        A holder near subscribe=>
        B holder far publish=>
        near@A is near
        near@A > {"type":"subscribe","topic":"back"}
        near@A < {"type":"subscribed"}
        +50
        far@B is far
        far@B > {"type":"publish","topic":"back"} 4
        near@A < {"type":"event","topic":"back","from":"far/far"} 4
        "#,
    );
}

/// What is the broker's own stays each broker's own: an admin of one server is nobody on another.
#[test]
fn actions_of_the_brokers_own_are_not_passed_on() {
    play(
        r#"
        A holder boss admin
        A holder clerk call=a
        B holder mesh peer
        A dials as mesh
        A - B
        boss@A is boss
        boss@A > {"type":"request","id":1,"action":"$peers"}
        boss@A < {"type":"reply","id":1,"error":null} …
        clerk@A is clerk
        clerk@A > {"type":"request","id":1,"action":"$peers"}
        clerk@A < {"type":"reply","id":1,"error":{"code":"denied","ran":"no"}}
        boss@A > {"type":"request","id":2,"action":"$home.00000000000002"}
        boss@A < {"type":"reply","id":2,"error":{"code":"no_handler","ran":"no"}}
        "#,
    );
}
