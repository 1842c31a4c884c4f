//! The rounds, and what can be lost in them.

use crate::dice::Dice;
use crate::waiting::{poll_once, wait};
use core::fmt;
use core::ops::AddAssign;
use ringgate::time::{Clock, SystemClock};
use ringgate::{Limiter, Semaphore, SlidingWindow};
use std::pin::pin;
use std::thread;
use std::time::Duration;

/// Operations of each thread in a round.
const STEPS: u64 = 20_000;

#[derive(Clone, Copy, Default)]
pub(crate) struct Losses {
    operations: u64,
    /// Permits that were not back, or too many, after a round.
    permits: u64,
    /// Admissions beyond a limit.
    beyond: u64,
    /// Waits that did not end.
    wakeups: u64,
}

impl Losses {
    pub(crate) fn is_none(&self) -> bool {
        (self.permits, self.beyond, self.wakeups) == (0, 0, 0)
    }
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.permits += other.permits;
        self.beyond += other.beyond;
        self.wakeups += other.wakeups;
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "operations       {}", self.operations)?;
        writeln!(f, "permits lost     {}", self.permits)?;
        writeln!(f, "over-admissions  {}", self.beyond)?;
        write!(f, "wakeups lost     {}", self.wakeups)
    }
}

/// Plays a round with dice and threads.
type Round = fn(&mut Dice, u64) -> Losses;

pub(crate) const ALL: [Round; 3] = [semaphore, window, limiter];

/// Does `work` on so many threads, each with dice of its own; returns what each returns.
fn on_threads<R: Send>(
    dice: &mut Dice,
    threads: u64,
    work: impl Fn(&mut Dice) -> R + Sync,
) -> Vec<R> {
    thread::scope(|scope| {
        let work = &work;
        let mine = (0..threads).map(|_| dice.split()).collect::<Vec<_>>();
        let running: Vec<_> =
            mine.into_iter().map(|mut dice| scope.spawn(move || work(&mut dice))).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread panicked")).collect()
    })
}

// ---- the semaphore -----------------------------------------------------------------------------

fn semaphore(dice: &mut Dice, threads: u64) -> Losses {
    let permits = 1 + dice.below(5);
    let semaphore = Semaphore::new(permits as usize);
    let lost = on_threads(dice, threads, |dice| {
        u64::from(!(0..STEPS).all(|_| semaphore_step(&semaphore, permits, dice)))
    });
    let back = semaphore.available_permits() as u64;
    Losses {
        operations: STEPS * threads,
        permits: back.abs_diff(u64::from(permits)) + semaphore.permits_owed() as u64,
        beyond: 0,
        wakeups: lost.iter().sum(),
    }
}

/// One operation; false if a wait did not end.
fn semaphore_step(semaphore: &Semaphore, permits: u32, dice: &mut Dice) -> bool {
    let some = 1 + dice.below(permits);
    match dice.below(8) {
        0 | 1 => drop(semaphore.try_acquire_many(some)),
        2 => {
            let mut gives_up = pin!(semaphore.acquire_many(some));
            drop(poll_once(gives_up.as_mut()));
        }
        3 => {
            // With one waker and then another.
            let mut waits = pin!(semaphore.acquire_many(some));
            if poll_once(waits.as_mut()).is_pending() {
                return wait(waits).is_some();
            }
        }
        4 => {
            semaphore.add_permits(1);
            semaphore.reduce_permits(1);
        }
        5 => drop(semaphore.try_acquire_all()),
        _ => return wait(semaphore.acquire_many(some)).is_some(),
    }
    true
}

// ---- the window --------------------------------------------------------------------------------

/// An admission as seen from outside: its stamp lies between the two.
#[derive(Clone, Copy)]
struct Admission {
    before: u64,
    after: u64,
}

/// One ring or several; in half of the rounds the limit moves below the one it is checked by.
fn window(dice: &mut Dice, threads: u64) -> Losses {
    let limit = [1, 3, 20, 150, 1000][dice.below(5) as usize];
    let length = u64::from(20 + dice.below(200)) * 1000;
    let clock = SystemClock::new();
    let window = SlidingWindow::with_clock(limit, Duration::from_nanos(length), clock.clone());
    let changes = dice.below(2) == 0;
    let admitted = on_threads(dice, threads, |dice| {
        let mut admitted = Vec::new();
        for _ in 0..STEPS {
            let before = clock.now().as_nanos();
            if window.try_acquire().is_ok() {
                admitted.push(Admission { before, after: clock.now().as_nanos() });
            }
            if changes && dice.below(500) == 0 {
                window.set_rate(1 + dice.below(limit), Duration::from_nanos(length));
            }
        }
        admitted
    });
    let beyond = most_beyond(admitted.concat(), limit as usize, length);
    Losses { operations: STEPS * threads, beyond, ..Losses::default() }
}

/// How many more than `limit` admissions lie wholly inside one stretch of `length`.
fn most_beyond(mut admitted: Vec<Admission>, limit: usize, length: u64) -> u64 {
    admitted.sort_unstable_by_key(|admission| admission.before);
    let inside = |i: usize| {
        let end = admitted[i].before + length;
        let from_here = admitted[i..].iter().take_while(|admission| admission.before < end);
        from_here.filter(|admission| admission.after < end).count()
    };
    let most = (0..admitted.len()).map(inside).max().unwrap_or(0);
    most.saturating_sub(limit) as u64
}

// ---- the limiter -------------------------------------------------------------------------------

fn limiter(dice: &mut Dice, threads: u64) -> Losses {
    const STEPS: u64 = 1000;
    let (limit, slots) = (1 + dice.below(200), 1 + dice.below(4) as usize);
    let length = Duration::from_micros(u64::from(1 + dice.below(100)));
    let builder = Limiter::builder().rate(limit, length).max_concurrent(slots);
    let limiter = builder.clock(SystemClock::new()).build();
    let lost = on_threads(dice, threads, |dice| {
        u64::from(!(0..STEPS).all(|_| limiter_step(&limiter, limit, length, dice)))
    });
    let back = limiter.available_permits().abs_diff(slots) + limiter.waiting();
    let wakeups = lost.iter().sum();
    Losses { operations: STEPS * threads, permits: back as u64, beyond: 0, wakeups }
}

/// One operation; false if a wait did not end.
fn limiter_step(limiter: &Limiter, limit: u32, length: Duration, dice: &mut Dice) -> bool {
    match dice.below(8) {
        0..=2 => drop(limiter.try_acquire()),
        3 => {
            let mut gives_up = pin!(limiter.acquire());
            drop(poll_once(gives_up.as_mut()));
        }
        4 => {
            let patience = length * dice.below(3);
            return wait(limiter.acquire_within(patience)).is_some();
        }
        5 => {
            let changed = limiter.set_rate(1 + dice.below(limit), length);
            changed.expect("it has a rate");
        }
        _ => return wait(limiter.acquire_owned()).is_some(),
    }
    true
}
