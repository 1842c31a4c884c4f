//! What counts in a limit on tokens, tick by tick.

use ringgate::{Limit, TokenLimit, Usage};
use std::time::Duration;

/// Windows of up to a millisecond have ticks of this length, in ns.
pub(crate) const TICK: u64 = 1_000;
/// Limits up to this are counted by single tokens, and never too coarsely.
pub(crate) const FEW: u64 = 1_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) counts: Limit,
    pub(crate) window: u64,
    pub(crate) without_refunds: bool,
    pub(crate) factor: u32,
}

impl Rule {
    pub(crate) fn of_limit(self, limit: u64) -> TokenLimit {
        let window = Duration::from_nanos(self.window);
        let limit = match self.counts {
            Limit::InputTokens => TokenLimit::input(limit, window),
            Limit::OutputTokens => TokenLimit::output(limit, window),
            _ => TokenLimit::total(limit, window),
        };
        let limit = limit.with_output_factor(self.factor);
        if self.without_refunds { limit.without_refunds() } else { limit }
    }

    pub(crate) fn weight(self, usage: Usage) -> u64 {
        match self.counts {
            Limit::InputTokens => usage.input,
            Limit::OutputTokens => usage.output,
            _ => usage.total(),
        }
    }

    fn used(self, usage: Usage) -> u64 {
        let output = usage.output.saturating_mul(self.factor.into());
        self.weight(Usage::new(usage.input, output))
    }
}

/// An admitted call: its number, when it was admitted, what it expected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: usize,
    pub(crate) at: u64,
    pub(crate) expected: Usage,
}

#[derive(Debug)]
struct Entry {
    call: usize,
    /// Since when it counts; `None` while it is held.
    tick: Option<u64>,
    amount: u64,
}

/// One limit, and what counts in it.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) rule: Rule,
    pub(crate) limit: u64,
    /// No limit has been so large that several tokens are one unit.
    pub(crate) is_exact: bool,
    /// The latest tick in which something was counted. A clock that is behind counts there.
    head: u64,
    entries: Vec<Entry>,
}

impl Book {
    pub(crate) fn new(rule: Rule, limit: u64) -> Self {
        Self { rule, limit, is_exact: limit <= FEW, head: 0, entries: Vec::new() }
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.is_exact &= limit <= FEW;
    }

    fn tick(&self, now: u64) -> u64 {
        (now / TICK).max(self.head)
    }

    /// Whether it may count: whatever lies less than a window apart.
    fn may_count(&self, entry: &Entry, tick: u64) -> bool {
        let ticks = self.rule.window.div_ceil(TICK) + 1;
        entry.tick.is_none_or(|since| since + ticks > tick)
    }

    /// Whether it counts. Another unit lets the ticks begin at other times: then it may leave a tick earlier.
    fn counts_at(&self, entry: &Entry, tick: u64) -> bool {
        self.may_count(entry, tick + u64::from(!self.is_exact))
    }

    fn counted(&self, now: u64) -> u128 {
        let tick = self.tick(now);
        let counting = self.entries.iter().filter(|entry| self.counts_at(entry, tick));
        counting.map(|entry| u128::from(entry.amount)).sum()
    }

    fn held(&self) -> u128 {
        let held = self.entries.iter().filter(|entry| entry.tick.is_none());
        held.map(|entry| u128::from(entry.amount)).sum()
    }

    pub(crate) fn left(&self, now: u64) -> u64 {
        let counted = u64::try_from(self.counted(now)).unwrap_or(u64::MAX);
        self.limit.saturating_sub(counted)
    }

    pub(crate) fn fits(&self, now: u64, weight: u64) -> bool {
        weight == 0 || self.counted(now) + u128::from(weight) <= self.limit.into()
    }

    pub(crate) fn is_too_large(&self, weight: u64) -> bool {
        weight > self.limit
    }

    /// No time makes room for it.
    pub(crate) fn waits_for_others(&self, weight: u64) -> bool {
        weight > 0 && self.held() + u128::from(weight) > self.limit.into()
    }

    pub(crate) fn begin(&mut self, call: Call) {
        let amount = self.rule.weight(call.expected);
        if self.rule.counts == Limit::OutputTokens {
            self.entries.push(Entry { call: call.number, tick: None, amount });
        } else {
            self.count(call.number, call.at, amount);
        }
    }

    fn count(&mut self, call: usize, at: u64, amount: u64) {
        if amount > 0 {
            self.head = self.tick(at);
            self.entries.push(Entry { call, tick: Some(self.head), amount });
        }
    }

    /// The call has used so much; `None`: all that it had reserved.
    pub(crate) fn settle(&mut self, call: Call, now: u64, used: Option<Usage>) {
        let reserved = self.rule.weight(call.expected);
        let used = used.map_or(reserved, |used| self.rule.used(used));
        let kept = if self.rule.without_refunds { reserved } else { 0 };
        self.count_instead(call, now, used.max(kept));
    }

    /// The call was never sent.
    pub(crate) fn cancel(&mut self, call: Call, now: u64) {
        self.count_instead(call, now, 0);
    }

    fn count_instead(&mut self, call: Call, now: u64, used: u64) {
        let tick = self.tick(now);
        let place = self.entries.iter().position(|entry| entry.call == call.number);
        let Some(place) = place else { return self.count(call.number, now, used) };
        if self.entries[place].tick.is_none() {
            self.entries.remove(place);
            // Not before it was reserved, whatever the clock says now.
            return self.count(call.number, now.max(call.at), used);
        }
        let reserved = self.entries[place].amount;
        if self.may_count(&self.entries[place], tick) {
            self.entries[place].amount = reserved.min(used);
        }
        self.count(call.number, now, used.saturating_sub(reserved));
    }
}
