//! Whole processes (limiter, driver, calls) on virtual time, with the model of the store, on a network that delays, loses, repeats and cuts.
//!
//! A ledger by the true time checks each admission. In the end, with a network and a store in order, nobody hangs, and all that was leased
//! has come back.
//!
//! `RINGGATE_REDIS_SEED` runs one history, that of this seed. `RINGGATE_REDIS_HISTORIES` runs so many. `RINGGATE_REDIS_TRACE` shows trips and
//! admissions.

mod busy;
mod elsewhere;
mod faults;
mod leaving;
mod ledger;
#[allow(dead_code, reason = "other tests use all of it")]
#[path = "../common/model.rs"]
mod model;
mod network;
mod pauses;
mod process;
#[path = "../common/random.rs"]
mod random;
mod scene;
mod tasks;
mod wakers;
mod world;

use network::Seen;
use std::env;
use world::World;

const HISTORIES: u64 = 30;

#[test]
fn processes_keep_the_limits_and_nobody_hangs() {
    let number = |name| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("RINGGATE_REDIS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGGATE_REDIS_HISTORIES").unwrap_or(HISTORIES),
    };
    let is_one = seeds.end - seeds.start == 1;
    let mut all = [0; 14];
    for seed in seeds {
        // Shown if the test fails.
        println!("RINGGATE_REDIS_SEED={seed}");
        let mut world = World::new(seed);
        world.run();
        world.end();
        let (seen, [admitted, by_itself, refused, clocks]) = world.seen();
        let Seen { trips, granted, lost, repeated, late, steps, restarts, apart, pushes, stale } =
            seen;
        let numbers = [
            trips, granted, lost, repeated, late, steps, restarts, apart, pushes, stale, admitted,
            by_itself, refused, clocks,
        ];
        for (sum, number) in all.iter_mut().zip(numbers) {
            *sum += number;
        }
    }
    println!(
        "trips, granted, lost, repeated, late, steps of the clock, restarts, from apart, pushes, stale ones, \
         admitted, by shares, refused, clocks set back: {all:?}"
    );
    assert!(is_one || all.iter().all(|&seen| seen > 4), "something never happened: {all:?}");
}
