//! A provider that keeps its limits.

mod stream;

pub use stream::PoolStream;

use crate::error::Refused;
use crate::limiter::Limiter;
use crate::policy::RateLimitPolicy;
use crate::provider::{EventStream, Provider};
use crate::tokens::Usage;
use async_trait::async_trait;
use core::fmt;
use std::sync::Arc;

/// A provider behind a limiter. All callers that share a key share one pool.
///
/// One call of [`stream`](Self::stream) is one admission. It waits in line, counts from the moment it starts,
/// and holds a concurrency slot until its stream ends or is dropped, or the provider fails or panics. A failed
/// call stays counted, because providers count it too.
///
/// The pool is a [`Provider`] itself, so it can replace the one it wraps. For that the provider's error must
/// implement `From<Refused>`. The pool returns [`Refused`] only if a call could never be admitted: if a limit is zero, if the
/// call's estimate is above a limit on tokens, or if the limiter is closed. (A [limiter made elsewhere](Self::with_limiter) may
/// refuse for a [full line](crate::LimiterBuilder::max_waiters), too.)
///
/// # Tokens
///
/// If the policy limits tokens, a call reserves the provider's [estimate](Provider::estimate). When its stream has ended, the
/// call counts as what the events [said](Provider::usage) instead: the rest goes to other calls, what was used beyond it counts
/// on top. A call whose events said nothing counts as reserved; so does one that was dropped, panicked or failed, because
/// nobody knows what it used. (Of its input or output what its events had said by then counts, if that is more.)
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
pub struct ProviderPool<P: Provider + ?Sized> {
    inner: Arc<P>,
    limiter: Limiter,
    /// In the place of the provider's.
    estimate: Option<Box<Estimate<P::Request>>>,
    name: String,
}

type Estimate<Request> = dyn Fn(&Request) -> Usage + Send + Sync;

impl<P: Provider + ?Sized> ProviderPool<P> {
    /// Wraps a provider; `name` is the pool's own.
    #[expect(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn new(provider: Arc<P>, policy: RateLimitPolicy, name: impl Into<String>) -> Self {
        Self::with_limiter(provider, Limiter::from(&policy), name)
    }

    /// Wraps a provider with a limiter made elsewhere: with another clock, or shared with others.
    pub fn with_limiter(provider: Arc<P>, limiter: Limiter, name: impl Into<String>) -> Self {
        Self { inner: provider, limiter, estimate: None, name: name.into() }
    }

    /// The same pool with another estimate than the provider's, by a real tokenizer for example.
    ///
    /// See [`Provider::estimate`]. It runs in each call, before the call waits, if the limiter limits tokens.
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
    /// use ringgate::{ProviderPool, RateLimitPolicy, Usage};
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Refused> {
    /// let policy = RateLimitPolicy::openai(500, 30_000);
    /// let words = |request: &String| request.split_whitespace().count() as u64;
    /// let pool = ProviderPool::new(Arc::new(Echo), policy, "shared key")
    ///     .with_estimate(move |request| Usage::new(words(request), 800));
    /// drop(pool.stream("how many words".into()).await?);
    /// assert_eq!(pool.limiter().remaining_tokens(), 29_197);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_estimate(
        mut self,
        estimate: impl Fn(&P::Request) -> Usage + Send + Sync + 'static,
    ) -> Self {
        self.estimate = Some(Box::new(estimate));
        self
    }

    /// The pool's limiter.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    fn expected(&self, request: &P::Request) -> Usage {
        match &self.estimate {
            Some(estimate) => estimate(request),
            None => self.inner.estimate(request),
        }
    }

    /// Sends a request when all limits allow it.
    ///
    /// Until then the call is in line, and the provider is not called. To limit only the wait in line, acquire
    /// from [`limiter`](Self::limiter) and call the provider yourself.
    ///
    /// The same as [`Provider::stream`] of the pool, without the two allocations that the trait costs. A pool that limits tokens
    /// allocates once more.
    ///
    /// # Errors
    ///
    /// The provider's error, or [`Refused`] as the provider's error if a limit is zero or less than the call's estimate, or the
    /// limiter is closed.
    ///
    /// # Panics
    ///
    /// If the provider panics, or its estimate. No slot and no token is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the provider is called gives up the place in line, and nothing is counted.
    /// Dropping it later drops the provider's call, which stays counted, with all the tokens it had reserved.
    pub async fn stream(&self, request: P::Request) -> Result<PoolStream<P::Event>, P::Error>
    where
        P: 'static,
        P::Error: From<Refused>,
    {
        let limits_tokens = self.limiter.has_token_limits();
        let expected = if limits_tokens { self.expected(&request) } else { Usage::default() };
        let permit = self.limiter.call().tokens(expected).acquire_owned().await?;
        let events = self.inner.stream(request).await?;
        if !limits_tokens {
            return Ok(PoolStream::new(events, permit));
        }
        let provider = Arc::clone(&self.inner);
        Ok(PoolStream::with_usage(events, permit, move |event| provider.usage(event)))
    }
}

#[async_trait]
impl<P> Provider for ProviderPool<P>
where
    P: Provider + ?Sized + 'static,
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

    fn estimate(&self, request: &P::Request) -> Usage {
        self.expected(request)
    }

    fn usage(&self, event: &P::Event) -> Option<Usage> {
        self.inner.usage(event)
    }
}

impl<P: Provider + ?Sized> fmt::Debug for ProviderPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderPool")
            .field("name", &self.name)
            .field("provider", &self.inner.name())
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}
