//! Counts cancelled waiters that were not unlinked at once, and places the sweep that finds them.

use super::node::NIL;
use crate::sync::atomic::AtomicU64;

/// These values only say when and where to sweep. No correctness depends on them.
pub(super) struct Leftovers {
    /// How many there are.
    pub(super) count: AtomicU64,
    /// How many of them start a step of the sweep.
    pub(super) sweep_at: AtomicU64,
    /// Where the next step of the sweep begins; NIL between two sweeps.
    pub(super) reached: AtomicU64,
    /// The live nodes this sweep has passed.
    pub(super) passed: AtomicU64,
}

impl Leftovers {
    /// Fewer are not worth a sweep.
    pub(super) const MIN: u64 = if cfg!(any(ringgate_loom, ringgate_shuttle)) { 1 } else { 32 };
    /// There are never many more: a release may have to pass them all.
    pub(super) const MAX: u64 = 4096;

    pub(super) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            sweep_at: AtomicU64::new(Self::MIN),
            reached: AtomicU64::new(u64::from(NIL)),
            passed: AtomicU64::new(0),
        }
    }
}
