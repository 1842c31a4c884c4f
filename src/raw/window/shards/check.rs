//! One attempt: where the rules allow an admission.

use super::rings::Shards;
use crate::raw::window::cell::{Format, Rule};
use crate::raw::window::ring::{Claim, Fast, Ring, RingError, RingFull};
use crate::sync::thread_number;

impl Shards {
    /// `check`, in the common case.
    #[inline]
    pub(crate) fn check_fast(&self, now: u64) -> Fast<(&Ring, Claim)> {
        let [ring] = &*self.rings else { return self.check_all_fast(now) };
        let rule = Format::PLAIN.unpack_rule(self.rule_word());
        if !self.is_plain || rule.is_unlimited() {
            return Fast::Fallback;
        }
        ring.check_fast(rule, now).at(ring)
    }

    /// All rings, from the thread's own on.
    #[inline(never)]
    fn check_all_fast(&self, now: u64) -> Fast<(&Ring, Claim)> {
        // MUTANTS: check_all_fast 1
        let now = now.max(self.floor);
        let state = self.split.state();
        let rule = self.split.rule(state);
        if state.is_changing() || rule.is_unlimited() || rule.limit == 0 {
            return Fast::Fallback;
        }
        let mut found = Fast::Full(RingFull::NONE);
        for (number, ring) in self.rings_from_home() {
            let limit = self.split.share(number);
            if limit == 0 {
                continue;
            }
            match (ring.check_fast(Rule { limit, ..rule }, now), found) {
                (Fast::Full(full), Fast::Full(all)) => found = Fast::Full(all.and(full)),
                (decided, _) => {
                    found = decided.at(ring);
                    break;
                }
            }
        }
        // MUTANTS: check_all_fast 2
        // Asked after the oldest cell was read, and before it is claimed.
        if self.split.is_current(state) { found } else { Fast::Fallback }
    }

    /// Where the rules allow an admission at `now`; `None` if no rule limits.
    pub(crate) fn check(&self, now: u64) -> Result<Option<(&Ring, Claim)>, RingError> {
        if let [ring] = &*self.rings {
            let claim = ring.check(self.rules(self.first_rule()), now)?;
            return Ok(claim.map(|claim| (&**ring, claim)));
        }
        loop {
            let (state, rule) = self.settled_rule();
            let found = self.check_all(rule, now);
            // MUTANTS: check 4
            // As in `check_all_fast`.
            if self.split.is_current(state) {
                return found;
            }
        }
    }

    fn check_all(&self, rule: Rule, now: u64) -> Result<Option<(&Ring, Claim)>, RingError> {
        let now = now.max(self.floor);
        let mut all = RingFull::NONE;
        for (number, ring) in self.rings_from_home() {
            match ring.check(self.rules(self.share(rule, number)), now) {
                Err(RingError::Full(full)) => all = all.and(full),
                decided => return decided.map(|claim| Some((ring, claim?))),
            }
        }
        Err(RingError::Full(all))
    }

    /// The rings and their numbers, from the thread's own on.
    #[inline]
    fn rings_from_home(&self) -> impl Iterator<Item = (usize, &Ring)> {
        let home = thread_number();
        (0..self.rings.len()).map(move |further| {
            let number = (home + further) & self.mask();
            (number, &*self.rings[number])
        })
    }
}
