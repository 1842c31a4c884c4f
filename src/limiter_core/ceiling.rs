//! The limit that the user has set, beside one that the provider may have lowered.

use crate::sync::atomic::{AtomicU64, Ordering};

/// What the user allows.
///
/// The user's change writes the ceiling first and the limit second. A provider's word is written first; then the limit is set by it, and
/// all is looked at again, until nothing is left to change. Both change the ceiling's word, if only to itself, before they look. So of
/// two that come together the later one sees what the earlier one has written, and nobody leaves a limit of an older word.
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

    /// What it is; what others had written before they looked here is seen.
    fn look(&self) -> u64 {
        // ORDERING: AcqRel pairs with itself and with the swap in `set`.
        self.0.fetch_add(0, Ordering::AcqRel)
    }

    /// Sets the limit to what `target` makes of the ceiling. `current` reads the limit, `exchange` changes it from one to another.
    /// Returns whether it has changed.
    pub(super) fn take_over(
        &self,
        target: impl Fn(u64) -> u64,
        current: impl Fn() -> u64,
        exchange: impl Fn(u64, u64) -> bool,
    ) -> bool {
        let mut has_changed = false;
        // More often only if others write each time, and they look as well.
        for _ in 0..TRIES {
            let target = target(self.look());
            let limit = current();
            if limit == target {
                break;
            }
            if exchange(limit, target) {
                // A log keeps less than the user may allow.
                if current() == limit {
                    break;
                }
                has_changed = true;
            }
        }
        has_changed
    }
}

/// How often a limit is looked at again.
const TRIES: u32 = 8;
const LEAST_PART: u64 = 1024;
