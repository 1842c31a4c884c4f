//! Tokio's cooperative budget: a task that never has to wait yields to others now and then.
//!
//! Each completion of a future costs one unit of the budget that tokio gives a task for each poll
//! ([`tokio::task::coop`]). When the budget is spent, the future only takes its place in line, so that first
//! polls decide the order, and completes at the next poll. Outside a tokio runtime, or without the feature
//! `tokio`, there is no budget.

use core::task::{Context, Poll};

#[cfg(feature = "tokio")]
pub(crate) use tokio::task::coop::RestoreOnPending as Unit;

/// Takes one unit. If none is left, it wakes the task and returns `Pending`. Dropping the unit gives it back
/// unless [progress was made](Unit::made_progress).
#[cfg(feature = "tokio")]
#[inline]
pub(crate) fn poll_unit(cx: &mut Context<'_>) -> Poll<Unit> {
    tokio::task::coop::poll_proceed(cx)
}

/// Without tokio there is no budget.
#[cfg(not(feature = "tokio"))]
pub(crate) struct Unit;

#[cfg(not(feature = "tokio"))]
impl Unit {
    #[inline]
    #[expect(clippy::unused_self, reason = "tokio's face")]
    pub(crate) fn made_progress(&self) {}
}

/// Without tokio there is no budget.
#[cfg(not(feature = "tokio"))]
#[inline]
pub(crate) fn poll_unit(_: &mut Context<'_>) -> Poll<Unit> {
    Poll::Ready(Unit)
}
