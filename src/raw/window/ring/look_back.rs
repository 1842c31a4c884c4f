//! How many admissions are later than a moment, and where one more goes.

use super::cells::{Boundary, Ring, RingError};
use super::claim::Claim;
use super::forecast::MAX_SNAPSHOTS;
use super::rules::Rules;
use crate::raw::window::cell::Format;

/// What a ring holds, by one boundary.
pub(crate) struct LookBack {
    /// Admissions later than a moment. All of them, or as many as the ring has cells: more than its rules allow in a window.
    pub(crate) later: u64,
    /// `None` if the rules allow no more.
    pub(crate) claim: Option<Claim>,
}

impl Ring {
    /// Looks back to `since`. If the claim succeeds the numbers are still right: it is an exchange of a word that goes with the
    /// boundary. `None` if the ring is stamped all the time.
    pub(crate) fn look_back(
        &self,
        rules: Rules<'_>,
        since: u64,
        now: u64,
    ) -> Result<Option<LookBack>, RingError> {
        for _ in 0..MAX_SNAPSHOTS {
            let found = self.locate_open(rules.format)?;
            let later = self.later_than(rules.format, &found, since);
            let claim = self.claim_behind(rules, &found, now);
            // As in `check`: a cell that was stamped meanwhile mixes two laps.
            if self.is_unchanged(&found) {
                return Ok(Some(LookBack { later, claim }));
            }
        }
        Ok(None)
    }

    fn later_than(&self, format: Format, found: &Boundary, since: u64) -> u64 {
        // Stamps grow from the oldest on: search the first that is not later by halves.
        let (mut later, mut end) = (0, self.usable_cells() as u64);
        while later < end {
            let middle = later.midpoint(end);
            let stamp = format.time(self.word(self.back(found.newest, middle)));
            if stamp > since { later = middle + 1 } else { end = middle }
        }
        let unused = if later > 0 { format.room(found.newest_word) } else { 0 };
        (later * format.per_cell).saturating_sub(unused)
    }
}
