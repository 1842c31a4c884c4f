//! governor's limiter, and tokio's semaphore whose permit is held to the end of the stream.
//!
//! The limiter is a bucket that is filled at an even pace, and what goes into a full one is lost: a
//! bucket of one call never makes up for a call that went late. A call takes its slot first: one
//! that the rate has already let through would otherwise wait for a slot, and go with later ones.

use super::Limits;
use crate::Pool;
use crate::client::{ChatRequest, Error, Event};
use async_trait::async_trait;
use core::num::NonZeroU32;
use core::time::Duration;
use futures_util::StreamExt;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use ringgate::{EventStream, Provider};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The two together, as a pool.
pub(super) struct Governed {
    provider: Arc<Pool>,
    slots: Arc<Semaphore>,
    rate: DefaultDirectRateLimiter,
}

/// How far apart calls are if they share a window evenly; `None` where that is not even a
/// nanosecond, which no quota can say.
pub(super) fn interval(window: Duration, calls: NonZeroU32) -> Option<Duration> {
    Some(window / calls.get()).filter(|interval| !interval.is_zero())
}

impl Governed {
    /// With a bucket of `burst` calls.
    pub(super) fn new(provider: Arc<Pool>, limits: Limits, burst: NonZeroU32) -> Self {
        let quota = Quota::with_period(limits.interval).expect("an interval is never zero");
        let slots = Arc::new(Semaphore::new(limits.concurrency));
        Self { provider, slots, rate: RateLimiter::direct(quota.allow_burst(burst)) }
    }
}

#[async_trait]
impl Provider for Governed {
    type Request = ChatRequest;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &'static str {
        "governor"
    }

    async fn stream(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("it is never closed");
        self.rate.until_ready().await;
        let events = self.provider.stream(request).await?;
        Ok(Box::pin(events.inspect(move |_| {
            let _until_the_stream_goes = &slot;
        })))
    }
}
