//! What a call has reserved.

use super::TokenWindow;
use crate::limiter_core::{Core, Handle, Reserved};
use crate::time::Timestamp;
use crate::tokens::Usage;
use core::fmt;
use core::mem;
use core::ops::Deref;
use std::sync::Arc;

/// Reserved tokens, whichever way their window is held. Settled once: that takes them.
struct Unsettled<H: Deref<Target = Core>> {
    core: H,
    reserved: Reserved,
    /// The time at which they were reserved, if that was given.
    at: Option<Timestamp>,
}

impl<H: Deref<Target = Core>> Unsettled<H> {
    fn weight(&self) -> u64 {
        self.reserved.expected().total()
    }

    fn stamp(&self) -> Option<Timestamp> {
        self.reserved.stamp()
    }

    fn settle(&mut self, actual: u64, at: Option<Timestamp>) {
        self.core.settle(mem::take(&mut self.reserved), Usage::new(actual, 0), at);
    }
}

impl<H: Deref<Target = Core>> Drop for Unsettled<H> {
    /// What was not settled was used in full. Counted at the start, it stays as it is.
    #[inline]
    fn drop(&mut self) {
        if !self.reserved.is_settled() && self.core.holds_tokens() {
            self.core.settle_in_full(mem::take(&mut self.reserved), self.at);
        }
    }
}

/// A window's core, by the window's `Arc`.
pub(super) struct Owned(pub(super) Arc<TokenWindow>);

impl Deref for Owned {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0.core
    }
}

// SAFETY: the core is in the window, and that in the allocation, which an `Arc` keeps.
unsafe impl Handle for Owned {}

/// Tokens that a call has reserved, from [`TokenWindow::acquire`] and
/// [`TokenWindow::try_acquire`].
///
/// Dropped without a settlement, all of them count as used. (`mem::forget` on one that counts as it is produced holds them for
/// good.)
#[must_use = "dropped, all of it counts as used"]
pub struct TokenReservation<'a>(Unsettled<&'a Core>);

impl<'a> TokenReservation<'a> {
    pub(super) fn new(core: &'a Core, reserved: Reserved, at: Option<Timestamp>) -> Self {
        Self(Unsettled { core, reserved, at })
    }

    /// How many tokens were reserved.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.weight()
    }

    /// The time it is recorded with: a reading of the clock inside the call, or the beginning of a later tick if another call has
    /// counted there already. `None` if it counts from its settlement only.
    #[must_use]
    pub fn stamp(&self) -> Option<Timestamp> {
        self.0.stamp()
    }

    /// Counts `actual` tokens in the place of those reserved. Less gives the rest back; more is counted on top, from now on.
    ///
    /// Reserved at the start, nothing is given back after the reservation has left the window.
    pub fn settle(mut self, actual: u64) {
        self.0.settle(actual, self.0.at);
    }

    /// [`settle`](Self::settle) at the given time. See [`TokenWindow::try_acquire_at`].
    pub fn settle_at(mut self, actual: u64, now: Timestamp) {
        self.0.settle(actual, Some(now));
    }

    /// Gives all back: the call was never sent.
    pub fn cancel(self) {
        self.settle(0);
    }
}

/// [`TokenReservation`] that owns its window's `Arc`, from
/// [`TokenWindow::acquire_owned`] and [`TokenWindow::try_acquire_owned`].
#[must_use = "dropped, all of it counts as used"]
pub struct OwnedTokenReservation(Unsettled<Owned>);

impl OwnedTokenReservation {
    pub(super) fn new(core: Owned, reserved: Reserved) -> Self {
        Self(Unsettled { core, reserved, at: None })
    }

    /// How many tokens were reserved.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.0.weight()
    }

    /// As [`TokenReservation::stamp`].
    #[must_use]
    pub fn stamp(&self) -> Option<Timestamp> {
        self.0.stamp()
    }

    /// As [`TokenReservation::settle`].
    pub fn settle(mut self, actual: u64) {
        self.0.settle(actual, self.0.at);
    }

    /// As [`TokenReservation::cancel`].
    pub fn cancel(self) {
        self.settle(0);
    }
}

impl fmt::Debug for TokenReservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReservation").field("weight", &self.weight()).finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedTokenReservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedTokenReservation")
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}
