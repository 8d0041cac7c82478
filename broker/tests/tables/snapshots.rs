//! What a snapshot has in it: what changed since the last one and is still there.

use crate::durable::with_store;
use crate::script::play_with;
use answerback_broker::Change;

#[test]
fn a_call_that_came_and_went_is_never_told() {
    let mut stage = play_with(
        with_store,
        r#"
        svc > {"type":"serve","action":"a","credit":4}
        svc < {"type":"serving"}
        web > {"type":"request","id":1,"action":"a"} 1
        svc < {"type":"deliver","id":$d} 1
        svc > {"type":"reply","id":$d} 1
        web < {"type":"reply","id":1} 1
        "#,
    );
    let mut batch = Vec::new();
    assert!(stage.broker.gather(10, false, &mut batch));
    assert!(batch.is_empty() && !stage.broker.has_changes(), "{batch:?}");
}

#[test]
fn only_what_changed_is_told() {
    let mut stage = play_with(
        with_store,
        r#"
        web > {"type":"request","id":1,"action":"a","reply":false} 1
        web < {"type":"accepted","id":1}
        web > {"type":"request","id":2,"action":"a","reply":false} 2
        web < {"type":"accepted","id":2}
        saved
        svc > {"type":"serve","action":"a","credit":1}
        svc < {"type":"serving"}
        svc < {"type":"deliver","id":$d} 1
        "#,
    );
    let mut batch = Vec::new();
    assert!(stage.broker.gather(10, false, &mut batch));
    assert!(matches!(batch[..], [Change::Put(..)]), "{batch:?}");
    stage.play(
        r#"
        svc > {"type":"reply","id":$d}
        svc < {"type":"deliver"} 2
        "#,
    );
    batch.clear();
    assert!(stage.broker.gather(10, false, &mut batch));
    assert!(matches!(batch[..], [Change::Put(..), Change::Gone(_)]), "{batch:?}");
}

/// A request that ends while a batch is gathered, a piece at a time, must not be left in it.
#[test]
fn what_goes_while_a_batch_is_gathered_is_told_at_its_end() {
    let mut stage = play_with(
        with_store,
        r#"
        web > {"type":"request","id":1,"action":"a"} 1
        web > {"type":"request","id":2,"action":"a"} 2
        "#,
    );
    let mut batch = Vec::new();
    assert!(!stage.broker.gather(1, false, &mut batch));
    stage.play(
        r#"
        web > {"type":"cancel","id":1}
        web < {"type":"reply","id":1,"error":{"code":"cancelled"}}
        "#,
    );
    while !stage.broker.gather(1, false, &mut batch) {}
    let Some(Change::Put(first, _)) = batch.first() else { panic!("{batch:?}") };
    assert_eq!(batch.last(), Some(&Change::Gone(*first)), "{batch:?}");
}
