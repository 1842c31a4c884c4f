//! The limiter with a shared semaphore instead of slots of its own: what is different then.
//!
//! Caught, by the pairs with `close_the_slots` and by the frozen thread: a place in front does not watch for the
//! close.

use super::limiter::{
    Left, Scene, acquire, cancel_the_front, close, end_of_a_call, narrows, on, pause,
    paused_with_a_line, poll_again, resume, time_passes, try_acquire, with_a_line,
};
#[cfg(ringgate_loom)]
use crate::tests::loom::is_long;
use crate::tests::pairs::{Run, every_pair};

every_pair! {
    starts of Scene: both_open a_line_for_the_rate a_line_for_a_slot a_paused_line;
    operations:
        try_acquire acquire end_of_a_call another_takes_a_slot cancel_the_front poll_again time_passes
        try_past_a_silent_call pause resume close_the_slots close;
    onlookers: ;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    if let Some(short) = short(pair).filter(|_| !is_long()) {
        return short;
    }
    // As for slots of the limiter's own: these walk many lanes.
    match pair {
        // At 1 these have six executions, or eight.
        ["another_takes_a_slot" | "end_of_a_call", "resume"]
        | ["resume", "resume" | "close_the_slots"] => return (2, vec![one_waits_paused]),
        pair if pair.contains(&"resume") => return (1, vec![one_waits_paused]),
        pair if pair.contains(&"pause") => return (2, vec![both_open, one_waits_for_a_slot]),
        _ => {}
    }
    let starts: Vec<fn() -> Scene> = match pair {
        ["try_acquire" | "acquire" | "cancel_the_front", "close"]
        | ["acquire" | "cancel_the_front", "cancel_the_front" | "close_the_slots"]
        | ["close_the_slots", "close_the_slots"] => vec![one_waits_for_a_slot],
        ["acquire", "acquire"] => vec![both_open],
        ["another_takes_a_slot", "try_past_a_silent_call"] => {
            vec![a_line_for_a_slot, one_waits_for_a_slot]
        }
        // With one more in line it takes minutes.
        ["acquire", "try_past_a_silent_call"] => {
            return (0, vec![both_open, a_line_for_a_slot, one_waits_for_a_slot]);
        }
        // Elsewhere it is a `try_acquire`.
        pair if pair.contains(&"try_past_a_silent_call") => vec![one_waits_for_a_slot],
        ["cancel_the_front", "poll_again"] => vec![a_line_for_a_slot],
        _ => vec![both_open, a_line_for_the_rate, a_line_for_a_slot],
    };
    (1, starts)
}

/// The short form of what takes long.
#[cfg(ringgate_loom)]
fn short(pair: [&str; 2]) -> Option<(usize, Vec<fn() -> Scene>)> {
    Some(match pair {
        // Whoever is paused has not come to the shared slots: the limiter's pair has one.
        ["resume", "close"] => (3, vec![both_open]),
        // Minutes at 1; `loom::limiter` has a smaller one at 2.
        ["poll_again", "try_past_a_silent_call"] => (
            0,
            vec![
                both_open,
                a_line_for_the_rate,
                a_line_for_a_slot,
                one_waits_for_a_slot,
                one_waits_paused,
            ],
        ),
        _ => return None,
    })
}

/// The window has room for one call, and two slots are free.
fn both_open() -> Scene {
    Scene::shared(4)
}

/// Slots are free, the window is full, and two wait.
fn a_line_for_the_rate() -> Scene {
    with_a_line(both_open(), 2)
}

/// The window has room, no slot is free, and two wait: the first in the line of the semaphore.
fn a_line_for_a_slot() -> Scene {
    with_a_line(Scene::shared(2), 2)
}

/// The window has room for one call, two slots are free, and two wait until a pause is over.
#[cfg(ringgate_freeze)]
fn a_paused_line() -> Scene {
    paused_with_a_line(both_open(), 2)
}

/// As before, but only one waits.
#[cfg(ringgate_loom)]
fn one_waits_paused() -> Scene {
    paused_with_a_line(both_open(), 1)
}

/// As `a_line_for_a_slot`, but only one waits.
#[cfg(ringgate_loom)]
fn one_waits_for_a_slot() -> Scene {
    with_a_line(Scene::shared(2), 1)
}

/// Takes a slot of the semaphore that the limiter shares.
fn another_takes_a_slot(scene: &mut Scene) -> Run<Left> {
    let slots = scene.shared.clone();
    on(scene, move |_| {
        let mut left = narrows();
        left.beside = slots.and_then(|slots| slots.try_acquire_owned().ok());
        left
    })
}

/// The first in line was granted the slot of a call that has ended, and has not been polled since. This call finds that
/// slot, if that one does not claim it.
fn try_past_a_silent_call(scene: &mut Scene) -> Run<Left> {
    scene.end_a_call_and_look();
    try_acquire(scene)
}

fn close_the_slots(scene: &mut Scene) -> Run<Left> {
    let slots = scene.shared.clone();
    on(scene, move |_| {
        slots.iter().for_each(|slots| slots.close());
        let mut left = narrows();
        left.closed = true;
        left
    })
}
