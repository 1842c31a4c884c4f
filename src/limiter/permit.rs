//! The guards of admitted calls.

use super::Limiter;
use crate::error::Refused;
use crate::limiter_core::{Core, Priority};
use core::fmt;
use std::sync::Arc;

impl Limiter {
    /// Admits the call now, or refuses.
    ///
    /// # Errors
    ///
    /// [`Refused`] says which limit refused, and how long to wait if that is known.
    #[inline]
    pub fn try_acquire(&self) -> Result<LimiterPermit<'_>, Refused> {
        self.core.try_admit(Priority::default())?;
        Ok(LimiterPermit { core: &self.core })
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedLimiterPermit, Refused> {
        self.core.try_admit(Priority::default())?;
        Ok(OwnedLimiterPermit { core: Arc::clone(&self.core) })
    }
}

/// An admitted call. Dropping it releases its concurrency slot.
#[must_use = "dropping a permit releases its slot immediately"]
#[clippy::has_significant_drop]
pub struct LimiterPermit<'a> {
    pub(super) core: &'a Core,
}

impl Drop for LimiterPermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.core.release();
    }
}

/// An admitted call that keeps its limiter alive. Dropping it releases its concurrency slot.
#[must_use = "dropping a permit releases its slot immediately"]
#[clippy::has_significant_drop]
pub struct OwnedLimiterPermit {
    pub(super) core: Arc<Core>,
}

/// Omits the limiter.
impl fmt::Debug for LimiterPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterPermit").finish_non_exhaustive()
    }
}

/// Omits the limiter.
impl fmt::Debug for OwnedLimiterPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLimiterPermit").finish_non_exhaustive()
    }
}

impl Drop for OwnedLimiterPermit {
    #[inline]
    fn drop(&mut self) {
        self.core.release();
    }
}
