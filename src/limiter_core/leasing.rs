//! Limits that are kept somewhere else. What may be used of them comes in leases.
//!
//! A limiter has either limits that it counts itself or these. Rates are among them, as limits of which each call takes one. Beside
//! the leases (`raw/leases.rs`) there are only hints here: what calls in line need (`demand.rs`), when there will be more.

use super::bell::Bell;
use super::demand::{Demanded, First};
use super::not_until::NotUntil;
use super::reserved::{By, LeaseNumber, Reserved};
use crate::rate::Margin;
use crate::raw::leases::{Granter, MOST, RawLeases, Rest, Taken};
use crate::raw::mark::Mark;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{Time, Timestamp, in_nanos};
use crate::tokens::{TokenLimit, Usage};
use core::mem;
use core::time::Duration;

/// All leased limits of one limiter; perhaps none, if only slots are leased.
#[derive(Debug)]
pub(crate) struct Leasing {
    pub(super) time: Time,
    /// Rates first.
    limits: Box<[Leased]>,
    /// Whether any of them limits tokens.
    has_token_limits: bool,
    /// Whether all calls are refused.
    refuses: AtomicU64,
    /// Calls that were refused for lack of a leased slot.
    slots_tried: AtomicU64,
    /// How many calls are in line.
    calls: AtomicU64,
    pub(super) first: First,
    bell: Bell,
}

/// One leased limit.
#[derive(Debug)]
pub(crate) struct Leased {
    rule: TokenLimit,
    kept: Duration,
    leases: RawLeases,
    /// In ns; 0 if it is not known.
    not_before: AtomicU64,
    /// What others use, and we: for information.
    told_used: AtomicU64,
    demanded: Demanded,
}

/// A look at all, at a time. If there is one limit, what was found of its leases: nothing if they need a longer look.
pub(super) struct Looked {
    now: Timestamp,
    only: Option<Rest>,
}

impl Leased {
    fn new(rule: TokenLimit, margin: Margin) -> (Self, Granter) {
        let (leases, granter) = RawLeases::with_granter(rule.counts_as_produced());
        let rule = rule.at_most(MOST);
        let leased = Self {
            rule,
            kept: margin.add_to(rule.window()),
            leases,
            not_before: AtomicU64::new(0),
            told_used: AtomicU64::new(0),
            demanded: Demanded::new(),
        };
        (leased, granter)
    }

    pub(crate) fn rule(&self) -> TokenLimit {
        self.rule
    }

    pub(crate) fn demand(&self) -> &Demanded {
        &self.demanded
    }

    /// The window with its margin.
    pub(crate) fn kept(&self) -> Duration {
        self.kept
    }

    pub(crate) fn leases(&self) -> &RawLeases {
        &self.leases
    }

    /// From then on there may be more; `None` if that is not known.
    pub(crate) fn set_not_before(&self, at: Option<Timestamp>) {
        // ORDERING: Relaxed: the time alone. It is told, and decides nothing.
        self.not_before.store(at.map_or(0, Timestamp::as_nanos), Ordering::Relaxed);
    }

    /// What all use, for information.
    pub(crate) fn tell_used(&self, used: u64) {
        // ORDERING: Relaxed: a number for information.
        self.told_used.store(used, Ordering::Relaxed);
    }

    pub(super) fn reserves(&self, expected: Usage) -> u64 {
        self.rule.reserves(expected)
    }

    /// Why the weight does not fit at this time.
    #[cold]
    fn lack(&self, now: Timestamp) -> NotUntil {
        // ORDERING: Relaxed, as in `set_not_before`.
        let at = Timestamp::from_nanos(self.not_before.load(Ordering::Relaxed));
        NotUntil::by_lease(now, Some(at).filter(|at| *at > now), self.rule.name())
    }

    /// An error if the weight never fits.
    fn check(&self, now: Timestamp, weight: u64) -> Result<(), NotUntil> {
        let limit = self.rule.limit();
        if weight <= limit {
            return Ok(());
        }
        Err(NotUntil::over(now, self.rule.name(), weight, limit))
    }

    fn peek(&self, now: Timestamp, weight: u64) -> Result<(), NotUntil> {
        self.look(now, weight).map(drop)
    }

    /// Whether the weight fits, and what `take` needs.
    #[inline]
    fn look(&self, now: Timestamp, weight: u64) -> Result<Option<Rest>, NotUntil> {
        self.check(now, weight)?;
        self.leases.look_for(now, weight).map_err(|_| self.lack(now))
    }

    /// Takes the weight after a look at this limit alone, or at all.
    #[expect(clippy::inline_always, reason = "as long a call as what it does")]
    #[inline(always)]
    fn take(&self, Looked { now, only }: &Looked, weight: u64) -> Result<Taken, NotUntil> {
        let taken = match only {
            Some(rest) => self.leases.take_in(rest, *now, weight),
            None => self.leases.take(*now, weight),
        };
        taken.map_err(|_| self.lack(*now))
    }

    /// What all use, as it was told.
    pub(super) fn used(&self) -> u64 {
        // ORDERING: Relaxed, as in `tell_used`.
        self.told_used.load(Ordering::Relaxed)
    }
}

impl Leasing {
    /// The limits, and the right to grant leases of each. Those whose window is zero are none.
    pub(super) fn new(
        rules: impl Iterator<Item = TokenLimit>,
        margin: Margin,
        time: &Time,
    ) -> (Self, Vec<Granter>) {
        let rules = rules.filter(|rule| !rule.window().is_zero());
        let (limits, granters): (Vec<_>, _) = rules.map(|rule| Leased::new(rule, margin)).unzip();
        let leasing = Self {
            time: time.clone(),
            has_token_limits: limits.iter().any(|leased| !leased.rule.counts_requests()),
            limits: limits.into(),
            refuses: AtomicU64::new(0),
            slots_tried: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            first: First::new(),
            bell: Bell::new(),
        };
        (leasing, granters)
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(crate) fn limits(&self) -> &[Leased] {
        &self.limits
    }

    pub(super) fn has_held(&self) -> bool {
        self.limits.iter().any(|leased| leased.rule.counts_as_produced())
    }

    /// From now on all calls are refused, or no longer.
    pub(super) fn refuse_all(&self, refuses: bool) {
        // ORDERING: Relaxed: the caller wakes the line, by `Gate::change` and the count of turns. Those publish it to all who are in
        // line, or join it afterwards.
        self.refuses.swap(u64::from(refuses), Ordering::Relaxed);
    }

    pub(super) fn refuses(&self) -> bool {
        // ORDERING: Relaxed, as above.
        self.refuses.load(Ordering::Relaxed) != 0
    }

    /// The clock, if there is anything to ask it for.
    pub(super) fn now(&self) -> Timestamp {
        if self.limits.is_empty() { Timestamp::ZERO } else { self.time.now() }
    }

    fn check_refusal(&self) -> Result<(), NotUntil> {
        if self.refuses() { Err(NotUntil::by_refusal(self.time.now())) } else { Ok(()) }
    }

    /// Whether all have room; the longest wait if not. Writes nothing.
    pub(super) fn peek(&self, expected: Usage) -> Result<(), NotUntil> {
        self.check_refusal()?;
        self.peek_at(self.now(), expected)
    }

    fn peek_at(&self, now: Timestamp, expected: Usage) -> Result<(), NotUntil> {
        let mut longest: Option<NotUntil> = None;
        for leased in &self.limits {
            if let Err(busy) = leased.peek(now, leased.reserves(expected)) {
                longest = Some(longest.map_or(busy, |longest| longest.or_later(busy)));
            }
        }
        longest.map_or(Ok(()), Err)
    }

    /// Looks at all, for a call that takes of them next. As `peek`.
    #[inline]
    pub(super) fn look(&self, expected: Usage) -> Result<Looked, NotUntil> {
        self.check_refusal()?;
        let now = self.now();
        let [leased] = &*self.limits else {
            return self.peek_at(now, expected).map(|()| Looked { now, only: None });
        };
        let only = leased.look(now, leased.reserves(expected))?;
        Ok(Looked { now, only })
    }

    /// Takes of all or of none. What was taken of the first ones, if a later one refuses, comes back to whoever grants.
    #[inline]
    pub(super) fn reserve(&self, expected: Usage, into: &mut Reserved) -> Result<(), NotUntil> {
        let looked = self.look(expected)?;
        self.reserve_in(&looked, expected, into)
    }

    /// The same after a look, at the time of that.
    #[inline]
    pub(super) fn reserve_in(
        &self,
        looked: &Looked,
        expected: Usage,
        into: &mut Reserved,
    ) -> Result<(), NotUntil> {
        if self.is_one_rate() {
            into.by = By::Lease(self.take_one(looked)?);
            return Ok(());
        }
        if self.has_token_limits {
            into.expected = expected;
        }
        for leased in &self.limits {
            match leased.take(looked, leased.reserves(expected)) {
                Ok(taken) => {
                    into.taken.push(taken.mark);
                    if taken.is_low {
                        self.bell.note();
                    }
                }
                Err(busy) => {
                    self.settle_each(mem::take(into), |_, _| 0);
                    return Err(busy);
                }
            }
        }
        Ok(())
    }

    /// Whether a rate is all there is. Then a call keeps the number of its lease alone, not a mark.
    #[inline]
    pub(super) fn is_one_rate(&self) -> bool {
        self.limits.len() == 1 && !self.has_token_limits
    }

    /// A look at the first limit, if one call of it is left in one of the newest leases.
    #[inline]
    pub(super) fn look_at_one(&self) -> Option<Looked> {
        let leased = self.limits.first().filter(|_| !self.refuses())?;
        let now = self.time.now();
        let only = leased.leases.look_at_newest(now, 1)?;
        Some(Looked { now, only: Some(only) })
    }

    /// Takes one of the first limit, after a look.
    #[inline]
    pub(super) fn take_one(&self, looked: &Looked) -> Result<LeaseNumber, NotUntil> {
        let Some(leased) = self.limits.first() else { return Ok(LeaseNumber::default()) };
        let taken = leased.take(looked, 1)?;
        if taken.is_low {
            self.bell.note();
        }
        Ok(LeaseNumber(taken.mark.as_lease().map_or(0, |(number, _)| number)))
    }

    /// Counts what was used in the place of what was reserved.
    pub(super) fn settle_each(&self, reserved: Reserved, actual: impl Fn(TokenLimit, u64) -> u64) {
        if let By::Lease(LeaseNumber(number)) = reserved.by
            && let Some(leased) = self.limits.first()
        {
            // One call is of one lease.
            leased.leases.settle(&Mark::of_lease(number, 1), 1, actual(leased.rule, 1));
        }
        for (leased, mark) in self.limits.iter().zip(reserved.taken) {
            let weight = leased.reserves(reserved.expected);
            leased.leases.settle(&mark, weight, actual(leased.rule, weight));
        }
    }

    /// How much is left of the tightest that is asked for.
    pub(super) fn remaining(&self, is_asked_for: impl Fn(TokenLimit) -> bool) -> u64 {
        let now = self.now();
        let asked = self.limits.iter().filter(|leased| is_asked_for(leased.rule));
        asked.map(|leased| leased.leases.left(now)).min().unwrap_or(u64::MAX)
    }

    /// One more is in line, and what it needs is counted.
    pub(super) fn count_call(&self) {
        // ORDERING: Release pairs with the Acquire in `room`: whoever counts this call counts what it needs.
        self.calls.fetch_add(1, Ordering::Release);
    }

    pub(super) fn count_call_out(&self) {
        // ORDERING: Relaxed: by a stale number one more has a turn, as if the call was still in line.
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many of the calls in line would fit now, `newcomer` included: all of them, or so many of the largest. The most if none is in
    /// line.
    pub(super) fn room(&self, newcomer: Option<Usage>) -> u64 {
        let now = self.now();
        // ORDERING: Acquire pairs with the Release in `count_call`, and comes before what they need is looked at. Of one that joins
        // meanwhile only that may be seen: no turn is for it, and those before it get theirs.
        // MUTANTS: leasing room
        let all = match self.calls.load(Ordering::Acquire) {
            0 => u64::MAX,
            calls => calls + u64::from(newcomer.is_some()),
        };
        let fit = |leased: &Leased| {
            let newcomer = newcomer.map_or(0, |expected| leased.reserves(expected));
            leased.demanded.fit(leased.leases.left(now), newcomer, all)
        };
        self.limits.iter().map(fit).min().unwrap_or(u64::MAX)
    }

    /// What lies between two calls at full speed, in ns, by the slowest of the rates; 0 without one.
    pub(super) fn full_speed_gap(&self) -> u64 {
        let rates = self.limits.iter().map(|leased| leased.rule);
        let rates = rates.filter(|rule| rule.counts_requests());
        rates.map(|rule| in_nanos(rule.window()) / rule.limit().max(1)).max().unwrap_or(0)
    }

    /// Whether any of them limits tokens.
    pub(super) fn has_token_limits(&self) -> bool {
        self.has_token_limits
    }

    /// A call is refused for lack of a leased slot. The caller notes it.
    pub(super) fn try_for_a_slot(&self) {
        // ORDERING: Relaxed: a count for information. `Bell::note` publishes it.
        self.slots_tried.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were since the last time.
    pub(crate) fn take_slots_tried(&self) -> u64 {
        // ORDERING: Relaxed, as above.
        self.slots_tried.swap(0, Ordering::Relaxed)
    }

    /// A call is refused that does not wait. What it lacks is asked for.
    pub(super) fn note_tried(&self, expected: Usage) {
        let now = self.now();
        for leased in &self.limits {
            let weight = leased.reserves(expected);
            if weight <= leased.rule.limit() && leased.leases.peek(now, weight).is_err() {
                leased.demanded.try_for(weight);
            }
        }
        self.bell.note();
    }
}
