//! How shards get a successor, and how it takes over their rules and stamps.
//!
//! | cause | first | then |
//! |---|---|---|
//! | growth | A larger successor is linked. | The rings are closed, one compare-and-swap each. |
//! | finer cells, a reset, a jump of the clock | The rings are closed, which fixes what has to be kept. | Any thread that finds them closed links a successor for it. |
//!
//! Then rules and cells are copied. Any number of threads may do so at once, even after the successor is in use: every
//! step can be done twice. Cells are copied in chunks that are dealt out (`chunks.rs`). Where a chunk begins in each ring
//! is found without sorting (`select.rs`). So no thread waits for one that has stalled, and no thread that copies
//! allocates.

use super::pointer::{FRESH, LIFTED, NEEDS_PIN, is_fresh, is_lifted, marked};
use super::rings::Shards;
use crate::raw::window::chunks::Chunks;
use crate::raw::window::reading::TimeBase;
use crate::raw::window::select::Merged;
use crate::sync::atomic::{AtomicU64, Ordering};
use core::ptr;

/// What shards are closed for, if not for growth or finer cells.
const RESET: u32 = 1;
const JUMP: u32 = 2;

impl Shards {
    /// The successor, marked if readers have to pin it; null if there is none.
    pub(crate) fn successor(&self) -> *mut Self {
        // ORDERING: Acquire pairs with the Release in `link`: the successor is seen whole.
        self.successor.load(Ordering::Acquire)
    }

    /// Whether there is a successor, or will be one. Asked after setting a rule.
    pub(crate) fn has_successor(&self) -> bool {
        // MUTANTS: has_successor
        self.is_linked() || self.is_closed()
    }

    fn is_linked(&self) -> bool {
        // ORDERING: AcqRel, and a write although it changes nothing. Release: if it comes before the exchange in
        // `link`, a thread that copies the rules after that exchange sees ours. Acquire on failure: if it comes after,
        // we see the successor, acquire it, and set the rule there. Acquire on success, too: one thread sets a rule,
        // another has closed the ring and makes a successor; the one that comes second here sees what the first did.
        let null = ptr::null_mut();
        // MUTANTS: is_linked
        self.successor.compare_exchange(null, null, Ordering::AcqRel, Ordering::Acquire).is_err()
    }

    /// Rings may be closed before there is a successor.
    fn is_closed(&self) -> bool {
        self.rings[0].is_closed(self.format)
    }

    // ---- linking -------------------------------------------------------------------------------

    /// Links a successor that has room for `limit`, with this rule and otherwise empty, unless there is one.
    pub(crate) fn grow(&self, index: usize, limit: u32, window: u64) {
        let twice = self.layout.capacity.saturating_mul(2);
        // Cells are not shared only to have room to spare.
        let most = self.layout.max_cells;
        let spare = if limit <= most { twice.min(most) } else { twice };
        let next = self.new_successor(limit.max(spare), self.floor);
        next.seed_rule(index, limit, window);
        self.link(next, 0);
    }

    /// Closes the rings and links a successor with the rule there is, unless there is one. After a reset it is a fresh
    /// one. After a jump it has the same size. Otherwise it has finer cells, for as much as is in the window.
    #[cold]
    pub(crate) fn link_successor(&self) {
        self.close();
        if self.is_linked() {
            return;
        }
        let Some(rule) = self.rule(0) else { return };
        let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
        // With several rules the first alone does not tell what they need.
        let least = if self.is_shared() { limit } else { self.layout.capacity };
        // ORDERING: Relaxed: a thread that has seen a ring closed for a cause has seen the cause before (the Release of
        // the close and the Acquire of `Ring::word`).
        let closed_for = self.closed_for.load(Ordering::Relaxed);
        let (next, marks) = if closed_for & RESET != 0 {
            (self.new_successor(least, 0).in_new_base(0), NEEDS_PIN | FRESH)
        } else {
            let (cells, newest) = Merged::new(&self.rings, self.format).within(rule.window);
            let floor = newest.max(self.floor);
            if closed_for & JUMP != 0 {
                let next = self.new_successor(self.layout.capacity, floor);
                (next.in_new_base(TimeBase::UNSET), NEEDS_PIN | LIFTED)
            } else {
                let unused = self.rings[0].unused_room(self.format);
                let busy = (cells as u64 * self.format.per_cell).saturating_sub(unused);
                let busy = u32::try_from(busy).unwrap_or(u32::MAX);
                (self.new_successor(busy.max(least), floor), 0)
            }
        };
        next.seed_rule(0, limit, self.requested_window(limit, rule));
        self.link(next, marks);
    }

    /// A successor whose time restarts.
    fn in_new_base(self, offset: u64) -> Self {
        let is_mixed = self.rings.len() > 1;
        let epoch = self.epoch.wrapping_add(1);
        Self { epoch, offset: AtomicU64::new(offset), is_mixed, ..self }
    }

    fn new_successor(&self, capacity: u32, floor: u64) -> Self {
        let mut next = Self::new(self.layout.with_capacity(capacity));
        next.floor = floor;
        next.epoch = self.epoch;
        next.is_mixed |= self.is_mixed;
        // If the offset is not set yet, each of the two continues from the newest stamp here.
        next.offset = AtomicU64::new(self.time_base().offset);
        next.needs_pin = self.needs_pin || self.is_shared() || next.is_shared();
        next.copying = Chunks::new(next.usable_cells());
        next
    }

    fn link(&self, mut next: Self, marks: u8) {
        next.needs_pin |= marks & NEEDS_PIN != 0;
        let marks = marks | (u8::from(next.needs_pin) * NEEDS_PIN);
        let next = Box::into_raw(Box::new(next));
        // ORDERING: Release publishes the successor to the Acquire in `successor`. Relaxed on failure: nothing is read;
        // a thread that goes on to the successor loads it anew.
        let linked = self.successor.compare_exchange(
            ptr::null_mut(),
            marked(next, marks),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if linked.is_err() {
            // SAFETY: it came from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(next) });
        }
    }

    // ---- closing -------------------------------------------------------------------------------

    /// Replaces these by a successor that leaves out all stamps.
    pub(crate) fn reset(&self) {
        self.close_for(RESET);
    }

    /// Replaces these by a successor whose time continues from the newest stamp.
    pub(crate) fn restart_time(&self) {
        self.close_for(JUMP);
    }

    fn close_for(&self, cause: u32) {
        // ORDERING: Relaxed: the close, whose Release (`Ring::swap`) comes after this, publishes it.
        self.closed_for.fetch_or(cause, Ordering::Relaxed);
        self.link_successor();
    }

    /// Closes coarse cells once the window's admissions fit into finer ones. True if they are closed.
    pub(crate) fn close_coarse(&self, now: u64) -> bool {
        let rule = self.first_rule();
        let Some(capacity) = self.finer_capacity(rule) else { return false };
        let cells = (u64::from(capacity) / self.format.per_cell).max(1);
        let fits = self.rings[0].fits_in(self.format, rule.window, cells);
        if fits {
            self.close();
        } else {
            // Admissions that have left the window do not count again with later ones of their cell.
            self.rings[0].seal_stale_cell(self.format, now.saturating_sub(rule.window));
        }
        fits
    }

    fn close(&self) {
        // MUTANTS: close 4
        self.rings.iter().for_each(|ring| ring.close(self.format));
    }

    // ---- copying -------------------------------------------------------------------------------

    /// Closes these rings and copies rules and stamps into the successor; a fresh one gets no stamps. `place` is the
    /// marked pointer to `next`.
    pub(crate) fn migrate_to(&self, next: &Self, place: *mut Self) {
        self.close();
        for (from, to) in self.rule_words().zip(next.rule_words()) {
            // ORDERING: Relaxed: a rule set before the link was seen is ordered before this (`is_linked`).
            let rule = self.format.unpack_rule(from.load(Ordering::Relaxed));
            let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
            let word = next.format.pack_rule(limit, rule.window);
            // MUTANTS: migrate_to 1
            // ORDERING: Relaxed: `promote_successor` publishes it with the cells. Only if it is not set yet.
            let _ = to.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
        }
        // MUTANTS: migrate_to 2
        if is_fresh(place) {
            return;
        }
        let least = if is_lifted(place) && self.is_mixed { next.floor } else { 0 };
        let history = Merged::new(&self.rings, self.format);
        // A cell of the successor has the stamp of the newest admission that it covers.
        let (here, there) = (self.format.per_cell, next.format.per_cell);
        // MUTANTS: migrate_to 3
        // A shared newest cell may have been closed before it was full.
        let missing = self.rings[0].unused_room(self.format);
        // MUTANTS: migrate_to 4
        let cells = (history.len() as u64 * here).saturating_sub(missing).div_ceil(there);
        let cells = usize::try_from(cells).unwrap_or(usize::MAX).min(next.usable_cells());
        let from = |number: usize| index_of((number as u64 * there + missing) / here);
        next.copying.share(cells, |numbers| {
            let (mut at, mut stamps) = (from(numbers.start), history.after(from(numbers.start)));
            let mut stamp = stamps.next();
            for number in numbers {
                while at < from(number) {
                    (at, stamp) = (at + 1, stamps.next());
                }
                if let Some(stamp) = stamp {
                    // MUTANTS: migrate_to 5
                    next.seed_cell(number, cells, stamp.max(least));
                }
            }
        });
    }

    /// Writes the stamp of one cell: of `of` cells, the one that has `number` newer ones. As shares are dealt, the
    /// newest goes to the first ring, the one before to the second, and so on.
    pub(super) fn seed_cell(&self, number: usize, of: usize, stamp: u64) {
        let rings = self.rings.len();
        // MUTANTS: seed_cell
        let (ring, newer) = (number & self.mask(), number / rings);
        let in_ring = (of + self.mask() - ring) / rings;
        self.rings[ring].seed(self.format, in_ring - 1 - newer, stamp);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than the number of cells")]
fn index_of(cell: u64) -> usize {
    cell as usize
}
