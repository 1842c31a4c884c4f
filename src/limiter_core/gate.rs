//! The word that every call looks at first: the limiter's own slots, and whether a line or a close is in the way.
//!
//! ```text
//! [ free slots : 62 | CLOSED | LINE ]
//! ```
//!
//! `LINE` is set after a call has joined the line, and before that call looks for room. A release adds its slot to
//! the same word. So either the release sees the flag and looks for a call, or the call sees the slot. The flag may
//! stay set after the last call has left; whoever meets it then clears it.

use crate::sync::atomic::{AtomicU64, Ordering};

const LINE: u64 = 0b01;
const CLOSED: u64 = 0b10;
const SLOT: u64 = 0b100;

#[derive(Debug)]
pub(super) struct Gate {
    word: AtomicU64,
    /// Otherwise there are slots without end, and none is counted.
    is_limited: bool,
}

impl Gate {
    /// The most slots it can count.
    pub(super) const MAX_SLOTS: u64 = (u64::MAX >> 3) - 1;

    pub(super) fn new(slots: Option<u64>) -> Self {
        let free = slots.unwrap_or(Self::MAX_SLOTS);
        Self { word: AtomicU64::new(free * SLOT), is_limited: slots.is_some() }
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
        self.is_limited.then(|| self.word.load(Ordering::Acquire) / SLOT)
    }

    /// Takes a slot if one is free.
    #[inline]
    pub(super) fn try_take(&self) -> bool {
        if !self.is_limited {
            return true;
        }
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut word = self.word.load(Ordering::Relaxed);
        while word >= SLOT {
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

    /// Frees a slot. Returns whether calls may be in line, so that the caller looks for one.
    #[inline]
    #[must_use]
    pub(super) fn release(&self) -> bool {
        // ORDERING: Release publishes the holder's work to the Acquire in `try_take`, and this slot to whoever sets
        // `LINE` later. Acquire pairs with the Release in `form_line`: the call in line is seen.
        self.is_limited && self.word.fetch_add(SLOT, Ordering::AcqRel) & LINE != 0
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
