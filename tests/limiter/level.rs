//! How many calls may be in flight: fewer after an overload, and step by step as many as before.

use crate::bells::{Woken, limiter};
use crate::common::Dice;
use ringgate::{Feedback, Limit, Limiter, LimiterPermit, Rate, Semaphore};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

fn at_most(max: usize) -> Limiter {
    Limiter::builder().max_concurrent(max).build()
}

fn in_flight(limiter: &Limiter, calls: usize) -> Vec<LimiterPermit<'_>> {
    (0..calls).map(|_| limiter.try_acquire().unwrap()).collect()
}

fn overload(limiter: &Limiter) {
    limiter.observe(&Feedback::overload());
}

fn succeed(limiter: &Limiter, times: usize) {
    (0..times).for_each(|_| limiter.observe(&Feedback::new()));
}

/// As many calls go as the level says, and no more.
#[track_caller]
fn assert_level(limiter: &Limiter, level: usize) {
    assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (level, level));
    let calls = in_flight(limiter, level);
    let refused = limiter.try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Concurrency, level == 0));
    drop(calls);
    assert_eq!(limiter.available_permits(), level);
}

// ---- down ------------------------------------------------------------------------------------------

/// Broken by: half rounded up; a level of nought; the calls in flight left out, or taken where they are more.
#[test]
fn an_overload_halves_the_level_or_lowers_it_to_what_is_in_flight() {
    let table = [
        (0, 0, 0),
        (1, 0, 1),
        (1, 1, 1),
        (2, 1, 1),
        (2, 2, 1),
        (3, 3, 1),
        (7, 7, 3),
        (8, 0, 1),
        (8, 1, 1),
        (8, 3, 3),
        (8, 4, 4),
        (8, 5, 4),
        (8, 8, 4),
        (9, 9, 4),
        (1000, 499, 499),
        (1000, 501, 500),
    ];
    for (max, calls, level) in table {
        println!("{calls} of {max} in flight");
        let limiter = at_most(max);
        assert_level(&limiter, max);
        let calls = in_flight(&limiter, calls);
        overload(&limiter);
        assert_eq!(limiter.concurrency_limit(), level);
        assert_eq!(limiter.available_permits(), level.saturating_sub(calls.len()));
        drop(calls);
        assert_level(&limiter, level);
    }
}

/// Broken by: `awaited` without the subtraction of the one that tells it, or with two; successes that it does not count.
#[test]
fn further_overloads_count_once_the_answers_of_the_round_trip_are_there() {
    for successes in [0, 1, 6, 7] {
        let limiter = at_most(32);
        let calls = in_flight(&limiter, 8);
        overload(&limiter);
        assert_eq!(limiter.concurrency_limit(), 8);
        succeed(&limiter, successes);
        for _ in successes..7 {
            overload(&limiter);
            assert_eq!(limiter.concurrency_limit(), 8);
        }
        overload(&limiter);
        assert_eq!(limiter.concurrency_limit(), 4);
        drop(calls);
        assert_level(&limiter, 4);
    }
}

/// Nothing is lowered there, so no round trip begins. Broken by: `overload` without a look at the level.
#[test]
fn an_overload_at_one_does_not_keep_the_next_one_from_counting() {
    let limiter = at_most(8);
    let calls = in_flight(&limiter, 8);
    // Three times it is halved, and seven answers each time are of the round trip.
    (0..3 * 8).for_each(|_| overload(&limiter));
    assert_eq!(limiter.concurrency_limit(), 1);
    overload(&limiter);
    succeed(&limiter, 1);
    assert_eq!(limiter.concurrency_limit(), 2);
    overload(&limiter);
    assert_eq!(limiter.concurrency_limit(), 1);
    drop(calls);
    assert_level(&limiter, 1);
}

/// The round trip of a single call is over at once. Broken by: a level of nought; `awaited` of one more.
#[test]
fn the_level_does_not_fall_below_one() {
    let limiter = at_most(5);
    for level in [2, 2, 2, 2, 2, 1, 1, 1, 1] {
        let calls = in_flight(&limiter, limiter.concurrency_limit());
        overload(&limiter);
        drop(calls);
        assert_level(&limiter, level);
    }
    for _ in 0..9 {
        overload(&limiter);
        assert_level(&limiter, 1);
    }
}

/// Broken by: `Gate::free` without the sign; a release that frees a slot that is owed.
#[test]
fn calls_in_flight_beyond_the_level_end_before_others_begin() {
    let limiter = at_most(8);
    let mut calls = in_flight(&limiter, 8);
    overload(&limiter);
    while calls.len() > 4 {
        let refused = limiter.try_acquire().unwrap_err();
        assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Concurrency, false));
        assert_eq!(refused.retry_after(), None);
        assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (4, 0));
        drop(calls.pop());
    }
    assert!(limiter.try_acquire().is_err());
    drop(calls.pop());
    assert_eq!(limiter.available_permits(), 1);
    drop(limiter.try_acquire().unwrap());
    drop(calls);
    assert_level(&limiter, 4);
}

// ---- up --------------------------------------------------------------------------------------------

/// Broken by: one success more or less for each step; a count that is not begun anew; a level above the configured one.
#[test]
fn the_level_rises_by_one_after_as_many_successes_as_it_is_high() {
    let limiter = at_most(8);
    let calls = in_flight(&limiter, 8);
    overload(&limiter);
    drop(calls);
    for level in 4..8 {
        succeed(&limiter, level - 1);
        assert_level(&limiter, level);
        succeed(&limiter, 1);
        assert_level(&limiter, level + 1);
    }
    succeed(&limiter, 100);
    assert_level(&limiter, 8);
    // As from the start.
    let calls = in_flight(&limiter, 6);
    overload(&limiter);
    drop(calls);
    assert_level(&limiter, 4);
}

/// Broken by: `Answers` of before kept.
#[test]
fn a_decrease_begins_the_count_of_successes_anew() {
    let limiter = at_most(8);
    let mut calls = in_flight(&limiter, 4);
    overload(&limiter);
    succeed(&limiter, 3);
    calls.truncate(3);
    overload(&limiter);
    assert_eq!(limiter.concurrency_limit(), 2);
    drop(calls);
    succeed(&limiter, 1);
    assert_level(&limiter, 2);
    succeed(&limiter, 1);
    assert_level(&limiter, 3);
}

/// What is owed is forgiven first. Broken by: `Gate::raise` that adds to the level alone, or to the free slots alone.
#[test]
fn a_level_that_rises_while_more_are_in_flight_frees_nothing() {
    let limiter = at_most(8);
    let mut calls = in_flight(&limiter, 8);
    overload(&limiter);
    calls.truncate(6);
    succeed(&limiter, 4);
    assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (5, 0));
    succeed(&limiter, 5);
    assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (6, 0));
    succeed(&limiter, 6);
    assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (7, 1));
    drop(calls);
    assert_level(&limiter, 7);
}

// ---- the line --------------------------------------------------------------------------------------

/// No call ends meanwhile, and no time passes. Broken by: `Core::succeed` that wakes nobody; `Gate::raise` that returns false.
#[test]
fn calls_in_line_go_in_order_as_the_level_rises() {
    let (limiter, _bells) = limiter(|builder| builder.max_concurrent(4));
    let mut running = in_flight(&limiter, 2);
    overload(&limiter);
    let mut line: Vec<_> = (0..3).map(|_| Woken::waits(&limiter, 0, 0)).collect();
    for gone in 0..2 {
        succeed(&limiter, limiter.concurrency_limit() - 1);
        assert!(line.iter_mut().all(|call| call.run(9).is_none()), "it went before its time");
        succeed(&limiter, 1);
        for (nth, call) in line.iter_mut().enumerate().rev() {
            let permit = call.run(9).map(Result::unwrap);
            assert_eq!(permit.is_some(), nth == gone, "number {nth}");
            running.extend(permit);
        }
    }
    assert_eq!((limiter.waiters(), running.len()), (1, 4));
    succeed(&limiter, 100);
    assert!(line[2].run(9).is_none());
    drop(running.pop());
    assert!(line[2].run(9).is_some());
}

/// Broken by: a release that frees a slot that is owed.
#[test]
fn calls_in_line_wait_until_what_is_owed_is_paid() {
    let (limiter, _bells) = limiter(|builder| builder.max_concurrent(4));
    let mut running = in_flight(&limiter, 4);
    let mut line = [Woken::waits(&limiter, 0, 0), Woken::waits(&limiter, 0, 0)];
    overload(&limiter);
    for _ in 0..2 {
        drop(running.pop());
        assert!(line.iter_mut().all(|call| call.run(9).is_none()), "it went before its time");
    }
    for call in &mut line {
        drop(running.pop());
        running.push(call.run(9).expect("a slot is free").unwrap());
    }
    assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (2, 0));
}

// ---- whose it is -----------------------------------------------------------------------------------

/// Broken by: `observe` of either permit that does nothing.
#[test]
fn what_one_call_is_told_holds_for_all() {
    let limiter = at_most(8);
    let calls = in_flight(&limiter, 3);
    let owned = limiter.try_acquire_owned().unwrap();
    calls[0].observe(&Feedback::overload());
    assert_eq!(limiter.clone().concurrency_limit(), 4);
    calls[1].observe(&Feedback::new());
    calls[2].observe(&Feedback::new());
    owned.observe(&Feedback::new());
    assert_eq!(limiter.concurrency_limit(), 4);
    owned.observe(&Feedback::new());
    assert_eq!(limiter.concurrency_limit(), 5);
    owned.observe(&Feedback::overload());
    assert_eq!(limiter.concurrency_limit(), 2);
}

/// Broken by: a level of the word that counts nothing; one of nought that rises.
#[test]
fn without_slots_of_its_own_an_overload_changes_nothing() {
    let slots = Arc::new(Semaphore::new(3));
    let unlimited = Limiter::builder().build();
    let shared = Limiter::builder().semaphore(Arc::clone(&slots)).build();
    let none = at_most(0);
    for (limiter, limit) in [(&unlimited, usize::MAX), (&shared, usize::MAX), (&none, 0)] {
        let before = limiter.available_permits();
        for _ in 0..3 {
            overload(limiter);
            succeed(limiter, 3);
            assert_eq!(limiter.concurrency_limit(), limit);
            assert_eq!(limiter.available_permits(), before);
        }
    }
    assert_eq!(slots.available_permits(), 3);
    drop(in_flight(&unlimited, 100));
    drop(in_flight(&shared, 3));
    assert!(none.try_acquire().unwrap_err().is_permanent());
}

/// Broken by: `shrink` that takes permits of the shared semaphore.
#[test]
fn beside_a_shared_semaphore_the_level_is_that_of_the_own_slots() {
    let slots = Arc::new(Semaphore::new(5));
    let (limiter, _bells) =
        limiter(|builder| builder.max_concurrent(4).semaphore(Arc::clone(&slots)));
    let mut running = in_flight(&limiter, 2);
    overload(&limiter);
    assert_eq!((limiter.concurrency_limit(), slots.available_permits()), (2, 3));
    let mut call = Woken::waits(&limiter, 0, 0);
    assert_eq!(slots.available_permits(), 3, "it holds what it has no use for");
    succeed(&limiter, 2);
    running.push(call.run(9).expect("a slot is free").unwrap());
    assert_eq!((limiter.concurrency_limit(), slots.available_permits()), (3, 2));
    drop(running);
    assert_eq!((limiter.available_permits(), slots.available_permits()), (3, 5));
}

/// Broken by: an overload that pauses.
#[test]
fn the_rate_stays_and_a_reset_does_not_raise_the_level() {
    let (limiter, _bells) = limiter(|builder| builder.rate(Rate::per_minute(10)).max_concurrent(4));
    let calls = in_flight(&limiter, 4);
    overload(&limiter);
    drop(calls);
    assert_eq!((limiter.remaining(), limiter.paused_for()), (6, None));
    limiter.reset();
    assert_eq!((limiter.remaining(), limiter.concurrency_limit()), (10, 2));
    limiter.close();
    overload(&limiter);
    succeed(&limiter, 9);
    assert_eq!(limiter.try_acquire().unwrap_err().limit(), Limit::Closed);
}

/// Broken by: a count of slots that wraps.
#[test]
fn more_slots_than_can_be_counted_are_as_many_as_can() {
    const MOST: usize = (1 << 30) - 1;
    let all = [MOST - 1, MOST, MOST + 1, 1 << 31, u32::MAX as usize, Semaphore::MAX_PERMITS - 1];
    for max in all.into_iter().filter(|max| *max < Semaphore::MAX_PERMITS) {
        let limiter = at_most(max);
        let most = max.min(MOST);
        assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (most, most));
        let calls = in_flight(&limiter, 3);
        assert_eq!(limiter.available_permits(), most - 3);
        succeed(&limiter, 3);
        overload(&limiter);
        assert_eq!((limiter.concurrency_limit(), limiter.available_permits()), (3, 0));
        drop(calls);
        assert_level(&limiter, 3);
    }
}

// ---- random programs -------------------------------------------------------------------------------

/// What the level is, told in the plainest way.
struct Model {
    max: usize,
    level: usize,
    awaited: usize,
    successes: usize,
}

impl Model {
    fn overload(&mut self, in_flight: usize) {
        if self.awaited > 0 {
            self.awaited -= 1;
        } else if self.level > 1 {
            self.level = (self.level / 2).min(in_flight).max(1);
            self.awaited = in_flight.saturating_sub(1);
            self.successes = 0;
        }
    }

    fn succeed(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
        if self.level < self.max {
            self.successes += 1;
            if self.successes == self.level {
                (self.level, self.successes) = (self.level + 1, 0);
            }
        }
    }
}

/// Polls those that were woken until none is. They go in order.
fn serve<'a>(line: &mut VecDeque<Woken<'a>>, running: &mut Vec<LimiterPermit<'a>>) {
    while let Some(nth) = line.iter().position(Woken::is_woken) {
        let Some(call) = line.get_mut(nth) else { break };
        if let Some(permit) = call.run(9) {
            assert_eq!(nth, 0, "it went before {nth} others");
            line.pop_front();
            running.push(permit.unwrap());
        }
    }
}

/// Broken by: each of the above.
#[test]
fn random_programs_go_as_a_plain_model_says() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let max = 1 + usize::try_from(dice.below(8)).unwrap();
        println!("seed {seed}, at most {max}");
        let (limiter, _bells) = limiter(|builder| builder.max_concurrent(max));
        let mut model = Model { max, level: max, awaited: 0, successes: 0 };
        let (mut running, mut line) = (Vec::new(), VecDeque::new());
        for _ in 0..80 {
            match dice.below(9) {
                0 | 1 => match limiter.try_acquire() {
                    Ok(permit) => {
                        assert!(running.len() < model.level && line.is_empty());
                        running.push(permit);
                    }
                    Err(refused) => {
                        assert!(running.len() >= model.level);
                        assert_eq!(refused.limit(), Limit::Concurrency);
                        assert!(!refused.is_permanent());
                    }
                },
                2 | 3 if !running.is_empty() => {
                    let nth = dice.below(running.len() as u64);
                    drop(running.swap_remove(usize::try_from(nth).unwrap()));
                }
                4 if running.len() >= model.level => {
                    line.push_back(Woken::waits(&limiter, 0, 0));
                }
                5 => drop(line.pop_back()),
                6 => {
                    model.overload(running.len());
                    overload(&limiter);
                }
                _ => {
                    model.succeed();
                    succeed(&limiter, 1);
                }
            }
            serve(&mut line, &mut running);
            assert_eq!(limiter.concurrency_limit(), model.level);
            let free = model.level.saturating_sub(running.len());
            assert_eq!(limiter.available_permits(), free);
            assert_eq!(limiter.waiters(), line.len());
            assert!(free == 0 || line.is_empty(), "one waits though there is room");
        }
        line.clear();
        running.clear();
        assert_level(&limiter, model.level);
    }
}

/// Broken by: a store in the place of an exchange of the gate; the level and its slots in two steps.
#[test]
fn threads_lose_and_make_no_slot_while_the_level_changes() {
    const MAX: usize = 6;
    let (limiter, most) = (at_most(MAX), AtomicUsize::new(0));
    let running = AtomicUsize::new(0);
    thread::scope(|scope| {
        for seed in 0..4 {
            let (limiter, running, most) = (&limiter, &running, &most);
            scope.spawn(move || {
                let (mut dice, mut calls) = (Dice(seed), VecDeque::new());
                for _ in 0..20_000 {
                    match dice.below(8) {
                        0..3 => {
                            if let Ok(permit) = limiter.try_acquire() {
                                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                                calls.push_back(permit);
                            }
                        }
                        3..5 => {
                            if let Some(permit) = calls.pop_front() {
                                running.fetch_sub(1, SeqCst);
                                drop(permit);
                            }
                        }
                        5 => overload(limiter),
                        _ => succeed(limiter, 1),
                    }
                    assert!((1..=MAX).contains(&limiter.concurrency_limit()));
                }
                running.fetch_sub(calls.len(), SeqCst);
            });
        }
    });
    assert!(most.load(SeqCst) <= MAX, "{} in flight", most.load(SeqCst));
    assert_level(&limiter, limiter.concurrency_limit());
}
