//! The ring itself: its cells, and how the boundary between the laps is found.

use crate::raw::window::cell::{Format, NEVER, lap};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::leak::Tracked;
use crate::sync::zeros;

/// Steps from the hint before the search by halves.
const WALK: u32 = if cfg!(ringgate_loom) { 1 } else { 8 };

/// The rules forbid an admission until `free_at`; `newest` is the newest stamp.
#[derive(Clone, Copy)]
pub(crate) struct RingFull {
    pub(crate) free_at: u64,
    pub(crate) newest: u64,
}

impl RingFull {
    /// What no ring at all reports: the neutral element of `and`.
    pub(crate) const NONE: Self = Self { free_at: NEVER, newest: 0 };

    /// Two rings together.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        // MUTANTS: and
        let (free_at, newest) = (self.free_at.min(other.free_at), self.newest.max(other.newest));
        Self { free_at, newest }
    }
}

/// Why a ring admits nothing.
#[derive(Clone, Copy)]
pub(crate) enum RingError {
    Full(RingFull),
    /// The caller has to ask the successor.
    Closed,
}

pub(crate) struct Ring {
    /// Probably the oldest cell. Written at every admission.
    pub(super) hint: AtomicUsize,
    pub(super) cells: Box<[AtomicU64]>,
    pub(super) tracked: Tracked,
}

/// The oldest cell and its predecessor, the newest, as they were at one moment.
#[derive(Clone, Copy)]
pub(super) struct Boundary {
    pub(super) oldest: usize,
    pub(super) oldest_word: u64,
    pub(super) newest: usize,
    pub(super) newest_word: u64,
}

impl Ring {
    /// A ring whose rules may look back `cells` cells.
    pub(crate) fn new(cells: u32) -> Self {
        Self {
            hint: AtomicUsize::new(0),
            cells: zeros(index(u64::from(cells)) + 1),
            tracked: Tracked::new(),
        }
    }

    /// How many cells rules may look back.
    pub(crate) fn usable_cells(&self) -> usize {
        self.cells.len() - 1
    }

    // ---- the boundary --------------------------------------------------------------------------

    /// The boundary, unless the ring is closed.
    #[inline]
    pub(super) fn locate_open(&self, format: Format) -> Result<Boundary, RingError> {
        let found = self.locate();
        if format.time(found.newest_word) == format.closed() {
            Err(RingError::Closed)
        } else {
            Ok(found)
        }
    }

    /// Finds the boundary between the laps.
    #[inline]
    pub(super) fn locate(&self) -> Boundary {
        // ORDERING: Relaxed: a hint.
        let mut oldest = self.hint.load(Ordering::Relaxed);
        let mut steps = 0;
        loop {
            let newest = self.back(oldest, 1);
            let newest_word = self.word(newest);
            let oldest_word = self.word(oldest);
            let this_lap = lap(newest_word) ^ (oldest == 0);
            if lap(oldest_word) == this_lap {
                steps += 1;
                oldest = if steps % WALK == 0 { self.search() } else { self.after(oldest) };
                continue;
            }
            // MUTANTS: locate
            // The two words prove something only together.
            if self.word(newest) == newest_word {
                return Boundary { oldest, oldest_word, newest, newest_word };
            }
        }
    }

    /// The boundary by halves: the first cell whose lap is not cell 0's. Stale if other threads stamp meanwhile.
    #[cold]
    fn search(&self) -> usize {
        let first = lap(self.word(0));
        let (mut start, mut end) = (1, self.cells.len());
        while start < end {
            let middle = start.midpoint(end);
            if lap(self.word(middle)) == first { start = middle + 1 } else { end = middle }
        }
        if start < self.cells.len() { start } else { 0 }
    }

    /// Whether no cell has been stamped since.
    #[inline]
    pub(super) fn is_unchanged(&self, found: &Boundary) -> bool {
        self.word(found.oldest) == found.oldest_word
    }

    /// Takes the remaining room of a begun cell, so that the next admission begins another. False if the cell has
    /// changed.
    pub(super) fn seal_cell(&self, format: Format, found: &Boundary) -> bool {
        let sealed = found.newest_word - format.room(found.newest_word);
        self.swap(found.newest, found.newest_word, sealed)
    }

    // ---- cells ---------------------------------------------------------------------------------

    #[inline]
    pub(super) fn word(&self, index: usize) -> u64 {
        // ORDERING: Acquire pairs with the Release in `swap`, and keeps later reads later: a predecessor that is
        // read again after its successor is at least as new as the successor's stamp requires.
        self.cells[index].load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn swap(&self, index: usize, from: u64, to: u64) -> bool {
        // ORDERING: Release publishes, with this stamp, the predecessor's that it was clamped to, and the whole lap
        // before. A thread that reads it (Acquire in `word`) reads the predecessor at least as new. Relaxed on
        // failure: the caller reads everything anew.
        self.cells[index].compare_exchange(from, to, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(super) fn back(&self, from: usize, by: u64) -> usize {
        debug_assert!(by < self.cells.len() as u64);
        let by = index(by);
        if from >= by { from - by } else { from + self.cells.len() - by }
    }

    #[inline]
    pub(super) fn after(&self, index: usize) -> usize {
        if index + 1 == self.cells.len() { 0 } else { index + 1 }
    }
}

/// How many admissions a begun cell has given; 0 if it has no room left.
#[inline]
pub(super) fn used(format: Format, cell: u64) -> u64 {
    match format.room(cell) {
        0 => 0,
        room => format.per_cell - room,
    }
}

/// How many whole cells `admissions` fill.
#[inline]
pub(super) fn in_cells(format: Format, admissions: u64) -> u64 {
    if format.per_cell == 1 { admissions } else { admissions / format.per_cell }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "less than the number of cells")]
pub(super) fn index(cells: u64) -> usize {
    cells as usize
}
