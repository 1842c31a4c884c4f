//! The limits on tokens, and what the calls in line need of them.

mod history;
mod in_use;
mod quotas;

use super::ceiling::Ceiling;
use super::counts::{Count, Counted};
use super::in_line::InLine;
use super::leasing::Leasing;
use super::not_until::NotUntil;
use super::reserved::{By, Reserved};
use super::watch::Watch;
use crate::error::{Limit, NoSuchRateError};
use crate::rate::Margin;
use crate::raw::leases::Granter;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Time, Timestamp};
use crate::tokens::{TokenCounter, TokenLimit, Usage};
use core::mem;
use core::time::Duration;
use smallvec::SmallVec;
use std::sync::Arc;

/// The limits on tokens of one limiter; at least one, or all its limits if they are leased.
#[derive(Debug)]
pub(crate) struct Budgets {
    all: Vec<Budget>,
    /// Whether any of them counts as produced.
    pub(super) has_held: bool,
    margin: Margin,
    in_line: Shares,
    pub(super) watch: Watch,
    /// If it has some, all of its limits are leased: then `all` is empty.
    leased: Option<Arc<Leasing>>,
}

#[derive(Debug)]
struct Budget {
    rule: TokenLimit,
    window: TokenCounter,
    /// The limit as the user has set it.
    ceiling: Ceiling,
    /// The highest limit so far: parts are parts of this. Those of calls in line stay right when it changes.
    most: AtomicU64,
}

impl Budget {
    fn new(rule: TokenLimit, margin: Margin, time: &Time) -> Self {
        let (limit, window) = (rule.limit(), margin.add_to(rule.window()));
        let window = TokenCounter::new(time.clone(), rule.counts_as_produced(), limit, window);
        Self { rule, window, ceiling: Ceiling::new(limit), most: AtomicU64::new(limit) }
    }

    fn most(&self) -> u64 {
        // ORDERING: Relaxed: the number alone.
        self.most.load(Ordering::Relaxed)
    }
}

impl Budgets {
    /// `None` if there are none. A window of zero is no limit.
    pub(crate) fn new(limits: &[TokenLimit], margin: Margin, time: &Time) -> Option<Box<Self>> {
        let limits = limits.iter().filter(|rule| !rule.window().is_zero());
        let all: Vec<_> = limits.map(|rule| Budget::new(*rule, margin, time)).collect();
        let is_limited = !all.is_empty();
        is_limited.then(|| Box::new(Self::of(all, margin)))
    }

    /// One limit, even if its window is zero.
    pub(crate) fn single(limit: TokenLimit, margin: Margin, time: &Time) -> Box<Self> {
        Box::new(Self::of(vec![Budget::new(limit, margin, time)], margin))
    }

    fn of(all: Vec<Budget>, margin: Margin) -> Self {
        let has_held = all.iter().any(|budget| budget.window.counts_as_produced());
        let (in_line, watch) = (Shares::default(), Watch::default());
        Self { all, has_held, margin, in_line, watch, leased: None }
    }

    /// Limits that are leased, perhaps none, and the right to grant each.
    pub(crate) fn leased(
        limits: impl Iterator<Item = TokenLimit>,
        margin: Margin,
        time: &Time,
    ) -> (Box<Self>, Vec<Granter>) {
        let (leasing, granters) = Leasing::new(limits, margin, time);
        let has_held = leasing.has_held();
        let budgets =
            Self { has_held, leased: Some(Arc::new(leasing)), ..Self::of(vec![], margin) };
        (Box::new(budgets), granters)
    }

    /// Those that are leased, if they are.
    pub(crate) fn leasing(&self) -> Option<&Arc<Leasing>> {
        self.leased.as_ref()
    }

    /// Whether tokens are limited. If not, it has leases of requests alone.
    pub(crate) fn has_token_limits(&self) -> bool {
        self.leased.as_ref().is_none_or(|leasing| leasing.has_token_limits())
    }

    /// Whether all calls are refused by whoever grants the leases.
    pub(super) fn refuses(&self) -> bool {
        self.leased.as_ref().is_some_and(|leasing| leasing.refuses())
    }

    /// What those are refused as that only others keep from going.
    pub(super) fn name(&self) -> Limit {
        let leased = self.leased.as_ref().is_some();
        if leased && !self.has_token_limits() { Limit::Rate } else { Limit::Tokens }
    }

    /// What the first limit counts by, and the margin in its window. There is one.
    pub(crate) fn first(&self) -> (&TokenCounter, Margin) {
        (&self.all[0].window, self.margin)
    }

    /// Changes the `n`-th limit, and its window if there is one.
    pub(super) fn set(
        &self,
        n: usize,
        limit: u64,
        window: Option<Duration>,
    ) -> Result<(), NoSuchRateError> {
        let budget = self.all.get(n).ok_or(NoSuchRateError)?;
        // ORDERING: Relaxed, as in `most`.
        budget.most.fetch_max(limit, Ordering::Relaxed);
        budget.ceiling.set(limit);
        budget.window.rule().set(limit, window.map(|window| self.margin.add_to(window)));
        Ok(())
    }

    /// Forgets all that was admitted. What is held stays held.
    pub(super) fn reset(&self) {
        self.all.iter().for_each(|budget| budget.window.rule().reset());
    }

    // ---- reserving -----------------------------------------------------------------------------

    /// Whether all budgets have room; the longest wait if not. Writes nothing.
    pub(super) fn peek(&self, expected: Usage) -> Result<(), NotUntil> {
        if let Some(leasing) = &self.leased {
            return leasing.peek(expected);
        }
        let mut longest: Option<NotUntil> = None;
        for Budget { rule, window, .. } in &self.all {
            if let Err(not_now) = window.peek(rule.reserves(expected)) {
                let busy = NotUntil::by_tokens(not_now, rule.name());
                longest = Some(longest.map_or(busy, |longest| longest.or_later(busy)));
            }
        }
        longest.map_or(Ok(()), Err)
    }

    /// Reserves in all budgets or in none. An error also says whether it has given something back.
    #[inline]
    pub(super) fn reserve(
        &self,
        expected: Usage,
        into: &mut Reserved,
    ) -> Result<(), (NotUntil, bool)> {
        if let Some(leasing) = &self.leased {
            // What is given back is not for those in line.
            return leasing.reserve(expected, into).map_err(|busy| (busy, false));
        }
        if self.all.len() > 1 {
            // Of two budgets the second may refuse: the first is left as it was.
            self.peek(expected).map_err(|busy| (busy, false))?;
        }
        into.expected = expected;
        for Budget { rule, window, .. } in &self.all {
            match window.mark(rule.reserves(expected)) {
                Ok((mark, stamp)) => {
                    into.taken.push(mark);
                    into.by = stamp.map_or(into.by, By::Stamp);
                }
                Err(not_now) => {
                    let has_some = !into.taken.is_empty();
                    self.cancel(mem::take(into));
                    return Err((NotUntil::by_tokens(not_now, rule.name()), has_some));
                }
            }
        }
        Ok(())
    }

    /// Reserves in the first limit alone, at a given time.
    pub(super) fn reserve_at(&self, expected: Usage, now: Timestamp) -> Result<Reserved, NotUntil> {
        let Budget { rule, window, .. } = &self.all[0];
        let marked = window.mark_at(rule.reserves(expected), now);
        let (mark, stamp) = marked.map_err(|not_now| NotUntil::by_tokens(not_now, rule.name()))?;
        let mut taken = SmallVec::new();
        taken.push(mark);
        Ok(Reserved { expected, taken, by: stamp.map_or(By::Nothing, By::Stamp) })
    }

    // ---- settling ------------------------------------------------------------------------------

    /// Counts what was used in the place of what was reserved, now or at a given time. Returns whether others may have room by
    /// that.
    pub(super) fn settle(&self, reserved: Reserved, used: Usage, at: Option<Timestamp>) -> bool {
        self.settle_each(reserved, at, |rule, reserved| rule.settles_at(used, reserved))
    }

    /// Counts what was reserved, and in each limit the parts of which more was used as that.
    pub(super) fn settle_at_least(&self, reserved: Reserved, used: Usage) -> bool {
        let expected = reserved.expected;
        self.settle_each(reserved, None, |rule, _| rule.settles_at_least(used, expected))
    }

    /// Counts what was reserved as used, now or at a given time.
    pub(super) fn settle_in_full(&self, reserved: Reserved, at: Option<Timestamp>) -> bool {
        self.settle_each(reserved, at, |_, reserved| reserved)
    }

    /// Gives all back: the call was never sent.
    pub(super) fn cancel(&self, reserved: Reserved) -> bool {
        self.settle_each(reserved, None, |_, _| 0)
    }

    fn settle_each(
        &self,
        reserved: Reserved,
        at: Option<Timestamp>,
        actual: impl Fn(TokenLimit, u64) -> u64,
    ) -> bool {
        if let Some(leasing) = &self.leased {
            leasing.settle_each(reserved, actual);
            // What comes back is granted anew.
            return false;
        }
        let mut may_fit = false;
        for (Budget { rule, window, .. }, taken) in self.all.iter().zip(reserved.taken) {
            let weight = rule.reserves(reserved.expected);
            let actual = actual(*rule, weight);
            // What was held leaves the window by time from now on.
            may_fit |= actual < weight || window.counts_as_produced() && weight > 0;
            window.settle_mark(taken, weight, actual, at);
        }
        may_fit
    }

    // ---- the line ------------------------------------------------------------------------------

    /// How much can be reserved now, in the tightest of the limits that are told by this name.
    pub(crate) fn remaining(&self, is_asked_for: impl Fn(TokenLimit) -> bool) -> u64 {
        if let Some(leasing) = &self.leased {
            return leasing.remaining(is_asked_for);
        }
        let asked = self.all.iter().filter(|budget| is_asked_for(budget.rule));
        asked.map(|budget| budget.window.remaining()).min().unwrap_or(u64::MAX)
    }

    /// Counts the `nth` call in line, by the largest part of a limit that it needs.
    pub(super) fn join(&self, expected: Usage, nth: u64) -> Option<Share<'_>> {
        if let Some(leasing) = &self.leased {
            return Some(Share::Leased(leasing.join(expected, nth)));
        }
        self.share(expected).map(|share| Share::Counted(self.in_line.0[share].count()))
    }

    /// How many of the largest calls in line would fit now, `newcomer` included. The most if none of them needs tokens.
    pub(super) fn room(&self, newcomer: Option<Usage>) -> u64 {
        if let Some(leasing) = &self.leased {
            return leasing.room(newcomer);
        }
        let newcomer = newcomer.and_then(|expected| self.share(expected));
        let Some(share) = self.in_line.largest().into_iter().chain(newcomer).min() else {
            return u64::MAX;
        };
        let fit = |budget: &Budget| {
            let limit = u128::from(budget.most().max(1));
            let fit = (u128::from(budget.window.remaining()) << share) / limit;
            u64::try_from(fit).unwrap_or(u64::MAX)
        };
        self.all.iter().map(fit).min().unwrap_or(u64::MAX)
    }

    /// A call needs at most one part in two to the power of this of each limit; `None` if it needs no tokens.
    fn share(&self, expected: Usage) -> Option<usize> {
        let share = |budget: &Budget| {
            let weight = budget.rule.reserves(expected);
            let parts = budget.most().checked_div(weight)?.max(1);
            usize::try_from(parts.ilog2()).ok()
        };
        let shares = self.all.iter().filter_map(share);
        shares.min().map(|share| share.min(SHARES - 1))
    }
}

/// A call in line, counted by what it needs until this is dropped.
pub(super) enum Share<'a> {
    Counted(#[expect(dead_code, reason = "its drop counts")] Counted<'a>),
    Leased(InLine<'a>),
}

const SHARES: usize = 32;

/// The calls in line by the part of a limit that they need.
#[derive(Debug)]
struct Shares([Count; SHARES]);

impl Default for Shares {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Count::default()))
    }
}

impl Shares {
    fn largest(&self) -> Option<usize> {
        self.0.iter().position(|count| count.get() > 0)
    }
}
