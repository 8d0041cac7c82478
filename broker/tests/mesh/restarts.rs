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
        +20000
        svc@B .
        "#,
    );
}
