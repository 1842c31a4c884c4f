//! Tokio's cooperative budget: a task that never has to wait must let others run now and then.
//!
//! Each answer that a future of ours gives costs one unit of the budget that tokio gives a task for
//! each poll ([`tokio::task::coop`]). When it is spent, the future takes its place in line, so that the
//! order is that of the first polls, and answers at the next poll. Outside a tokio runtime, or
//! without the feature `tokio`, there is no budget.

use core::task::{Context, Poll};

#[cfg(feature = "tokio")]
pub(crate) use tokio::task::coop::RestoreOnPending as Unit;

/// One unit; `Pending` if none is left, and then the task is woken to go on. It is given back on drop
/// unless [progress was made](Unit::made_progress).
#[cfg(feature = "tokio")]
#[inline]
pub(crate) fn poll_unit(cx: &mut Context<'_>) -> Poll<Unit> {
    tokio::task::coop::poll_proceed(cx)
}

/// There is no budget.
#[cfg(not(feature = "tokio"))]
pub(crate) struct Unit;

#[cfg(not(feature = "tokio"))]
impl Unit {
    #[inline]
    #[expect(clippy::unused_self, reason = "tokio's face")]
    pub(crate) fn made_progress(&self) {}
}

/// There is no budget to spend.
#[cfg(not(feature = "tokio"))]
#[inline]
pub(crate) fn poll_unit(_: &mut Context<'_>) -> Poll<Unit> {
    Poll::Ready(Unit)
}
