//! The word that every call looks at first: the limiter's own slots, and whether a line or a close is in the way.
//!
//! ```text
//! [ free slots, signed : 32 | level : 30              | CLOSED | LINE ]     level − free = calls in flight
//! [ free slots, signed : 32 | level : 15 | leased : 15 | CLOSED | LINE ]     the lower of the two − free = calls in flight
//! ```
//!
//! `LINE` is set after a call has joined the line, and before that call looks for room. A release adds its slot to
//! the same word. So either the release sees the flag and looks for a call, or the call sees the slot. The flag may
//! stay set after the last call has left; whoever meets it then clears it.
//!
//! The level is how many calls may be in flight. It is lowered and raised together with the free slots, in one exchange. If more
//! calls are in flight than the level allows, fewer than no slots are free: the next releases pay what is owed, and free none.
//! So no slot is lost or made whatever comes in between, and a thread that stops here leaves nothing half done.
//! `level.rs` says when the level changes.
//!
//! If slots are leased, no more may be in flight than were granted either. That number is in the same word, so it is never passed,
//! whichever of the two changes meanwhile; and a call that takes or frees a slot does not know of it.

use super::aimd::{Aimd, Level};
use super::counts::count;
use crate::sync::atomic::{AtomicU64, Ordering};

const LINE: u64 = 0b01;
const CLOSED: u64 = 0b10;
/// What comes before the level, or before what is leased.
const FLAGS: u32 = 2;
/// The bits of the level and of what is leased, if slots are.
const LEASED_BITS: u32 = 15;
/// One more that is free.
const SLOT: u64 = 1 << 32;

/// In one cache line: whoever admits a call counts it where it has just written.
#[derive(Debug)]
#[repr(align(32))]
pub(super) struct Gate {
    word: AtomicU64,
    /// How many calls were ever admitted, if slots are limited.
    admitted: AtomicU64,
    pub(super) aimd: Aimd,
    /// The level before any was lowered. It never rises above this.
    most: u32,
    /// Otherwise there are slots without end, and none is counted.
    is_limited: bool,
    /// Whether there are as many as are leased at most.
    is_leased: bool,
}

/// How many calls may be in flight by what limits them. The lower number holds.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Levels {
    level: u32,
    /// The most if slots are not leased.
    leased: u32,
}

impl Levels {
    fn lower(self) -> u32 {
        self.level.min(self.leased)
    }
}

impl Gate {
    /// The most slots it can count: a thousand million.
    const MAX_SLOTS: u32 = (1 << 30) - 1;
    /// The same if they are leased.
    const MAX_LEASED: u32 = (1 << LEASED_BITS) - 1;

    pub(super) fn new(slots: Option<u32>) -> Self {
        let most = slots.unwrap_or(Self::MAX_SLOTS).min(Self::MAX_SLOTS);
        Self::with(most, slots.is_some(), false)
    }

    /// With leased slots, none of which is granted.
    pub(super) fn leased(slots: u32) -> Self {
        Self::with(slots.min(Self::MAX_LEASED), true, true)
    }

    fn with(most: u32, is_limited: bool, is_leased: bool) -> Self {
        let (word, admitted) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut gate = Self { word, admitted, aimd: Aimd::default(), most, is_limited, is_leased };
        let leased = if is_leased { 0 } else { u32::MAX };
        gate.word = AtomicU64::new(gate.moved(0, Levels { level: most, leased }));
        gate
    }

    /// Counts an admission, if slots are limited. Returns whether they are.
    #[inline]
    pub(super) fn count_admission(&self) -> bool {
        if self.is_limited {
            count(&self.admitted);
        }
        self.is_limited
    }

    /// How many it has counted.
    pub(super) fn admitted(&self) -> u64 {
        // ORDERING: Relaxed: a count for information.
        self.admitted.load(Ordering::Relaxed)
    }

    /// The highest level.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// Whether no call is in line and the limiter is open.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        // ORDERING: Acquire pairs with the Release in `close`: a call that is refused sees what led to the close.
        self.word.load(Ordering::Acquire) & (LINE | CLOSED) == 0
    }

    pub(super) fn is_closed(&self) -> bool {
        // ORDERING: Acquire pairs with the Release in `close`.
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Free slots; `None` if they are not limited.
    pub(super) fn free(&self) -> Option<u64> {
        // ORDERING: Acquire: whoever hands out turns has acquired earlier changes already; for others it is a count
        // for information.
        let free = self.is_limited.then(|| free(self.word.load(Ordering::Acquire)))?;
        Some(u64::try_from(free).unwrap_or(0))
    }

    /// Takes a slot if one is free.
    #[inline]
    pub(super) fn try_take(&self) -> bool {
        if !self.is_limited {
            return true;
        }
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        while free(word) > 0 {
            // ORDERING: Acquire pairs with the Release in `release`: the holder sees what the earlier ones did.
            match self.word.compare_exchange_weak(
                word,
                word - SLOT,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Frees a slot, or pays one that is owed. Returns whether calls may be in line, so that the caller looks for one.
    #[inline]
    #[must_use]
    pub(super) fn release(&self) -> bool {
        // ORDERING: Release publishes the holder's work to the Acquire in `try_take`, and this slot to whoever sets
        // `LINE` later. Acquire pairs with the Release in `form_line`: the call in line is seen.
        self.is_limited && self.word.fetch_add(SLOT, Ordering::AcqRel) & LINE != 0
    }

    /// The limit; `None` if there is none.
    pub(super) fn level(&self) -> Option<Level> {
        // ORDERING: Relaxed: a guess for `Aimd`; `lower` and `raise` decide by their exchange. For others it is for
        // information.
        self.is_limited.then(|| self.level_in(self.word.load(Ordering::Relaxed)))
    }

    fn level_in(&self, word: u64) -> Level {
        let Levels { level: limit, .. } = self.levels(word);
        Level { limit, in_flight: self.in_flight(word), is_highest: limit >= self.most }
    }

    fn levels(&self, word: u64) -> Levels {
        #[expect(clippy::cast_possible_truncation, reason = "they are in the lower half")]
        let both = word as u32 >> FLAGS;
        if self.is_leased {
            Levels { level: both >> LEASED_BITS, leased: both & Self::MAX_LEASED }
        } else {
            Levels { level: both, leased: u32::MAX }
        }
    }

    fn in_flight(&self, word: u64) -> u32 {
        let in_flight = i64::from(self.levels(word).lower()) - i64::from(free(word));
        u32::try_from(in_flight).unwrap_or(0)
    }

    /// The word with other levels. The free slots move with the lower of them.
    fn moved(&self, word: u64, to: Levels) -> u64 {
        let (before, after) = (self.levels(word).lower(), to.lower());
        let more = u64::from(after).wrapping_sub(u64::from(before)).wrapping_mul(SLOT);
        let both = if self.is_leased { to.level << LEASED_BITS | to.leased } else { to.level };
        let flags = word & (LINE | CLOSED);
        let free = (word & !(SLOT - 1)).wrapping_add(more);
        free | u64::from(both) << FLAGS | flags
    }

    /// Moves the levels to others, unless those are the same. Returns the new word if it has.
    fn shift(&self, to: impl Fn(u64, Levels) -> Levels) -> Option<u64> {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let from = self.levels(word);
            let to = to(word, from);
            if to == from {
                return None;
            }
            let moved = self.moved(word, to);
            // ORDERING: Relaxed: no holder's work is published. Of slots that are gone nobody holds one after another; what `release`
            // published before stays published to those that take the rest. Of one that is new, see `raise` and `Core::lease_slots`.
            match self.word.compare_exchange_weak(word, moved, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Some(moved),
                Err(now) => word = now,
            }
        }
    }

    /// Halves the level, or lowers it to what is in flight if that is less. Never below one.
    pub(super) fn lower(&self) {
        self.shift(|word, levels| {
            let lowered = (levels.level / 2).min(self.in_flight(word)).max(1);
            Levels { level: levels.level.min(lowered), ..levels }
        });
    }

    /// Raises the level by one if it may. Pays one slot that is owed, else frees one. Returns whether calls may be in line for
    /// it, so that the caller looks for one.
    #[must_use]
    pub(super) fn raise(&self) -> bool {
        // If `form_line` comes later, its call sees this slot in the same word. If it came before, its call is seen by way of the count
        // of turns, which both write before they look.
        let raised =
            self.shift(|_, levels| Levels { level: self.most.min(levels.level + 1), ..levels });
        // Or nobody has told that more leased slots would help.
        raised.is_some_and(|word| word & LINE != 0 && (free(word) > 0 || self.lacks(word)))
    }

    /// So many slots are leased from now on. If more are in use, the rest are owed. Returns whether one may be free by that, so that
    /// the caller looks for calls in line.
    #[must_use]
    pub(super) fn lease(&self, slots: u32) -> bool {
        if !self.is_leased {
            return false;
        }
        let leased = slots.min(self.most);
        let shifted = self.shift(|_, levels| Levels { leased, ..levels });
        shifted.is_some_and(|word| free(word) > 0)
    }

    /// How many slots are leased and not in use; below zero so many are in use beyond those. `None` if slots are not leased.
    pub(super) fn leased_and_free(&self) -> Option<i64> {
        // ORDERING: Relaxed: a count for information. Of its own `lease` the caller finds that word, or a later one.
        let word = self.is_leased.then(|| self.word.load(Ordering::Relaxed))?;
        Some(i64::from(self.levels(word).leased) - i64::from(self.in_flight(word)))
    }

    /// Whether there would be a free slot if more were leased.
    pub(super) fn lacks_leased(&self) -> bool {
        // ORDERING: Relaxed: whoever hands out turns has acquired earlier changes already; for others it is for information.
        self.is_leased && self.lacks(self.word.load(Ordering::Relaxed))
    }

    fn lacks(&self, word: u64) -> bool {
        let Levels { level, leased } = self.levels(word);
        (leased..level).contains(&self.in_flight(word))
    }

    /// After a change that calls in line do not see. Returns whether calls may be in line, so that the caller looks
    /// for one.
    #[must_use]
    pub(super) fn change(&self) -> bool {
        // ORDERING: AcqRel, and a write although it changes nothing. If it comes first, `form_line` acquires the change;
        // if `form_line` does, its call is seen.
        self.word.fetch_or(0, Ordering::AcqRel) & LINE != 0
    }

    /// After a call has joined the line.
    pub(super) fn form_line(&self) {
        // ORDERING: Release publishes the place in line to the Acquire in `release`, `change` and `end_line`. Acquire
        // pairs with the Release in `release` and `change`: slots freed and rates changed before are seen.
        self.word.fetch_or(LINE, Ordering::AcqRel);
    }

    /// The line looks empty. The caller looks at it again, and forms it again if a call has come.
    pub(super) fn end_line(&self) {
        // ORDERING: Acquire pairs with the Release in `form_line`: a call whose flag this clears is seen in line.
        // Release publishes to newcomers what the calls in line did.
        self.word.fetch_and(!LINE, Ordering::AcqRel);
    }

    pub(super) fn close(&self) {
        // ORDERING: Release publishes what led to the close to the Acquire in `is_open` and `is_closed`.
        self.word.fetch_or(CLOSED, Ordering::Release);
    }
}

/// Free slots. Below zero so many are owed.
#[inline]
fn free(word: u64) -> i32 {
    (word.cast_signed() >> 32) as i32
}
