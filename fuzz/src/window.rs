//! The window against a list of all stamps.

use crate::bytes::Bytes;
use crate::stamps::{Rule, Stamps};
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{Limit, NoSuchRateError, Rate, SlidingWindow};
use std::time::Duration;

/// Up to here, and grown to twice as much, a log is one ring.
const ONE_RING: u32 = 40;
/// A log of this size may be split into several.
const SEVERAL: u32 = 400;

/// Admits under one to three rules with or without a margin, at times that jump, step back, or are exactly
/// when a refusal said; changes rules, so that the log grows; resets. Every answer, wait and `remaining` must
/// match a list of all stamps.
///
/// The clock does not step back under logs that may be split: each ring clamps by its own stamps, which users
/// cannot see. After a change, such logs are only checked against the limit until a window has passed.
///
/// Caught: `<=` for `<` in the test of a cell; a share of the limit rounded up; stamps not handed on
/// as the log grows; the first rule alone; a margin left out; a window rounded down; a stamp not
/// clamped to the newest; a reset that keeps a ring, or a rule.
pub fn window(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut scene = Scene::new(&mut bytes);
    while !bytes.is_empty() {
        scene.step(&mut bytes);
        scene.check_remaining();
    }
}

/// A clock that is this far behind the newest stamp has jumped back.
const JUMP: u64 = 1_000_000_000;

struct Scene {
    clock: ManualClock,
    window: SlidingWindow,
    stamps: Stamps,
    now: u64,
    /// How far the window's time is ahead of the clock's, since that has jumped back.
    ahead: u64,
    margin: u64,
    /// The largest limit a rule may get.
    largest: u32,
    /// The admissions that the log has room for.
    capacity: u32,
}

impl Scene {
    fn new(bytes: &mut Bytes) -> Self {
        let largest = if bytes.byte() < 200 { ONE_RING } else { SEVERAL };
        let margin = if bytes.flip() { length(bytes) } else { 0 };
        let asked: Vec<Rule> = (0..bytes.within(1, 3)).map(|_| rule(bytes, largest)).collect();
        let clock = ManualClock::new();
        let builder = SlidingWindow::builder().clock(clock.clone()).margin(nanos(margin));
        let window = asked
            .iter()
            .fold(builder, |builder, rule| builder.rate(Rate::new(rule.limit, nanos(rule.window))))
            .build();
        let capacity = asked.iter().map(|rule| rule.limit).max().unwrap_or(0);
        let stamps = Stamps::new((0..asked.len()).map(|n| kept(&window, n, asked[n], margin)));
        Self {
            clock,
            window,
            stamps,
            now: bytes.any_u64() >> 3,
            ahead: 0,
            margin,
            largest,
            capacity,
        }
    }

    fn is_split(&self) -> bool {
        self.largest > ONE_RING
    }

    fn is_exact(&self) -> bool {
        self.stamps.is_exact(self.now + self.ahead)
    }

    /// When the rules admit one more, by the clock.
    fn free_at(&self, now: u64) -> Option<u64> {
        self.stamps.free_at(now + self.ahead).map(|free_at| free_at - self.ahead)
    }

    fn step(&mut self, bytes: &mut Bytes) {
        match bytes.within(0, 7) {
            0..=2 => self.attempts(bytes.within(1, 8)),
            3 => self.attempts(bytes.within(1, u64::from(self.largest) + 10)),
            4 | 5 => self.go_on(bytes),
            6 => self.now = self.free_at(self.now).unwrap_or(self.now),
            _ => self.change(bytes),
        }
    }

    /// Moves the time by a part of a window, or by a few ns.
    fn go_on(&mut self, bytes: &mut Bytes) {
        let longest = self.stamps.rules().map(|rule| rule.window).max().unwrap_or(1);
        let by = match bytes.within(0, 3) {
            0 => bytes.within(0, 3),
            1 => longest / 8 * bytes.within(0, 10),
            2 => bytes.within(0, longest),
            _ => longest.saturating_sub(bytes.within(0, 2)),
        };
        let back = bytes.byte() < 64 && !self.is_split();
        // Whether a jump is noticed depends on what the log has forgotten.
        let by = if back && !self.stamps.knows_all() { 0 } else { by };
        self.now = if back { self.now.saturating_sub(by) } else { (self.now + by).min(1 << 62) };
    }

    fn attempts(&mut self, most: u64) {
        for _ in 0..most {
            if !self.attempt(self.now) {
                break;
            }
        }
    }

    /// True if it was admitted.
    fn attempt(&mut self, now: u64) -> bool {
        let exact = self.stamps.is_exact(now + self.ahead);
        let expected = self.free_at(now);
        let Err(refused) = self.window.try_acquire_at(Timestamp::from_nanos(now)) else {
            assert!(!exact || expected == Some(now), "admitted at {now}, not at {expected:?}");
            self.stamps.admit(now + self.ahead);
            return true;
        };
        assert_eq!(refused.limit(), Limit::Rate);
        assert_eq!(refused.is_permanent(), expected.is_none());
        let told = refused.retry_after().map(|wait| now + in_nanos(wait));
        if exact {
            assert_eq!(told, expected, "the time told is not the time it is free");
        }
        // Rings whose shares have changed may have too few and too many.
        assert!(self.is_split() || expected != Some(now), "refused although there was room");
        assert_ne!(told, Some(now), "free now, and refused");
        if let Some(free_at) = told.filter(|_| exact) {
            let earlier = self.window.try_acquire_at(Timestamp::from_nanos(free_at - 1));
            assert!(earlier.is_err(), "free before the time told");
        }
        false
    }

    fn change(&mut self, bytes: &mut Bytes) {
        let n = bytes.below(4);
        if n == 3 {
            self.window.reset();
            self.ahead = 0;
            return self.stamps.reset();
        }
        let asked = rule(bytes, self.largest);
        let got = self.window.set_rate_at(n, Rate::new(asked.limit, nanos(asked.window)));
        if n >= self.stamps.rules().count() {
            return assert_eq!(got, Err(NoSuchRateError));
        }
        assert_eq!(got, Ok(()));
        let grows = asked.limit > self.capacity;
        if grows {
            self.capacity = asked.limit.max(self.capacity * 2);
        }
        let kept = kept(&self.window, n, asked, self.margin);
        self.stamps.change(n, kept, grows || self.is_split());
    }

    fn check_remaining(&mut self) {
        self.clock.set(Timestamp::from_nanos(self.now));
        let got = self.window.remaining();
        // Asked by a clock that has jumped back, it goes on from the newest stamp.
        let (now, newest) = (self.now + self.ahead, self.stamps.newest());
        if self.stamps.remaining(now) == 0 && newest > now + JUMP {
            self.ahead = newest - self.now;
        }
        let expected = self.stamps.remaining(self.now + self.ahead);
        assert!(got == expected || !self.is_exact(), "{got} remain, not {expected}");
    }
}

/// A rule as the window shows it, with the margin. Long ones are rounded, up and by very little.
fn kept(window: &SlidingWindow, n: usize, asked: Rule, margin: u64) -> Rule {
    let rate = window.rates().nth(n).expect("it has as many");
    let (limit, length) = (rate.limit(), in_nanos(rate.window()) + margin);
    let asked_for = asked.window + margin;
    assert_eq!(limit, asked.limit);
    assert!(length >= asked_for, "{length} ns are less than {asked_for}");
    assert!(length - asked_for <= asked_for >> 35, "{length} ns are more than {asked_for}");
    Rule { limit, window: length }
}

fn rule(bytes: &mut Bytes, largest: u32) -> Rule {
    let limit = match bytes.byte() {
        few @ 0..200 => u32::from(few % 9).min(largest),
        _ => u32::try_from(bytes.within(0, largest.into())).unwrap_or(0),
    };
    Rule { limit, window: length(bytes) }
}

/// From one nanosecond to an hour, mostly short.
fn length(bytes: &mut Bytes) -> u64 {
    match bytes.within(0, 7) {
        0..=3 => bytes.within(1, 16),
        4 | 5 => bytes.within(1, 1000),
        6 => 1_000_000_000,
        _ => bytes.within(1, 3_600_000_000_000),
    }
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn in_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("less than the end of time")
}
