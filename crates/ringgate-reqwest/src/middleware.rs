//! The middleware, and its settings.

use crate::answer::{give_back_if_unsent, hold};
use crate::body::AnswerBody;
use crate::error::not_sent;
use crate::settings::{Cost, Expect, Settings};
use async_trait::async_trait;
use bytes::Bytes;
use core::time::Duration;
use http::{Extensions, StatusCode};
use http_body::Frame;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use ringgate::{FeedbackReader, HeldBody, Limiter, OwnedLimiterPermit, Priority, Usage};
use std::sync::Arc;

/// Gives each request a permit of a [`Limiter`], which its answer's body holds to its end.
///
/// As made by [`new`](Self::new): requests wait in line; if the limiter has limits on tokens, a request reserves what its body
/// says; the limiter [observes](OwnedLimiterPermit::observe) what each answer says, and the call is settled at the usage that
/// stands in its answer. The [crate's page](crate) says where to put it.
///
/// Clones share the limiter.
#[derive(Debug, Clone)]
pub struct LimiterMiddleware {
    limiter: Limiter,
    settings: Settings,
}

impl LimiterMiddleware {
    /// A middleware with the settings above.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        Self { limiter, settings: Settings::new() }
    }

    /// The limiter.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// How many tokens a request expects to use. See [`LimiterCall::tokens`](ringgate::LimiterCall::tokens).
    ///
    /// Without it, and if the limiter has limits on tokens, it is [`Usage::estimate_from_request`] of the request's body, with
    /// [`default_output`](Self::default_output). A request without a body of JSON that is in memory expects no tokens. One request
    /// says otherwise by [`Expect`].
    ///
    /// ```
    /// use ringgate::{Limiter, Usage, estimate_tokens};
    /// use ringgate_reqwest::LimiterMiddleware;
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().tokens(30_000, Duration::from_secs(60)).build();
    /// let middleware = LimiterMiddleware::new(limiter).cost(|request| {
    ///     let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    ///     Usage::new(estimate_tokens(&String::from_utf8_lossy(body)), 1_000)
    /// });
    /// # drop(middleware);
    /// ```
    #[must_use]
    pub fn cost(mut self, cost: impl Fn(&Request) -> Usage + Send + Sync + 'static) -> Self {
        self.settings.cost = Cost::Told(Arc::new(cost));
        self
    }

    /// How many tokens an answer is expected to have at most, if its request does not say: 4,096 unless this is set, and none
    /// for embeddings and [others that write nothing](Usage::estimate_from_request). Instead of a [`cost`](Self::cost).
    ///
    /// Where a provider gives nothing back (OpenAI, Azure), say `max_tokens` in the requests.
    #[must_use]
    pub fn default_output(mut self, tokens: u64) -> Self {
        self.settings.cost = Cost::Estimated(tokens);
        self
    }

    /// Settles each call also at what `usage` says of the frames of its answer. See [`HeldBody::settle_with`]; each answer has a
    /// clone of the function.
    ///
    /// ```
    /// use ringgate::{Limiter, Usage};
    /// use ringgate_reqwest::LimiterMiddleware;
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().tokens(30_000, Duration::from_secs(60)).build();
    /// let middleware = LimiterMiddleware::new(limiter).settle_with(|frame| {
    ///     let output = frame.trailers_ref()?.get("x-output-tokens")?.to_str().ok()?;
    ///     Some(Usage::new(100, output.parse().ok()?))
    /// });
    /// # drop(middleware);
    /// ```
    #[must_use]
    pub fn settle_with<F>(self, usage: F) -> Self
    where
        F: FnMut(&Frame<Bytes>) -> Option<Usage> + Clone + Send + Sync + 'static,
    {
        self.hold_with(move |_, body| body.settle_with(usage.clone()))
    }

    /// Whatever else is to be done with the body of an answer that holds its permit: the function sees the status, and its body goes
    /// to the caller. It sees what the settings have made of the body: of two functions of a kind that are given to a
    /// [`HeldBody`], the later one counts. An error that has come as a whole holds no permit any more, and is not shown.
    ///
    /// ```
    /// use ringgate::{Limiter, Rate, UsageReader};
    /// use ringgate_reqwest::LimiterMiddleware;
    ///
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// // For a provider whose limits do not count cached input, though its form does.
    /// let middleware = LimiterMiddleware::new(limiter).hold_with(|status, body| {
    ///     if !status.is_success() {
    ///         return body;
    ///     }
    ///     body.read_usage_by(UsageReader::new().count_cached(false))
    /// });
    /// # drop(middleware);
    /// ```
    #[must_use]
    pub fn hold_with<F>(mut self, hold: F) -> Self
    where
        F: Fn(StatusCode, HeldBody<AnswerBody>) -> HeldBody<AnswerBody> + Send + Sync + 'static,
    {
        self.settings.holds.push(Arc::new(hold));
        self
    }

    /// How urgent the requests are. See [`LimiterCall::priority`](ringgate::LimiterCall::priority). One request says otherwise by a
    /// [`Priority`] in its extensions.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.settings.priority = priority;
        self
    }

    /// Refuses a request that has waited so long for its permit, or would have to. See [`Limiter::acquire_timeout`].
    ///
    /// The timeouts of reqwest do not include the wait: they begin when the request is sent.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// Refuses a request that cannot go at once. See [`Limiter::try_acquire`].
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.settings.waits = false;
        self
    }

    /// Observes what each answer says, as this reader reads it. Without this it is [`FeedbackReader::new`].
    #[must_use]
    pub fn observe_by(mut self, reader: FeedbackReader) -> Self {
        self.settings.reader = Some(reader);
        self
    }

    /// Does not observe the answers. Calls are settled all the same.
    #[must_use]
    pub fn without_observing(mut self) -> Self {
        self.settings.reader = None;
        self
    }

    /// Does not read the bodies of successful answers: calls count as reserved, unless [`settle_with`](Self::settle_with) or
    /// [`hold_with`](Self::hold_with) says otherwise.
    #[must_use]
    pub fn without_reading_usage(mut self) -> Self {
        self.settings.reads_usage = false;
        self
    }

    /// Ends an answer of which nothing comes for so long, and frees its slot. See
    /// [`HeldStream::idle_timeout`](ringgate::HeldStream::idle_timeout). reqwest's error then says that it is a
    /// [timeout](reqwest::Error::is_timeout).
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.idle = Some(timeout);
        self
    }

    async fn acquire(&self, expected: Usage, priority: Priority) -> Result<OwnedLimiterPermit> {
        let call = self.limiter.call().tokens(expected).priority(priority);
        let call = call.timeout(self.settings.timeout);
        let acquired =
            if self.settings.waits { call.acquire_owned().await } else { call.try_acquire_owned() };
        acquired.map_err(not_sent)
    }
}

#[async_trait]
impl Middleware for LimiterMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let expected = match extensions.get() {
            Some(Expect(expected)) => *expected,
            None => self.settings.cost.of(&request, &self.limiter),
        };
        let priority = extensions.get().copied().unwrap_or(self.settings.priority);
        let permit = self.acquire(expected, priority).await?;
        match next.run(request, extensions).await {
            Ok(response) => Ok(hold(&self.settings, permit, response).await),
            Err(error) => {
                give_back_if_unsent(permit, &error);
                Err(error)
            }
        }
    }
}
