//! The limiter that the processes share.

use crate::flags::Flags;
use core::time::Duration;
use ringgate_redis::{ConnectError, SharedLimiter, WhileAway};

/// A limiter whose rates, tokens and slots are kept in the store.
pub(crate) type Shared = SharedLimiter;

/// Makes it.
pub(crate) async fn connect(flags: &Flags, store: &str) -> Result<Shared, ConnectError> {
    let share = WhileAway::Share { after: Duration::ZERO, lasts: flags.share_lasts() };
    let builder = SharedLimiter::builder(flags.builder(), "agents", "demo")
        .lease(flags.lease())
        .time_to_live(flags.time_to_live())
        .while_away(share);
    // The store was started for this run. If it loses its state on the way, that does not hold.
    let builder = if flags.chaos { builder } else { builder.assume_unused() };
    builder.connect(store).await
}

/// How many requests it has sent to the store.
pub(crate) fn trips(shared: &Shared) -> u64 {
    shared.status().trips
}

/// Gives back what it has.
pub(crate) async fn leave(shared: Shared) {
    shared.leave().await;
}
