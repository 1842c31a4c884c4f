//! What a ring will allow: how many admissions now, and when a later one.

use super::cells::{Boundary, Ring, RingError, in_cells, index, used};
use super::rules::Rules;
use crate::raw::window::cell::{Format, NEVER, Rule};

/// How often a snapshot that others change is taken anew.
pub(crate) const MAX_SNAPSHOTS: u32 = 16;

/// With several rules, up to this many admissions are foreseen exactly. Later ones are foreseen at the earliest.
const MAX_FORESEEN: u64 = 4096;

impl Ring {
    /// How many more admissions the rules allow at `now`.
    pub(crate) fn remaining(&self, rules: Rules<'_>, now: u64) -> Result<u64, RingError> {
        self.snapshot(rules.format, |found| {
            let all = rules.all().filter(|rule| !rule.is_unlimited());
            let remaining = all.map(|rule| self.remaining_by(rules.format, rule, found, now));
            remaining.min().unwrap_or(NEVER)
        })
    }

    /// Reads cells that belong together, from one boundary.
    fn snapshot(&self, format: Format, read: impl Fn(&Boundary) -> u64) -> Result<u64, RingError> {
        let mut tries = 0;
        loop {
            let found = self.locate_open(format)?;
            let result = read(&found);
            tries += 1;
            // MUTANTS: snapshot
            // A cell stamped meanwhile mixes two laps in the result. If that does not end, an estimate must do.
            if self.is_unchanged(&found) || tries == MAX_SNAPSHOTS {
                return Ok(result);
            }
        }
    }

    fn remaining_by(&self, format: Format, rule: Rule, found: &Boundary, now: u64) -> u64 {
        let busy = |back| format.time(self.word(self.back(found.newest, back))) + rule.window > now;
        let used = used(format, found.newest_word);
        if used > 0 && used >= rule.limit {
            return if busy(0) { 0 } else { rule.limit };
        }
        // Stamps grow from the oldest on: search the first busy cell by halves.
        let start = u64::from(used > 0);
        let (mut full, mut end) = (0, in_cells(format, rule.limit + format.per_cell - 1));
        while full < end {
            let middle = full.midpoint(end);
            if busy(start + middle) { full = middle + 1 } else { end = middle }
        }
        rule.limit.saturating_sub(used).saturating_sub(full * format.per_cell)
    }

    /// When the admission after `ahead` others is free, if each of those is claimed as soon as it is free, from `now`
    /// on.
    pub(crate) fn free_at(&self, rules: Rules<'_>, ahead: u64, now: u64) -> Result<u64, RingError> {
        self.snapshot(rules.format, |found| {
            if rules.more.is_empty() {
                self.free_at_by_one(rules.format, rules.first, found, ahead, now)
            } else {
                self.free_at_by_all(rules, found, ahead, now)
            }
        })
    }

    /// By one rule. Admission e, counted from the start of the newest cell, looks back to a cell. That cell is stamped
    /// already, or will be, a whole number of laps later.
    fn free_at_by_one(
        &self,
        format: Format,
        rule: Rule,
        found: &Boundary,
        ahead: u64,
        now: u64,
    ) -> u64 {
        if rule.is_unlimited() {
            return now;
        }
        let Some(others) = rule.limit.checked_sub(1) else { return NEVER };
        let newest = format.time(found.newest_word);
        let per_cell = format.per_cell.min(rule.limit);
        let used = used(format, found.newest_word);
        let begun = used > 0 && used < per_cell;
        let e = if begun { used } else { per_cell } + ahead;
        let (cell, before) = (e / per_cell, e % per_cell);
        // Counted from the newest cell on; negative: before it.
        let mut looks_at = cell.cast_signed() - 1 - ((others - before) / per_cell).cast_signed();
        let lap = (rule.limit / per_cell).cast_signed();
        // A begun newest cell will be stamped again.
        let to_come = looks_at + i64::from(begun);
        let laps = if to_come > 0 { (to_come + lap - 1) / lap } else { 0 };
        looks_at -= laps * lap;
        let stamp = format.time(self.word(self.back(found.newest, looks_at.unsigned_abs())));
        match laps.cast_unsigned() {
            0 => now.max(stamp + rule.window),
            laps => {
                let first = format.tick(now).max(stamp + rule.window).max(newest);
                first.saturating_add(rule.window.saturating_mul(laps))
            }
        }
    }

    /// By several rules, whose cells cover one admission each: step by step.
    fn free_at_by_all(&self, rules: Rules<'_>, found: &Boundary, ahead: u64, now: u64) -> u64 {
        let all: Vec<Rule> = rules.all().filter(|rule| !rule.is_unlimited()).collect();
        let newest = rules.format.time(found.newest_word);
        let steps = ahead.min(MAX_FORESEEN);
        let mut stamps: Vec<u64> = Vec::new();
        let mut free_at = now;
        for step in 0..=steps {
            let looks_back = |rule: &Rule| match step.checked_sub(rule.limit) {
                _ if rule.limit == 0 => NEVER,
                Some(foreseen) => stamps[index(foreseen)].saturating_add(rule.window),
                None => {
                    let stamp = self.word(self.back(found.newest, rule.limit - 1 - step));
                    rules.format.time(stamp) + rule.window
                }
            };
            free_at = all.iter().map(looks_back).max().unwrap_or(now).max(now);
            stamps.push(free_at.max(newest));
        }
        let beyond = ahead - steps;
        let least = |rule: &Rule| rule.window.saturating_mul(beyond / rule.limit.max(1));
        free_at.saturating_add(all.iter().map(least).max().unwrap_or(0))
    }
}
