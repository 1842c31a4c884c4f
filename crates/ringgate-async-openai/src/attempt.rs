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
//! (`error_body`).

use crate::ask::with_usage_asked_for;
use crate::error_body::{AnError, ErrorBody};
use crate::estimate;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use core::time::Duration;
use http::response::Parts;
use http_body::Body as _;
use reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use ringgate::{
    Feedback, FeedbackReader, HeldBody, Limiter, OwnedLimiterPermit, Priority, Refused, Usage,
    UsageReader,
};
use std::sync::Arc;
use tower_service::Service;

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
    let response = inner.call(request).await.map_err(Into::into)?;
    Ok(calls.hold(permit, response))
}

fn boxed(refused: Refused) -> OpenAIError {
    OpenAIError::Boxed(Box::new(refused))
}

impl Calls {
    pub(crate) fn new(limiter: Limiter) -> Self {
        Self {
            limiter,
            cost: None,
            default_output: estimate::DEFAULT_OUTPUT,
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
            None => estimate::cost(request, self.default_output),
        }
    }

    async fn acquire(&self, request: &Request) -> Result<OwnedLimiterPermit, Refused> {
        let call = self.limiter.call().priority(self.priority).tokens(self.cost_of(request));
        let call = match self.timeout {
            Some(timeout) => call.timeout(timeout),
            None => call,
        };
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
            observe(&permit, said);
            body
        } else {
            Body::wrap(self.hold_success(permit, said, body))
        };
        set_url(&mut parts, url);
        http::Response::from_parts(parts, body).into()
    }

    /// What the headers say is observed with the first frame: so an answer is one success, or an error.
    fn hold_success(
        self,
        permit: OwnedLimiterPermit,
        said: Option<Feedback>,
        body: Body,
    ) -> HeldBody<Body> {
        let body = permit.hold_body(body).read_usage_by(self.usage);
        // A bare success needs no function: the end of the body tells it.
        let mut told = said.filter(|said| *said != Feedback::new());
        if told.is_none() {
            return body;
        }
        body.observe_with(move |_| told.take())
    }

    fn end_at_error(
        self,
        permit: OwnedLimiterPermit,
        said: Option<Feedback>,
        parts: &Parts,
        body: Body,
    ) -> Body {
        observe(&permit, said.clone());
        drop(permit);
        match self.observes.zip(said) {
            Some((reader, said)) if !body.is_end_stream() => {
                let (status, headers) = (parts.status, parts.headers.clone());
                let (limiter, read) = (self.limiter, Vec::new());
                let error = AnError { limiter, reader, status, headers, said, read };
                Body::wrap(ErrorBody::new(body, error))
            }
            _ => body,
        }
    }
}

fn observe(permit: &OwnedLimiterPermit, said: Option<Feedback>) {
    if let Some(said) = said {
        permit.observe(&said);
    }
}

/// reqwest takes the URL from an extension whose type only it can name.
fn set_url(parts: &mut Parts, url: Url) {
    if let Ok(carrier) = http::Response::builder().url(url).body(()) {
        parts.extensions.extend(carrier.into_parts().0.extensions);
    }
}
