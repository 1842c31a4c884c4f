//! One attempt, from its request to the body of its answer.
//!
//! # Errors do not hold their permit
//!
//! The permit of a success goes with the body. That of an error is released at its headers, because async-openai's retries keep an
//! answer with a 5xx, its body unread, until the next attempt has been answered. That one would wait for a slot which the answer
//! holds: with as many such calls as slots for ever. For the same reason this is not ringgate's layer for tower, which
//! gives every body its permit.
//!
//! What the headers of an error say is observed at once, while it still has its permit. Its body is read along if somebody reads it
//! (`error_body`). Only a 429 that tells no time in its headers is observed with its body, and holds its permit until then: a pause that
//! is made up may be too long, and a request that is too large concerns nobody else. async-openai's retries read it at once.

use crate::ask::with_usage_asked_for;
use crate::error_body::{AnError, ErrorBody, Head};
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use core::time::Duration;
use http::response::Parts;
use http_body::Body as _;
use reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use ringgate::{
    Feedback, FeedbackReader, HeldBody, Limiter, OwnedLimiterPermit, Priority, Refused, Signal,
    Usage, UsageReader,
};
use std::sync::Arc;
use tower_service::Service;

/// The output that is expected of a call whose body does not bound it.
pub const DEFAULT_OUTPUT: u64 = 4_096;

type Cost = dyn Fn(&Request) -> Usage + Send + Sync;

/// What all attempts of a service ask for, and what is done with their answers.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) limiter: Limiter,
    pub(crate) cost: Option<Arc<Cost>>,
    pub(crate) default_output: u64,
    pub(crate) priority: Priority,
    pub(crate) timeout: Option<Duration>,
    pub(crate) waits: bool,
    pub(crate) asks_for_usage: bool,
    pub(crate) usage: UsageReader,
    pub(crate) observes: Option<FeedbackReader>,
}

/// Dropped while it is sent, the call goes before its permit.
pub(crate) async fn attempt<S>(
    calls: Calls,
    mut inner: S,
    factory: HttpRequestFactory,
) -> Result<Response, OpenAIError>
where
    S: Service<Request, Response = Response>,
    S::Error: Into<OpenAIError>,
{
    let request = calls.request(factory.build().await?);
    let permit = calls.acquire(&request).await.map_err(boxed)?;
    match inner.call(request).await.map_err(Into::into) {
        Ok(response) => Ok(calls.hold(permit, response)),
        Err(error) => {
            give_back_if_unsent(permit, &error);
            Err(error)
        }
    }
}

/// If no connection was made, the provider has not begun with the call.
fn give_back_if_unsent(permit: OwnedLimiterPermit, error: &OpenAIError) {
    if matches!(error, OpenAIError::Reqwest(error) if error.is_connect()) {
        permit.cancel();
    }
}

fn boxed(refused: Refused) -> OpenAIError {
    OpenAIError::Boxed(Box::new(refused))
}

impl Calls {
    pub(crate) fn new(limiter: Limiter) -> Self {
        Self {
            limiter,
            cost: None,
            default_output: DEFAULT_OUTPUT,
            priority: Priority::Normal,
            timeout: None,
            waits: true,
            asks_for_usage: false,
            usage: UsageReader::new(),
            observes: Some(FeedbackReader::new()),
        }
    }

    fn request(&self, request: Request) -> Request {
        if self.asks_for_usage { with_usage_asked_for(request) } else { request }
    }

    fn cost_of(&self, request: &Request) -> Usage {
        if !self.limiter.has_token_limits() {
            return Usage::default();
        }
        match &self.cost {
            Some(cost) => cost(request),
            None => self.estimate(request),
        }
    }

    /// By the body, if it is JSON.
    fn estimate(&self, request: &Request) -> Usage {
        let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
        let path = request.url().path();
        Usage::estimate_from_request(path, body, self.default_output).unwrap_or_default()
    }

    async fn acquire(&self, request: &Request) -> Result<OwnedLimiterPermit, Refused> {
        let call = self.limiter.call().priority(self.priority).tokens(self.cost_of(request));
        let call = call.timeout(self.timeout);
        if self.waits { call.acquire_owned().await } else { call.try_acquire_owned() }
    }

    /// If something panics here, the answer is dropped before the permit.
    fn hold(self, permit: OwnedLimiterPermit, response: Response) -> Response {
        let url = response.url().clone();
        let (mut parts, body) = http::Response::<Body>::from(response).into_parts();
        let said = self.observes.map(|reader| reader.read(parts.status, &parts.headers, None));
        let body = if !parts.status.is_success() {
            self.end_at_error(permit, said, &parts, body)
        } else if body.is_end_stream() {
            // No frame will come that could tell of it.
            observe(&permit, said.as_ref());
            body
        } else {
            Body::wrap(self.hold_success(permit, said.as_ref(), body))
        };
        set_url(&mut parts, url);
        http::Response::from_parts(parts, body).into()
    }

    /// One answer is one success, or an error in it, which its body tells.
    fn hold_success(
        self,
        permit: OwnedLimiterPermit,
        said: Option<&Feedback>,
        body: Body,
    ) -> HeldBody<Body> {
        let Some(said) = said else { return permit.hold_body(body).settle_by(self.usage) };
        permit.observe_quotas(said);
        permit.hold_body(body).read_usage_by(self.usage)
    }

    fn end_at_error(
        self,
        permit: OwnedLimiterPermit,
        said: Option<Feedback>,
        parts: &Parts,
        body: Body,
    ) -> Body {
        let Some((reader, said)) = self.observes.zip(said) else { return body };
        let has_come = body.is_end_stream();
        let is_untold = said.signal() == Signal::CoolDown && said.retry_after().is_none();
        let head = if is_untold && !has_come {
            Head::Untold(permit)
        } else {
            permit.observe(&said);
            drop(permit);
            Head::Observed(self.limiter, said)
        };
        if has_come {
            return body;
        }
        let (status, headers) = (parts.status, parts.headers.clone());
        let error = AnError { head, reader, status, headers, read: Vec::new() };
        Body::wrap(ErrorBody::new(body, error))
    }
}

fn observe(permit: &OwnedLimiterPermit, said: Option<&Feedback>) {
    if let Some(said) = said {
        permit.observe(said);
    }
}

/// reqwest takes the URL from an extension whose type only it can name.
fn set_url(parts: &mut Parts, url: Url) {
    if let Ok(carrier) = http::Response::builder().url(url).body(()) {
        parts.extensions.extend(carrier.into_parts().0.extensions);
    }
}
