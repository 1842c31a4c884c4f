//! What the shards remember, and new ones that begin with what others have remembered.

use super::rings::Shards;
use crate::raw::entry::Entry;
use crate::raw::window::cell::EARLIEST;

impl Shards {
    /// All stamps, each with how many admissions have it, in no order.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.rings.iter().flat_map(|ring| ring.stamps(self.format))
    }

    /// Fills new shards, before any other thread has them, with what was admitted so long before `now`: the youngest
    /// first. There are cells for as much as the largest limit; what is older does not count.
    ///
    /// Stamps may be from before the clock began.
    pub(crate) fn fill(&mut self, entries: &[Entry], now: u64) {
        self.floor = now;
        let per_cell = self.format.per_cell;
        let total = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.amount));
        let cells = usize::try_from(total.div_ceil(per_cell)).unwrap_or(usize::MAX);
        let cells = cells.min(self.usable_cells());
        let (mut entries, mut age, mut passed) = (entries.iter(), 0, 0_u64);
        for number in 0..cells {
            // A cell has the stamp of the youngest admission that it covers.
            while passed <= number as u64 * per_cell {
                let Some(entry) = entries.next() else { return };
                (age, passed) = (entry.age, passed.saturating_add(entry.amount));
            }
            self.seed_cell(number, cells, now.saturating_sub(age).max(EARLIEST));
        }
    }
}
