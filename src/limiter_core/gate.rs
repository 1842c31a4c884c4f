//! The word that every call looks at first: the limiter's own slots, and whether a line or a close is in the way.
//!
//! ```text
//! [ free slots, signed : 32 | level : 30 | CLOSED | LINE ]          level − free = calls in flight
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

use super::aimd::{Aimd, Level};
use super::counts::count;
use crate::sync::atomic::{AtomicU64, Ordering};

const LINE: u64 = 0b01;
const CLOSED: u64 = 0b10;
/// One more at a time.
const LEVEL: u64 = 0b100;
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
}

impl Gate {
    /// The most slots it can count: a thousand million.
    const MAX_SLOTS: u32 = (1 << 30) - 1;

    pub(super) fn new(slots: Option<u32>) -> Self {
        let most = slots.unwrap_or(Self::MAX_SLOTS).min(Self::MAX_SLOTS);
        let word = AtomicU64::new(u64::from(most) * (SLOT | LEVEL));
        let admitted = AtomicU64::new(0);
        Self { word, admitted, aimd: Aimd::default(), most, is_limited: slots.is_some() }
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
        let limit = limit(word);
        let in_flight = i64::from(limit) - i64::from(free(word));
        let in_flight = u32::try_from(in_flight).unwrap_or(0);
        Level { limit, in_flight, is_highest: limit >= self.most }
    }

    /// Halves the level, or lowers it to what is in flight if that is less. Never below one.
    pub(super) fn lower(&self) {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let Level { limit, in_flight, .. } = self.level_in(word);
            let fewer = u64::from(limit.saturating_sub((limit / 2).min(in_flight).max(1)));
            let lowered = word.wrapping_sub(fewer * (SLOT | LEVEL));
            // ORDERING: Relaxed: the slots are gone, so nobody holds them after another. What `release` published before
            // stays published to those that take the rest.
            match self.word.compare_exchange_weak(
                word,
                lowered,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Raises the level by one if it may. Pays one slot that is owed, else frees one. Returns whether calls may be in line for
    /// it, so that the caller looks for one.
    #[must_use]
    pub(super) fn raise(&self) -> bool {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        while !self.level_in(word).is_highest {
            let raised = word.wrapping_add(SLOT | LEVEL);
            // ORDERING: Relaxed: no holder's work is published. If `form_line` comes later, its call sees this slot in the same
            // word. If it came before, its call is seen by way of the count of turns, which both write before they look.
            match self.word.compare_exchange_weak(
                word,
                raised,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return raised & LINE != 0 && free(raised) > 0,
                Err(now) => word = now,
            }
        }
        false
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

/// How many calls may be in flight.
fn limit(word: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "it is in the lower half")]
    let limit = word as u32 >> 2;
    limit
}
