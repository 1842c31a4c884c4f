//! The rates as the user has set them, and as a provider tells them.

use super::ceiling::Ceiling;
use super::others::{Answer, Others, Windows};
use super::which::{Candidate, Candidates};
use crate::raw::left::Sent;
use crate::raw::window::Log;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::in_nanos;
use core::time::Duration;

/// What the user and the provider allow of each rule of a log.
#[derive(Debug)]
pub(super) struct Ceilings {
    rules: Box<[Rule]>,
    /// The earliest of the rules' `forget_at`.
    look_at: AtomicU64,
}

#[derive(Debug)]
struct Rule {
    ceiling: Ceiling,
    /// The limit that the provider has told last. The user's change takes it back.
    said: AtomicU64,
    others: Others,
    /// When what others use is forgotten, in ns of the clock; `NEVER` if nothing is known of them.
    forget_at: AtomicU64,
}

const NEVER: u64 = u64::MAX;
const TRIES: u32 = 8;

impl Rule {
    fn said(&self) -> u64 {
        // ORDERING: Relaxed: the number alone.
        self.said.load(Ordering::Relaxed)
    }

    fn set_said(&self, limit: u64) {
        // ORDERING: Relaxed, as in `said`.
        self.said.store(limit, Ordering::Relaxed);
    }

    fn forget_at(&self) -> u64 {
        // ORDERING: Relaxed: the swap in `look_at_the_earliest` orders it.
        self.forget_at.load(Ordering::Relaxed)
    }

    fn set_forget_at(&self, at: u64) {
        // ORDERING: Relaxed, as in `forget_at`. An exchange, as is the one in `takes_to_forget`: one of the two comes first.
        self.forget_at.swap(at, Ordering::Relaxed);
    }

    /// Whether it is time to forget what others use, and nobody else does.
    fn takes_to_forget(&self, now: u64, kept: u64) -> bool {
        let at = self.forget_at();
        // Later than it can be by this clock: that has jumped back.
        let is_from_before = at != NEVER && at.saturating_sub(now) > kept;
        // ORDERING: Relaxed, as in `forget_at`, in both. An answer that has come meanwhile has stored another time, and lowered the
        // limit or will.
        (now >= at || is_from_before)
            && self
                .forget_at
                .compare_exchange(at, NEVER, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// What the log allows from now on. Returns whether it has changed.
    fn apply(&self, log: &Log, index: usize) -> bool {
        let current = || log.rule(index).map_or(0, |(limit, _)| limit.into());
        // Both are at most the user's.
        let limit = |limit: u64| u32::try_from(limit).unwrap_or(u32::MAX);
        let exchange = |from, to| log.exchange_limit(index, limit(from), limit(to));
        self.ceiling.take_over(|ceiling| self.target(ceiling), current, exchange)
    }

    /// What both allow, without what others use.
    fn allowed(&self) -> u64 {
        self.ceiling.get().min(self.said())
    }

    /// One call stays: a limit of nothing would be for ever, and no answer would tell when it is over.
    fn target(&self, ceiling: u64) -> u64 {
        let allowed = ceiling.min(self.said());
        allowed.saturating_sub(self.others.used()).max(allowed.min(1))
    }

    /// Nothing is known of what the provider has said of others.
    fn forget(&self) {
        self.others.forget();
        self.others.forget_refused();
        self.set_forget_at(NEVER);
    }
}

fn windows(log: &Log, index: usize) -> Option<Windows> {
    let (_, window) = log.rule(index)?;
    let kept = log.kept_window(index)?;
    (!kept.is_zero()).then(|| Windows { window: in_nanos(window), kept: in_nanos(kept) })
}

impl Ceilings {
    /// What the log allows now.
    pub(super) fn of(log: Option<&Log>) -> Self {
        let limits = log.into_iter().flat_map(|log| (0..log.rules()).map_while(|n| log.rule(n)));
        let rule = |(limit, _): (u32, _)| Rule {
            ceiling: Ceiling::new(limit.into()),
            said: AtomicU64::new(u64::MAX),
            others: Others::default(),
            forget_at: AtomicU64::new(NEVER),
        };
        Self { rules: limits.map(rule).collect(), look_at: AtomicU64::new(NEVER) }
    }

    /// Before the user's change of a rule.
    pub(super) fn set(&self, index: usize, limit: u32) {
        if let Some(rule) = self.rules.get(index) {
            rule.set_said(u64::MAX);
            rule.forget();
            rule.ceiling.set(limit.into());
        }
    }

    /// The rules that limit something.
    pub(super) fn candidates(&self, log: &Log) -> Candidates {
        let candidate = |(index, rule): (usize, &Rule)| {
            let (_, window) = log.rule(index)?;
            let kept = log.kept_window(index)?;
            Some(Candidate { index, limit: rule.ceiling.get(), window, kept })
        };
        let all = self.rules.iter().enumerate().filter_map(candidate);
        all.filter(|one| !one.kept.is_zero()).collect()
    }

    /// The provider has refused a call.
    pub(super) fn refuse(&self, log: &Log, sent: Sent, now: u64) {
        for (index, rule) in self.rules.iter().enumerate() {
            if let Some(windows) = windows(log, index) {
                rule.others.refuse(sent, now, windows);
            }
        }
    }

    /// Takes over what the provider tells of a rule, as far as the user allows it. Returns whether more may go now.
    pub(super) fn take_over(
        &self,
        log: &Log,
        index: usize,
        told: Told,
        now: &dyn Fn() -> u64,
    ) -> bool {
        let Some(rule) = self.rules.get(index) else { return false };
        if let Some(limit) = told.limit {
            if !rule.ceiling.is_believable(limit) {
                return false;
            }
            rule.set_said(limit);
        }
        if let Some(remaining) = told.remaining
            && let Some(windows) = windows(log, index)
            && let Some(counted) = log.counted(index, told.sent, now)
        {
            let used = rule.allowed().saturating_sub(remaining);
            let is_full = told.is_refusal && remaining == 0;
            let now = now();
            let answer = Answer { used, is_refusal: told.is_refusal, is_full, sent: told.sent };
            // Otherwise what is known holds until its time, if anything is.
            if rule.others.learn(answer, counted, now, windows) {
                let after = told.reset_after.map_or(u64::MAX, in_nanos).clamp(1, windows.kept);
                let ends = now.saturating_add(after);
                rule.set_forget_at(ends);
                // ORDERING: AcqRel, as in `look_at_the_earliest`.
                self.look_at.fetch_min(ends, Ordering::AcqRel);
            }
        }
        rule.apply(log, index)
    }

    /// After a rule's `forget_at` was stored.
    fn look_at_the_earliest(&self) {
        let earliest = || self.rules.iter().map(Rule::forget_at).min().unwrap_or(NEVER);
        // More often only if others tell something each time, and they look as well.
        for _ in 0..TRIES {
            let seen = earliest();
            // ORDERING: AcqRel. Of two that swap, the later one sees what the earlier one had stored before.
            self.look_at.swap(seen, Ordering::AcqRel);
            if earliest() == seen {
                break;
            }
        }
    }

    /// When it is time to forget what others use, in ns of the clock; `None` if nothing is known of them.
    #[inline]
    pub(super) fn look_at(&self) -> Option<u64> {
        // ORDERING: Relaxed: a time alone.
        let at = self.look_at.load(Ordering::Relaxed);
        (at != NEVER).then_some(at)
    }

    /// The log or its clock has begun anew.
    pub(super) fn forget_all(&self, log: &Log) {
        for (index, rule) in self.rules.iter().enumerate() {
            rule.forget();
            rule.apply(log, index);
        }
        self.look_at_the_earliest();
    }

    /// The limit that the user has set.
    pub(super) fn configured(&self, index: usize) -> Option<u64> {
        self.rules.get(index).map(|rule| rule.ceiling.get())
    }

    /// The limit that both allow, without what others use.
    pub(super) fn allowed(&self, index: usize) -> Option<u64> {
        self.rules.get(index).map(Rule::allowed)
    }

    /// Forgets what others use of the rules for which it is time. Returns whether there was one. A word that comes at the same time may
    /// be forgotten, too; the next one tells it again.
    #[cold]
    pub(super) fn forget_others(&self, log: &Log, now: u64) -> bool {
        let mut has_forgotten = false;
        for (index, rule) in self.rules.iter().enumerate() {
            let kept = windows(log, index).map_or(0, |windows| windows.kept);
            if rule.takes_to_forget(now, kept) {
                rule.others.forget();
                rule.apply(log, index);
                has_forgotten = true;
            }
        }
        // A rule's time may have moved on since.
        if has_forgotten || self.look_at().is_some_and(|at| now >= at) {
            self.look_at_the_earliest();
        }
        has_forgotten
    }
}

/// What an answer tells of a rule.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) limit: Option<u64>,
    pub(super) remaining: Option<u64>,
    /// When all is there again.
    pub(super) reset_after: Option<Duration>,
    /// The call was refused.
    pub(super) is_refusal: bool,
    pub(super) sent: Sent,
}
