//! The exact sliding log, in a fixed ring of atomic cells.
//!
//! ```text
//! cell   [ lap : 1 | time of the last admission, in ticks : 63 − b | room : b ]
//!
//!          lap 1    lap 1    lap 0    lap 0    lap 0
//!        ┌────────┬────────┬────────┬────────┬────────┐
//!        │ 12:07  │ 12:09  │ 11:15  │ 11:20  │ 11:58  │      hint ─► somewhere near ▲
//!        └────────┴────────┴────────┴────────┴────────┘
//!                   newest ▲        ▲ oldest: the boundary between the laps
//! ```
//!
//! **Safety rests on one line.** A cell may be stamped anew only when `now ≥ stamp + window`, by a
//! compare-and-swap on the stamp that was read. So a cell admits once per window, and N cells admit
//! at most N in any half-open window, in whatever order they are used. Stamps in a cell strictly
//! grow, so the compare-and-swap has no ABA.
//!
//! **Refusing rightly needs the oldest cell.** Stamps never decrease along the ring (a stamp is
//! clamped to its predecessor's), so there is one boundary between the laps, and the cell behind it
//! is the oldest: if it is busy, all are. A cell `i` is behind the boundary exactly when its lap
//! differs from what its predecessor `p` says it would be if it had been used this lap: `lap(p)`,
//! flipped when `i` is cell 0.
//!
//! **One bit of lap is enough**, because the predecessor is read again after the cell. If it has
//! not changed, then at the moment the cell was read it was either in the predecessor's lap or one
//! behind, never anything else: the predecessor cannot pass to its next lap before the cell has.
//! No number of laps during a stopped instruction can be mistaken for another.
//!
//! **The hint is not trusted.** It is a plain store by the last winner. From a stale one the walk
//! takes a few steps, then searches the boundary by halves.
//!
//! **What a refusal says is true at one moment**: when the oldest cell was read, every cell was
//! busy for this `now`, and a cell that is busy for a `now` stays so.
//!
//! **Large limits.** Above 2^20 a cell covers k admissions: it counts them down in `room`, and its
//! stamp is that of the last one. Still never more than the limit; an admission's room comes back
//! with the last of its cell's, so late by the time that one cell took to fill (at most k − 1 of
//! the limit are held back at any time). Time is then rounded up to 2^b ns.
//!
//! The sliding log is Redis's "sorted set" limiter and Nginx's and Cloudflare's exact alternative
//! to counters; the ring with laps is the bounded queue of Vyukov without its tickets.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::fmt;
use core::time::Duration;
use crossbeam_utils::CachePadded;

/// Cells a ring has at most; larger limits share cells. Small under the model checkers.
const MAX_CELLS: u32 = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 4 } else { 1 << 20 };
/// Added to every time, so that a cell never used (all zeros) is free for every window.
const EPOCH: u64 = 1 << 61;
/// The longest window: 2^61 ns, 73 years.
const LONGEST: u64 = EPOCH;
/// The latest time: 2^63 − 2^61 ns after the clock's epoch, 219 years. Past it time stands still,
/// so nothing more is admitted. Less the widest tick, so that rounding up stays within 63 bits.
const LATEST: u64 = (1 << 63) - EPOCH - (1 << 13);

/// Steps to take from the hint before searching by halves.
const WALK: u32 = if cfg!(ringgate_loom) { 1 } else { 8 };

/// Every cell is busy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Busy {
    /// When the oldest cell becomes free, in ns of the clock; `None` if time ends before.
    pub(crate) free_at: Option<u64>,
    /// The newest stamp; if it is later than the caller's `now`, that reading was stale.
    pub(crate) newest: u64,
}

/// At most `limit` admissions in any window.
pub(crate) struct Ring {
    /// Read by every operation, written by none after construction.
    cells: Box<[AtomicU64]>,
    window: u64,
    limit: u32,
    /// Admissions a cell covers.
    per_cell: u32,
    /// Bits of `room`, and of the tick: a tick is 2^bits ns.
    bits: u32,
    /// Probably the oldest cell. Written at every admission, so on a line of its own.
    hint: CachePadded<AtomicUsize>,
}

/// What `locate` found: the oldest cell and the newest one before it, as they were together.
struct Boundary {
    oldest: usize,
    oldest_word: u64,
    newest: usize,
    newest_word: u64,
}

/// Room for one admission, seen but not claimed.
pub(crate) struct Opening {
    found: Boundary,
    now: u64,
}

impl Ring {
    /// A ring for at least one admission per window of at least one nanosecond.
    pub(crate) fn new(limit: u32, window: Duration) -> Self {
        Self::with_cells(limit, window, MAX_CELLS)
    }

    /// [`new`](Self::new) with at most so many cells.
    pub(super) fn with_cells(limit: u32, window: Duration, most: u32) -> Self {
        debug_assert!(limit > 0 && !window.is_zero());
        let per_cell = limit.div_ceil(most);
        let cells = limit.div_ceil(per_cell);
        let bits = per_cell.next_power_of_two().trailing_zeros();
        let window = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).min(LONGEST);
        Self {
            cells: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            // In whole ticks, rounded up, so that what is free is known to the tick.
            window: window.next_multiple_of(1 << bits),
            limit,
            per_cell,
            bits,
            hint: CachePadded::new(AtomicUsize::new(0)),
        }
    }

    /// Claims one admission at `now` (ns); returns its stamp.
    #[inline]
    pub(crate) fn try_acquire(&self, now: u64) -> Result<u64, Busy> {
        self.take(self.peek(now)?)
    }

    /// Whether one admission could be claimed at `now` (ns), and where.
    #[inline]
    pub(crate) fn peek(&self, now: u64) -> Result<Opening, Busy> {
        let now = now.min(LATEST) + EPOCH;
        let found = self.locate();
        if self.room(found.newest_word) == 0 {
            self.check(&found, now)?;
        }
        Ok(Opening { found, now })
    }

    /// Claims what `peek` found, or if others did, what is there now; returns the stamp.
    #[inline]
    pub(crate) fn take(&self, opening: Opening) -> Result<u64, Busy> {
        let Opening { mut found, now } = opening;
        loop {
            if let Some(stamp) = self.claim(&found, now)? {
                return Ok(stamp - EPOCH);
            }
            found = self.locate();
        }
    }

    /// When the admission after `ahead` others can be had, if each takes its own as soon as it can
    /// from `now` (ns) on; `None` if time ends before.
    pub(crate) fn free_at(&self, ahead: u64, now: u64) -> Option<u64> {
        let at = self.tick(now.min(LATEST) + EPOCH);
        loop {
            let found = self.locate();
            let room = self.room(found.newest_word);
            let Some(ahead) = ahead.checked_sub(room) else { return Some(now) };
            let at = at.max(self.time(found.newest_word));
            let limit = u64::from(self.limit);
            let index = self.cell_after(found.oldest, ahead % limit);
            let last = match index {
                _ if index == found.oldest => self.time(found.oldest_word),
                // Those ahead fill its room first, and so stamp it anew.
                _ if index == found.newest && room > 0 => at,
                _ => self.time(self.word(index)),
            };
            // Stamped anew meanwhile: what was read belongs to two laps.
            if self.word(found.oldest) != found.oldest_word {
                continue;
            }
            let first = last + self.window;
            // Where those ahead go a whole lap round, they start it now at the earliest.
            let free_at = match ahead / limit {
                0 => first,
                laps => first.max(at).saturating_add(self.window.saturating_mul(laps)),
            };
            return in_time(free_at).map(|free_at| free_at.max(now));
        }
    }

    /// The cell that covers the admission after `ahead` others (less than a lap) from `oldest` on.
    fn cell_after(&self, oldest: usize, ahead: u64) -> usize {
        let last = self.cells.len() - 1;
        let before_last = (last - oldest) as u64 * u64::from(self.per_cell);
        let (start, ahead) = match ahead.checked_sub(before_last) {
            None => (oldest, ahead),
            Some(beyond) => match beyond.checked_sub(self.capacity(last)) {
                None => return last,
                Some(beyond) => (0, beyond),
            },
        };
        #[expect(clippy::cast_possible_truncation, reason = "less than the number of cells")]
        let cells = (ahead / u64::from(self.per_cell)) as usize;
        start + cells
    }

    /// How many admissions could be claimed at `now` (ns): a count that may be stale when read.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        let now = now.min(LATEST) + EPOCH;
        let found = self.locate();
        let room = self.room(found.newest_word);
        // Stamps grow from the oldest on: halve to the first busy cell. The newest, where it has
        // room, counts with that alone.
        let (mut free, mut end) = (0, self.cells.len() - usize::from(room > 0));
        while free < end {
            let middle = free.midpoint(end);
            let index = (found.oldest + middle) % self.cells.len();
            if self.is_free(self.word(index), now) {
                free = middle + 1;
            } else {
                end = middle;
            }
        }
        // The last cell may cover fewer than the others.
        let last = self.cells.len() - 1;
        let short = u64::from(self.per_cell) - self.capacity(last);
        let missing = if found.oldest + free > last { short } else { 0 };
        let cells = free as u64 * u64::from(self.per_cell) - missing;
        let all = cells + room;
        u32::try_from(all).unwrap_or(u32::MAX).min(self.limit)
    }

    // ---- one attempt ---------------------------------------------------------------------------

    /// Claims in the newest cell if it has room, else in the oldest. `None`: look again.
    fn claim(&self, found: &Boundary, now: u64) -> Result<Option<u64>, Busy> {
        // Clamp the stamp, never the test: stamps do not decrease along the ring.
        let stamp = self.tick(now).max(self.time(found.newest_word));
        let (index, from, to) = if self.room(found.newest_word) > 0 {
            let room = self.room(found.newest_word) - 1;
            let to = pack(lap(found.newest_word), stamp, room);
            (found.newest, found.newest_word, to)
        } else {
            self.check(found, now)?;
            let to = pack(!lap(found.oldest_word), stamp, self.capacity(found.oldest) - 1);
            (found.oldest, found.oldest_word, to)
        };
        // ORDERING: Release publishes, with this stamp, the predecessor's that it was clamped to
        // and the whole lap before: whoever reads it (Acquire in `word`) reads the predecessor at
        // least as new. Relaxed on failure: `locate` reads anew.
        let won =
            self.cells[index].compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
        if won.is_err() {
            return Ok(None);
        }
        if index == found.oldest {
            // ORDERING: Relaxed: a hint, checked at each use.
            self.hint.store(self.after(index), Ordering::Relaxed);
        }
        Ok(Some(stamp))
    }

    fn check(&self, found: &Boundary, now: u64) -> Result<(), Busy> {
        if self.is_free(found.oldest_word, now) {
            return Ok(());
        }
        Err(Busy {
            free_at: in_time(self.time(found.oldest_word) + self.window),
            newest: self.time(found.newest_word).saturating_sub(EPOCH),
        })
    }

    /// Finds the boundary between the laps.
    fn locate(&self) -> Boundary {
        // ORDERING: Relaxed: a hint.
        let mut oldest = self.hint.load(Ordering::Relaxed);
        let mut steps = 0;
        loop {
            let newest = self.before(oldest);
            let newest_word = self.word(newest);
            let oldest_word = if newest == oldest { newest_word } else { self.word(oldest) };
            let this_lap = lap(newest_word) ^ (oldest == 0);
            if lap(oldest_word) == this_lap {
                steps += 1;
                oldest = if steps % WALK == 0 { self.search() } else { self.after(oldest) };
                continue;
            }
            // Only together do the two words prove anything.
            if newest == oldest || self.word(newest) == newest_word {
                return Boundary { oldest, oldest_word, newest, newest_word };
            }
        }
    }

    /// The boundary by halves: the first cell whose lap is not cell 0's. Stale if others go on.
    fn search(&self) -> usize {
        let first = lap(self.word(0));
        let (mut start, mut end) = (1, self.cells.len());
        while start < end {
            let middle = start.midpoint(end);
            if lap(self.word(middle)) == first { start = middle + 1 } else { end = middle }
        }
        if start < self.cells.len() { start } else { 0 }
    }

    // ---- cells ---------------------------------------------------------------------------------

    fn word(&self, index: usize) -> u64 {
        // ORDERING: Acquire pairs with the Release in `claim`, and keeps later reads later: a
        // predecessor read again after its successor is at least as new as the successor's stamp
        // requires.
        self.cells[index].load(Ordering::Acquire)
    }

    fn before(&self, index: usize) -> usize {
        if index == 0 { self.cells.len() - 1 } else { index - 1 }
    }

    fn after(&self, index: usize) -> usize {
        if index + 1 == self.cells.len() { 0 } else { index + 1 }
    }

    /// Admissions a cell covers; the last one makes up the limit exactly.
    fn capacity(&self, index: usize) -> u64 {
        if index + 1 < self.cells.len() || self.per_cell == 1 {
            return u64::from(self.per_cell);
        }
        u64::from(self.limit) - u64::from(self.per_cell) * (self.cells.len() as u64 - 1)
    }

    fn is_free(&self, word: u64, now: u64) -> bool {
        self.time(word) + self.window <= now
    }

    /// The time of a stamp, in ns with `EPOCH` added.
    fn time(&self, word: u64) -> u64 {
        word & (u64::MAX >> 1) & !self.room_mask()
    }

    fn room(&self, word: u64) -> u64 {
        word & self.room_mask()
    }

    fn room_mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    /// `now`, rounded up to a whole tick.
    fn tick(&self, now: u64) -> u64 {
        (now + self.room_mask()) & !self.room_mask()
    }
}

/// Without the cells: there may be a million.
impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("limit", &self.limit)
            .field("window", &Duration::from_nanos(self.window))
            .finish_non_exhaustive()
    }
}

/// A moment with `EPOCH` added, as the clock shows it; `None` if no clock ever will.
fn in_time(moment: u64) -> Option<u64> {
    let moment = moment.saturating_sub(EPOCH);
    (moment <= LATEST).then_some(moment)
}

fn pack(lap: bool, time: u64, room: u64) -> u64 {
    u64::from(lap) << 63 | time | room
}

fn lap(word: u64) -> bool {
    word >> 63 == 1
}
