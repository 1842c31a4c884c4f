//! The service, and its settings.

use crate::attempt::{Calls, attempt};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use async_openai::middleware::retry::{OpenAIRetry, OpenAIRetryLayer};
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use reqwest::{Client, Request, Response};
use ringgate::{FeedbackReader, Limiter, Priority, Usage, UsageReader};
use std::sync::Arc;
use tower_layer::Layer;
use tower_service::Service;

/// Sends each attempt with a permit of a [`Limiter`], which its answer's body holds to its end.
///
/// It is a service for [`Client::with_http_service`](async_openai::Client::with_http_service). `S` sends the request; it is
/// reqwest's client, or any service of that form. Clones share the limiter.
///
/// It repeats nothing by itself. [`with_retries`](Self::with_retries) puts async-openai's retries above it.
#[derive(Clone)]
pub struct LimiterService<S = Client> {
    inner: S,
    calls: Calls,
}

impl<S> LimiterService<S> {
    /// A service that sends by `inner`, without retries. The limiter observes each answer, and each call is settled at the usage that its
    /// answer tells.
    ///
    /// ```
    /// use async_openai::{Client, config::OpenAIConfig};
    /// use ringgate::{Limiter, Rate};
    /// use ringgate_async_openai::LimiterService;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), reqwest::Error> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let http = reqwest::Client::builder().read_timeout(Duration::from_secs(30)).build()?;
    /// let service = LimiterService::new(limiter, http).with_retries();
    /// let client = Client::with_config(OpenAIConfig::new()).with_http_service(service);
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(limiter: Limiter, inner: S) -> Self {
        Self { inner, calls: Calls::new(limiter) }
    }

    /// async-openai's default retries above this service: each attempt takes a permit.
    pub fn with_retries(self) -> OpenAIRetry<Self> {
        OpenAIRetryLayer::default().layer(self)
    }

    /// How many tokens a request expects to use. Without this it is [estimated](crate#tokens) from its body. Asked only if the limiter
    /// has limits on tokens.
    ///
    /// ```
    /// use ringgate::{Limiter, Usage};
    /// use ringgate_async_openai::LimiterService;
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().tokens(30_000, Duration::from_secs(60)).build();
    /// let service = LimiterService::new(limiter, reqwest::Client::new()).cost(|request| {
    ///     let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    ///     Usage::new(body.len() as u64 / 4, 1_000)
    /// });
    /// # drop(service);
    /// ```
    #[must_use]
    pub fn cost(mut self, cost: impl Fn(&Request) -> Usage + Send + Sync + 'static) -> Self {
        self.calls.cost = Some(Arc::new(cost));
        self
    }

    /// The output that is expected of a call whose body does not bound it. The default is
    /// [`DEFAULT_OUTPUT`](crate::DEFAULT_OUTPUT). Of no effect after [`cost`](Self::cost).
    #[must_use]
    pub fn default_output(mut self, tokens: u64) -> Self {
        self.calls.default_output = tokens;
        self
    }

    /// How urgent the calls are. See [`LimiterCall::priority`](ringgate::LimiterCall::priority).
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.calls.priority = priority;
        self
    }

    /// Refuses an attempt that has waited so long for its permit, or would have to. See
    /// [`Limiter::acquire_timeout`].
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.calls.timeout = Some(timeout);
        self
    }

    /// Refuses an attempt that cannot go at once. See [`Limiter::try_acquire`].
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.calls.waits = false;
        self
    }

    /// Reads the usage in an answer, and an error in it, by a clone of `reader`. Without this it is [`UsageReader::new`], which reads errors
    /// as [`observe_by`](Self::observe_by) says. Of the two, the later one says how errors in a success are read.
    #[must_use]
    pub fn read_usage_by(mut self, reader: UsageReader) -> Self {
        self.calls.usage = reader;
        self
    }

    /// Asks for the usage of streamed completions: a request with `"stream": true` and no `stream_options` is sent with
    /// `"stream_options": {"include_usage": true}`. A request that has `stream_options` stays as it is.
    ///
    /// Without it such a stream tells no usage, and its call counts as reserved. With it the stream has one more chunk at its end, whose
    /// `choices` are empty: code that takes `choices[0]` panics there. Responses are not concerned: they tell their usage without it.
    ///
    /// The body is parsed for that, and copied if it is changed.
    #[must_use]
    pub fn ask_for_usage(mut self) -> Self {
        self.calls.asks_for_usage = true;
        self
    }

    /// Observes what each answer says, as `reader` reads it. Without this it is [`FeedbackReader::new`].
    #[must_use]
    pub fn observe_by(mut self, reader: FeedbackReader) -> Self {
        self.calls.usage = self.calls.usage.feedback_reader(reader);
        self.calls.observes = Some(reader);
        self
    }

    /// Does not observe the answers. Calls are settled all the same.
    #[must_use]
    pub fn without_observing(mut self) -> Self {
        self.calls.observes = None;
        self
    }

    /// The limiter.
    pub fn limiter(&self) -> &Limiter {
        &self.calls.limiter
    }
}

impl<S> Service<HttpRequestFactory> for LimiterService<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<OpenAIError>,
{
    type Response = Response;
    type Error = OpenAIError;
    type Future = AttemptFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, factory: HttpRequestFactory) -> AttemptFuture {
        // The one that was asked is ready; the clone need not be.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        AttemptFuture { attempt: Box::pin(attempt(self.calls.clone(), ready, factory)) }
    }
}

/// The limiter, and what sends.
impl<S: fmt::Debug> fmt::Debug for LimiterService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("LimiterService");
        fields.field("inner", &self.inner).field("limiter", self.limiter()).finish_non_exhaustive()
    }
}

/// The future of an attempt: builds the request, waits for a permit, sends, and gives the permit to the answer's body.
///
/// Nothing is asked of the limiter before it is polled. It can be dropped at any point.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct AttemptFuture {
    attempt: Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>,
}

impl Future for AttemptFuture {
    type Output = Result<Response, OpenAIError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.attempt.as_mut().poll(cx)
    }
}

impl fmt::Debug for AttemptFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptFuture").finish_non_exhaustive()
    }
}
