//! One limit for several rings: each ring's share, and how they change together.
//!
//! **Shares.** A ring admits by a share of the limit. As the limit changes, a ring's share becomes
//! what it holds of the N newest stamps of all rings, for a new limit of N. If there are fewer, the
//! rest is dealt out so that shares become as even as they can. All shares together are N. So a ring
//! is free exactly when the oldest of its part of the N newest has left the window, and all rings
//! together are as free as one ring would be: from the change on.
//!
//! ```text
//! state   [ sequence : 40 | current slot : 12 | pending slot : 12 ]     pending = current: nothing is
//! share   [ sequence : 40 | share : 24 ]                                one for each ring
//! slot    a rule; 0: free
//! ```
//!
//! **A change** has four steps. Each is done once, by whoever is first; everybody who finds a change
//! pending does all that is left of it before going on, and waits for nobody.
//! 1. The changer puts the rule in a free slot, and names that slot pending in `state`.
//! 2. *Touch*: the oldest cell of each ring gets another word, the sequence for its time. That cell's
//!    time decides nothing, as a ring has one cell more than any rule needs.
//! 3. Each ring's share goes from one sequence to the next, by compare-and-swap.
//! 4. `state` goes to the next sequence, with the pending slot as the current one. The slot that is
//!    left becomes free.
//!
//! **The one race**: a claim that has read the old shares and comes late. It looks at `state` again
//! after it has read the oldest cell's word, and then exchanges that word. If it read the word before
//! the touch, its exchange fails. If after, it finds `state` changed, as the touch was made by
//! somebody who had read that. So between the last touch and the end of the change no ring is
//! stamped; all who help reckon the same shares.
//!
//! Who helps late, with a change that is over, does no harm: shares and `state` are not what they were
//! read as, and a touch is made only while `state`, looked at after the cell, is still the change's.
//!
//! A thread that stops for ever in a change takes a slot with it at most. Slots are added as needed;
//! if ever there is none, the log grows instead.

use super::cell::{Format, Rule};
use super::select::{Each, MOST_RINGS};
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::ptr;

const INDEX_BITS: u32 = 12;
const SEQUENCE_BITS: u32 = u64::BITS - 2 * INDEX_BITS;
const MOST_SLOTS: usize = 1 << INDEX_BITS;
/// Slots there are from the beginning.
const FIRST_SLOTS: usize = if cfg!(ringgate_loom) { 3 } else { 8 };
/// Slots that are added at a time.
const MORE_SLOTS: usize = if cfg!(ringgate_loom) { 1 } else { 64 };

/// Which rule is current, and which is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State(u64);

impl State {
    fn new(sequence: u64, current: usize, pending: usize) -> Self {
        let tag = sequence << (2 * INDEX_BITS);
        Self(tag | (current as u64) << INDEX_BITS | pending as u64)
    }

    fn sequence(self) -> u64 {
        self.0 >> (2 * INDEX_BITS)
    }

    fn current(self) -> usize {
        slot_index(self.0 >> INDEX_BITS)
    }

    fn pending(self) -> usize {
        slot_index(self.0)
    }

    pub(super) fn is_changing(self) -> bool {
        self.current() != self.pending()
    }

    fn with_pending(self, slot: usize) -> Self {
        Self::new(self.sequence(), self.current(), slot)
    }

    /// With the change made.
    fn after(self) -> Self {
        Self::new(self.next_sequence(), self.pending(), self.pending())
    }

    fn next_sequence(self) -> u64 {
        (self.sequence() + 1) & ((1 << SEQUENCE_BITS) - 1)
    }

    /// What touched cells have for their time: not nought, and before any clock's.
    pub(super) fn mark(self) -> u64 {
        self.sequence() + 1
    }
}

#[expect(clippy::cast_possible_truncation, reason = "twelve bits")]
fn slot_index(word: u64) -> usize {
    word as usize & (MOST_SLOTS - 1)
}

/// The rule of several rings, and their shares.
pub(super) struct Split {
    state: AtomicU64,
    first_slots: [AtomicU64; FIRST_SLOTS],
    more_slots: AtomicPtr<Slots>,
    shares: Box<[AtomicU64]>,
}

/// Further slots.
struct Slots {
    slots: [AtomicU64; MORE_SLOTS],
    next: AtomicPtr<Self>,
}

impl Split {
    /// For so many rings; the rule is still to be set.
    pub(super) fn new(rings: usize) -> Self {
        Self {
            state: AtomicU64::new(State::new(0, 0, 0).0),
            first_slots: core::array::from_fn(|_| AtomicU64::new(0)),
            more_slots: AtomicPtr::new(ptr::null_mut()),
            shares: (0..rings).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Sets rule and shares before anybody else has this.
    pub(super) fn begin(&self, rule: u64, shares: Each) {
        // ORDERING: Relaxed: published with the log.
        self.first_slots[0].store(rule, Ordering::Relaxed);
        for (word, share) in self.shares.iter().zip(shares) {
            // ORDERING: Relaxed, as above.
            word.store(share as u64, Ordering::Relaxed);
        }
    }

    // ---- reading -------------------------------------------------------------------------------

    #[inline]
    pub(super) fn state(&self) -> State {
        // ORDERING: Acquire pairs with the Release in `exchange`: the slots it names are filled, and
        // the shares are at least as new.
        State(self.state.load(Ordering::Acquire))
    }

    /// Whether nothing has changed since, for somebody who has read what goes with `state`.
    #[inline]
    pub(super) fn is(&self, state: State) -> bool {
        // ORDERING: Relaxed: only compared, and kept after the Acquire loads of slots, shares and
        // cells: each of those is by somebody who knew of the state that it goes with.
        self.state.load(Ordering::Relaxed) == state.0
    }

    /// The rule in force. To be believed if `is` says so afterwards.
    #[inline]
    pub(super) fn rule(&self, state: State) -> Rule {
        self.read(state.current())
    }

    /// The rule that is to be.
    pub(super) fn next_rule(&self, state: State) -> Rule {
        self.read(state.pending())
    }

    #[inline]
    fn read(&self, index: usize) -> Rule {
        // ORDERING: Acquire pairs with the Release in `free`: if the slot has changed hands, `is`
        // tells.
        let read = |slot: &AtomicU64| Format::PLAIN.read_rule(slot.load(Ordering::Acquire));
        self.slot(index).map_or(Rule { limit: 0, window: 1 }, read)
    }

    /// A ring's share. To be believed if `is` says so afterwards.
    #[inline]
    pub(super) fn share(&self, ring: usize) -> u64 {
        // ORDERING: Acquire pairs with the Release in `set_share`: a share of the next sequence shows
        // that state is, too.
        self.shares[ring].load(Ordering::Acquire) & SHARE
    }

    // ---- changing ------------------------------------------------------------------------------

    /// Puts a rule into a free slot; none if too many threads have stopped with one.
    pub(super) fn fill_slot(&self, rule: u64) -> Option<usize> {
        (0..MOST_SLOTS).find(|index| {
            let slot = self.slot(*index).or_else(|| {
                self.add_slots();
                self.slot(*index)
            });
            // ORDERING: Relaxed: `exchange` publishes it; what `free` released goes on with this, as
            // it is a read-modify-write.
            slot.is_some_and(|slot| {
                slot.compare_exchange(0, rule, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            })
        })
    }

    /// Names the rule in this slot as the next, unless `state` is over. Returns the state then.
    pub(super) fn propose(&self, state: State, slot: usize) -> Option<State> {
        let changing = state.with_pending(slot);
        self.exchange(state, changing).then_some(changing)
    }

    /// Gives a ring its share, unless it has it or `state` is over.
    pub(super) fn set_share(&self, ring: usize, state: State, share: usize) {
        let word = &self.shares[ring];
        // ORDERING: Relaxed: only compared.
        let before = word.load(Ordering::Relaxed);
        if before >> SHARE_BITS == state.sequence() {
            let after = state.next_sequence() << SHARE_BITS | (share as u64 & SHARE);
            // ORDERING: Release: whoever reads the share (Acquire in `share`) sees the state that it
            // goes with, which was read before. Relaxed on failure: another has set it.
            let _ = word.compare_exchange(before, after, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// Makes the pending rule the current one, unless another has.
    pub(super) fn complete(&self, state: State) {
        if self.exchange(state, state.after()) {
            self.free(state.current());
        }
    }

    fn exchange(&self, from: State, to: State) -> bool {
        // ORDERING: Release publishes the slot that is pending, or the shares: whoever reads the
        // state (Acquire in `state`) sees those. Relaxed on failure: it is read anew.
        self.state.compare_exchange(from.0, to.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    fn free(&self, slot: usize) {
        if let Some(slot) = self.slot(slot) {
            // ORDERING: Release pairs with the Acquire in `read`: who reads this, or what the slot
            // was filled with next, sees that the state has changed.
            slot.store(0, Ordering::Release);
        }
    }

    // ---- slots ---------------------------------------------------------------------------------

    #[inline]
    fn slot(&self, index: usize) -> Option<&AtomicU64> {
        match self.first_slots.get(index) {
            Some(slot) => Some(slot),
            None => self.further_slot(index - FIRST_SLOTS),
        }
    }

    #[cold]
    fn further_slot(&self, index: usize) -> Option<&AtomicU64> {
        let mut at = &self.more_slots;
        for _ in 0..index / MORE_SLOTS {
            at = &slots(at)?.next;
        }
        slots(at)?.slots.get(index % MORE_SLOTS)
    }

    /// Adds slots at the end, unless others do.
    #[cold]
    fn add_slots(&self) {
        let mut at = &self.more_slots;
        while let Some(slots) = slots(at) {
            at = &slots.next;
        }
        let slots = core::array::from_fn(|_| AtomicU64::new(0));
        let slots = Slots { slots, next: AtomicPtr::new(ptr::null_mut()) };
        let slots = Box::into_raw(Box::new(slots));
        // ORDERING: Release publishes them, to the Acquire in `slots`.
        let added =
            at.compare_exchange(ptr::null_mut(), slots, Ordering::Release, Ordering::Relaxed);
        if added.is_err() {
            // SAFETY: it came from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(slots) });
        }
    }
}

impl Drop for Split {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let mut next = self.more_slots.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: it came from `Box::into_raw` in `add_slots`; nobody is left.
            let slots = unsafe { Box::from_raw(next) };
            // ORDERING: Relaxed, as above.
            next = slots.next.load(Ordering::Relaxed);
        }
    }
}

fn slots(at: &AtomicPtr<Slots>) -> Option<&Slots> {
    // ORDERING: Acquire pairs with the Release in `add_slots`.
    let slots = at.load(Ordering::Acquire);
    // SAFETY: null, or published whole, and freed with the `Split` that `at` is part of.
    unsafe { slots.as_ref() }
}

const SHARE_BITS: u32 = u64::BITS - SEQUENCE_BITS;
const SHARE: u64 = (1 << SHARE_BITS) - 1;

/// Deals out a limit to so many rings: at least what each holds, at most the cells it has, and as
/// evenly as that allows.
pub(super) fn deal(limit: usize, rings: usize, held: Each, cells: usize) -> Each {
    let deal_to = |level: usize| {
        let mut shares = [0; MOST_RINGS];
        for (share, held) in shares.iter_mut().zip(held).take(rings) {
            *share = level.max(held).min(cells);
        }
        shares
    };
    // The highest level that the limit suffices for.
    let (mut level, mut above) = (0, cells + 1);
    while above - level > 1 {
        let middle = level.midpoint(above);
        if super::select::sum(deal_to(middle)) <= limit { level = middle } else { above = middle }
    }
    let mut shares = deal_to(level);
    let mut rest = limit.saturating_sub(super::select::sum(shares));
    for share in shares.iter_mut().take(rings) {
        if rest > 0 && *share == level && *share < cells {
            *share += 1;
            rest -= 1;
        }
    }
    shares
}
