//! How many calls may be in flight: fewer after an overload, and step by step as many as before.
//!
//! ```text
//! overload ──► max(1, min(level / 2, in flight))        at most once a round trip
//! success  ──► one more after as many as the level is   up to the configured number
//! ```
//!
//! `aimd.rs` decides that it changes, `gate.rs` changes it. Calls in flight are not touched: if they are more than the level allows, those
//! in line wait until enough of them have ended.

use super::hand_out::Reason;
use super::shared::Core;

impl Core {
    /// A call was answered. Returns whether the level rises.
    pub(super) fn succeed(&self) -> bool {
        let Some(seen) = self.gate.level() else { return false };
        let rises = self.gate.aimd.succeed(seen);
        if rises && self.gate.raise() {
            self.hand_out(Reason::Room);
        }
        rises
    }

    /// The provider is overloaded. Returns whether the level falls.
    pub(super) fn shrink(&self) -> bool {
        let Some(seen) = self.gate.level() else { return false };
        let falls = self.gate.aimd.overload(seen);
        if falls {
            self.gate.lower();
        }
        falls
    }

    /// How many calls may be in flight now; `None` if they are not limited, or by a shared semaphore alone.
    pub(crate) fn concurrency_limit(&self) -> Option<u32> {
        self.gate.level().map(|seen| seen.limit)
    }

    /// How many calls are in flight; 0 if they are not limited by slots of its own.
    pub(crate) fn in_flight(&self) -> u32 {
        self.gate.level().map_or(0, |seen| seen.in_flight)
    }
}
