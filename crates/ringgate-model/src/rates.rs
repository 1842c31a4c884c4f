//! Rates that hold together, as lists of limits and of all stamps.

use crate::window::{Rule, Stamps};

/// A clock that is this far behind the newest stamp has jumped back.
pub const JUMP: u64 = 1_000_000_000;

/// Rules that hold together, and the stamps they count.
///
/// Methods take the time that the clock shows. After a jump back the stamps' time continues from the newest stamp.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Limit and window, without the margin.
    rules: Vec<(u32, u64)>,
    margin: u64,
    stamps: Stamps,
    /// How many stamps a change keeps: the largest limit so far, or twice as many as before if a limit
    /// outgrew that.
    memory: usize,
    /// How far the stamps' time is ahead of the clock, since it has jumped back.
    offset: u64,
}

impl Rates {
    /// Rules as limit and window, and a margin for each window.
    #[must_use]
    pub fn new(rules: &[(u32, u64)], margin: u64) -> Self {
        let largest = rules.iter().map(|(limit, _)| *limit as usize).max().unwrap_or(0);
        let (stamps, memory) = (Stamps::default(), largest.max(1));
        Self { rules: rules.to_vec(), margin, stamps, memory, offset: 0 }
    }

    /// The rules that limit anything: a limit of zero always does, a window of zero otherwise never.
    fn limiting(&self) -> impl Iterator<Item = Rule> {
        let limiting = self.rules.iter().filter(|(limit, window)| *limit == 0 || *window > 0);
        limiting.map(|(limit, window)| Rule { limit: *limit, window: window + self.margin })
    }

    fn stamp_time(&self, now: u64) -> u64 {
        now.saturating_add(self.offset)
    }

    /// True if a limit is zero.
    #[must_use]
    pub fn are_never_open(&self) -> bool {
        self.stamps.free_at(self.limiting(), 0).is_none()
    }

    /// True if one more is admitted now.
    #[must_use]
    pub fn are_open(&self, now: u64) -> bool {
        self.stamps.free_at(self.limiting(), 0).is_some_and(|at| at <= self.stamp_time(now))
    }

    /// How long a call with `ahead` others before it waits, if each of them goes as soon as it can. With several rules
    /// it is the earliest possible: the longest that any rule demands by itself. `None` for never.
    #[must_use]
    pub fn wait(&self, ahead: usize, now: u64) -> Option<u64> {
        self.wait_after(0, ahead, now)
    }

    /// The same, if none of them goes before so long.
    pub(crate) fn wait_after(&self, delay: u64, ahead: usize, now: u64) -> Option<u64> {
        let now = self.stamp_time(now);
        let from = now.saturating_add(delay);
        let by = |latest: u64, rule| Some(latest.max(self.turn_by(rule, ahead, from)?));
        Some(self.limiting().try_fold(from, by)? - now)
    }

    fn turn_by(&self, rule: Rule, ahead: usize, now: u64) -> Option<u64> {
        let mut foreseen = self.stamps.clone();
        for _ in 0..ahead {
            let turn = foreseen.free_at([rule], now)?;
            foreseen.admit(turn);
        }
        foreseen.free_at([rule], now)
    }

    /// How many more are admitted now.
    #[must_use]
    pub fn remaining(&self, now: u64) -> u32 {
        self.stamps.remaining(self.limiting(), self.stamp_time(now))
    }

    /// Counts an admission.
    pub(crate) fn stamp(&mut self, now: u64) {
        if self.limiting().next().is_some() {
            self.stamps.admit(self.stamp_time(now));
        }
        self.notice_jump(now);
    }

    /// Returns false if there is no such rule.
    pub(crate) fn set(&mut self, n: usize, limit: u32, window: u64, now: u64) -> bool {
        let Some(rule) = self.rules.get_mut(n) else { return false };
        *rule = (limit, window);
        if limit as usize > self.memory {
            self.stamps.keep_newest(self.memory);
            self.memory = (2 * self.memory).max(limit as usize);
        }
        self.notice_jump(now);
        true
    }

    /// Forgets all stamps, and their time.
    pub(crate) fn reset(&mut self) {
        self.stamps.clear();
        self.offset = 0;
    }

    /// A call that is refused notices that the clock has jumped.
    pub(crate) fn notice_jump(&mut self, now: u64) {
        let newest = self.stamps.newest();
        if self.remaining(now) == 0 && newest > self.stamp_time(now) + JUMP {
            self.offset = newest - now;
        }
    }
}
