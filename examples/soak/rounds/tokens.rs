//! A limiter with two limits on tokens: one counts them when a call is admitted, the other as they are produced.

use super::{Admission, Losses, Step, most_beyond, nanos, on_threads};
use crate::dice::Dice;
use crate::waiting::wait;
use ringgate::time::{Clock, SystemClock};
use ringgate::{Limiter, OwnedLimiterPermit, TokenLimit, Usage};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const STEPS: u64 = 1000;

/// What a thread saw.
#[derive(Default)]
struct Seen {
    /// All tokens that were used, when their call was admitted.
    used: Vec<Admission>,
    /// Those that were produced, when their call was settled.
    produced: Vec<Admission>,
    /// Calls that found too much held.
    too_many: u64,
    lost: u64,
}

/// The limiter, and what its calls hold.
struct Scene {
    limiter: Limiter,
    clock: SystemClock,
    limit: u32,
    held: AtomicU64,
}

pub(super) fn tokens(dice: &mut Dice, threads: u64) -> Losses {
    let limit = 20 + dice.below(400);
    let length = Duration::from_micros(u64::from(1 + dice.below(100)));
    let clock = SystemClock::new();
    let builder = Limiter::builder()
        .margin(Duration::ZERO)
        .token_limit(TokenLimit::total(limit.into(), length))
        .token_limit(TokenLimit::output(limit.into(), length))
        .max_concurrent(1 + dice.below(4) as usize);
    let limiter = builder.clock(clock.clone()).build();
    let scene = Scene { limiter, clock, limit, held: AtomicU64::new(0) };
    let seen = on_threads(dice, threads, |dice| {
        let mut seen = Seen::default();
        for _ in 0..STEPS {
            step(&scene, dice, &mut seen);
            if seen.lost > 0 {
                break;
            }
        }
        seen
    });
    let limit = u64::from(limit);
    let mut wakeups = seen.iter().map(|seen| seen.lost).sum();
    // A call that needs all there is: then all has come back.
    match wait(scene.limiter.call().tokens(Usage::new(0, limit)).acquire_owned()) {
        Some(Ok(permit)) => permit.cancel(),
        _ => wakeups += 1,
    }
    let left = [scene.limiter.remaining_tokens(), scene.limiter.remaining_output_tokens()];
    let permits = left.into_iter().map(|left| left.abs_diff(limit)).sum();
    let too_many: u64 = seen.iter().map(|seen| seen.too_many).sum();
    let (mut used, mut produced) = (Vec::new(), Vec::new());
    for mut seen in seen {
        used.append(&mut seen.used);
        produced.append(&mut seen.produced);
    }
    let beyond = [used, produced].map(|counted| most_beyond(counted, limit, nanos(length)));
    let beyond = too_many + beyond.into_iter().sum::<u64>();
    Losses { operations: STEPS * threads, permits, beyond, wakeups }
}

fn step(scene: &Scene, dice: &mut Dice, seen: &mut Seen) {
    let expected =
        Usage::new(dice.below(scene.limit / 4).into(), dice.below(scene.limit / 4).into());
    let before = scene.clock.now().as_nanos();
    match Step::call(&scene.limiter, expected, dice) {
        Step::Refused => {}
        Step::Lost => seen.lost += 1,
        Step::Admitted(permit) => {
            let after = scene.clock.now().as_nanos();
            let admission = Admission { before, after, amount: expected.total() };
            end(scene, permit, admission, dice, seen);
        }
    }
}

/// Ends a call in one of the ways in which calls end.
fn end(
    scene: &Scene,
    permit: OwnedLimiterPermit,
    mut admission: Admission,
    dice: &mut Dice,
    seen: &mut Seen,
) {
    let expected = permit.expected();
    let others = scene.held.fetch_add(expected.output, Ordering::SeqCst);
    seen.too_many += u64::from(others + expected.output > scene.limit.into());
    thread::yield_now();
    scene.held.fetch_sub(expected.output, Ordering::SeqCst);
    let before = scene.clock.now().as_nanos();
    let used = match dice.below(4) {
        0 => return permit.cancel(),
        1 => {
            drop(permit);
            expected
        }
        way => {
            let used = Usage::new(expected.input / 2, expected.output / 3);
            match way {
                2 => permit.settle(used),
                _ => permit.release_slot().settle(used),
            }
            used
        }
    };
    let after = scene.clock.now().as_nanos();
    admission.amount = used.total();
    seen.used.push(admission);
    seen.produced.push(Admission { before, after, amount: used.output });
}
