//! What a call has reserved.

use super::TokenWindow;
use super::kind::Counted;
use crate::time::Timestamp;
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

/// Reserved tokens, whichever way their window is held. Settled once: that takes them.
struct Reserved<W: Deref<Target = TokenWindow>> {
    window: W,
    /// `None` once it is settled.
    counted: Option<Counted>,
    /// The time at which it was reserved, if that was given.
    at: Option<Timestamp>,
}

impl<W: Deref<Target = TokenWindow>> Reserved<W> {
    fn new(window: W, counted: Counted, at: Option<Timestamp>) -> Self {
        Self { window, counted: Some(counted), at }
    }

    fn weight(&self) -> u64 {
        self.counted.as_ref().map_or(0, Counted::weight)
    }

    fn stamp(&self) -> Option<Timestamp> {
        self.counted.as_ref()?.stamp()
    }

    fn settle(&mut self, actual: u64) {
        match (self.at, self.counted.take()) {
            (Some(at), Some(counted)) => self.window.kind.settle(at, counted, actual),
            (None, Some(counted)) => self.window.kind.settle(&self.window.time, counted, actual),
            (_, None) => {}
        }
    }

    fn settle_at(&mut self, actual: u64, now: Timestamp) {
        if let Some(counted) = self.counted.take() {
            self.window.kind.settle(now, counted, actual);
        }
    }
}

impl<W: Deref<Target = TokenWindow>> Drop for Reserved<W> {
    /// What was not settled was used in full. Counted at the start, it stays as it is.
    #[inline]
    fn drop(&mut self) {
        if let Some(Counted::AsProduced(_)) = self.counted {
            self.settle(self.weight());
        }
    }
}

/// Tokens that a call has reserved, from [`TokenWindow::try_acquire`].
///
/// Dropped without a settlement, all of them count as used. (`mem::forget` on one that counts as it is produced holds them for
/// good.)
#[must_use = "dropped, all of it counts as used"]
pub struct TokenReservation<'a>(Reserved<&'a TokenWindow>);

impl<'a> TokenReservation<'a> {
    pub(super) fn new(window: &'a TokenWindow, counted: Counted, at: Option<Timestamp>) -> Self {
        Self(Reserved::new(window, counted, at))
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
        self.0.settle(actual);
    }

    /// [`settle`](Self::settle) at the given time. See [`TokenWindow::try_acquire_at`].
    pub fn settle_at(mut self, actual: u64, now: Timestamp) {
        self.0.settle_at(actual, now);
    }

    /// Gives all back: the call was never sent.
    pub fn cancel(self) {
        self.settle(0);
    }
}

/// [`TokenReservation`] that owns its window's `Arc`, from [`TokenWindow::try_acquire_owned`].
#[must_use = "dropped, all of it counts as used"]
pub struct OwnedTokenReservation(Reserved<Arc<TokenWindow>>);

impl OwnedTokenReservation {
    pub(super) fn new(window: Arc<TokenWindow>, counted: Counted) -> Self {
        Self(Reserved::new(window, counted, None))
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
        self.0.settle(actual);
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
