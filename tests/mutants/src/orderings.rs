//! Every ordering, one step weaker.

use crate::checkout::Checkout;
use crate::{Kind, Mutant};

/// Files whose orderings are left alone: the shim itself, and a thread that parks.
const NOT: [&str; 3] = ["src/sync.rs", "src/sync/freeze.rs", "src/blocking.rs"];

/// An ordering, and what is one step weaker.
const WEAKER: [(&str, &[&str]); 4] = [
    ("AcqRel", &["Acquire", "Release"]),
    ("SeqCst", &["AcqRel"]),
    ("Acquire", &["Relaxed"]),
    ("Release", &["Relaxed"]),
];

pub(crate) fn all(checkout: &Checkout) -> Vec<Mutant> {
    let sources = checkout.sources();
    let sources = sources.iter().filter(|(file, _)| !NOT.contains(&file.as_str()));
    sources.flat_map(|(file, text)| of_file(file, text)).collect()
}

fn of_file(file: &str, text: &str) -> Vec<Mutant> {
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
                file: file.to_owned(),
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
