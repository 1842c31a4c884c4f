//! The behaviour of the pool that ringgate replaces (oxi-ai 0.20), with a window of any length.
//!
//! A call takes a permit, then looks at a list of the calls of the last window. If that is full,
//! it waits a second, looks once more, and is refused. It holds the permit all the time, and
//! returns it when the answer begins. The second is the original's, whose window is a minute.

use super::Limits;
use crate::Pool;
use crate::client::{ChatRequest, Error, Event};
use async_trait::async_trait;
use core::time::Duration;
use ringgate::{EventStream, Provider};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::sleep;

/// How long a call waits before it looks again.
const PAUSE: Duration = Duration::from_secs(1);
/// When a refused call should be retried.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A semaphore, and a list behind a lock.
pub(super) struct Original {
    provider: Arc<Pool>,
    permits: Semaphore,
    limits: Limits,
    calls: Mutex<Vec<Instant>>,
}

impl Original {
    pub(super) fn new(provider: Arc<Pool>, limits: Limits) -> Self {
        let permits = Semaphore::new(limits.concurrency);
        Self { provider, permits, limits, calls: Mutex::default() }
    }

    /// Enters a call that is made now, if the window has room for it.
    async fn enter(&self) -> bool {
        let mut calls = self.calls.lock().await;
        let now = Instant::now();
        calls.retain(|call| now.duration_since(*call) < self.limits.window);
        let room = (calls.len() as u64) < u64::from(self.limits.calls.get());
        if room {
            calls.push(now);
        }
        room
    }

    async fn enter_or_try_again(&self) -> bool {
        if self.enter().await {
            return true;
        }
        sleep(PAUSE).await;
        self.enter().await
    }
}

#[async_trait]
impl Provider for Original {
    type Request = ChatRequest;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &'static str {
        "original"
    }

    async fn stream(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        let _until_the_answer_begins = self.permits.acquire().await.expect("it is never closed");
        if self.enter_or_try_again().await {
            self.provider.stream(request).await
        } else {
            Err(Error::TurnedAway { retry_after: Some(RETRY_AFTER) })
        }
    }
}
