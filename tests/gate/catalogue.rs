//! Every way the gate says no occurs in some test.

use std::fs;
use std::path::Path;

use glance_gate::refusal::Refusal;

#[test]
fn every_refusal_is_produced_in_some_test() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate");
    let sources: String = fs::read_dir(directory)
        .expect("the tests")
        .map(|entry| fs::read_to_string(entry.expect("a file").path()).expect("a source"))
        .collect();
    let missing: Vec<&str> = Refusal::ALL
        .iter()
        .map(|refusal| refusal.reason())
        .filter(|reason| !sources.contains(&format!("\"{reason}\"")))
        .collect();
    assert!(missing.is_empty(), "no test produces {missing:?}");
}
