//! What a refused request gets.

use crate::error::Refused;
use crate::hold::HeldBody;
use core::time::Duration;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use std::error::Error;

/// The error of a service: [`Refused`], or that of the inner service. As `tower::BoxError`.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Turns refusals and the inner service's errors, `E`, into what the service says.
pub trait OnRefusal<E> {
    /// The service's error.
    type Error;

    /// What a refused request gets.
    ///
    /// # Errors
    ///
    /// Where a refusal is an error.
    fn refused<B: Body>(refused: Refused) -> Result<Response<HeldBody<B>>, Self::Error>;

    /// What the inner service's error is here.
    fn failed(error: E) -> Self::Error;
}

/// A refusal is an error: the default.
#[derive(Debug, Clone, Copy)]
pub struct AsError;

impl<E: Into<BoxError>> OnRefusal<E> for AsError {
    type Error = BoxError;

    fn refused<B: Body>(refused: Refused) -> Result<Response<HeldBody<B>>, BoxError> {
        Err(refused.into())
    }

    fn failed(error: E) -> BoxError {
        error.into()
    }
}

/// A refusal is a response. From [`LimiterLayer::refuse_with_429`](super::LimiterLayer::refuse_with_429).
#[derive(Debug, Clone, Copy)]
pub struct AsResponse;

impl<E> OnRefusal<E> for AsResponse {
    type Error = E;

    fn refused<B: Body>(refused: Refused) -> Result<Response<HeldBody<B>>, E> {
        Ok(response(refused))
    }

    fn failed(error: E) -> E {
        error
    }
}

fn response<B: Body>(refused: Refused) -> Response<HeldBody<B>> {
    let mut response = Response::new(HeldBody::empty());
    if refused.is_permanent() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    if let Some(wait) = refused.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    response
}

/// Not too early, and not zero, which clients take for no time at all.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
