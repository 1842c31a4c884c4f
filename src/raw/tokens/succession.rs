//! How a wheel gets a successor, and how that takes over what has been counted.
//!
//! 1. A successor with the new rule or the new time base is linked: one compare-and-swap on a pointer.
//! 2. The head is closed, and every credit is sealed. From then on nothing of the old wheel changes.
//! 3. The successor is filled: every slot by a compare-and-swap from its first value, with a value that depends only on
//!    what has been frozen. So any number of threads may do this at once, and one that comes late changes nothing.
//! 4. The successor becomes the current wheel.
//!
//! Any thread that meets a closed wheel does the steps that are left; their number is bounded by the size of the wheels.

use super::offset::Offset;
use super::scale::{BLOCK, MAX_UNITS, Scale, block};
use super::wheel::{Track, UNSET, Wheel};
use super::word::{Word, between};
use crate::sync::atomic::Ordering;
use core::ptr;

/// Why a wheel gets a successor.
#[derive(Clone, Copy)]
pub(super) enum Change {
    /// A new rule, or new numbers for ticks.
    Renumber,
    /// The clock has jumped back, by more than the tolerance. The successor's time begins earlier by `shift`.
    Restart { tolerance: u64, shift: u64 },
    /// All is forgotten.
    Reset,
}

impl Wheel {
    /// The successor, if there is one.
    pub(super) fn successor(&self) -> Option<&Self> {
        // ORDERING: Acquire pairs with the Release in `link`: the successor is seen whole.
        let next = self.successor.load(Ordering::Acquire);
        // SAFETY: linked successors are freed with the chain, and not before.
        unsafe { next.as_ref() }
    }

    /// Whether there is a successor. Asked after setting the limit.
    pub(super) fn is_linked(&self) -> bool {
        let null = ptr::null_mut();
        // ORDERING: AcqRel, and a write although it changes nothing. Release: if it comes before the exchange in `link`,
        // a thread that takes over the limit after that exchange sees ours. Acquire on failure: if it comes after, we
        // see the successor, and set the limit there.
        // MUTANTS: is_linked of tokens
        self.successor.compare_exchange(null, null, Ordering::AcqRel, Ordering::Acquire).is_err()
    }

    /// Links a successor with this scale; one with the limit there is for `None`. Nothing if there is one already.
    #[cold]
    pub(super) fn link(&self, scale: Scale, limit: Option<u64>, change: Change) {
        let generation = self.generation.wrapping_add(1);
        let (offset, shift, eras) = match change {
            Change::Renumber => (self.offset.inherited(), 0, 0),
            Change::Restart { tolerance, shift } => {
                // Behind a shift the clock alone tells the time.
                let least = if shift > 0 { 0 } else { self.offset.so_far() };
                (Offset::open(least, tolerance), shift, 1)
            }
            Change::Reset => (Offset::fixed(0), 0, 1),
        };
        let mut next = Self::new(scale, offset, limit.unwrap_or(UNSET), generation);
        next.shift = shift;
        next.era = self.era.wrapping_add(eras);
        next.is_fresh = matches!(change, Change::Reset);
        if next.is_fresh {
            next.baselines.first = Some(0);
        } else {
            next.slack = self.rounding(self.head_word().tick());
        }
        // The ends of admissions tell nothing in another time.
        let is_another_time = next.is_fresh || next.shift > 0;
        if scale.unit_log2 >= self.scale.unit_log2 && !is_another_time {
            next.gives_back_since = self.gives_back_since;
        }
        let next = Box::into_raw(Box::new(next));
        // ORDERING: Release publishes the successor to the Acquire in `successor` and `is_linked`. Acquire pairs with the
        // Release in `is_linked`: a limit that was set before is seen by those that take it over. Relaxed on failure:
        // nothing is read.
        let linked = self.successor.compare_exchange(
            ptr::null_mut(),
            next,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if linked.is_err() {
            // SAFETY: made just now, and no other thread has it.
            drop(unsafe { Box::from_raw(next) });
        }
    }

    /// Closes this wheel, and fills its successor with what it has counted. All of it may be done twice.
    #[cold]
    pub(super) fn hand_over(&self, next: &Self) {
        self.close();
        next.seed_limit(self.limit());
        if next.is_fresh {
            next.start(Word::new(next.scale.first(), 0));
            return;
        }
        if let (Some(offset), true) = (self.offset.get(), next.era == self.era) {
            next.offset.seed(offset);
        }
        self.fill(next);
    }

    fn close(&self) {
        loop {
            let head = self.head_word();
            if head.is_closed() || self.swap_head(head, head.closed()) {
                break;
            }
        }
        self.seal(Track::Cut, 0);
        for tick in 0..self.scale.slots {
            self.seal(Track::Credits, tick);
        }
    }

    /// Copies the ticks of a closed wheel that the successor still has slots for, from the latest to the earliest.
    fn fill(&self, next: &Self) {
        let closed = self.head_word();
        let head = Word::new(closed.tick(), closed.amount());
        let now = next.tick_of(self, head.tick()).max(next.scale.first());
        let mut filling = Filling::new(next, now);
        let cut = self.word(Track::Cut, 0).tick();
        let is_coarser = next.scale.unit_log2 > self.scale.unit_log2;
        let (mut amount, mut end) = (0_u64, head.amount());
        let mut kept_since = self.scale.begin(head.tick() + 1);
        let oldest = head.tick().saturating_sub(self.scale.slots - BLOCK);
        for tick in (oldest + 1..=head.tick()).rev() {
            let is_head = tick == head.tick();
            if !is_head {
                match self.amount(Track::Ends, tick) {
                    Ok(Some(sum)) => end = sum,
                    _ => continue,
                }
            }
            let Ok(before) = self.sum_before(tick, head) else { continue };
            let credit = self.amount(Track::Credits, tick).ok().flatten().unwrap_or(0);
            let kept = between(before, end).saturating_sub(credit);
            amount = amount.saturating_add(self.scale.amount(kept));
            if tick <= cut && is_coarser {
                // More than is known: a full window.
                amount = u64::MAX;
            } else if tick == cut {
                filling.cut = next.tick_of(self, tick).min(now);
            }
            if filling.add(next.tick_of(self, tick), next.scale.units(amount)) {
                kept_since = self.scale.begin(tick);
            }
        }
        filling.complete();
        if next.shift == 0 {
            next.store_kept_since(kept_since.max(self.kept_since()));
        }
        next.start(Word::new(now, 0));
    }

    /// The tick here of a tick of the predecessor; its last moment counts.
    fn tick_of(&self, old: &Self, tick: u32) -> u32 {
        let end = old.scale.end(tick).saturating_sub(self.shift);
        self.scale.tick_at(end).unwrap_or(self.scale.last())
    }

    /// Writes a slot for the first time; nothing if another thread has.
    fn seed(&self, track: Track, word: Word, number: u32) {
        self.swap_word(track, number, Word(0), word);
    }
}

/// A wheel that is being filled, from its head backwards. The head's sum is 0, so the sums behind it are what came
/// after, subtracted from 2^32.
pub(super) struct Filling<'a> {
    next: &'a Wheel,
    now: u32,
    /// The tick that is being filled.
    tick: u32,
    /// The sum of the ticks from this one on.
    sum: u32,
    /// The latest tick of which not all has been counted; 0 if there is none.
    cut: u32,
}

impl<'a> Filling<'a> {
    /// From this tick on.
    pub(super) fn new(next: &'a Wheel, now: u32) -> Self {
        Self { next, now, tick: now, sum: 0, cut: 0 }
    }

    /// Adds a tick, unless it has left the window; `in_all` is what all so far come to, in units, rounded up once.
    pub(super) fn add(&mut self, tick: u32, in_all: u32) -> bool {
        // Later than the head only by rounding or where time has no more numbers.
        let tick = tick.min(self.now);
        let is_outside = self.now - tick >= self.next.scale.ticks;
        if is_outside {
            return false;
        }
        if tick != self.tick {
            self.leave(tick);
            self.next.seed(Track::Ends, Word::new(tick, self.sum.wrapping_neg()), tick);
        }
        // At most a full window of this can be given back. The rest, a full window too, outlives all that is older.
        self.sum = in_all.min(2 * MAX_UNITS);
        if in_all > self.sum {
            self.cut = self.cut.max(tick);
        }
        true
    }

    fn leave(&mut self, tick: u32) {
        if block(tick) != block(self.tick) {
            self.finish();
        }
        self.tick = tick;
    }

    /// The sum before this block is final.
    fn finish(&self) {
        let block = block(self.tick);
        self.next.seed(Track::Starts, Word::new(block, self.sum.wrapping_neg()), block);
    }

    /// After the last tick. Only the head is missing then.
    pub(super) fn complete(&self) {
        self.finish();
        if self.cut > 0 {
            self.next.seed(Track::Cut, Word::new(self.cut, 1), 0);
        }
    }
}
