//! Replays the inputs in `server/fuzz/corpus/` with the bodies of the fuzz targets.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use super::proxy;
use std::fs;
use std::path::Path;

#[test]
fn proxy_headers_that_were_fuzzed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proxy_header");
    let mut inputs = 0;
    for file in fs::read_dir(&folder).unwrap() {
        bodies::proxy_header(&fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 24, "{} holds {inputs} inputs", folder.display());
}
