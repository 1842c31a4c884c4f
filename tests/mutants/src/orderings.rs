//! Every ordering, one step weaker.

use crate::checkout::Checkout;
use crate::{Kind, Mutant};

const FILES: [&str; 27] = [
    "src/raw/semaphore/acquire.rs",
    "src/raw/semaphore/chunks.rs",
    "src/raw/semaphore/close.rs",
    "src/raw/semaphore/count.rs",
    "src/raw/semaphore/debt.rs",
    "src/raw/semaphore/enqueue.rs",
    "src/raw/semaphore/leave.rs",
    "src/raw/semaphore/pool.rs",
    "src/raw/semaphore/queue.rs",
    "src/raw/semaphore/raw_semaphore.rs",
    "src/raw/semaphore/release.rs",
    "src/raw/semaphore/resize.rs",
    "src/raw/semaphore/retire.rs",
    "src/raw/semaphore/sweep.rs",
    "src/raw/semaphore/transitions.rs",
    "src/raw/semaphore/unlink.rs",
    "src/raw/window/ring/cells.rs",
    "src/raw/window/ring/claim.rs",
    "src/raw/window/shards/rings.rs",
    "src/raw/window/shards/rules.rs",
    "src/raw/window/shards/succession.rs",
    "src/raw/window/log/current.rs",
    "src/raw/window/reclaim.rs",
    "src/raw/window/split.rs",
    "src/raw/window/chunks.rs",
    "src/limiter_core/queue.rs",
    "src/time/manual.rs",
];

/// An ordering, and what is one step weaker.
const WEAKER: [(&str, &[&str]); 4] = [
    ("AcqRel", &["Acquire", "Release"]),
    ("SeqCst", &["AcqRel"]),
    ("Acquire", &["Relaxed"]),
    ("Release", &["Relaxed"]),
];

pub(crate) fn all(checkout: &Checkout) -> Vec<Mutant> {
    FILES.iter().flat_map(|file| of_file(file, &checkout.read(file))).collect()
}

fn of_file(file: &'static str, text: &str) -> Vec<Mutant> {
    let (mut function, mut nth) = ("", 0);
    let mut mutants = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let start = line_start;
        line_start += line.len();
        if let Some(name) = function_begun(line) {
            (function, nth) = (name, 0);
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (at, _) in line.match_indices("Ordering::") {
            let at = start + at + "Ordering::".len();
            nth += 1;
            let Some((ordering, weaker)) =
                WEAKER.iter().find(|(name, _)| text[at..].starts_with(name))
            else {
                continue;
            };
            mutants.extend(weaker.iter().map(|weaker| Mutant {
                name: format!("{file} {function} ordering {nth}: {ordering} to {weaker}"),
                file,
                text: [&text[..at], weaker, &text[at + ordering.len()..]].concat(),
                kind: Kind::Ordering,
            }));
        }
    }
    mutants
}

fn function_begun(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_one = before
        .split_whitespace()
        .all(|word| word.starts_with("pub") || ["const", "unsafe", "async", "in"].contains(&word));
    is_one.then(|| after.split(['(', '<']).next().unwrap_or_default())
}
