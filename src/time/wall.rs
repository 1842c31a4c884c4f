//! The wall clock: the only one that goes on between two processes.

use super::clock::in_nanos;
use core::time::Duration;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
use std::time::{SystemTime, UNIX_EPOCH};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use web_time::{SystemTime, UNIX_EPOCH};

/// Earlier readings are wrong, because this was written later: the end of 2023, in ns since 1970.
const WRITTEN: u64 = 1_700_000_000_000_000_000;

/// A reading of the wall clock, in ns since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub(crate) struct WallTime(u64);

impl WallTime {
    /// The time now. Zero if the clock is set to a time before 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(in_nanos(since))
    }

    /// How much time has passed since, in ns: none if the clock has been set back, or was certainly wrong at either time.
    pub(crate) fn elapsed_until(self, now: Self) -> u64 {
        let is_right = self.0 >= WRITTEN && now.0 >= WRITTEN;
        if is_right { now.0.saturating_sub(self.0) } else { 0 }
    }

    pub(crate) fn since_1970(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}
