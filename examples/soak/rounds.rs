//! The rounds, and what can be lost in them.

mod leases;
mod tokens;

use crate::dice::Dice;
use crate::waiting::{poll_once, wait};
use core::fmt;
use core::ops::AddAssign;
use ringgate::time::{Clock, SystemClock};
use ringgate::{Limiter, OwnedLimiterPermit, Rate, Semaphore, SlidingWindow, Usage};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// Operations of each thread in a round.
const STEPS: u64 = 20_000;

#[derive(Clone, Copy, Default)]
pub(crate) struct Losses {
    operations: u64,
    /// Permits missing or extra after a round.
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

pub(crate) const ALL: [Round; 6] =
    [semaphore, closing, window, limiter, tokens::tokens, leases::leases];

/// Runs `work` on each thread, with dice of its own. Returns the results.
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

/// A semaphore that is closed at a random moment: the close ends all waits, and all permits come back.
fn closing(dice: &mut Dice, threads: u64) -> Losses {
    const STEPS: u32 = 200;
    let operations = u64::from(STEPS) * threads;
    let permits = 1 + dice.below(3);
    let semaphore = Semaphore::new(permits as usize);
    let lost = on_threads(dice, threads, |dice| {
        let closes_at = dice.below(2 * STEPS);
        let ended = (0..STEPS).all(|step| {
            if step == closes_at {
                semaphore.close();
            }
            semaphore_step(&semaphore, permits, dice)
        });
        semaphore.close();
        u64::from(!ended)
    });
    let back = semaphore.available_permits() as u64;
    Losses {
        operations,
        permits: back.abs_diff(u64::from(permits)) + semaphore.permits_owed() as u64,
        beyond: 0,
        wakeups: lost.iter().sum(),
    }
}

// ---- the window --------------------------------------------------------------------------------

/// An admission, or what is counted, as seen from outside: its stamp lies between the two.
#[derive(Clone, Copy)]
struct Admission {
    before: u64,
    after: u64,
    amount: u64,
}

/// One ring or several; in half of the rounds the limit moves below the one it is checked against.
fn window(dice: &mut Dice, threads: u64) -> Losses {
    let limit = [1, 3, 20, 150, 1000][dice.below(5) as usize];
    let length = u64::from(20 + dice.below(200)) * 1000;
    let clock = SystemClock::new();
    let window =
        SlidingWindow::with_clock(Rate::new(limit, Duration::from_nanos(length)), clock.clone());
    let changes = dice.below(2) == 0;
    let admitted = on_threads(dice, threads, |dice| {
        let mut admitted = Vec::new();
        for _ in 0..STEPS {
            let before = clock.now().as_nanos();
            if window.try_acquire().is_ok() {
                admitted.push(Admission { before, after: clock.now().as_nanos(), amount: 1 });
            }
            if changes && dice.below(500) == 0 {
                window.set_rate(Rate::new(1 + dice.below(limit), Duration::from_nanos(length)));
            }
        }
        admitted
    });
    let beyond = most_beyond(admitted.concat(), limit.into(), length);
    Losses { operations: STEPS * threads, beyond, ..Losses::default() }
}

/// How much more than `limit` was admitted wholly inside one stretch of `length`.
fn most_beyond(mut admitted: Vec<Admission>, limit: u64, length: u64) -> u64 {
    admitted.sort_unstable_by_key(|admission| admission.before);
    let inside = |i: usize| -> u64 {
        let end = admitted[i].before + length;
        let from_here = admitted[i..].iter().take_while(|admission| admission.before < end);
        from_here.filter(|admission| admission.after < end).map(|admission| admission.amount).sum()
    };
    let most = (0..admitted.len()).map(inside).max().unwrap_or(0);
    most.saturating_sub(limit)
}

// ---- the limiter -------------------------------------------------------------------------------

/// The limit moves below the one it is checked by.
fn limiter(dice: &mut Dice, threads: u64) -> Losses {
    const STEPS: u64 = 1000;
    let (limit, slots) = (1 + dice.below(200), 1 + dice.below(4) as usize);
    let length = Duration::from_micros(u64::from(1 + dice.below(100)));
    let clock = SystemClock::new();
    let builder = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(limit, length))
        .max_concurrent(slots);
    let limiter = builder.clock(clock.clone()).build();
    let in_flight = AtomicUsize::new(0);
    let seen = on_threads(dice, threads, |dice| {
        let mut seen = Seen::default();
        for _ in 0..STEPS {
            let before = clock.now().as_nanos();
            match limiter_step(&limiter, limit, length, dice) {
                Step::Refused => {}
                Step::Lost => {
                    seen.lost += 1;
                    break;
                }
                Step::Admitted(permit) => {
                    let after = clock.now().as_nanos();
                    seen.admitted.push(Admission { before, after, amount: 1 });
                    let others = in_flight.fetch_add(1, Ordering::SeqCst);
                    seen.too_many += u64::from(others >= slots);
                    thread::yield_now();
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            }
        }
        seen
    });
    let back = limiter.available_permits().abs_diff(slots) + limiter.waiters();
    let wakeups = seen.iter().map(|seen| seen.lost).sum();
    let too_many: u64 = seen.iter().map(|seen| seen.too_many).sum();
    let admitted = seen.into_iter().flat_map(|seen| seen.admitted).collect();
    let beyond = too_many + most_beyond(admitted, limit.into(), nanos(length));
    Losses { operations: STEPS * threads, permits: back as u64, beyond, wakeups }
}

/// What a thread saw of a limiter.
#[derive(Default)]
struct Seen {
    admitted: Vec<Admission>,
    /// Calls that found all slots taken, and gave up.
    too_many: u64,
    lost: u64,
}

enum Step {
    Admitted(OwnedLimiterPermit),
    Refused,
    /// A wait did not end.
    Lost,
}

impl Step {
    fn of<E>(answer: Result<OwnedLimiterPermit, E>) -> Self {
        answer.map_or(Self::Refused, Self::Admitted)
    }

    /// A call that needs so much, and tries, gives up after a poll, or waits.
    fn call(limiter: &Limiter, expected: Usage, dice: &mut Dice) -> Self {
        let call = || limiter.call().tokens(expected);
        match dice.below(6) {
            0..=1 => Self::of(call().try_acquire_owned()),
            2 => match poll_once(pin!(call().acquire_owned())) {
                Poll::Ready(answer) => Self::of(answer),
                Poll::Pending => Self::Refused,
            },
            _ => wait(call().acquire_owned()).map_or(Self::Lost, Self::of),
        }
    }
}

fn limiter_step(limiter: &Limiter, limit: u32, length: Duration, dice: &mut Dice) -> Step {
    match dice.below(8) {
        0..=2 => Step::of(limiter.try_acquire_owned()),
        3 => {
            let mut gives_up = pin!(limiter.acquire_owned());
            match poll_once(gives_up.as_mut()) {
                Poll::Ready(answer) => Step::of(answer),
                Poll::Pending => Step::Refused,
            }
        }
        4 => {
            let timeout = length * dice.below(3);
            wait(limiter.acquire_timeout_owned(timeout)).map_or(Step::Lost, Step::of)
        }
        5 => {
            let changed = limiter.set_rate(Rate::new(1 + dice.below(limit), length));
            changed.expect("it has a rate");
            Step::Refused
        }
        _ => wait(limiter.acquire_owned()).map_or(Step::Lost, Step::of),
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
