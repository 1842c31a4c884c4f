//! The inputs that were worth keeping, played once more: no fuzzer, no nightly toolchain.

use std::fs;
use std::path::Path;

/// Plays every file of a target's corpus, in order of their names.
fn replay(target: &str, play: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&folder).expect("the corpus is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "only {} inputs for {target}", files.len());
    for file in &files {
        // Shown only if the input fails.
        println!("{}", file.display());
        play(&fs::read(file).expect("it can be read"));
    }
}

#[test]
fn policy() {
    replay("policy", ringgate_fuzz::policy);
}

#[test]
fn semaphore() {
    replay("semaphore", ringgate_fuzz::semaphore);
}

#[test]
fn window() {
    replay("window", ringgate_fuzz::window);
}

#[test]
fn tokens() {
    replay("tokens", ringgate_fuzz::tokens);
}

#[test]
fn leases() {
    replay("leases", ringgate_fuzz::leases);
}

#[test]
fn limiter() {
    replay("limiter", ringgate_fuzz::limiter);
}

#[test]
fn feedback() {
    replay("feedback", ringgate_fuzz::feedback);
}

#[test]
fn usage() {
    replay("usage", ringgate_fuzz::usage);
}
