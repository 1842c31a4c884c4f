//! Breaks the lock-free code in one place at a time, and says which check notices.
//!
//! `cargo weaken [--list] [--under SECONDS] [part of a mutant's name]…`
//!
//! Every memory ordering is weakened by one step; re-checks are left out and steps swapped by a list
//! ([`by_hand`]). Each mutant is built in a copy of the checkout and meets the loom models of its
//! part, the quickest first, then (if it is more than an ordering, which only loom can see) the
//! frozen-thread scenes, the random schedules and the tests of ordinary threads. `--under` leaves
//! models out that take longer where nothing is broken. Ends with 1 if one survives that is not known to be harmless ([`harmless`]).

mod by_hand;
mod checkout;
mod checks;
mod harmless;
mod orderings;

use checkout::Checkout;
use checks::{Checks, Verdict};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One change of one file.
struct Mutant {
    name: String,
    file: String,
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only loom can see it.
    Ordering,
    Step,
}

fn main() -> ExitCode {
    let (mut list_only, mut under, mut wanted) = (false, Duration::MAX, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => list_only = true,
            "--under" => {
                let seconds = args.next().and_then(|seconds| seconds.parse().ok());
                under = Duration::from_secs(seconds.expect("--under takes seconds"));
            }
            _ => wanted.push(arg),
        }
    }

    let checkout = Checkout::here();
    let mut mutants = orderings::all(&checkout);
    mutants.extend(by_hand::all(&checkout));
    mutants.retain(|mutant| {
        wanted.is_empty() || wanted.iter().any(|part| mutant.name.contains(part.as_str()))
    });
    if list_only {
        for mutant in mutants {
            println!("{}", mutant.name);
        }
        return ExitCode::SUCCESS;
    }

    let copy = checkout.copy();
    let files: Vec<_> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    let checks = Checks::of(&copy, &files, under);
    let (mut caught, mut harmless, mut survivors) = (0, 0, 0);
    for mutant in mutants {
        let start = Instant::now();
        copy.write(&mutant.file, &mutant.text);
        let verdict = checks.meet(&copy, &mutant.file, mutant.kind);
        copy.restore(&mutant.file);
        let verdict = match (verdict, harmless::reason(&mutant.name)) {
            (Verdict::Caught(by), _) => {
                caught += 1;
                by
            }
            (Verdict::Survived, Some(reason)) => {
                harmless += 1;
                format!("harmless: {reason}")
            }
            (Verdict::Survived, None) => {
                survivors += 1;
                "NOT CAUGHT".to_owned()
            }
        };
        println!("| {} | {verdict} | {} s |", mutant.name, start.elapsed().as_secs());
    }
    println!("\n{caught} caught, {harmless} harmless, {survivors} not caught");
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
