//! One attempt: whether the rules allow an admission, where its stamp goes, and the exchange that claims it.

use super::cells::{Boundary, Ring, RingError, RingFull, in_cells, used};
use super::rules::Rules;
use crate::raw::window::cell::{Format, NEVER, Rule, lap};
use crate::sync::atomic::Ordering;

/// What the fast path finds.
#[derive(Clone, Copy)]
pub(crate) enum Fast<T> {
    Done(T),
    Full(RingFull),
    /// It cannot tell: ask `check`.
    Fallback,
}

impl Fast<Claim> {
    /// Adds the ring that the claim is in.
    #[inline]
    pub(crate) fn at(self, ring: &Ring) -> Fast<(&Ring, Claim)> {
        match self {
            Self::Done(claim) => Fast::Done((ring, claim)),
            Self::Full(full) => Fast::Full(full),
            Self::Fallback => Fast::Fallback,
        }
    }
}

/// One admission that was found free: the exchange of a cell's word that claims it.
#[derive(Clone, Copy)]
pub(crate) struct Claim {
    index: usize,
    from: u64,
    to: u64,
    stamp: u64,
}

impl Ring {
    /// Whether the rules allow an admission at `now`, and where; `None` if no rule limits.
    pub(crate) fn check(&self, rules: Rules<'_>, now: u64) -> Result<Option<Claim>, RingError> {
        let format = rules.format;
        loop {
            let found = self.locate_open(format)?;
            // The latest moment that any rule names.
            let (mut busy, mut is_limited) = (None, false);
            for rule in rules.all() {
                // MUTANTS: check 1
                is_limited |= !rule.is_unlimited();
                busy = busy.max(self.busy_until(format, rule, &found, now));
            }
            match busy {
                // MUTANTS: check 2
                None if !is_limited => return Ok(None),
                None if self.seal_spent_cell(format, &found, rules.first.limit) => {}
                // MUTANTS: check 3
                None => return Ok(Some(claim_at(format, &found, now))),
                Some(free_at) if self.is_unchanged(&found) => {
                    let newest = format.time(found.newest_word);
                    return Err(RingError::Full(RingFull { free_at, newest }));
                }
                Some(_) => {}
            }
        }
    }

    /// `check` for one rule with a cell for each admission, a right hint and no contention. It takes a third of the
    /// instructions of `check`.
    #[inline]
    pub(crate) fn check_fast(&self, rule: Rule, now: u64) -> Fast<Claim> {
        let cells = &*self.cells;
        let Some(others) = rule.limit.checked_sub(1) else { return Fast::Fallback };
        // ORDERING: Relaxed: a hint.
        let oldest = self.hint.load(Ordering::Relaxed);
        let newest = self.back(oldest, 1);
        let nth = self.back(newest, others);
        let (Some(oldest_cell), Some(newest_cell), Some(nth)) =
            (cells.get(oldest), cells.get(newest), cells.get(nth))
        else {
            return Fast::Fallback;
        };
        // ORDERING: Acquire, all of them, as in `word`: they pair with the Release in `swap`.
        let newest_word = newest_cell.load(Ordering::Acquire);
        let oldest_word = oldest_cell.load(Ordering::Acquire);
        let free_at = Format::PLAIN.time(nth.load(Ordering::Acquire)) + rule.window;
        let at_boundary = lap(oldest_word) ^ lap(newest_word) ^ (oldest == 0);
        let time = Format::PLAIN.time(newest_word);
        // MUTANTS: check_fast 1
        // ORDERING: Relaxed: only compared. The Acquire load of the oldest cell keeps it later.
        let together = newest_cell.load(Ordering::Relaxed) == newest_word;
        // MUTANTS: check_fast 2
        if !at_boundary || !together || time == Format::PLAIN.closed() {
            return Fast::Fallback;
        }
        if free_at > now {
            // MUTANTS: check_fast 3
            // ORDERING: Relaxed: only compared. The Acquire load of the n-th newest keeps it later.
            let is_unchanged = oldest_cell.load(Ordering::Relaxed) == oldest_word;
            return if is_unchanged {
                Fast::Full(RingFull { free_at, newest: time })
            } else {
                Fast::Fallback
            };
        }
        // MUTANTS: check_fast 4
        let stamp = now.max(time);
        let to = Format::pack(!lap(oldest_word), stamp, 0);
        Fast::Done(Claim { index: oldest, from: oldest_word, to, stamp })
    }

    /// Claims what a check found. Returns its stamp, or `None` if another thread was first.
    #[inline]
    pub(crate) fn claim(&self, claim: Claim) -> Option<u64> {
        let Claim { index, from, to, stamp } = claim;
        self.tracked.check();
        if !self.swap(index, from, to) {
            return None;
        }
        if lap(from) != lap(to) {
            // ORDERING: Relaxed: a hint, checked at each use.
            self.hint.store(self.after(index), Ordering::Relaxed);
        }
        Some(stamp)
    }

    /// Until when a rule forbids an admission; `None` if it allows one.
    #[inline]
    fn busy_until(&self, format: Format, rule: Rule, found: &Boundary, now: u64) -> Option<u64> {
        if rule.is_unlimited() {
            return None;
        }
        let Some(others) = rule.limit.checked_sub(1) else { return Some(NEVER) };
        let used = used(format, found.newest_word);
        let back = match others.checked_sub(used) {
            // The limit was lowered below what a cell covers.
            None => 0,
            Some(before) => u64::from(used > 0) + in_cells(format, before),
        };
        let free_at = format.time(self.word(self.back(found.newest, back))) + rule.window;
        (free_at > now).then_some(free_at)
    }

    /// Seals a begun cell that has given `limit` admissions, because no other cell is begun while the newest has
    /// room. True if the caller has to check anew.
    fn seal_spent_cell(&self, format: Format, found: &Boundary, limit: u64) -> bool {
        let is_spent = used(format, found.newest_word) >= limit.max(1);
        if is_spent {
            self.seal_cell(format, found);
        }
        is_spent
    }
}

/// Where an admission goes that the rules allow: into the newest cell if it has room, otherwise into the oldest.
fn claim_at(format: Format, found: &Boundary, now: u64) -> Claim {
    // MUTANTS: claim_at
    // The stamp is clamped, not the check: stamps do not decrease along the ring.
    let stamp = format.tick(now).max(format.time(found.newest_word));
    let room = format.room(found.newest_word);
    if room > 0 {
        let to = Format::pack(lap(found.newest_word), stamp, room - 1);
        return Claim { index: found.newest, from: found.newest_word, to, stamp };
    }
    let to = Format::pack(!lap(found.oldest_word), stamp, format.per_cell - 1);
    Claim { index: found.oldest, from: found.oldest_word, to, stamp }
}
