//! The limiter that the processes share.

use crate::flags::Flags;
use core::time::Duration;
use ringgate_redis::{ConnectError, SharedLimiter, WhileAway};

/// A limiter whose rates, tokens and slots are kept in the store.
pub(crate) type Shared = SharedLimiter;

/// Makes it. `is_first`: the process was there when the store was started.
pub(crate) async fn connect(
    flags: &Flags,
    store: &str,
    is_first: bool,
) -> Result<Shared, ConnectError> {
    let builder = SharedLimiter::builder(flags.builder(), "agents", "demo")
        .lease(flags.lease())
        .time_to_live(flags.time_to_live());
    // The share of a process that was killed is free again so much later. By default that is a minute at least.
    let builder = if flags.chaos {
        builder.while_away(WhileAway::Share { after: Duration::ZERO, lasts: flags.share_lasts() })
    } else {
        builder
    };
    // Nobody has used anything before these. A process that comes later cannot know: a store that is new to it may have
    // forgotten all.
    let builder = if is_first { builder.assume_unused() } else { builder };
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
