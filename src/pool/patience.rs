//! How long a pool waits: in line, and for the next event.

use super::{PoolStream, ProviderPool};
use crate::hold::StalledError;
use crate::provider::Provider;
use core::time::Duration;
use std::sync::Arc;

/// How long all streams of a pool may stand still, and what they end with.
pub(super) struct IdleTimeout<Event> {
    timeout: Duration,
    ends_with: Arc<EndsWith<Event>>,
}

type EndsWith<Event> = dyn Fn(StalledError) -> Event + Send + Sync;

impl<Event: 'static> IdleTimeout<Event> {
    pub(super) fn watch(&self, stream: PoolStream<Event>) -> PoolStream<Event> {
        let ends_with = Arc::clone(&self.ends_with);
        stream.idle_timeout(self.timeout, move |stalled| ends_with(stalled))
    }
}

impl<P: Provider + ?Sized> ProviderPool<P> {
    /// The same pool, whose calls wait in line for at most `timeout`: then they are refused. See
    /// [`Limiter::acquire_timeout`](crate::Limiter::acquire_timeout). A call that is [sent again](Self::with_retries) waits as long as
    /// it takes.
    ///
    /// ```
    /// # use async_trait::async_trait;
    /// # use futures_util::stream;
    /// # use ringgate::{EventStream, Provider, Refused};
    /// # struct Echo;
    /// # #[async_trait]
    /// # impl Provider for Echo {
    /// #     type Request = String;
    /// #     type Event = char;
    /// #     type Error = Refused;
    /// #     fn name(&self) -> &str { "echo" }
    /// #     async fn stream(&self, request: String) -> Result<EventStream<char>, Refused> {
    /// #         Ok(Box::pin(stream::iter(request.chars().collect::<Vec<_>>())))
    /// #     }
    /// # }
    /// use ringgate::{Limit, ProviderPool, RateLimitPolicy};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Refused> {
    /// let pool = ProviderPool::new(Arc::new(Echo), RateLimitPolicy::rpm(1), "shared key")
    ///     .with_acquire_timeout(Duration::from_secs(5));
    /// drop(pool.stream("hello".into()).await?);
    /// let refused = pool.stream("hello".into()).await.unwrap_err();
    /// assert_eq!(refused.limit(), Limit::Rate); // at once: there is no room for a minute
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = Some(timeout);
        self
    }

    /// The same pool, which ends each stream from which no event comes for `timeout`, by the limiter's clock: with one more event,
    /// that `ends_with` makes of the error. See [`PoolStream::idle_timeout`]. It costs each stream an allocation.
    ///
    /// ```
    /// # use async_trait::async_trait;
    /// # use futures_util::stream;
    /// # use ringgate::{EventStream, Provider, Refused, StalledError};
    /// # struct Stalls;
    /// # #[async_trait]
    /// # impl Provider for Stalls {
    /// #     type Request = ();
    /// #     type Event = Result<String, StalledError>;
    /// #     type Error = Refused;
    /// #     fn name(&self) -> &str { "stalls" }
    /// #     async fn stream(&self, _: ()) -> Result<EventStream<Self::Event>, Refused> {
    /// #         Ok(Box::pin(stream::pending()))
    /// #     }
    /// # }
    /// use futures_util::StreamExt;
    /// use ringgate::{ProviderPool, RateLimitPolicy};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Refused> {
    /// let pool = ProviderPool::new(Arc::new(Stalls), RateLimitPolicy::rpm(60), "shared key")
    ///     .with_idle_timeout(Duration::from_millis(30), Err);
    /// let events: Vec<_> = pool.stream(()).await?.collect().await;
    /// assert!(events[0].is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_idle_timeout(
        mut self,
        timeout: Duration,
        ends_with: impl Fn(StalledError) -> P::Event + Send + Sync + 'static,
    ) -> Self {
        self.idle_timeout = Some(IdleTimeout { timeout, ends_with: Arc::new(ends_with) });
        self
    }
}
