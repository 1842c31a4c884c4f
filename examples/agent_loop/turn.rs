//! Whether a limiter lets more than a window's calls into one window of the server.
//!
//! After idling, one call is made. A limiter whose windows begin with a call begins one now, and a bucket is
//! full. After three quarters of the window, twice as many calls are made as it may hold. Calls that have
//! not started after a quarter of the next window are given up. No more calls are made at once than may be
//! in flight, so the server refuses only for the rate.

use crate::Pool;
use crate::after_idling::{call, idle};
use crate::client::Error;
use crate::contenders::Limits;
use futures_util::stream;
use futures_util::{StreamExt, future};
use ringgate_mock_provider::MockProvider;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How many calls the server refuses. The calls that are given up leave the limiter unfit for more.
pub(crate) async fn measure(
    limits: Limits,
    pool: &Pool,
    server: &MockProvider,
) -> Result<usize, Error> {
    idle(limits).await;
    let before = server.counts().beyond();
    let start = Instant::now();
    call(start, pool).await?;
    sleep_until(start + limits.window * 3 / 4).await;
    if let Ok(result) = timeout_at(start + limits.window * 5 / 4, ask(limits, pool)).await {
        result?;
    }
    Ok(server.counts().beyond() - before)
}

async fn ask(limits: Limits, pool: &Pool) -> Result<(), Error> {
    stream::iter(0..2 * u64::from(limits.calls.get()))
        .map(|_| call(Instant::now(), pool))
        .buffer_unordered(limits.concurrency)
        .filter_map(|result| future::ready(result.err().filter(|error| !error.is_not_now())))
        .next()
        .await
        .map_or(Ok(()), Err)
}
