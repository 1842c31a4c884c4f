//! How long to pause if the provider has not said it.

use crate::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// How long the first pause lasts if the provider has not said it. Each one that follows without a success in between lasts
/// twice as long as the one before, up to [`LONGEST_UNTOLD`].
const UNTOLD: Duration = Duration::from_secs(1);
const LONGEST_UNTOLD: Duration = Duration::from_secs(60);

/// How many pauses of a length that was not told have followed one another.
#[derive(Debug, Default)]
pub(super) struct Untold(AtomicU32);

impl Untold {
    pub(super) fn next(&self) -> Duration {
        // ORDERING: Relaxed: the number alone, in both.
        let before = self.0.load(Ordering::Relaxed);
        // Of several that are refused at the same moment one counts.
        let after = before.saturating_add(1);
        // ORDERING: as above.
        let _ = self.0.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed);
        let length = 2_u32.checked_pow(before).and_then(|times| UNTOLD.checked_mul(times));
        length.map_or(LONGEST_UNTOLD, |length| length.min(LONGEST_UNTOLD))
    }

    pub(super) fn forget(&self) {
        // ORDERING: Relaxed: the number alone, in both.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }
}
