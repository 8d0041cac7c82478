//! Replays the inputs in `keys/fuzz/corpus/` with the bodies of the fuzz targets.

#![allow(clippy::print_stdout, reason = "shown only when the test fails")]

#[path = "../../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

fn replay(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for file in fs::read_dir(&folder).expect("a folder for each target") {
        let path = file.unwrap().path();
        // The test shows its output only if it fails: then the last name is the one that did it.
        println!("{}", path.display());
        body(&fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 24, "{} holds {inputs} inputs", folder.display());
}

#[test]
fn keys_file() {
    replay("keys_file", bodies::keys_file);
}

#[test]
fn key_text() {
    replay("key_text", bodies::key_text);
}
