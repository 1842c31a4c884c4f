//! Random histories: thousands of steps, each answer as the model's.

use crate::history::{Seen, Style, World};
use crate::server::Server;
use redis::{Commands, PubSub};
use ringgate_redis::script::{Store, Terms};
use std::env;

const HISTORIES: u64 = 60;
const STEPS: u64 = 250;
const WITHOUT_A_SERVER: u64 = 300;
const LONG: u64 = 2000;

/// `RINGGATE_REDIS_SEED` runs one history, that of this seed. `RINGGATE_REDIS_HISTORIES` runs so many.
fn play_all(most: u64, mut play: impl FnMut(u64) -> Seen) {
    let number = |name| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("RINGGATE_REDIS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGGATE_REDIS_HISTORIES").unwrap_or(most),
    };
    let is_one = seeds.end - seeds.start == 1;
    let mut all = Seen::default();
    for seed in seeds {
        // Shown if the test fails.
        println!("RINGGATE_REDIS_SEED={seed}");
        all.add(&play(seed));
    }
    println!("{all:?}");
    assert!(is_one || all.has_everything(), "something never happened: {all:?}");
}

fn play(world: &mut World<'_>, steps: u64) -> Seen {
    (0..steps).for_each(|_| world.step());
    world.seen
}

/// All that arrives until the end that this test publishes.
fn heard(listener: &mut PubSub<'_>) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let message: String = listener.get_message().unwrap().get_payload().unwrap();
        if message == "end" {
            return heard;
        }
        heard.push(message);
    }
}

#[test]
fn the_script_does_what_the_model_does_and_never_admits_too_much() {
    let server = Server::start();
    let mut connection = server.connect();
    let store = Store::new("tests", "histories", Terms::default());
    let mut listener = server.connect();
    let mut listener = listener.as_pubsub();
    listener.subscribe(store.key()).unwrap();
    play_all(HISTORIES, |seed| {
        let style = if seed % 3 == 2 { Style::CutOff } else { Style::Mixed };
        let mut world = World::new(seed, style, &store, Some(&mut connection));
        let seen = play(&mut world, STEPS);
        let published = world.published;
        let _: () = connection.publish(store.key(), "end").unwrap();
        assert_eq!(heard(&mut listener), published);
        seen
    });
}

/// By the model alone: the script does the same.
#[test]
fn processes_that_are_cut_off_use_no_more_than_what_is_kept_free_for_them() {
    let store = Store::new("tests", "histories", Terms::default());
    play_all(WITHOUT_A_SERVER, |seed| {
        play(&mut World::new(seed, Style::CutOff, &store, None), LONG)
    });
}
