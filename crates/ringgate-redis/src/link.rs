//! The way to the store.

use crate::script::{Reply, StoreError, Trip};
use core::future::{Future, pending};

/// The way to the store, as a [`Driver`](crate::Driver) uses it: one trip at a time.
///
/// A trip may be lost, late or repeated on its way: trips are made so that nothing goes wrong by it. The link need not try
/// again by itself.
pub trait Link {
    /// Makes a trip.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped if no answer comes in time. Whether the trip has arrived is not known then; a later answer to it must be
    /// dropped.
    fn trip(&mut self, trip: &Trip) -> impl Future<Output = Result<Reply, StoreError>>;

    /// Completes when the store has told that something has changed: a trip may find more than the last one. Without such news it
    /// never does; they only make things faster. News from before the last trip that was begun, those that name an earlier one, may be dropped: they
    /// would only make another trip.
    ///
    /// # Cancel safety
    ///
    /// No news is lost if the future is dropped.
    fn pushed(&mut self) -> impl Future<Output = News> {
        pending()
    }
}

/// What the store has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// There are slots or room for this process.
    Room,
    /// A pause has begun or ended.
    Pause,
}
