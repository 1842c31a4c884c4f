//! The limit that the user has set, beside one that the provider may have lowered.

use crate::sync::atomic::{AtomicU64, Ordering};

/// What the user allows.
///
/// The user's change writes the ceiling first and the limit second. A provider's word writes the limit first, and then asks
/// whether the ceiling is still the one it went by. So if it has overwritten the user's limit, it finds the new ceiling, and
/// begins again.
#[derive(Debug)]
pub(super) struct Ceiling(AtomicU64);

impl Ceiling {
    pub(super) fn new(limit: u64) -> Self {
        Self(AtomicU64::new(limit))
    }

    pub(super) fn get(&self) -> u64 {
        // ORDERING: Relaxed: the number alone; `confirm` orders it.
        self.0.load(Ordering::Relaxed)
    }

    /// Before the limit itself is set.
    pub(super) fn set(&self, limit: u64) {
        // ORDERING: AcqRel. If it comes after the exchange in `confirm`, the limit that was written before that comes before the
        // user's. If before, that exchange sees it.
        self.0.swap(limit, Ordering::AcqRel);
    }

    /// Whether a provider can mean this. If it allows less than this part of what the user allows it has said nothing: a limit of
    /// almost nothing would let no call pass, and so no answer that takes it back.
    pub(super) fn is_believable(&self, said: u64) -> bool {
        said >= self.get() / LEAST_PART
    }

    /// Whether it is still this; what it is now if not. Asked after the limit has been changed; a write although it changes
    /// nothing.
    fn confirm(&self, limit: u64) -> Result<(), u64> {
        // ORDERING: AcqRel pairs with the swap in `set`. Acquire on failure, too: what the user did before is seen.
        let confirmed = self.0.compare_exchange(limit, limit, Ordering::AcqRel, Ordering::Acquire);
        confirmed.map(drop)
    }

    /// Takes over what a provider says, as far as the user allows it, less what others use of it. One stays. `current` reads the
    /// limit, `exchange` changes it from one to another. Returns whether it has changed.
    pub(super) fn take_over(
        &self,
        said: u64,
        others: u64,
        current: impl Fn() -> u64,
        exchange: impl Fn(u64, u64) -> bool,
    ) -> bool {
        let (mut has_changed, mut ceiling) = (false, self.get());
        // More often only if the user changes it each time, and that is the latest word then.
        for _ in 0..TRIES {
            let limit = current();
            let allowed = said.min(ceiling);
            let target = allowed.saturating_sub(others).max(allowed.min(1));
            if limit == target {
                break;
            }
            // A log keeps less than the user may allow.
            has_changed |= exchange(limit, target) && current() != limit;
            match self.confirm(ceiling) {
                Ok(()) => break,
                Err(changed) => ceiling = changed,
            }
        }
        has_changed
    }
}

/// How often a provider's word is tried against the user's.
const TRIES: u32 = 8;
const LEAST_PART: u64 = 1024;
