//! Random histories: thousands of steps, each answer as the model's.

use crate::history::{Seen, World};
use crate::server::Server;
use redis::Connection;
use ringgate_redis::script::{Store, Terms};
use std::env;

const HISTORIES: u64 = 60;
const STEPS: u64 = 250;

/// `RINGGATE_REDIS_SEED` runs one history, that of this seed. `RINGGATE_REDIS_HISTORIES` runs so many.
#[test]
fn the_script_does_what_the_model_does_and_never_admits_too_much() {
    let server = Server::start();
    let mut connection = server.connect();
    let store = Store::new("tests", "histories", Terms::default());
    let number = |name| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("RINGGATE_REDIS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGGATE_REDIS_HISTORIES").unwrap_or(HISTORIES),
    };
    let is_one = seeds.end - seeds.start == 1;
    let mut all = Seen::default();
    for seed in seeds {
        all.add(&play(seed, &store, &mut connection));
    }
    println!("{all:?}");
    assert!(is_one || all.has_everything(), "something never happened: {all:?}");
}

fn play(seed: u64, store: &Store, connection: &mut Connection) -> Seen {
    // Shown if the test fails.
    println!("RINGGATE_REDIS_SEED={seed}");
    let mut world = World::new(seed, store, connection);
    for _ in 0..STEPS {
        world.step();
    }
    world.seen
}
