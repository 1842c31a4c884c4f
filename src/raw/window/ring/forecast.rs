//! What a ring will allow: how many admissions now, and when a later one.

use super::cells::{Boundary, Ring, RingError, in_cells, used};
use super::rules::Rules;
use crate::raw::window::cell::{Format, NEVER, Rule};

/// How often a snapshot that others change is taken anew.
pub(crate) const MAX_SNAPSHOTS: u32 = 16;

/// What one ring will allow, from one boundary for as long as that stands.
#[derive(Clone, Copy)]
pub(crate) struct Forecast<'a> {
    ring: &'a Ring,
    format: Format,
    found: Boundary,
}

impl Forecast<'_> {
    /// How many more admissions the rules allow at `now`.
    pub(crate) fn remaining(&mut self, rules: Rules<'_>, now: u64) -> Result<u64, RingError> {
        self.snapshot(|ring, found| {
            let all = rules.all().filter(|rule| !rule.is_unlimited());
            let remaining = all.map(|rule| ring.remaining_by(rules.format, rule, found, now));
            remaining.min().unwrap_or(NEVER)
        })
    }

    /// When the admission after `ahead` others is free, if each of those is claimed as soon as it is free, from `now`
    /// on.
    ///
    /// With several rules, that moment or an earlier one: the latest that any rule names by itself. Other rules only
    /// delay the stamps that a rule looks back to. It is exact if `ahead` is less than each limit, because then all rules
    /// look back to stamps of the past.
    pub(crate) fn free_at(
        &mut self,
        rules: Rules<'_>,
        ahead: u64,
        now: u64,
    ) -> Result<u64, RingError> {
        let format = self.format;
        self.snapshot(|ring, found| {
            let free_at = |rule| ring.free_at_by(format, rule, found, ahead, now);
            rules.all().map(free_at).fold(now, u64::max)
        })
    }

    /// The same by one rule, where each cell covers one admission.
    #[inline]
    pub(crate) fn free_at_plain(
        &mut self,
        rule: Rule,
        ahead: u64,
        now: u64,
    ) -> Result<u64, RingError> {
        self.snapshot(|ring, found| ring.free_at_plain(rule, found, ahead, now))
    }

    /// Reads cells that belong together.
    #[inline]
    fn snapshot(&mut self, read: impl Fn(&Ring, &Boundary) -> u64) -> Result<u64, RingError> {
        let mut tries = 0;
        loop {
            let result = read(self.ring, &self.found);
            tries += 1;
            // MUTANTS: snapshot
            // A cell stamped meanwhile mixes two laps in the result. If that does not end, an estimate must do.
            if self.ring.is_unchanged(&self.found) || tries == MAX_SNAPSHOTS {
                return Ok(result);
            }
            self.locate_again()?;
        }
    }

    #[cold]
    #[inline(never)]
    fn locate_again(&mut self) -> Result<(), RingError> {
        self.found = self.ring.locate_open(self.format)?;
        Ok(())
    }
}

impl Ring {
    #[inline]
    pub(crate) fn forecast(&self, format: Format) -> Result<Forecast<'_>, RingError> {
        Ok(Forecast { ring: self, format, found: self.locate_open(format)? })
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

    /// By one rule.
    fn free_at_by(
        &self,
        format: Format,
        rule: Rule,
        found: &Boundary,
        ahead: u64,
        now: u64,
    ) -> u64 {
        if rule.is_unlimited() {
            now
        } else if format == Format::PLAIN {
            self.free_at_plain(rule, found, ahead, now)
        } else {
            self.free_at_shared(format, rule, found, ahead, now)
        }
    }

    /// Where each cell covers one admission.
    #[inline]
    fn free_at_plain(&self, rule: Rule, found: &Boundary, ahead: u64, now: u64) -> u64 {
        let Some(others) = rule.limit.checked_sub(1) else { return NEVER };
        // A division takes longer than all the rest.
        let laps = if ahead <= others { 0 } else { ahead / rule.limit };
        let back = others - (ahead - laps * rule.limit);
        let stamp = Format::PLAIN.time(self.word(self.back(found.newest, back)));
        let first = now.max(stamp + rule.window);
        match laps {
            0 => first,
            laps => {
                let first = first.max(Format::PLAIN.time(found.newest_word));
                first.saturating_add(rule.window.saturating_mul(laps))
            }
        }
    }

    /// Where cells are shared. Admission e, counted from the start of the newest cell, looks back to a cell. That cell is
    /// stamped already, or will be, a whole number of laps later.
    fn free_at_shared(
        &self,
        format: Format,
        rule: Rule,
        found: &Boundary,
        ahead: u64,
        now: u64,
    ) -> u64 {
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
}
