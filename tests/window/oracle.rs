//! The sliding window against a log of all its stamps. With several threads: the limit holds, and every
//! refusal is right.

use crate::common::Dice;
use proptest::prelude::*;
use ringgate::time::{Clock, ManualClock, SystemClock, Timestamp};
use ringgate::{Limit, Rate, Refused, SlidingWindow};
use ringgate_model::window::{Rule, Stamps};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

// ---- the oracle ----------------------------------------------------------------------------------

/// One rule, and the stamps of all admissions.
struct Log {
    rule: Rule,
    stamps: Stamps,
}

impl Log {
    fn new(limit: u32, window: u64) -> Self {
        Self { rule: Rule { limit, window }, stamps: Stamps::default() }
    }

    fn remaining(&self, now: u64) -> u32 {
        self.stamps.remaining([self.rule], now)
    }

    /// When one more was or is admitted; `None` if the limit was never reached.
    fn free_at(&self) -> Option<u64> {
        self.stamps.free_at([self.rule], 0).filter(|free_at| *free_at > 0)
    }

    /// The wait, if refused.
    fn try_acquire(&mut self, now: u64) -> Result<(), u64> {
        let free_at = self.stamps.free_at([self.rule], now).expect("a limit above zero");
        if free_at > now {
            return Err(free_at - now);
        }
        self.stamps.admit(now);
        Ok(())
    }

    fn holds(&self) -> bool {
        self.stamps.most_in_any(self.rule.window) <= self.rule.limit as usize
    }
}

/// A clock that is this far behind its window's newest stamp has jumped back.
const JUMP: u64 = 1_000_000_000;

/// From this limit on the log may be split.
const SPLIT: u32 = 128;

// ---- the programs -------------------------------------------------------------------------------

/// How time goes on; shares are thousandths of the window.
#[derive(Debug, Clone, Copy)]
enum Move {
    Stay,
    Forward(u64),
    Back(u64),
    UntilFree,
    JustBeforeFree,
}

/// A move, then some attempts (in thousandths of the limit, and one).
type Step = (Move, u32);

#[derive(Debug, Clone)]
struct Case {
    limit: u32,
    window: u64,
    start: u64,
    steps: Vec<Step>,
}

impl Case {
    fn time_after(&self, now: u64, step: Move, log: &Log) -> u64 {
        let part = |share: u64| self.window * share / 1000;
        let then = match step {
            Move::Stay => now,
            Move::Forward(share) => now + part(share),
            Move::Back(share) => now.saturating_sub(part(share)),
            Move::UntilFree => log.free_at().unwrap_or(now),
            Move::JustBeforeFree => log.free_at().map_or(now, |free_at| free_at - 1),
        };
        // Where the log is split, each part clamps by its own newest stamp, which this oracle does
        // not know; `src/tests/oracle.rs` compares the stamps.
        if self.limit < SPLIT { then } else { then.max(now) }
    }

    fn attempts(&self, share: u32) -> u32 {
        1 + self.limit * share / 1000
    }
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => Just(Move::Stay),
        4 => (0..=2000_u64).prop_map(Move::Forward),
        2 => (0..=2000_u64).prop_map(Move::Back),
        2 => Just(Move::UntilFree),
        2 => Just(Move::JustBeforeFree),
    ]
}

fn cases(limits: impl Strategy<Value = u32>) -> impl Strategy<Value = Case> {
    let windows = prop_oneof![1..=4_u64, 1..=1000_u64, 1..=1_000_000_000_u64];
    let starts = prop_oneof![Just(0), 0..=1_u64 << 61];
    let steps = prop::collection::vec((moves(), 0..=1300_u32), 1..60);
    (limits, windows, starts, steps).prop_map(|(limit, window, start, steps)| Case {
        limit,
        window,
        start,
        steps,
    })
}

fn small() -> impl Strategy<Value = u32> {
    1..=8_u32
}

fn any_size() -> impl Strategy<Value = u32> {
    prop_oneof![12 => 1..=8_u32, 1 => Just(100_u32), 1 => Just(1000_u32)]
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// The wait of a refusal by the rate.
fn wait(refused: Refused) -> Option<u64> {
    assert_eq!(refused.limit(), Limit::Rate);
    assert!(!refused.is_permanent());
    refused.retry_after().map(|wait| u64::try_from(wait.as_nanos()).unwrap())
}

fn replayed(case: &Case, history: &[u64]) -> SlidingWindow {
    let window = SlidingWindow::new(Rate::new(case.limit, Duration::from_nanos(case.window)));
    for now in history {
        let _ = window.try_acquire_at(at(*now));
    }
    window
}

proptest! {
    #![proptest_config(crate::common::random::cases(400))]

    /// Broken by: `<` for `<=` in `Ring::busy_until`; no `max` with the newest stamp in `Ring::check_fast`;
    /// no flip at cell 0 in `Ring::locate`.
    #[test]
    fn admits_refuses_and_tells_the_wait_as_a_full_log_does(case in cases(any_size())) {
        let window = SlidingWindow::new(Rate::new(case.limit, Duration::from_nanos(case.window)));
        let mut log = Log::new(case.limit, case.window);
        let mut now = case.start;
        for (step, share) in &case.steps {
            now = case.time_after(now, *step, &log);
            for _ in 0..case.attempts(*share) {
                let got = window.try_acquire_at(at(now)).map_err(wait);
                prop_assert_eq!(got, log.try_acquire(now).map_err(Some));
                if let Err(Some(wait)) = got {
                    let earlier = window.try_acquire_at(at(now + wait - 1)).map_err(self::wait);
                    prop_assert_eq!(earlier, Err(Some(1)));
                }
            }
        }
        prop_assert!(log.holds());
    }

    /// Broken by: `free_at` one nanosecond later in `Ring::check_fast`.
    #[test]
    fn a_refused_call_is_admitted_exactly_when_it_was_told(case in cases(small())) {
        let window = SlidingWindow::new(Rate::new(case.limit, Duration::from_nanos(case.window)));
        // The log only steers the times. The assertions use the window alone.
        let mut log = Log::new(case.limit, case.window);
        let (mut now, mut history) = (case.start, Vec::new());
        for (step, share) in &case.steps {
            now = case.time_after(now, *step, &log);
            for _ in 0..case.attempts(*share) {
                let _ = log.try_acquire(now);
                if let Err(refused) = window.try_acquire_at(at(now)) {
                    let wait = wait(refused).unwrap();
                    let again = replayed(&case, &history);
                    prop_assert!(again.try_acquire_at(at(now + wait - 1)).is_err());
                    prop_assert!(again.try_acquire_at(at(now + wait)).is_ok());
                }
                history.push(now);
            }
        }
    }

    /// After the clock has jumped back, the window's time continues from its newest stamp.
    /// Broken by: `full = middle` for `middle + 1` in `Ring::remaining_by` (hangs);
    /// `Log::ask` keeping a reading from before the last jump; a jump that is not noticed, or noticed twice.
    #[test]
    fn by_its_clock_it_agrees_with_the_log_and_counts_what_remains(case in cases(any_size())) {
        let clock = ManualClock::new();
        let length = Duration::from_nanos(case.window);
        let window = SlidingWindow::with_clock(Rate::new(case.limit, length), clock.clone());
        let mut log = Log::new(case.limit, case.window);
        let (mut shown, mut ahead) = (case.start, 0);
        for (step, share) in &case.steps {
            shown = case.time_after(shown + ahead, *step, &log).saturating_sub(ahead);
            clock.set(at(shown));
            for attempt in 0..=case.attempts(*share) {
                // A refused call, or a `remaining` of zero, notices the jump.
                let newest = log.stamps.newest();
                if log.remaining(shown + ahead) == 0 && newest > shown + ahead + JUMP {
                    ahead = newest - shown;
                }
                let now = shown + ahead;
                prop_assert_eq!(window.remaining(), log.remaining(now));
                if attempt > 0 {
                    let got = window.try_acquire().map_err(wait);
                    prop_assert_eq!(got, log.try_acquire(now).map_err(Some));
                }
            }
        }
    }

    /// Broken by: `Margin::add_to` not adding the margin.
    #[test]
    fn a_margin_makes_the_window_longer_by_itself(case in cases(small()), margin in 0..=1_000_u64) {
        let rate = Rate::new(case.limit, Duration::from_nanos(case.window));
        let margin_of = Duration::from_nanos(margin);
        let window = SlidingWindow::builder().rate(rate).margin(margin_of).build();
        prop_assert_eq!(window.window(), Duration::from_nanos(case.window));
        let mut log = Log::new(case.limit, case.window + margin);
        let mut now = case.start;
        for (step, _) in &case.steps {
            now = case.time_after(now, *step, &log);
            let got = window.try_acquire_at(at(now)).map_err(wait);
            prop_assert_eq!(got, log.try_acquire(now).map_err(Some));
        }
    }
}

// ---- a clock that jumps back, and real time ------------------------------------------------------

/// What happens to a clock, in ms.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Real time passes.
    Passes(u64),
    /// It steps back.
    Back(u64),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..=3_000_u64).prop_map(Event::Passes),
        1 => (0..1_000_u64).prop_map(Event::Back),
        2 => (1_001..=100_000_u64).prop_map(Event::Back),
    ]
}

proptest! {
    #![proptest_config(crate::common::random::cases(400))]

    /// Whatever the clock shows, the limit holds by real time. No call waits longer than a window plus the
    /// largest step back that is not a jump. Broken by: stamps that several rings keep as they are,
    /// or time that continues from the clock, after a jump; a jump that is not noticed.
    #[test]
    fn around_jumps_the_limit_holds_by_real_time(
        limit in prop_oneof![3 => 1..=8_u32, 1 => Just(100), 3 => 128..=600_u32],
        window in 1_000..=5_000_u64,
        steps in prop::collection::vec((events(), 0..=1300_u32), 1..60),
    ) {
        let clock = ManualClock::new();
        let millis = |millis: u64| at(millis * 1_000_000);
        let length = Duration::from_millis(window);
        let admits = SlidingWindow::with_clock(Rate::new(limit, length), clock.clone());
        let mut log = Log::new(limit, window);
        let (mut real, mut shown) = (0, 1_000_000_000);
        for (event, share) in steps {
            match event {
                Event::Passes(by) => (real, shown) = (real + by, shown + by),
                Event::Back(by) => shown -= by,
            }
            clock.set(millis(shown));
            for _ in 0..=limit * share / 1000 {
                match admits.try_acquire() {
                    Ok(()) => log.stamps.admit(real),
                    Err(refused) => {
                        let longest = length + Duration::from_secs(1);
                        prop_assert!(refused.retry_after().is_some_and(|wait| wait <= longest));
                    }
                }
            }
        }
        prop_assert!(log.holds());
    }
}

// ---- limits whose cells cover several admissions -------------------------------------------------

/// The widest tick; times that are multiples of it are not rounded.
const TICK: u64 = 4096;

/// Stamps, and the number of admissions that have each.
#[derive(Default)]
struct Tally(Vec<(u64, u64)>);

impl Tally {
    fn newest(&self) -> u64 {
        self.0.last().map_or(0, |(stamp, _)| *stamp)
    }

    fn admit(&mut self, now: u64, count: u64) {
        self.0.push((now.max(self.newest()), count));
    }

    /// The number of admissions that have not left the window by `now`.
    fn busy(&self, now: u64, window: u64) -> u64 {
        let in_window = self.0.iter().filter(|(stamp, _)| stamp + window > now);
        in_window.map(|(_, count)| count).sum()
    }
}

/// Admits up to `most` calls at `now`. Returns how many, and whether one was refused.
fn burst(window: &SlidingWindow, now: u64, most: u64) -> (u64, bool) {
    for admitted in 0..most {
        if window.try_acquire_at(at(now)).is_err() {
            return (admitted, true);
        }
    }
    (most, false)
}

/// Fills the window and then two thirds of it again, by bursts at odd times, with a clock that
/// sometimes steps back.
fn demand_on_shared_cells(limit: u32) {
    const WINDOW: u64 = TICK * 1_000_000;
    let held_back = u64::from(limit.div_ceil(1 << 20)) - 1;
    let limit_of_all = u64::from(limit);
    let window = SlidingWindow::new(Rate::new(limit, Duration::from_nanos(WINDOW)));
    let (mut dice, mut tally, mut now) = (Dice(limit_of_all), Tally::default(), 0);
    let (mut all, mut refusals) = (0, 0);
    while all < limit_of_all * 5 / 3 {
        let (admitted, refused) = burst(&window, now, limit_of_all / 17 + dice.below(1000));
        tally.admit(now, admitted);
        all += admitted;
        // Stamps never decrease, so the fullest window ends with the newest.
        assert!(tally.busy(tally.newest(), WINDOW) <= limit_of_all, "over the limit at {now}");
        if refused {
            refusals += 1;
            let busy = tally.busy(now, WINDOW);
            assert!(busy >= limit_of_all - held_back, "refused too early at {now}");
        }
        let step = TICK * dice.below(100_000);
        now = if dice.below(8) == 0 { now.saturating_sub(step) } else { now + step };
    }
    assert!(refusals > 0, "the window was never full");
}

/// Broken by: `per_cell` for `per_cell - 1` in `claim_at`; `in_cells` rounding up.
#[test]
fn shared_cells_hold_the_limit_and_hold_back_less_than_one_cell_below_it() {
    for limit in [(1 << 20) + 1, (1 << 21) + 7] {
        demand_on_shared_cells(limit);
    }
}

/// Broken by: `used` left out in `Ring::busy_until`.
#[test]
fn an_empty_window_of_shared_cells_admits_its_whole_limit_and_no_more() {
    let limit: u32 = 3 * (1 << 20) + 5;
    let window = SlidingWindow::new(Rate::per_second(limit));
    assert_eq!(burst(&window, TICK, u64::from(limit) + 1), (u64::from(limit), true));
}

/// Broken by: `tick` rounding down; the window not rounded up to whole ticks.
#[test]
fn shared_cells_tell_the_exact_wait_at_any_nanosecond() {
    let limit: u32 = (1 << 20) + 1;
    for odd in [0, 1, 777, 4095] {
        let window = SlidingWindow::new(Rate::new(limit, Duration::from_nanos(1_000_000 + odd)));
        burst(&window, 5 * TICK + odd, u64::from(limit));
        let now = 6 * TICK + odd;
        let wait = wait(window.try_acquire_at(at(now)).unwrap_err()).unwrap();
        assert!(window.try_acquire_at(at(now + wait - 1)).is_err());
        assert!(window.try_acquire_at(at(now + wait)).is_ok());
        let exact = 5 * TICK + odd + 1_000_000 + odd;
        assert!((exact..exact + 2 * TICK).contains(&(now + wait)), "not within two ticks");
    }
}

#[test]
fn the_largest_limit_can_be_made_and_used() {
    let window = SlidingWindow::with_clock(Rate::per_minute(u32::MAX), ManualClock::default());
    assert_eq!(window.remaining(), u32::MAX);
    assert_eq!(burst(&window, 0, 5000), (5000, false));
    assert!(window.remaining() < u32::MAX);
}

/// Broken by: `remaining` counting the last cell, which may be smaller, as a whole one.
#[test]
fn what_remains_of_shared_cells_is_what_is_admitted() {
    for limit in [(1 << 20) + 1, (1 << 20) + 2, (1 << 21) + 7] {
        let clock = ManualClock::new();
        let window = SlidingWindow::with_clock(Rate::per_second(limit), clock.clone());
        for part in [0, 1, 2, 3, 1000, limit / 2] {
            let before = window.remaining();
            assert_eq!(burst(&window, 0, u64::from(part)), (u64::from(part), false));
            assert_eq!(window.remaining(), before - part);
        }
        clock.advance(Duration::from_millis(500));
        let now = clock.now().as_nanos();
        let remaining = u64::from(window.remaining());
        assert_eq!(burst(&window, now, u64::MAX), (remaining, true));
        assert_eq!(window.remaining(), 0);
    }
}

// ---- several threads at once ---------------------------------------------------------------------

/// One call as seen from outside: the clock before and after it.
#[derive(Clone, Copy)]
struct Call {
    before: u64,
    after: u64,
    admitted: bool,
}

/// Checks what can be proved from outside. The stamp of an admission is a reading of the clock, made by a
/// call that began before this one ended, and is not less than this call's own reading. The clock does not
/// go back, so `before <= stamp <= after`.
///
/// * The first and last stamps of any `limit + 1` admissions are at least a window apart, and therefore
///   the least `before` and the greatest `after` are, too. So no time shorter than a window has more
///   than `limit` calls *wholly* inside it.
/// * A refused call saw `limit` cells stamped later than `before - window`, each by a call that had
///   begun.
fn assert_kept(calls: &mut [Call], limit: usize, window: u64) {
    calls.sort_by_key(|call| call.before);
    let admitted: Vec<Call> = calls.iter().copied().filter(|call| call.admitted).collect();
    for (i, first) in admitted.iter().enumerate() {
        let end = first.before + window;
        let inside = admitted[i..].iter().take_while(|call| call.before < end);
        assert!(inside.filter(|call| call.after < end).count() <= limit, "over the limit");
    }
    for refused in calls.iter().filter(|call| !call.admitted) {
        let begun = admitted.partition_point(|call| call.before <= refused.after);
        // The newest are last, so the search ends early.
        let seen = admitted[..begun].iter().rev();
        let busy = seen.filter(|call| call.after + window > refused.before);
        assert_eq!(busy.take(limit).count(), limit, "refused although there was room");
    }
}

fn stress(threads: usize, calls: usize, call: impl Fn() -> Call + Sync) -> Vec<Call> {
    thread::scope(|scope| {
        let work = || (0..calls).map(|_| call()).collect::<Vec<_>>();
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn assert_both_happened(calls: &[Call]) {
    assert!(calls.iter().any(|call| call.admitted) && calls.iter().any(|call| !call.admitted));
}

/// Broken by: `store` for `compare_exchange` in `Ring::swap`.
#[test]
fn threads_on_a_logical_clock_never_exceed_the_limit_and_are_refused_rightly() {
    for (limit, window) in [(1, 5), (3, 9), (8, 30), (200, 800)] {
        let gate = SlidingWindow::new(Rate::new(limit, Duration::from_nanos(window)));
        let clock = AtomicU64::new(0);
        let mut calls = stress(4, 20_000, || {
            let before = clock.fetch_add(1, Ordering::SeqCst);
            let admitted = gate.try_acquire_at(at(before)).is_ok();
            Call { before, after: clock.fetch_add(1, Ordering::SeqCst), admitted }
        });
        assert_both_happened(&calls);
        assert_kept(&mut calls, limit as usize, window);
    }
}

/// Broken by: `store` for `compare_exchange` in `Ring::swap`.
#[test]
fn threads_on_the_system_clock_never_exceed_the_limit_and_are_refused_rightly() {
    let (limit, window) = (40, 100_000);
    let clock = SystemClock::new();
    let length = Duration::from_nanos(window);
    let gate = SlidingWindow::with_clock(Rate::new(limit, length), clock.clone());
    let mut calls = stress(3, 30_000, || {
        let before = clock.now().as_nanos();
        let admitted = gate.try_acquire().is_ok();
        Call { before, after: clock.now().as_nanos(), admitted }
    });
    assert_both_happened(&calls);
    assert_kept(&mut calls, limit as usize, window);
}
