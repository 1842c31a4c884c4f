//! What all requests of a middleware have in common.

use crate::body::AnswerBody;
use core::fmt;
use core::time::Duration;
use http::StatusCode;
use reqwest::Request;
use ringgate::{FeedbackReader, HeldBody, Limiter, Priority, Usage};
use std::sync::Arc;

/// How many tokens an answer is expected to have at most, if its request does not say.
pub const DEFAULT_OUTPUT: u64 = 4_096;

/// In the extensions of a request: what this one expects to use, instead of what the middleware's
/// [`cost`](crate::LimiterMiddleware::cost) says.
///
/// ```no_run
/// use reqwest_middleware::ClientBuilder;
/// use ringgate::{Limiter, Usage};
/// use ringgate_reqwest::{Expect, LimiterMiddleware};
/// use std::time::Duration;
///
/// # async fn example() -> reqwest_middleware::Result<()> {
/// let limiter = Limiter::builder().tokens(30_000, Duration::from_secs(60)).build();
/// let client =
///     ClientBuilder::new(reqwest::Client::new()).with(LimiterMiddleware::new(limiter)).build();
///
/// let request = client.post("https://api.example/v1/audio").body("…");
/// let answer = request.with_extension(Expect(Usage::new(2_000, 300))).send().await?;
/// # drop(answer);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect(pub Usage);

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) cost: Cost,
    pub(crate) priority: Priority,
    pub(crate) timeout: Option<Duration>,
    pub(crate) waits: bool,
    /// `None` if nothing is observed.
    pub(crate) reader: Option<FeedbackReader>,
    pub(crate) reads_usage: bool,
    pub(crate) idle: Option<Duration>,
    pub(crate) holds: Vec<HoldWith>,
}

pub(crate) type HoldWith =
    Arc<dyn Fn(StatusCode, HeldBody<AnswerBody>) -> HeldBody<AnswerBody> + Send + Sync>;

/// What requests expect to use.
#[derive(Clone)]
pub(crate) enum Cost {
    /// By the body, with so much output if it says nothing of it.
    Estimated(u64),
    Told(Arc<dyn Fn(&Request) -> Usage + Send + Sync>),
}

impl Cost {
    pub(crate) fn of(&self, request: &Request, limiter: &Limiter) -> Usage {
        match self {
            Self::Told(cost) => cost(request),
            Self::Estimated(default) if limiter.has_token_limits() => estimate(request, *default),
            Self::Estimated(_) => Usage::default(),
        }
    }
}

fn estimate(request: &Request, default_output: u64) -> Usage {
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    Usage::estimate_from_request(request.url().path(), body, default_output).unwrap_or_default()
}

impl Settings {
    pub(crate) fn new() -> Self {
        Self {
            cost: Cost::Estimated(DEFAULT_OUTPUT),
            priority: Priority::Normal,
            timeout: None,
            waits: true,
            reader: Some(FeedbackReader::new()),
            reads_usage: true,
            idle: None,
            holds: Vec::new(),
        }
    }
}

/// The functions need not be `Debug`.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("priority", &self.priority)
            .field("timeout", &self.timeout)
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}
