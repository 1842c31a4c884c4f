//! How soon a limiter admits calls after it was idle for more than a window.

use crate::Pool;
use crate::agent::read;
use crate::client::{ChatRequest, Error, Message};
use crate::contenders::Limits;
use crate::tally::Tally;
use crate::ticket::Ticket;
use core::time::Duration;
use futures_util::future::try_join_all;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// How often the first call is measured.
const TIMES: usize = 3;

/// Times from asking to being admitted.
#[derive(Debug)]
pub(crate) struct AfterIdling {
    /// One call alone: the median.
    pub(crate) first: Duration,
    /// The last of as many calls at once as the limits allow.
    pub(crate) burst: Duration,
}

/// Idles before each measurement. All calls of the agents must have ended.
pub(crate) async fn measure(limits: Limits, pool: &Pool) -> Result<AfterIdling, Error> {
    let mut firsts = [Duration::ZERO; TIMES];
    for first in &mut firsts {
        *first = last_of(1, limits, pool).await?;
    }
    firsts.sort_unstable();
    let burst = last_of(limits.at_once(), limits, pool).await?;
    Ok(AfterIdling { first: firsts[TIMES / 2], burst })
}

/// A tenth longer than a window.
pub(crate) async fn idle(limits: Limits) {
    sleep(limits.window * 11 / 10).await;
}

/// After idling, makes `calls` calls at once. Returns how long the last of them waits.
async fn last_of(calls: usize, limits: Limits, pool: &Pool) -> Result<Duration, Error> {
    idle(limits).await;
    let asked = Instant::now();
    let waits = try_join_all((0..calls).map(|_| call(asked, pool))).await?;
    Ok(waits.into_iter().max().unwrap_or_default())
}

/// Makes one call, to the end of its stream. Returns how long it waited.
pub(crate) async fn call(asked: Instant, pool: &Pool) -> Result<Duration, Error> {
    let ticket = Ticket::new(asked, &Arc::new(Tally::default()));
    let messages = vec![Message::user("Is anybody there?".to_owned())];
    let request = ChatRequest { messages, max_tokens: None, ticket: Arc::clone(&ticket) };
    read(pool.stream(request).await?, None).await?;
    Ok(ticket.waited().unwrap_or_default())
}
