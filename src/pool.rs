//! A provider that keeps its limits.

mod patience;
mod reader;
mod retries;
mod stream;

pub use stream::PoolStream;

use self::patience::IdleTimeout;
use self::reader::{Reader, ReadsEvents, Wrapped};
use self::retries::{Retries, Wait, admit_again};
use crate::error::Refused;
use crate::feedback::Feedback;
use crate::limiter::{Limiter, OwnedLimiterPermit};
use crate::policy::RateLimitPolicy;
use crate::provider::{EventStream, Provider};
use crate::tokens::Usage;
use async_trait::async_trait;
use core::fmt;
use core::time::Duration;
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
/// refuse for a [full line](crate::LimiterBuilder::max_waiters), too; so does one with an
/// [`acquire timeout`](Self::with_acquire_timeout), for what is not free in time.)
///
/// # Tokens
///
/// If the policy limits tokens, a call reserves the provider's [estimate](Provider::estimate). When its stream has ended, the
/// call counts as what the events [said](Provider::usage) instead: the rest goes to other calls, what was used beyond it counts
/// on top. A call whose events said nothing counts as reserved; so does one that was dropped, panicked or failed, because
/// nobody knows what it used. (Of its input or output what its events had said by then counts, if that is more.)
///
/// # What the provider says
///
/// The pool's limiter [observes](Limiter::observe) what a failed call's error [says](Provider::feedback) and what the
/// [events](Provider::event_feedback) of a stream say, before the call's slot is free. So one 429 pauses all callers, and those in
/// line keep their places. A call without an error is a success, once its stream has ended. The failed call itself is
/// returned to its caller, unless the pool [sends it again](Self::with_retries).
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
    inner: Arc<Wrapped<P>>,
    limiter: Limiter,
    /// In the place of the provider's.
    estimate: Option<Box<Estimate<P::Request>>>,
    retries: Option<Retries<P::Request>>,
    acquire_timeout: Option<Duration>,
    idle_timeout: Option<IdleTimeout<P::Event>>,
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
        let inner = Arc::new(Wrapped(provider));
        Self {
            inner,
            limiter,
            estimate: None,
            retries: None,
            acquire_timeout: None,
            idle_timeout: None,
            name: name.into(),
        }
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

    /// The same pool, and sends a failed call again, up to `most` times. Without it, and with zero, each call is sent once.
    ///
    /// It sends again what a [cool-down, a ramp or an overload](crate::Signal) refused, by the error's
    /// [feedback](Provider::feedback), and only where there is no stream yet: an error in a stream is in its caller's hands. Other
    /// errors, a [stop](crate::Signal::Stop), and those for which the provider
    /// [says no](crate::Feedback::with_should_retry) are returned. After the last try its error is returned.
    ///
    /// A call is sent again through the limiter, and waits there:
    ///
    /// * after a cool-down or a ramp until the pause is over. It waits before all calls that have not been sent yet, so newcomers
    ///   do not pass it; among those that are sent again the first one goes first. It gives back its slot and its tokens when it has
    ///   its place, and takes them again when it goes. (Where the provider
    ///   [gives nothing back](crate::TokenLimit::without_refunds), each try counts with its tokens.);
    /// * after an overload for the time told, or for 1 s, twice as long after each try, and 30 s at most. It holds nothing meanwhile,
    ///   so others go. Then it waits in line before those that have not been sent. A time above two minutes is not waited for: the
    ///   error is returned.
    ///
    /// Others do not starve behind such calls: each of them has gone once as any other, and is sent again `most` times at most.
    ///
    /// Each try counts as a request, because providers count it. It takes none of the places of
    /// [`max_waiters`](crate::LimiterBuilder::max_waiters). If the limiter refuses it (because it was closed meanwhile, for example),
    /// the provider's error is returned.
    ///
    /// The request is copied before each try but the last one. Requests with large parts are cheap to copy if these are in an `Arc`.
    ///
    /// ```
    /// use async_trait::async_trait;
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{EventStream, Feedback, Provider, ProviderPool, RateLimitPolicy, Refused};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use std::time::Duration;
    ///
    /// #[derive(Debug)]
    /// enum Error {
    ///     TooManyRequests { retry_after: Duration },
    ///     Refused(Refused),
    /// }
    /// # impl From<Refused> for Error {
    /// #     fn from(refused: Refused) -> Self { Self::Refused(refused) }
    /// # }
    ///
    /// /// Refuses its first call.
    /// struct Busy(AtomicBool);
    ///
    /// #[async_trait]
    /// impl Provider for Busy {
    ///     type Request = &'static str;
    ///     type Event = char;
    ///     type Error = Error;
    ///
    ///     fn name(&self) -> &str {
    ///         "busy"
    ///     }
    ///
    ///     async fn stream(&self, request: &'static str) -> Result<EventStream<char>, Error> {
    ///         if self.0.swap(false, Ordering::Relaxed) {
    ///             return Err(Error::TooManyRequests { retry_after: Duration::from_millis(20) });
    ///         }
    ///         Ok(Box::pin(stream::iter(request.chars())))
    ///     }
    ///
    ///     fn feedback(&self, error: &Error) -> Option<Feedback> {
    ///         match *error {
    ///             Error::TooManyRequests { retry_after } => Some(Feedback::cool_down(retry_after)),
    ///             Error::Refused(_) => None,
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let provider = Arc::new(Busy(AtomicBool::new(true)));
    /// let pool = ProviderPool::new(provider, RateLimitPolicy::rpm(60), "key").with_retries(2);
    /// let answer: String = pool.stream("hello").await?.collect().await;
    /// assert_eq!(answer, "hello");
    /// assert_eq!(pool.limiter().remaining(), 58); // it was sent twice
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_retries(mut self, most: u32) -> Self
    where
        P::Request: Clone,
    {
        self.retries = Some(Retries::new(most));
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
            None => self.inner.0.estimate(request),
        }
    }

    /// Sends a request when all limits allow it.
    ///
    /// Until then the call is in line, and the provider is not called. [`with_acquire_timeout`](Self::with_acquire_timeout) limits
    /// only this wait.
    ///
    /// The same as [`Provider::stream`] of the pool, without the two allocations that the trait costs.
    ///
    /// # Errors
    ///
    /// The provider's error, or [`Refused`] as the provider's error if a limit is zero or less than the call's estimate, the
    /// limiter is closed, or its place is not free within the [time to acquire](Self::with_acquire_timeout).
    ///
    /// # Panics
    ///
    /// If the provider panics, or its estimate, or its feedback, or the copy of a request. No slot and no token is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the provider is called gives up the place in line, and nothing is counted.
    /// Dropping it later drops the provider's call, which stays counted, with all the tokens it had reserved. Dropping it while it
    /// waits to be [sent again](Self::with_retries) gives up its place; it stays counted as a request, and holds nothing else.
    pub async fn stream(&self, mut request: P::Request) -> Result<PoolStream<P::Event>, P::Error>
    where
        P: 'static,
        P::Error: From<Refused>,
    {
        let limits_tokens = self.limiter.has_token_limits();
        let expected = if limits_tokens { self.expected(&request) } else { Usage::default() };
        let call = self.limiter.call().tokens(expected).timeout(self.acquire_timeout);
        let mut permit = call.acquire_owned().await?;
        let mut again = 0;
        loop {
            let spare = self.retries.as_ref().and_then(|retries| retries.spare(again, &request));
            let error = match self.inner.0.stream(request).await {
                Ok(events) => return Ok(self.answer(events, permit)),
                Err(error) => error,
            };
            let wait = self.observe(&error, &permit).and_then(|said| Wait::after(&said, again));
            let (Some(spare), Some(wait)) = (spare, wait) else { return Err(error) };
            // In a box, because calls that go well should stay small.
            let Ok(admitted) = Box::pin(admit_again(&self.limiter, permit, wait)).await else {
                return Err(error);
            };
            (request, permit, again) = (spare, admitted, again + 1);
        }
    }

    fn answer(
        &self,
        events: EventStream<P::Event>,
        permit: OwnedLimiterPermit,
    ) -> PoolStream<P::Event>
    where
        P: 'static,
    {
        let provider: Arc<dyn ReadsEvents<P::Event>> = Arc::<Wrapped<P>>::clone(&self.inner);
        let reads_usage = self.limiter.has_token_limits();
        let answer = PoolStream::of(events, permit, Reader::Provider { provider, reads_usage });
        match &self.idle_timeout {
            Some(idle) => idle.watch(answer),
            None => answer,
        }
    }

    /// What a call's error says, once all others know it.
    fn observe(&self, error: &P::Error, permit: &OwnedLimiterPermit) -> Option<Feedback> {
        let feedback = self.inner.0.feedback(error)?;
        if feedback.says_something() {
            permit.observe(&feedback);
        }
        Some(feedback)
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
        self.inner.0.usage(event)
    }

    fn feedback(&self, error: &P::Error) -> Option<Feedback> {
        self.inner.0.feedback(error)
    }

    fn event_feedback(&self, event: &P::Event) -> Option<Feedback> {
        self.inner.0.event_feedback(event)
    }
}

impl<P: Provider + ?Sized> fmt::Debug for ProviderPool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderPool")
            .field("name", &self.name)
            .field("provider", &self.inner.0.name())
            .field("limiter", &self.limiter)
            .field("retries", &self.retries.as_ref().map_or(0, Retries::most))
            .finish_non_exhaustive()
    }
}
