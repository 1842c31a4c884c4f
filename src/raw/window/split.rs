//! One limit for several rings: each ring's share, and how they change together.
//!
//! **Shares.** A ring admits by a share of the limit; all shares add up to the limit. When the limit changes to N, a
//! ring's share becomes the number of stamps that it holds of the N newest of all rings. If there are fewer than N stamps,
//! the rest is dealt out so that shares become as even as they can. So a ring has room exactly when the oldest of those
//! stamps has left the window. From the change on, all rings together have room exactly when one ring would.
//!
//! ```text
//! state   [ sequence : 40 | current slot : 12 | pending slot : 12 ]     pending = current: no change is pending
//! share   [ sequence : 40 | share : 24 ]                                one for each ring
//! slot    a rule; 0: free
//! ```
//!
//! **A change** has four steps. The first thread to reach a step does it. A thread that finds a change pending does all
//! that is left of it before it continues, so no thread waits for another.
//! 1. The changer puts the rule into a free slot, and names that slot pending in `state`.
//! 2. *Touch*: the oldest cell of each ring gets another word, with the sequence as its time. That cell's time decides
//!    nothing, because a ring has one cell more than any rule needs.
//! 3. Each ring's share goes from one sequence to the next, by compare-and-swap.
//! 4. `state` goes to the next sequence, with the pending slot as the current one. The slot that was current becomes
//!    free.
//!
//! **The race: a claim that has read the old shares and comes late.**
//! 1. Thread A reads `state` and a share, then the ring's oldest cell. It reads `state` again, and only if that has not
//!    changed does it exchange the cell's word.
//! 2. Thread B proposes a change in `state`, then touches every ring.
//! 3. If A read the cell before the touch, A's exchange fails, because the touch has changed the word.
//! 4. If A read the cell after the touch, A finds `state` changed: the thread that made the touch had read the proposal, so the
//!    proposal precedes the touch that A saw.
//!
//! So between the last touch and the end of the change no ring is stamped, and all threads that help compute the same
//! shares.
//!
//! **A thread that helps late**, with a change that is over, does no harm. Shares and `state` are not what it read, so its
//! exchanges fail. It touches a cell only if `state`, read after the cell, still belongs to the change.
//!
//! A thread that stalls in a change takes at most one slot with it. Slots are added as needed. If none can be had, the
//! log grows instead.

use super::cell::{Format, Rule};
use super::select::{Each, MAX_RINGS, sum};
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::ptr;

const INDEX_BITS: u32 = 12;
const SEQUENCE_BITS: u32 = u64::BITS - 2 * INDEX_BITS;
const MAX_SLOTS: usize = 1 << INDEX_BITS;
/// Slots that exist from the start.
const FIRST_SLOTS: usize = if cfg!(ringgate_loom) { 3 } else { 8 };
/// Slots that are added at a time.
const MORE_SLOTS: usize = if cfg!(ringgate_loom) { 1 } else { 64 };

/// Which rule is current, and which is pending.
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

    /// The state after the change.
    fn after(self) -> Self {
        Self::new(self.next_sequence(), self.pending(), self.pending())
    }

    fn next_sequence(self) -> u64 {
        (self.sequence() + 1) & ((1 << SEQUENCE_BITS) - 1)
    }

    /// The time of touched cells: not zero, and before any clock's.
    pub(super) fn mark(self) -> u64 {
        self.sequence() + 1
    }
}

#[expect(clippy::cast_possible_truncation, reason = "twelve bits")]
fn slot_index(word: u64) -> usize {
    word as usize & (MAX_SLOTS - 1)
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
    /// For `rings` rings; the rule is not set yet.
    pub(super) fn new(rings: usize) -> Self {
        Self {
            state: AtomicU64::new(State::new(0, 0, 0).0),
            first_slots: core::array::from_fn(|_| AtomicU64::new(0)),
            more_slots: AtomicPtr::new(ptr::null_mut()),
            shares: (0..rings).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Sets rule and shares before any other thread has this.
    pub(super) fn seed(&self, rule: u64, shares: Each) {
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
        // ORDERING: Acquire pairs with the Release in `exchange`: the slots that it names are filled, and the shares are
        // at least as new.
        State(self.state.load(Ordering::Acquire))
    }

    /// Whether `state` is still the current one. Asked after reading what goes with it.
    #[inline]
    pub(super) fn is_current(&self, state: State) -> bool {
        // ORDERING: Relaxed: only compared. The Acquire loads of slots, shares and cells keep it later: each pairs with
        // a Release (`free`, `set_share`, `Ring::swap`) of a thread that had read the state it goes with.
        self.state.load(Ordering::Relaxed) == state.0
    }

    /// The rule in force. Valid only if `is_current` holds afterwards.
    #[inline]
    pub(super) fn rule(&self, state: State) -> Rule {
        self.read(state.current())
    }

    /// The pending rule.
    pub(super) fn next_rule(&self, state: State) -> Rule {
        self.read(state.pending())
    }

    #[inline]
    fn read(&self, index: usize) -> Rule {
        // ORDERING: Acquire pairs with the Release in `free`: if the slot has changed hands, `is_current` tells.
        let read = |slot: &AtomicU64| Format::PLAIN.unpack_rule(slot.load(Ordering::Acquire));
        self.slot(index).map_or(Rule { limit: 0, window: 1 }, read)
    }

    /// A ring's share. Valid only if `is_current` holds afterwards.
    #[inline]
    pub(super) fn share(&self, ring: usize) -> u64 {
        // ORDERING: Acquire pairs with the Release in `set_share`: after a share of the next sequence, `is_current` sees
        // the proposal.
        self.shares[ring].load(Ordering::Acquire) & SHARE
    }

    // ---- changing ------------------------------------------------------------------------------

    /// Puts a rule into a free slot. `None` if stalled threads hold them all.
    pub(super) fn fill_slot(&self, rule: u64) -> Option<usize> {
        (0..MAX_SLOTS).find(|index| {
            let slot = self.slot(*index).or_else(|| {
                self.add_slots();
                self.slot(*index)
            });
            // ORDERING: Relaxed: `exchange` publishes it. It is a read-modify-write, so it continues what the Release in
            // `free` began.
            slot.is_some_and(|slot| {
                slot.compare_exchange(0, rule, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            })
        })
    }

    /// Makes the rule in this slot the pending one, unless `state` is over. Returns the new state.
    pub(super) fn propose(&self, state: State, slot: usize) -> Option<State> {
        let changing = state.with_pending(slot);
        self.exchange(state, changing).then_some(changing)
    }

    /// Gives a ring its share, unless it has that share or `state` is over.
    pub(super) fn set_share(&self, ring: usize, state: State, share: usize) {
        let word = &self.shares[ring];
        // ORDERING: Relaxed: only compared.
        let before = word.load(Ordering::Relaxed);
        // MUTANTS: set_share
        if before >> SHARE_BITS == state.sequence() {
            let after = state.next_sequence() << SHARE_BITS | (share as u64 & SHARE);
            // ORDERING: Release: a thread that reads the share (Acquire in `share`) sees the state that it goes with,
            // which was read before. Relaxed on failure: another thread has set it.
            let _ = word.compare_exchange(before, after, Ordering::Release, Ordering::Relaxed);
        }
    }

    /// Makes the pending rule the current one, unless another thread has.
    pub(super) fn complete(&self, state: State) {
        if self.exchange(state, state.after()) {
            self.free(state.current());
        }
    }

    fn exchange(&self, from: State, to: State) -> bool {
        // ORDERING: Release publishes the pending slot, or the shares, to the Acquire in `state`. Relaxed on failure: the
        // caller reads the state anew.
        self.state.compare_exchange(from.0, to.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Gives back a slot that no state names.
    pub(super) fn free(&self, slot: usize) {
        if let Some(slot) = self.slot(slot) {
            // ORDERING: Release pairs with the Acquire in `read`: a thread that reads this, or the slot's next rule, sees
            // that the state has changed.
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

    /// Adds slots at the end, unless another thread does.
    #[cold]
    fn add_slots(&self) {
        let mut at = &self.more_slots;
        while let Some(slots) = slots(at) {
            at = &slots.next;
        }
        let slots = core::array::from_fn(|_| AtomicU64::new(0));
        let slots = Slots { slots, next: AtomicPtr::new(ptr::null_mut()) };
        let slots = Box::into_raw(Box::new(slots));
        // ORDERING: Release publishes them to the Acquire in `slots`. Relaxed on failure: nothing is read.
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
            // SAFETY: it came from `Box::into_raw` in `add_slots`. No other thread is left.
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

/// Deals out a limit to `rings` rings: to each at least what it holds, at most the cells it has, and as evenly as that
/// allows.
pub(super) fn deal(limit: usize, rings: usize, held: Each, cells: usize) -> Each {
    let deal_to = |level: usize| {
        let mut shares = [0; MAX_RINGS];
        for (share, held) in shares.iter_mut().zip(held).take(rings) {
            // MUTANTS: deal
            *share = level.max(held).min(cells);
        }
        shares
    };
    // The highest level for which the limit suffices.
    let (mut level, mut above) = (0, cells + 1);
    while above - level > 1 {
        let middle = level.midpoint(above);
        if sum(deal_to(middle)) <= limit { level = middle } else { above = middle }
    }
    let mut shares = deal_to(level);
    let mut rest = limit.saturating_sub(sum(shares));
    for share in shares.iter_mut().take(rings) {
        if rest > 0 && *share == level && *share < cells {
            *share += 1;
            rest -= 1;
        }
    }
    shares
}
