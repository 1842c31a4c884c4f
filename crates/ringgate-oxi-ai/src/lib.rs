//! Drop-in replacement for the provider pool of the crate oxi-ai 0.20, on a limiter of [`ringgate`].
//!
//! Code that uses that pool changes only its `use` line:
//!
//! ```
//! // use oxi_ai::provider_pool::{ProviderPool, RateLimitPolicy};
//! use ringgate_oxi_ai::{ProviderPool, RateLimitPolicy};
//! # use oxi_ai::{OpenAiProvider, Provider};
//! # use std::sync::Arc;
//!
//! let policy = RateLimitPolicy { rpm: 60, max_concurrent: 4 };
//! let pool = ProviderPool::new(Arc::new(OpenAiProvider::new()), policy, "shared key");
//! let provider: Arc<dyn Provider> = Arc::new(pool);
//! ```
//!
//! # Differences
//!
//! | | oxi-ai's pool | this one |
//! |---|---|---|
//! | a concurrency slot is held | until `stream()` returns | until the stream has ended or is dropped |
//! | a call over the rate | sleeps one second with its slot, then fails with "retry after 5 s" | waits its turn in line, for exactly as long as it must |
//! | a longer wait than a caller can bear | – | [`with_acquire_timeout`](ProviderPool::with_acquire_timeout): refused at once, with the exact wait |
//! | `unlimited()` | panics in `ProviderPool::new` | limits nothing |
//! | `max_concurrent: 0` | never returns | refuses at once |
//! | cost of a call | grows with `rpm` | does not |
//! | a server's 429 | is its own call's error | also [pauses](#what-the-provider-says) all callers of the pool |
//! | tokens | not limited | limited by a limiter of [`ringgate::RateLimitPolicy`] (below) |
//!
//! # Tokens
//!
//! The two fields of the original's policy have no place for tokens. Make a limiter of a policy of ringgate:
//!
//! ```
//! # use oxi_ai::OpenAiProvider;
//! use ringgate::{Limiter, RateLimitPolicy};
//! use ringgate_oxi_ai::ProviderPool;
//! # use std::sync::Arc;
//!
//! # let provider = Arc::new(OpenAiProvider::new());
//! let limiter = Limiter::from(&RateLimitPolicy::anthropic(50, 30_000, 8_000));
//! let pool = ProviderPool::with_limiter(provider, limiter, "shared key");
//! ```
//!
//! A call reserves an [estimate of its input](estimate_input), and as much output as its `max_tokens`
//! ([4,096](DEFAULT_MAX_TOKENS) if its options have none). When its stream has ended, it counts as what the last event
//! [said](usage). If that said nothing, or the call did not come to its end, it counts as reserved.
//!
//! # What the provider says
//!
//! The pool's limiter learns what a failed call's error [says](feedback) for all calls, and what the
//! [events](event_feedback) of a stream say. So one 429 pauses all callers of the pool, and those in line keep their places. The
//! failed call's error is returned. The pool sends nothing again: a retry belongs above it, so that each try passes the limiter.
//!
//! # Cost
//!
//! A call adds the limiter's work and one allocation to the provider's own, two through the trait
//! ([`ProviderPool::stream`]). Limits on tokens add those of the estimate: some for
//! each tool and tool call of the request.
//!
//! # Cancel safety
//!
//! You can drop a call or its stream at any point: no slot is lost ([`ProviderPool::stream`] says what stays
//! counted).
//!
//! # Features
//!
//! `serde`: [`RateLimitPolicy`] can be read and written.

mod feedback;
mod tokens;

pub use feedback::{event_feedback, feedback};
pub use ringgate::Usage;
pub use tokens::{DEFAULT_MAX_TOKENS, estimate_input, usage};

use async_trait::async_trait;
use core::fmt;
use core::time::Duration;
use oxi_ai::{Context, Model, Provider, ProviderError, ProviderEvent, StreamOptions};
use ringgate::{EventStream, Limiter, OwnedLimiterPermit, PoolStream, Refused};
use std::sync::Arc;

/// Rate and concurrency that a pool keeps: only the two fields of the original.
///
/// ```
/// use ringgate_oxi_ai::RateLimitPolicy;
///
/// let RateLimitPolicy { rpm, max_concurrent } = RateLimitPolicy::rpm(60);
/// assert_eq!((rpm, max_concurrent), (60, 10));
/// ```
///
/// The margin is the default one of [`ringgate::RateLimitPolicy`]. For
/// another, or for a limit on tokens or on every second, make a limiter of such a policy and give it to
/// [`ProviderPool::with_limiter`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RateLimitPolicy {
    /// Most requests in any minute. `u32::MAX` is no limit, zero admits nothing.
    pub rpm: u32,
    /// Most requests in flight. `usize::MAX` is no limit, zero admits nothing.
    pub max_concurrent: usize,
}

impl RateLimitPolicy {
    /// Limits requests to `rpm` per minute, and those in flight to a sixth of it (at least one).
    #[must_use]
    pub fn rpm(rpm: u32) -> Self {
        ringgate::RateLimitPolicy::rpm(rpm).into()
    }

    /// Limits requests to a minute's worth of this rate (at most `u32::MAX`), and those in flight to one
    /// second's worth.
    ///
    /// The two fields of the original can only limit the minute: all of its calls may start in the first
    /// second.
    /// [`ringgate::RateLimitPolicy::per_second`] limits every
    /// second:
    ///
    /// ```
    /// # use oxi_ai::OpenAiProvider;
    /// # use ringgate_oxi_ai::ProviderPool;
    /// # use ringgate::{Limiter, RateLimitPolicy};
    /// # use std::sync::Arc;
    /// # let provider = Arc::new(OpenAiProvider::new());
    /// let limiter = Limiter::from(&RateLimitPolicy::per_second(5));
    /// let pool = ProviderPool::with_limiter(provider, limiter, "five a second");
    /// # assert_eq!(pool.limiter().remaining(), 5);
    /// ```
    #[must_use]
    pub fn per_second(rps: u32) -> Self {
        ringgate::RateLimitPolicy::per_second(rps).into()
    }

    /// No limit on either.
    #[must_use]
    pub fn unlimited() -> Self {
        ringgate::RateLimitPolicy::unlimited().into()
    }

    /// The same policy with another number of requests in flight.
    #[must_use]
    pub fn with_max_concurrent(mut self, max: usize) -> Self {
        self.max_concurrent = max;
        self
    }
}

/// Its two public fields; a margin, tokens or a limit per second have no place here.
impl From<ringgate::RateLimitPolicy> for RateLimitPolicy {
    fn from(policy: ringgate::RateLimitPolicy) -> Self {
        Self { rpm: policy.rpm, max_concurrent: policy.max_concurrent }
    }
}

/// The same limits, to add a margin to.
impl From<RateLimitPolicy> for ringgate::RateLimitPolicy {
    fn from(policy: RateLimitPolicy) -> Self {
        Self::rpm(policy.rpm).with_max_concurrent(policy.max_concurrent)
    }
}

/// A refusal as oxi-ai's error: [`ProviderError::RateLimited`] with the exact wait.
///
/// Without one where no time can be told: when all slots are taken until some stream ends, or when
/// a limit is zero and waiting is useless ([`Refused`] itself can tell the two apart).
///
/// ```
/// use oxi_ai::ProviderError;
/// use ringgate::{Limiter, Rate};
/// use ringgate_oxi_ai::rate_limited;
///
/// let refused = Limiter::new(Rate::per_minute(60), 0).try_acquire().unwrap_err();
/// assert!(matches!(rate_limited(refused), ProviderError::RateLimited { retry_after: None }));
/// ```
#[must_use]
pub fn rate_limited(refused: Refused) -> ProviderError {
    ProviderError::RateLimited { retry_after: refused.retry_after() }
}

/// An oxi-ai provider behind a limiter. All callers that share a key share one pool.
///
/// One call is one admission. It waits in line, counts from the moment it starts, and holds a concurrency slot
/// until its stream ends or is dropped, or the provider fails or panics. A failed call stays counted, because
/// providers count it too.
///
/// The pool's own refusals are [`ProviderError::RateLimited`]. All other errors are the wrapped
/// provider's, passed on unchanged; a server's 429 is `HttpError(429, _)` with oxi-ai's own
/// providers.
///
/// ```
/// # use async_trait::async_trait;
/// # use oxi_ai::{ProviderError, ProviderEvent, StreamOptions};
/// # struct Silent;
/// # #[async_trait]
/// # impl Provider for Silent {
/// #     fn name(&self) -> &str { "silent" }
/// #     async fn stream(&self, _: &Model, _: &Context, _: Option<StreamOptions>)
/// #         -> Result<ringgate::EventStream<ProviderEvent>, ProviderError> {
/// #         Ok(Box::pin(futures_util::stream::empty()))
/// #     }
/// # }
/// use futures_util::StreamExt;
/// use oxi_ai::{Api, Context, Model, Provider};
/// use ringgate_oxi_ai::{ProviderPool, RateLimitPolicy};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), oxi_ai::ProviderError> {
/// # let provider = Arc::new(Silent);
/// let pool = ProviderPool::new(provider, RateLimitPolicy::rpm(60), "shared key");
/// let model = Model::new("gpt-4o", "GPT-4o", Api::OpenAiCompletions, "openai", "https://…/v1");
///
/// let mut events = pool.stream(&model, &Context::new(), None).await?;
/// while let Some(event) = events.next().await {
///     println!("{event:?}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct ProviderPool {
    inner: Arc<dyn Provider>,
    limiter: Limiter,
    /// `None` for as long as it takes.
    timeout: Option<Duration>,
    default_max_tokens: u64,
    /// In the place of the one by characters.
    estimate: Option<Box<Estimate>>,
    name: String,
}

type Estimate = dyn Fn(&Model, &Context, Option<&StreamOptions>) -> Usage + Send + Sync;

impl ProviderPool {
    /// Wraps a provider; `name` is the pool's own.
    pub fn new(
        provider: Arc<dyn Provider>,
        policy: RateLimitPolicy,
        name: impl Into<String>,
    ) -> Self {
        let policy = ringgate::RateLimitPolicy::from(policy);
        Self::with_limiter(provider, Limiter::from(&policy), name)
    }

    /// Wraps a provider with a limiter made elsewhere: with another window, margin or clock,
    /// or shared with others.
    pub fn with_limiter(
        provider: Arc<dyn Provider>,
        limiter: Limiter,
        name: impl Into<String>,
    ) -> Self {
        Self {
            inner: provider,
            limiter,
            timeout: None,
            default_max_tokens: DEFAULT_MAX_TOKENS,
            estimate: None,
            name: name.into(),
        }
    }

    /// The same pool, where a call without `max_tokens` in its options is expected to use up to so many tokens of output, and at
    /// most the model's own [`max_tokens`](Model::max_tokens). [`DEFAULT_MAX_TOKENS`] unless it is set here.
    ///
    /// The request is sent as it is. Only a limit on tokens asks for this.
    #[must_use]
    pub fn with_default_max_tokens(mut self, tokens: u64) -> Self {
        self.default_max_tokens = tokens;
        self
    }

    /// The same pool with another estimate of what a call will use at most, by a real tokenizer for example.
    ///
    /// It runs in each call, before the call waits, if the limiter limits tokens.
    ///
    /// ```
    /// # use oxi_ai::OpenAiProvider;
    /// # use ringgate::{Limiter, RateLimitPolicy};
    /// # use std::sync::Arc;
    /// use ringgate_oxi_ai::{ProviderPool, Usage, estimate_input};
    ///
    /// # let provider = Arc::new(OpenAiProvider::new());
    /// let limiter = Limiter::from(&RateLimitPolicy::gemini(150, 1_000_000));
    /// let pool = ProviderPool::with_limiter(provider, limiter, "input only")
    ///     .with_estimate(|_, context, _| Usage::new(estimate_input(context), 0));
    /// # let _ = pool;
    /// ```
    #[must_use]
    pub fn with_estimate(
        mut self,
        estimate: impl Fn(&Model, &Context, Option<&StreamOptions>) -> Usage + Send + Sync + 'static,
    ) -> Self {
        self.estimate = Some(Box::new(estimate));
        self
    }

    /// The same pool with a limit on the wait in line of each call. Without it, calls wait as long as they
    /// must.
    ///
    /// A call that the rate admits only after the timeout fails immediately, with the exact wait. A call that
    /// waits for a concurrency slot fails at the timeout, because the end of a stream is unknown.
    ///
    /// ```
    /// # use async_trait::async_trait;
    /// # use oxi_ai::{Api, Context, Model, Provider, ProviderEvent, StreamOptions};
    /// # struct Silent;
    /// # #[async_trait]
    /// # impl Provider for Silent {
    /// #     fn name(&self) -> &str { "silent" }
    /// #     async fn stream(&self, _: &Model, _: &Context, _: Option<StreamOptions>)
    /// #         -> Result<ringgate::EventStream<ProviderEvent>, ProviderError> {
    /// #         Ok(Box::pin(futures_util::stream::empty()))
    /// #     }
    /// # }
    /// use oxi_ai::ProviderError;
    /// use ringgate_oxi_ai::{ProviderPool, RateLimitPolicy};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ProviderError> {
    /// # let provider = Arc::new(Silent);
    /// # let model = Model::new("m", "m", Api::OpenAiCompletions, "openai", "");
    /// # let context = Context::new();
    /// let pool = ProviderPool::new(provider, RateLimitPolicy::rpm(1), "impatient")
    ///     .with_acquire_timeout(Duration::from_secs(5));
    /// drop(pool.stream(&model, &context, None).await?);
    ///
    /// match pool.stream(&model, &context, None).await {
    ///     Err(ProviderError::RateLimited { retry_after: Some(wait) }) => {
    ///         assert!(wait > Duration::from_secs(59));
    ///     }
    ///     _ => unreachable!(),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The pool's limiter.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Sends a request when all limits allow it.
    ///
    /// The same as [`Provider::stream`] of the pool, whose future and events have the same output.
    ///
    /// # Errors
    ///
    /// The provider's error; or [`ProviderError::RateLimited`] if a limit is zero or less than the call is expected to use, or
    /// the wait would exceed the [timeout](Self::with_acquire_timeout).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the provider is called gives up the place in line, and nothing is counted.
    /// Dropping it later drops the provider's call, which stays counted, with all the tokens it had reserved.
    ///
    /// # Cost
    ///
    /// Over the wrapped provider's own: the limiter's, and one allocation (the stream that holds the
    /// slot). If the limiter limits tokens, those of the estimate. One more where the call has to wait, and one for the future if it is called through the
    /// trait.
    pub async fn stream(
        &self,
        model: &Model,
        context: &Context,
        options: Option<StreamOptions>,
    ) -> Result<EventStream<ProviderEvent>, ProviderError> {
        let limits_tokens = self.limiter.has_token_limits();
        let expected = if limits_tokens {
            self.expected(model, context, options.as_ref())
        } else {
            Usage::default()
        };
        let permit = self.admit(expected).await.map_err(rate_limited)?;
        let events = match self.inner.stream(model, context, options).await {
            Ok(events) => events,
            Err(error) => {
                // Before its slot is free.
                if let Some(said) = feedback(&error) {
                    permit.observe(&said);
                }
                return Err(error);
            }
        };
        let answer = if limits_tokens {
            PoolStream::with_usage(events, permit, usage)
        } else {
            PoolStream::new(events, permit)
        };
        Ok(Box::pin(answer.with_feedback(event_feedback)))
    }

    fn expected(&self, model: &Model, context: &Context, options: Option<&StreamOptions>) -> Usage {
        match &self.estimate {
            Some(estimate) => estimate(model, context, options),
            None => tokens::estimate(model, context, options, self.default_max_tokens),
        }
    }

    async fn admit(&self, expected: Usage) -> Result<OwnedLimiterPermit, Refused> {
        self.limiter.call().tokens(expected).timeout(self.timeout).acquire_owned().await
    }
}

#[async_trait]
impl Provider for ProviderPool {
    fn name(&self) -> &str {
        &self.name
    }

    async fn stream(
        &self,
        model: &Model,
        context: &Context,
        options: Option<StreamOptions>,
    ) -> Result<EventStream<ProviderEvent>, ProviderError> {
        Self::stream(self, model, context, options).await
    }
}

impl fmt::Debug for ProviderPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderPool")
            .field("name", &self.name)
            .field("provider", &self.inner.name())
            .field("limiter", &self.limiter)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
