//! How a ring is brought to stand still: for good by a close, or for claims found before by a touch.

use super::cells::Ring;
use crate::raw::window::cell::{Format, lap};

impl Ring {
    /// Closes the ring: no cell is stamped after this. If the newest cell has room, the close is settled only when
    /// that cell has another word, half a tick later: claims found before then fail.
    pub(crate) fn close(&self, format: Format) {
        loop {
            let found = self.locate();
            let is_closed = format.time(found.newest_word) == format.closed();
            let (index, word) = if is_closed {
                let newest = self.back(found.newest, 1);
                (newest, self.word(newest))
            } else {
                (found.newest, found.newest_word)
            };
            let is_begun = format.room(word) > 0;
            if !is_closed {
                // MUTANTS: close 2
                let closed = if is_begun { format.closed() } else { format.settled() };
                let closed = Format::pack(!lap(found.oldest_word), closed, 0);
                self.swap(found.oldest, found.oldest_word, closed);
            } else if format.is_settled(found.newest_word) {
                return;
            // MUTANTS: close 3
            } else if !is_begun || self.bump(format, index, word) {
                let settled = Format::pack(lap(found.newest_word), format.settled(), 0);
                self.swap(found.newest, found.newest_word, settled);
            }
        }
    }

    /// Gives a begun cell another word. True if the cell has that word.
    fn bump(&self, format: Format, index: usize, word: u64) -> bool {
        let bumped = format.bumped(word);
        word == bumped || self.swap(index, word, bumped)
    }

    pub(crate) fn is_closed(&self, format: Format) -> bool {
        self.locate_open(format).is_err()
    }

    /// How many admissions the newest cell of a closed ring had left.
    pub(crate) fn unused_room(&self, format: Format) -> u64 {
        format.room(self.word(self.back(self.locate().newest, 1)))
    }

    /// Whether at most `cells` cells have stamps in the window that ends with the newest stamp.
    pub(crate) fn fits_in(&self, format: Format, window: u64, cells: u64) -> bool {
        let Ok(found) = self.locate_open(format) else { return true };
        let back = cells.min(self.usable_cells() as u64);
        let oldest = format.time(self.word(self.back(found.newest, back)));
        oldest + window <= format.time(found.newest_word) && self.is_unchanged(&found)
    }

    /// Seals a begun cell whose last stamp is `by` or earlier.
    pub(crate) fn seal_stale_cell(&self, format: Format, by: u64) {
        if let Ok(found) = self.locate_open(format)
            && format.room(found.newest_word) > 0
            && format.time(found.newest_word) <= by
        {
            // If this fails, another thread has claimed meanwhile.
            self.seal_cell(format, &found);
        }
    }

    /// Gives the oldest cell another word, so that every claim found before this fails. `mark` is earlier than any
    /// clock's time and grows from touch to touch. A closed ring stands still by itself. False if the change that the
    /// mark belongs to `is_over`.
    pub(crate) fn touch(&self, format: Format, mark: u64, is_over: impl Fn() -> bool) -> bool {
        loop {
            let Ok(found) = self.locate_open(format) else { return !is_over() };
            if format.time(found.oldest_word) == mark {
                return true;
            }
            // MUTANTS: touch
            // Asked after the cell was read, so that no older mark replaces a newer one.
            if is_over() {
                return false;
            }
            let touched = Format::pack(lap(found.oldest_word), mark, 0);
            if self.swap(found.oldest, found.oldest_word, touched) {
                return true;
            }
        }
    }
}
