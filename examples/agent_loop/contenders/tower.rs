//! tower's `RateLimit`, with its `ConcurrencyLimit` around it.
//!
//! The rate limit counts calls in windows of its own: one begins with the first call after the last
//! window has ended. The concurrency limit gives a permit back when the call's future is done,
//! which is when the answer begins: tower does not know that it is a stream.
//!
//! A `RateLimit` cannot be cloned. tower shares such a service by a task that makes it ready for
//! one caller after another (`Buffer`); here a fair lock does this.

use super::Limits;
use crate::Pool;
use crate::client::{ChatRequest, Error, Event};
use async_trait::async_trait;
use ringgate::{EventStream, Provider};
use std::sync::Arc;
use tokio::sync::Mutex;
use tower::limit::rate::Rate;
use tower::limit::{ConcurrencyLimit, RateLimit};
use tower::util::BoxService;
use tower::{Service, ServiceExt, service_fn};

/// A service behind tower's limits, as a pool.
pub(super) struct Tower(Mutex<BoxService<ChatRequest, EventStream<Event>, Error>>);

impl Tower {
    pub(super) fn new(provider: Arc<Pool>, limits: Limits) -> Self {
        let send = service_fn(move |request| {
            let provider = Arc::clone(&provider);
            async move { provider.stream(request).await }
        });
        let rate = Rate::new(limits.calls.get().into(), limits.window);
        let limited = ConcurrencyLimit::new(RateLimit::new(send, rate), limits.concurrency);
        Self(Mutex::new(limited.boxed()))
    }
}

#[async_trait]
impl Provider for Tower {
    type Request = ChatRequest;
    type Event = Event;
    type Error = Error;

    fn name(&self) -> &'static str {
        "tower"
    }

    async fn stream(&self, request: ChatRequest) -> Result<EventStream<Event>, Error> {
        // Until it is ready the caller keeps the lock, and the others their order.
        let answer = self.0.lock().await.ready().await?.call(request);
        answer.await
    }
}
