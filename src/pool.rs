//! A provider that keeps its limits.

use crate::error::Refused;
use crate::limiter::{Limiter, OwnedLimiterPermit};
use crate::policy::RateLimitPolicy;
use crate::provider::{EventStream, Provider};
use async_trait::async_trait;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::Stream;
use std::sync::Arc;

/// A provider behind a limiter. All callers that share a key share one pool.
///
/// One call of [`stream`](Self::stream) is one admission. It waits in line, counts from the moment it starts,
/// and holds a concurrency slot until its stream ends or is dropped, or the provider fails or panics. A failed
/// call stays counted, because providers count it too.
///
/// The pool is a [`Provider`] itself, so it can replace the one it wraps. For that the provider's error must
/// implement `From<Refused>`. The pool returns [`Refused`] only if a call could never be admitted (a limit of
/// zero).
///
/// # Examples
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
/// use futures_util::StreamExt;
/// use ringgate::{ProviderPool, RateLimitPolicy};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Refused> {
/// let pool = ProviderPool::new(Arc::new(Echo), RateLimitPolicy::rpm(60), "shared key");
/// let answer: String = pool.stream("hello".into()).await?.collect().await;
/// assert_eq!(answer, "hello");
/// # Ok(())
/// # }
/// ```
pub struct ProviderPool<P: ?Sized> {
    inner: Arc<P>,
    limiter: Limiter,
    name: String,
}

impl<P: Provider + ?Sized> ProviderPool<P> {
    /// Wraps a provider; `name` is the pool's own.
    #[expect(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn new(provider: Arc<P>, policy: RateLimitPolicy, name: impl Into<String>) -> Self {
        Self::with_limiter(provider, Limiter::from(&policy), name)
    }

    /// Wraps a provider with a limiter made elsewhere: with another clock, or shared with others.
    pub fn with_limiter(provider: Arc<P>, limiter: Limiter, name: impl Into<String>) -> Self {
        Self { inner: provider, limiter, name: name.into() }
    }

    /// The pool's limiter.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Sends a request when both limits allow it.
    ///
    /// Until then the call is in line, and the provider is not called. To limit only the wait in line, acquire
    /// from [`limiter`](Self::limiter) and call the provider yourself.
    ///
    /// The same as [`Provider::stream`] of the pool, without the two allocations that the trait costs.
    ///
    /// # Errors
    ///
    /// The provider's error, or [`Refused`] as the provider's error if a limit is zero.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the provider is called gives up the place in line, and nothing is counted.
    /// Dropping it later drops the provider's call, which stays counted.
    pub async fn stream(&self, request: P::Request) -> Result<PoolStream<P::Event>, P::Error>
    where
        P::Error: From<Refused>,
    {
        let permit = self.limiter.acquire_owned().await?;
        let events = self.inner.stream(request).await?;
        Ok(PoolStream::new(events, permit))
    }
}

#[async_trait]
impl<P> Provider for ProviderPool<P>
where
    P: Provider + ?Sized,
    P::Error: From<Refused>,
{
    type Request = P::Request;
    type Event = P::Event;
    type Error = P::Error;

    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(&self, request: P::Request) -> Result<EventStream<P::Event>, P::Error> {
        Ok(Box::pin(Self::stream(self, request).await?))
    }
}

impl<P: Provider + ?Sized> fmt::Debug for ProviderPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderPool")
            .field("name", &self.name)
            .field("provider", &self.inner.name())
            .field("limiter", &self.limiter)
            .finish()
    }
}

/// The stream of a [`ProviderPool`]'s answer. It holds the call's concurrency slot.
///
/// It releases the slot when it ends, panics or is dropped. After its end it returns `None` again.
#[must_use = "streams do nothing unless polled"]
pub struct PoolStream<Event> {
    running: Option<(EventStream<Event>, OwnedLimiterPermit)>,
}

impl<Event> PoolStream<Event> {
    /// A stream that holds `permit` until it ends, for pools of other kinds than [`ProviderPool`].
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, PoolStream, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let permit = limiter.acquire_owned().await?;
    /// let answer = PoolStream::new(Box::pin(stream::iter("hello".chars())), permit);
    /// assert_eq!(limiter.available_permits(), 0);
    /// assert_eq!(answer.collect::<String>().await, "hello");
    /// assert_eq!(limiter.available_permits(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(events: EventStream<Event>, permit: OwnedLimiterPermit) -> Self {
        Self { running: Some((events, permit)) }
    }
}

impl<Event> Stream for PoolStream<Event> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        // Taken out, so that a panic of the provider's drops both: the events, then the permit.
        let Some(mut running) = self.running.take() else { return Poll::Ready(None) };
        let next = running.0.as_mut().poll_next(cx);
        if !matches!(next, Poll::Ready(None)) {
            self.running = Some(running);
        }
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.running.as_ref().map_or((0, Some(0)), |(events, _)| events.size_hint())
    }
}

impl<Event> fmt::Debug for PoolStream<Event> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolStream").field("ended", &self.running.is_none()).finish_non_exhaustive()
    }
}
