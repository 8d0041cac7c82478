//! A server of a mesh is killed and comes back with its store.

use crate::world::{World, play_with};

fn with_stores(script: &str) -> World {
    play_with(|settings| settings.has_store = true, script)
}

#[test]
fn what_runs_elsewhere_is_found_again() {
    with_stores(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a","durable":true} 1
        svc@B < {"type":"deliver","id":$d,"attempt":1} 1
        A killed
        web@A returns
        web@A > {"type":"request","id":1,"action":"a","durable":true,"again":true} 1
        A - B
        svc@B > {"type":"reply","id":$d} "one"
        web@A < {"type":"reply","id":1} "one"
        +200
        svc@B .
        "#,
    );
}

/// The one that runs it is killed: attempts decide where its caller is.
#[test]
fn what_ran_at_a_server_that_was_killed() {
    with_stores(
        r#"
        A - B
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        web@A > {"type":"request","id":1,"action":"a","durable":true} 1
        web@A > {"type":"request","id":2,"action":"a"} 2
        svc@B < {"type":"deliver","id":$d,"attempt":1} 1
        svc@B < {"type":"deliver","id":$e,"attempt":1} 2
        B killed
        svc@B returns
        svc@B > {"type":"resume","holding":[$d,$e]}
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        A - B
        svc@B .
        svc@B > {"type":"reply","id":$d} "one"
        web@A < {"type":"reply","id":1} "one"
        svc@B > {"type":"reply","id":$e} "two"
        web@A < {"type":"reply","id":2} "two"
        "#,
    );
}

/// A caller had its request sent to the home of its key. While that link is down its own server starts again.
#[test]
fn a_key_runs_once_though_its_callers_server_was_killed() {
    for key in ["k1", "k2", "k3", "k4"] {
        with_stores(&format!(
            r#"
            A - B
            svc@B > {{"type":"serve","action":"a","credit":4}}
            svc@B < {{"type":"serving"}}
            web@A > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            svc@B < {{"type":"deliver","id":$d,"attempt":1}} 1
            A saved
            A killed
            web@A returns
            web@A > {{"type":"request","id":1,"action":"a","key":"{key}","again":true}} 1
            A - B
            svc@B .
            svc@B > {{"type":"reply","id":$d}} "one"
            web@A < {{"type":"reply","id":1}} "one"
            web@A > {{"type":"request","id":2,"action":"a","key":"{key}"}} 1
            web@A < {{"type":"reply","id":2}} "one"
            "#
        ));
    }
}

/// The same, and the link is there before the caller.
#[test]
fn a_key_runs_once_though_its_caller_comes_late() {
    for key in ["k1", "k2", "k3", "k4"] {
        with_stores(&format!(
            r#"
            A - B
            svc@B > {{"type":"serve","action":"a","credit":4}}
            svc@B < {{"type":"serving"}}
            web@A > {{"type":"request","id":1,"action":"a","key":"{key}"}} 1
            svc@B < {{"type":"deliver","id":$d,"attempt":1}} 1
            A killed
            A - B
            +50
            web@A returns
            web@A > {{"type":"request","id":1,"action":"a","key":"{key}","again":true}} 1
            svc@B .
            svc@B > {{"type":"reply","id":$d}} "one"
            web@A < {{"type":"reply","id":1}} "one"
            "#
        ));
    }
}

/// The key of a server grants nothing but to be one. What it held was told to stop, and what it had answered was thrown away.
#[test]
fn what_runs_elsewhere_is_found_again_whatever_the_servers_key_may_serve() {
    with_stores(
        r#"
        A holder mesh peer
        A holder shop call=a
        B dials as mesh
        B - A
        svc@B > {"type":"serve","action":"a","credit":4}
        svc@B < {"type":"serving"}
        web@A is shop
        web@A > {"type":"request","id":1,"action":"a","durable":true} 1
        web@A > {"type":"request","id":2,"action":"a"} 2
        web@A > {"type":"request","id":3,"action":"a"} 3
        svc@B < {"type":"deliver","id":$d,"attempt":1} 1
        svc@B < {"type":"deliver","id":$e,"attempt":1} 2
        svc@B < {"type":"deliver","id":$f,"attempt":1} 3
        A killed
        svc@B > {"type":"reply","id":$e} "two"
        B - A
        svc@B .
        web@A returns
        web@A > {"type":"request","id":1,"action":"a","durable":true,"again":true} 1
        web@A > {"type":"request","id":2,"action":"a","again":true} 2
        web@A > {"type":"request","id":3,"action":"a","again":true} 3
        web@A < {"type":"reply","id":2} "two"
        svc@B > {"type":"reply","id":$d} "one"
        web@A < {"type":"reply","id":1} "one"
        svc@B > {"type":"reply","id":$f} "three"
        web@A < {"type":"reply","id":3} "three"
        "#,
    );
}
