//! The layer, and its settings.

use super::calls::Calls;
#[cfg(feature = "http")]
use super::hooks::ReadAnswer;
use super::hooks::{AsReserved, HoldWith, NoTokens, SettleWith};
#[cfg(feature = "http")]
use super::observes::Observes;
use super::refusal::{AsError, AsResponse};
use super::service::LimiterService;
#[cfg(feature = "http")]
use crate::feedback::FeedbackReader;
use crate::hold::HeldBody;
use crate::limiter::{Limiter, Priority};
use crate::tokens::Usage;
use core::fmt;
use core::time::Duration;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use tower_layer::Layer;

/// Puts a [`Limiter`] before a service: each request waits for a permit, which its answer's body holds to its end.
///
/// As made by [`new`](Self::new) it is for a client: requests wait in line, a refusal is an error that can be downcast to
/// [`Refused`](crate::Refused), and with the feature `http` the limiter [observes](crate::OwnedLimiterPermit::observe) what the
/// status and the headers of each answer say, and the body of an error. [`refuse_with_429`](Self::refuse_with_429) is for a server.
///
/// Clones, and all services of a layer, share the limiter. The [module](super) says where to put it.
#[derive(Clone)]
pub struct LimiterLayer<C = NoTokens, R = AsReserved, E = AsError> {
    calls: Calls<C, R, E>,
}

impl LimiterLayer {
    /// A layer for a client. Calls expect no tokens, and count as reserved.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        Self { calls: Calls::new(limiter) }
    }
}

impl<C, R, E> LimiterLayer<C, R, E> {
    /// How many tokens a request expects to use. See [`LimiterCall::tokens`](crate::LimiterCall::tokens).
    ///
    /// The function runs in `call`, before the request waits. Write the type of the request in it.
    ///
    /// ```
    /// use http::Request;
    /// use ringgate::tower::LimiterLayer;
    /// use ringgate::{Limiter, Usage, estimate_tokens};
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().tokens(30_000, Duration::from_secs(60)).build();
    /// let layer = LimiterLayer::new(limiter)
    ///     .cost(|request: &Request<String>| Usage::new(estimate_tokens(request.body()), 1_000));
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn cost<Q, F: Fn(&Request<Q>) -> Usage>(self, cost: F) -> LimiterLayer<F, R, E> {
        LimiterLayer { calls: self.calls.with_cost(cost) }
    }

    /// Settles each call at what `usage` says of the frames of its answer. See [`HeldBody::settle_with`]; each answer has a clone of
    /// the function.
    ///
    /// ```
    /// use http_body::Frame;
    /// use ringgate::tower::LimiterLayer;
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// let limiter = Limiter::builder().tokens(30_000, Duration::from_secs(60)).build();
    /// let layer = LimiterLayer::new(limiter).settle_with(|frame: &Frame<&'static [u8]>| {
    ///     let output = frame.trailers_ref()?.get("x-output-tokens")?.to_str().ok()?;
    ///     Some(Usage::new(100, output.parse().ok()?))
    /// });
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn settle_with<D, F>(self, usage: F) -> LimiterLayer<C, SettleWith<R, F>, E>
    where
        F: FnMut(&Frame<D>) -> Option<Usage> + Clone + Send + 'static,
    {
        LimiterLayer { calls: self.calls.with_hold(|hold| SettleWith(hold, usage)) }
    }

    /// Whatever else is to be done with the body of an answer that holds its permit: the function sees the status, and its body goes
    /// to the caller. It sees what the settings before it have made of the body, so say it last: of two functions of a kind that are given
    /// to a [`HeldBody`], the later one counts.
    ///
    /// An [`idle_timeout`](HeldBody::idle_timeout) ends with an error of the body's own type. Nobody but hyper can make one of hyper's: map
    /// the errors of such a body in the inner service, as the [guide](crate::guide::tower#with-hyper) does.
    ///
    /// ```
    /// use http_body_util::Full;
    /// use ringgate::tower::LimiterLayer;
    /// use ringgate::{HeldBody, Limiter, Rate};
    /// use std::collections::VecDeque;
    /// use std::time::Duration;
    ///
    /// type Answer = http_body_util::combinators::BoxBody<VecDeque<u8>, std::io::Error>;
    ///
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let layer = LimiterLayer::new(limiter).hold_with(|_status, body: HeldBody<Answer>| {
    ///     body.idle_timeout(Duration::from_secs(30), std::io::Error::other)
    /// });
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn hold_with<B: Body, F>(self, hold: F) -> LimiterLayer<C, HoldWith<R, F>, E>
    where
        F: FnOnce(StatusCode, HeldBody<B>) -> HeldBody<B> + Clone,
    {
        LimiterLayer { calls: self.calls.with_hold(|first| HoldWith(first, hold)) }
    }

    /// How urgent the requests are. See [`LimiterCall::priority`](crate::LimiterCall::priority).
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.calls.ask.priority = priority;
        self
    }

    /// Refuses a request that has waited so long for its permit, or would have to. See
    /// [`Limiter::acquire_timeout`].
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.calls.ask.timeout = Some(timeout);
        self
    }

    /// Refuses a request that cannot go at once. See [`Limiter::try_acquire`].
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.calls.ask.waits = false;
        self
    }

    /// Answers a refused request, for a server: the service's error is that of the inner service. What answers say is not observed,
    /// unless `observe_by` says so: they are the server's own.
    ///
    /// The response has no body. Its status is 429, with the whole seconds to wait in `retry-after` if a time is known: at least the
    /// time that the refusal [tells](crate::Refused::retry_after), and at least one. For a slot no time is known. A refusal that
    /// [waiting does not help](crate::Refused::is_permanent) is a 503 without that header: most clients would repeat a 429.
    ///
    /// ```
    /// use http_body_util::Full;
    /// use ringgate::tower::LimiterLayer;
    /// use ringgate::{Limiter, Rate};
    /// use std::convert::Infallible;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Infallible> {
    /// # let handler = service_fn(|_: http::Request<()>| async {
    /// #     Ok::<_, Infallible>(http::Response::new(Full::new("hello".as_bytes())))
    /// # });
    /// let limiter = Limiter::new(Rate::per_minute(1), 4);
    /// let layer = LimiterLayer::new(limiter).refuse_with_429().without_waiting();
    /// let service = ServiceBuilder::new().layer(layer).service(handler);
    ///
    /// let first = service.clone().oneshot(http::Request::new(())).await?;
    /// assert_eq!(first.status(), 200);
    /// let second = service.oneshot(http::Request::new(())).await?;
    /// assert_eq!(second.status(), 429);
    /// assert!(second.headers().contains_key("retry-after"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn refuse_with_429(self) -> LimiterLayer<C, R, AsResponse> {
        LimiterLayer { calls: self.calls.with_refusal() }
    }
}

/// With the feature `http`.
#[cfg(feature = "http")]
impl<C, R, E> LimiterLayer<C, R, E> {
    /// Settles each call at the usage that stands in its answer's body, and observes an error in it. See [`HeldBody::read_usage`].
    /// Only answers with a status of success are read. What their headers say is left is observed at once; that it was a success
    /// at the end of the body, or with the headers if there is none: so an answer is one success, or an error. One whose body is not read
    /// to its end is neither.
    ///
    /// Errors are read as [`observe_by`](Self::observe_by) says. After [`without_observing`](Self::without_observing) or
    /// [`refuse_with_429`](Self::refuse_with_429) only the usage is read. Compressed bytes are not: decompression belongs inside.
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use ringgate::tower::LimiterLayer;
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower::BoxError> {
    /// # let client = service_fn(|_: http::Request<String>| async {
    /// #     let body = r#"{"content": [], "usage": {"input_tokens": 90, "output_tokens": 30}}"#;
    /// #     Ok::<_, std::io::Error>(http::Response::new(Full::new(body.as_bytes())))
    /// # });
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let layer = LimiterLayer::new(limiter.clone())
    ///     .cost(|_: &http::Request<String>| Usage::new(100, 500))
    ///     .read_usage();
    /// let service = ServiceBuilder::new().layer(layer).service(client);
    ///
    /// let answer = service.oneshot(http::Request::new("hi".to_owned())).await?;
    /// assert_eq!(limiter.remaining_tokens(), 400);
    /// answer.into_body().collect().await?;
    /// assert_eq!(limiter.remaining_tokens(), 880);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn read_usage(self) -> LimiterLayer<C, ReadAnswer<R>, E> {
        LimiterLayer { calls: self.calls.with_hold(ReadAnswer) }
    }

    /// Observes what each answer says, as this reader reads it. Without this it is [`FeedbackReader::new`], and nothing with
    /// [`refuse_with_429`](Self::refuse_with_429).
    ///
    /// The status and the headers are observed before the caller has the answer. The body of an error (4xx or 5xx) is read on its way to
    /// the caller, and observed at its end, or when it is dropped: see [`HeldBody::observe_error_by`]. There are stops that look like any
    /// other 429 without it. If nobody reads the body, nothing in it is observed.
    #[must_use]
    pub fn observe_by(mut self, reader: FeedbackReader) -> Self {
        self.calls.observes = Observes::By(reader);
        self
    }

    /// Does not observe the answers.
    #[must_use]
    pub fn without_observing(mut self) -> Self {
        self.calls.observes = Observes::Nothing;
        self
    }
}

impl<S, C: Clone, R: Clone, E: Clone> Layer<S> for LimiterLayer<C, R, E> {
    type Service = LimiterService<S, C, R, E>;

    fn layer(&self, inner: S) -> Self::Service {
        LimiterService::with(inner, self.calls.clone())
    }
}

impl<C, R, E> fmt::Debug for LimiterLayer<C, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterLayer")
            .field("limiter", &self.calls.ask.limiter)
            .finish_non_exhaustive()
    }
}
