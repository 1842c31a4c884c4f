//! Changes of limit and window, resets, and clocks that jump.

use crate::common::random::cases;
use crate::{MINUTE, as_produced, at_start, now, refused};
use proptest::prelude::*;
use ringgate::time::{Clock, ManualClock, Timestamp};
use ringgate::{Limiter, TokenReservation, TokenWindow, Usage};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// Broken by: the latest tick of a longer window taken for a clock that has jumped back (`slack` 0).
#[test]
fn after_a_day_became_a_second_the_rest_of_a_tick_is_no_jump_of_the_clock() {
    let clock = ManualClock::new();
    let window = TokenWindow::with_clock(1000, DAY, clock.clone());
    clock.advance(100 * SECOND);
    let day = window.granularity();
    drop(window.try_acquire(600).unwrap());
    window.set(1000, SECOND);
    // Not later than the end of the tick.
    let second = window.try_acquire(400).unwrap().stamp().unwrap();
    assert!(second <= clock.now().saturating_add(day));
    let mut waited = Duration::ZERO;
    while let Err(refused) = window.try_acquire(1000) {
        let wait = refused.retry_after().unwrap();
        waited += wait;
        clock.advance(wait);
    }
    assert!(clock.now() >= second.saturating_add(SECOND), "{:?} {second:?}", clock.now());
    assert!(waited <= day + SECOND + window.granularity(), "{waited:?}");
}

/// Broken by: `set` that starts with nothing; a window that does not change.
#[test]
fn another_window_counts_what_was_admitted_before() {
    let (window, clock) = at_start(1000);
    drop(window.try_acquire(300).unwrap());
    clock.advance(30 * SECOND);
    let second = window.try_acquire(400).unwrap();
    window.set(900, 40 * SECOND);
    assert_eq!((window.limit(), window.window(), window.remaining()), (900, 40 * SECOND, 200));
    second.settle(100);
    assert_eq!(window.remaining(), 500);
    clock.advance(11 * SECOND);
    assert_eq!(window.remaining(), 800);
    window.set(900, HOUR);
    clock.advance(MINUTE);
    // Perhaps it also remembers what had left.
    assert!([500, 800].contains(&window.remaining()));
    clock.advance(HOUR);
    assert_eq!(window.remaining(), 900);
}

/// Broken by: `reset` that fills the new wheel; reservations from before that give back (`gives_back_since`).
#[test]
fn a_reset_forgets_what_was_admitted_and_nothing_comes_back_of_it() {
    let (window, clock) = at_start(1000);
    let less = window.try_acquire(500).unwrap();
    let more = window.try_acquire(500).unwrap();
    window.reset();
    assert_eq!(window.remaining(), 1000);
    drop(window.try_acquire(700).unwrap());
    less.settle(0);
    assert_eq!(window.remaining(), 300);
    more.settle(600);
    assert_eq!(window.remaining(), 200);
    window.set(2000, 2 * MINUTE);
    assert_eq!((window.limit(), window.remaining()), (2000, 1200));
    clock.advance(2 * MINUTE + 2 * window.granularity());
    assert_eq!(window.remaining(), 2000);
}

/// Broken by: a reset that forgets what calls under way hold.
#[test]
fn as_produced_what_is_held_outlasts_a_reset_and_counts_from_its_settlement() {
    let (window, clock) = as_produced(1000);
    let streaming = window.try_acquire(600).unwrap();
    drop(window.try_acquire(400).unwrap());
    assert_eq!(window.remaining(), 0);
    window.reset();
    assert_eq!(window.remaining(), 400);
    streaming.settle(100);
    assert_eq!(window.remaining(), 900);
    clock.advance(MINUTE + window.granularity());
    assert_eq!(window.remaining(), 1000);
}

/// Broken by: no `reset`; a restart that cannot begin anew at the end of time (`LATE` at the end).
#[test]
fn one_reading_at_the_end_of_time_costs_a_window_or_a_reset() {
    for (make, resets) in [(at_start as fn(_) -> _, false), (as_produced, false), (at_start, true)]
    {
        let (window, clock): (TokenWindow, ManualClock) = make(1000);
        for end in [u64::MAX, u64::MAX - 1, u64::MAX / 2 + 9, 1 << 62, u64::MAX, u64::MAX] {
            let before = now(&clock);
            clock.set(Timestamp::from_nanos(end));
            drop(window.try_acquire(1000).unwrap());
            clock.set(Timestamp::from_nanos(before));
            if resets {
                window.reset();
            } else {
                let wait = refused(&window, 1).retry_after().unwrap();
                assert!(wait <= MINUTE + window.granularity(), "{end}: {wait:?}");
                clock.advance(wait);
            }
            window.try_acquire(1000).unwrap().settle(400);
            assert_eq!(window.remaining(), 600, "{end}");
            clock.advance(MINUTE + window.granularity());
            assert_eq!(window.remaining(), 1000, "{end}");
        }
    }
}

/// A stream that began by a clock that was far ahead. Broken by: a settlement that counts at that time, so that everything else
/// has left the window by then.
#[test]
fn as_produced_a_reservation_from_before_a_jump_back_takes_nothing_out_of_the_window() {
    for notices in [false, true] {
        let (window, clock) = as_produced(1000);
        clock.set(Timestamp::from_epoch(HOUR));
        if notices {
            drop(window.try_acquire(900).unwrap());
        }
        let streaming = window.try_acquire(100).unwrap();
        clock.set(Timestamp::ZERO);
        if notices {
            clock.advance(refused(&window, 900).retry_after().unwrap());
        }
        drop(window.try_acquire(800).unwrap());
        streaming.settle(100);
        assert_eq!(window.remaining(), 100, "{notices}");
        let wait = refused(&window, 101).retry_after().unwrap();
        assert!(wait <= MINUTE + window.granularity(), "{wait:?}");
        clock.advance(wait);
        assert_eq!(window.remaining(), 1000);
    }
}

/// A refusal for good would be wrong: a settlement helps. Broken by: a time that does not come told as never.
#[test]
fn where_time_ends_before_a_weight_fits_a_settlement_helps() {
    for window in [Duration::MAX, Duration::from_nanos(u64::MAX - 5)] {
        let window = TokenWindow::with_clock(1000, window, ManualClock::new());
        let open = window.try_acquire(900).unwrap();
        let until_settled = refused(&window, 200);
        assert_eq!((until_settled.retry_after(), until_settled.is_permanent()), (None, false));
        open.settle(100);
        assert!(window.try_acquire(200).is_ok());
    }
}

/// Broken by: `Core::reset` that leaves the tokens; a new window without its margin; nobody woken.
#[tokio::test]
async fn a_limiter_forgets_its_tokens_and_changes_their_window() {
    let clock = ManualClock::new();
    let margin = Duration::from_millis(500);
    let builder = Limiter::builder().tokens(1000, HOUR).output_tokens(500, HOUR).margin(margin);
    let limiter = builder.clock(clock.clone()).build();
    let call = limiter.call().tokens(Usage::new(500, 500));
    let streaming = call.acquire().await.unwrap();
    let waiting = tokio::spawn(limiter.call().input_tokens(900).acquire_owned());
    tokio::task::yield_now().await;
    assert_eq!(limiter.waiters(), 1);
    limiter.reset();
    tokio::task::yield_now().await;
    assert_eq!(limiter.waiters(), 0);
    drop(waiting.await.unwrap().unwrap());
    // The output is held by a call in flight.
    assert_eq!((limiter.remaining_tokens(), limiter.remaining_output_tokens()), (100, 0));
    streaming.cancel();
    assert_eq!((limiter.remaining_tokens(), limiter.remaining_output_tokens()), (100, 500));

    let waiting = tokio::spawn(limiter.call().input_tokens(900).acquire_owned());
    tokio::task::yield_now().await;
    clock.advance(10 * SECOND);
    limiter.set_token_window(0, 2000, SECOND).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(limiter.waiters(), 0);
    drop(waiting.await.unwrap().unwrap());
    // The first call has left the new window.
    assert_eq!(limiter.remaining_tokens(), 1100);
    clock.advance(2 * SECOND);
    assert_eq!(limiter.remaining_tokens(), 2000);
    drop(limiter.call().input_tokens(2000).try_acquire().unwrap());
    clock.advance(SECOND + margin / 2);
    assert_eq!(limiter.remaining_tokens(), 0);
    clock.advance(margin);
    assert_eq!(limiter.remaining_tokens(), 2000);
    assert!(limiter.set_token_window(2, 1, SECOND).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    /// In thousandths of the window.
    Advance(u64),
    /// In ms: it steps back.
    Behind(u64),
    /// In seconds.
    JumpBack(u64),
    JumpAhead(u64),
    /// In thousandths of the limit.
    Acquire(u64),
    /// Which, and how much of it was used, in thousandths.
    Settle(usize, u64),
    Set(usize, usize),
    Reset,
}

const WINDOWS: [Duration; 5] =
    [Duration::from_millis(1), SECOND, MINUTE, Duration::from_secs(7200), DAY];
const LIMITS: [u64; 4] = [10, 1000, 3_000_000, 1 << 30];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_u64..200).prop_map(Step::Advance),
        2 => (0_u64..1500).prop_map(Step::Advance),
        1 => (0_u64..1000).prop_map(Step::Behind),
        1 => (2_u64..200_000).prop_map(Step::JumpBack),
        1 => (0_u64..200_000).prop_map(Step::JumpAhead),
        12 => (1_u64..700).prop_map(Step::Acquire),
        6 => (0_usize..50, 0_u64..1200).prop_map(|(which, used)| Step::Settle(which, used)),
        2 => (0..LIMITS.len(), 0..WINDOWS.len()).prop_map(|(l, w)| Step::Set(l, w)),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..150)
}

/// A window with a list of what the documentation promises of it.
struct Program<'a> {
    window: &'a TokenWindow,
    clock: &'a ManualClock,
    /// What has been counted, by its stamps; those of before a jump back tell nothing any more.
    counted: Vec<(u64, u64)>,
    /// With the index in `counted`; none if that is forgotten.
    open: Vec<(TokenReservation<'a>, Option<usize>)>,
    counts_as_produced: bool,
    /// A tick of earlier windows may be later than the clock by this.
    ahead: Duration,
}

impl Program<'_> {
    fn step(&mut self, step: &Step) {
        let (window, now) = (self.window, now(self.clock));
        match *step {
            Step::Advance(part) => {
                let part = u32::try_from(part).unwrap();
                self.clock.advance(window.window() * part / 1000);
            }
            Step::Behind(millis) => self.set_clock(now.saturating_sub(millis * 1_000_000)),
            Step::JumpBack(seconds) => {
                self.set_clock(now.saturating_sub(seconds * 1_000_000_000));
                self.forget();
            }
            Step::JumpAhead(seconds) => self.set_clock(now + seconds * 1_000_000_000),
            Step::Acquire(part) => self.acquire(1 + (window.limit() / 1000 * part)),
            Step::Settle(which, part) if !self.open.is_empty() => {
                let (open, counted) = self.open.swap_remove(which % self.open.len());
                self.settle(open, counted, part);
            }
            Step::Settle(..) => {}
            Step::Set(limit, length) => {
                let (old, new) = (window.window(), WINDOWS[length]);
                self.ahead += 2 * window.granularity();
                window.set(LIMITS[limit], new);
                if new > old {
                    // What had left is forgotten.
                    let old = nanos(old);
                    self.drop_counted(|stamp| stamp + old > now);
                }
            }
            Step::Reset => {
                window.reset();
                self.forget();
            }
        }
    }

    fn set_clock(&self, nanos: u64) {
        self.clock.set(Timestamp::from_nanos(nanos));
    }

    fn forget(&mut self) {
        self.drop_counted(|_| false);
    }

    fn drop_counted(&mut self, keeps: impl Fn(u64) -> bool) {
        for (stamp, amount) in &mut self.counted {
            *amount *= u64::from(keeps(*stamp));
        }
        for (_, index) in &mut self.open {
            *index = index.filter(|&index| self.counted[index].1 > 0);
        }
    }

    fn acquire(&mut self, weight: u64) {
        match self.window.try_acquire(weight) {
            Ok(reservation) => {
                let stamp = reservation.stamp().map(Timestamp::as_nanos);
                let index = stamp.map(|stamp| {
                    self.counted.push((stamp, weight));
                    self.counted.len() - 1
                });
                self.open.push((reservation, index));
                self.assert_exact(stamp.unwrap_or(now(self.clock)));
            }
            Err(refused) if !refused.is_permanent() => {
                // By now a jump back has been noticed.
                let now = now(self.clock);
                if self.counted.iter().any(|(stamp, _)| *stamp > now + nanos(SECOND)) {
                    self.forget();
                }
                let most =
                    self.window.window() + 2 * self.window.granularity() + self.ahead + 3 * SECOND;
                assert!(
                    refused.retry_after().is_none_or(|wait| wait <= most),
                    "{refused:?} {most:?}"
                );
                assert!(refused.retry_after().is_some() || self.counts_as_produced);
            }
            Err(_) => {}
        }
    }

    fn settle(&mut self, open: TokenReservation<'_>, index: Option<usize>, part: u64) {
        let weight = open.weight();
        let used = weight / 1000 * part;
        open.settle(used);
        if self.counts_as_produced {
            self.counted.push((now(self.clock), used));
        } else if let Some(index) = index {
            let less = weight.saturating_sub(used).min(self.counted[index].1);
            self.counted[index].1 -= less;
        }
    }

    /// Never more than the limit in the windows with this stamp in them, but for what nobody could refuse.
    fn assert_exact(&self, stamp: u64) {
        let (limit, window) = (self.window.limit(), nanos(self.window.window()));
        let held = self.open.iter().filter(|_| self.counts_as_produced);
        let held: u64 = held.map(|(open, _)| open.weight()).sum();
        let ends = self.counted.iter().map(|(end, _)| *end).chain([stamp]);
        for end in ends.filter(|end| (stamp..stamp + window).contains(end)) {
            let inside = self.counted.iter().filter(|(at, _)| *at <= end && at + window > end);
            let sum: u64 = inside.map(|(_, amount)| amount).sum();
            assert!(sum + held <= limit, "{sum} and {held} of {limit} at {end}");
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Broken by: as the tests above, by most of that; ticks of a predecessor that are taken over by their beginnings.
    #[test]
    fn no_window_holds_more_than_the_limit_across_changes_resets_and_jumps(
        steps in steps(), counts_as_produced: bool, start in 0_u64..(1 << 45),
    ) {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_nanos(start));
        let window = if counts_as_produced {
            TokenWindow::as_produced_with_clock(1000, MINUTE, clock.clone())
        } else {
            TokenWindow::with_clock(1000, MINUTE, clock.clone())
        };
        let mut program = Program {
            window: &window,
            clock: &clock,
            counted: Vec::new(),
            open: Vec::new(),
            counts_as_produced,
            ahead: Duration::ZERO,
        };
        for step in &steps {
            program.step(step);
        }
        // In the end all of it can be had, after the time that is told.
        drop(program.open);
        for _ in 0..4 {
            match window.try_acquire(window.limit()) {
                Ok(_) => return Ok(()),
                Err(refused) => clock.advance(refused.retry_after().unwrap()),
            }
        }
        prop_assert!(false, "refused again and again");
    }
}
