//! The cost of the limiter itself, without the waiting that is its purpose.

use crate::flags::Flags;
use core::time::Duration;
use ringgate::{Limiter, Usage};
use std::time::Instant;

const ROUNDS: usize = 1000;
const CALLS_PER_ROUND: u32 = 64;

/// The cost of one admission and its release, with tokens if they are limited, as the mean of each of many rounds, sorted.
///
/// Measured after the run, on a limiter of the same size whose window never fills, by the path that the
/// pool takes. Empty if the limits admit no call, or if there are none.
pub(crate) async fn measure(flags: &Flags) -> Vec<Duration> {
    if flags.unlimited {
        return Vec::new();
    }
    let limiter = flags.idle_limiter();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.extend(round(&limiter).await);
    }
    rounds.sort_unstable();
    rounds
}

/// `None` if a call was refused, because this does not measure refusals.
async fn round(limiter: &Limiter) -> Option<Duration> {
    let start = Instant::now();
    for _ in 0..CALLS_PER_ROUND {
        let permit = limiter.call().tokens(Usage::new(1, 1)).acquire_owned().await.ok()?;
        permit.settle(Usage::new(1, 0));
    }
    Some(start.elapsed() / CALLS_PER_ROUND)
}
