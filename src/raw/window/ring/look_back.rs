//! How many admissions are later than some moments.

use super::cells::{Boundary, Ring, RingError};
use super::forecast::MAX_SNAPSHOTS;
use crate::raw::window::cell::Format;

/// Admissions later than a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Later {
    pub(crate) count: u64,
    /// Whether there were no more. A ring remembers as many as its rules allow in a window.
    pub(crate) is_all: bool,
}

impl Ring {
    /// How many admissions are later than each of these moments, all by one boundary; `None` if it is stamped all the time.
    pub(crate) fn later_than<const N: usize>(
        &self,
        format: Format,
        moments: [u64; N],
    ) -> Result<Option<[Later; N]>, RingError> {
        for _ in 0..MAX_SNAPSHOTS {
            let found = self.locate_open(format)?;
            let later = moments.map(|moment| self.later_by(format, &found, moment));
            // As in `check`: a cell that was stamped meanwhile mixes two laps.
            if self.is_unchanged(&found) {
                return Ok(Some(later));
            }
        }
        Ok(None)
    }

    fn later_by(&self, format: Format, found: &Boundary, moment: u64) -> Later {
        // Stamps grow from the oldest on: search the first that is not later by halves.
        let (mut later, cells) = (0, self.usable_cells() as u64);
        let mut end = cells;
        while later < end {
            let middle = later.midpoint(end);
            let stamp = format.time(self.word(self.back(found.newest, middle)));
            if stamp > moment { later = middle + 1 } else { end = middle }
        }
        let unused = if later > 0 { format.room(found.newest_word) } else { 0 };
        let count = (later * format.per_cell).saturating_sub(unused);
        Later { count, is_all: later < cells }
    }
}
