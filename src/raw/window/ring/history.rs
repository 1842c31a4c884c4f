//! A ring's stamps, to be copied: read from one that stands still, and written into a new one.

use super::cells::Ring;
use crate::raw::window::cell::{EARLIEST, Format};

/// The stamps of a ring that stands still, newest first.
#[derive(Clone, Copy)]
pub(crate) struct History<'a> {
    ring: &'a Ring,
    format: Format,
    newest: usize,
}

impl Ring {
    /// The stamps of a ring that stands still.
    pub(crate) fn history(&self, format: Format) -> History<'_> {
        let found = self.locate();
        let is_closed = format.time(found.newest_word) == format.closed();
        let newest = if is_closed { self.back(found.newest, 1) } else { found.newest };
        History { ring: self, format, newest }
    }

    /// All stamps, each with how many admissions have it, in no order. Every cell is read once. An admission that comes
    /// meanwhile replaces one that has left the windows of all rules; either of the two may be told.
    pub(crate) fn stamps(&self, format: Format) -> impl Iterator<Item = (u64, u64)> {
        (0..self.cells.len()).filter_map(move |index| {
            let word = self.word(index);
            let time = format.time(word);
            let is_stamp = time >= EARLIEST && time != format.closed();
            is_stamp.then(|| (time, format.per_cell - format.room(word)))
        })
    }

    /// Writes an older stamp into a cell of a new ring, unless another thread has. From the first cell on, stamps must
    /// not decrease.
    pub(crate) fn seed(&self, format: Format, index: usize, stamp: u64) {
        // MUTANTS: seed
        self.swap(index, 0, Format::pack(true, format.tick(stamp), 0));
    }
}

impl History<'_> {
    /// How many stamps there are at most.
    pub(crate) fn len(&self) -> usize {
        self.ring.usable_cells()
    }

    /// The stamp that has `back` newer ones; 0 if there is none.
    pub(crate) fn get(&self, back: usize) -> u64 {
        if back < self.len() { self.stamp(back) } else { 0 }
    }

    /// The same, for `back` less than `len`.
    pub(crate) fn stamp(&self, back: usize) -> u64 {
        self.format.time(self.ring.word(self.ring.back(self.newest, back as u64)))
    }
}
