//! Mixes all operations on real threads, for a minute by default, and counts what is lost.
//!
//! `cargo run --release --example soak [-- --seconds 60 --seed 1]`
//!
//! Each round has a new semaphore, window and limiter of random sizes. Threads take, wait, give up, poll with
//! other wakers and change limits, at random. After each round all permits must be back, no window may have
//! held more than its limit, and no wait may have missed its wake. After the first round that fails it exits
//! with 1.

#![allow(clippy::disallowed_methods, reason = "deadlines are read off a clock")]

mod dice;
mod rounds;
mod waiting;

use clap::Parser;
use dice::Dice;
use rounds::Losses;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Parser)]
#[command(about = "Everything mixed on real threads; what is lost is counted.")]
struct Flags {
    /// How long to run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The seed of the rounds. The same seed makes the same rounds, but not the same schedules.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads. With more than there are processors, they interrupt one another anywhere.
    #[arg(long, default_value_t = 4)]
    threads: u64,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let end = Instant::now() + Duration::from_secs(flags.seconds);
    let mut dice = Dice(flags.seed);
    let (mut all, mut rounds) = (Losses::default(), 0_u64);
    while Instant::now() < end && all.is_none() {
        for play in rounds::ALL {
            let losses = play(&mut dice, flags.threads);
            all += losses;
            rounds += 1;
        }
    }
    println!("rounds           {rounds}, from seed {}", flags.seed);
    println!("{all}");
    if all.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
