//! How many cells and rings a log has.

use crate::raw::window::cell::MAX_CELLS;
use crate::raw::window::select::MAX_RINGS;
use crate::sync::parallelism;

/// Where there are several rings, each has at least this many cells.
const MIN_CELLS: u32 = 64;

/// One cell in so many is for what has left the window lately.
const SPARE: u32 = 16;

/// How a log is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The largest limit.
    pub(crate) capacity: u32,
    pub(crate) rules: usize,
    pub(crate) rings_log2: u32,
    /// A larger limit shares cells.
    pub(crate) max_cells: u32,
    pub(crate) max_rings: usize,
    /// Whether some cells keep what has left the window lately.
    pub(crate) has_spare: bool,
}

impl Layout {
    /// For `rules` rules, with no capacity yet.
    pub(crate) fn of(rules: usize, max_cells: u32, max_rings: usize) -> Self {
        Self { capacity: 0, rules, rings_log2: 0, max_cells, max_rings, has_spare: false }
    }

    pub(crate) fn new(rules: usize) -> Self {
        Self::of(rules, MAX_CELLS, parallelism().next_power_of_two().min(MAX_RINGS))
    }

    /// The same, with cells for what has left the window lately: a provider has counted that when it answers.
    pub(crate) fn with_spare(self) -> Self {
        Self { has_spare: true, ..self }
    }

    /// How many cells a ring has for so many.
    pub(super) fn cells(&self, cells: u32) -> u32 {
        if self.has_spare { cells.saturating_add(cells / SPARE) } else { cells }
    }

    /// With room for a limit of `capacity`.
    pub(crate) fn with_capacity(self, capacity: u32) -> Self {
        let several = self.rules > 1;
        let capacity = if several { capacity.min(self.max_cells) } else { capacity };
        // Shared cells hold back part of the limit in each ring, so one ring is best there.
        let one = several || capacity > self.max_cells;
        let useful = if one { 1 } else { capacity / MIN_CELLS };
        let rings = usize::try_from(useful).unwrap_or(usize::MAX).clamp(1, self.max_rings);
        Self { capacity, rings_log2: rings.ilog2(), ..self }
    }
}
