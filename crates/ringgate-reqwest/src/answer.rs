//! What is done with an answer: it is observed, and its body gets the permit.

use crate::body::{AnswerBody, BoxError};
use crate::settings::Settings;
use core::mem;
use core::time::Duration;
use http::response::Parts;
use http_body::Body;
use reqwest::{Response, ResponseBuilderExt, Url};
use reqwest_middleware::Error;
use ringgate::{FeedbackReader, HeldBody, OwnedLimiterPermit, StalledError, UsageReader};
use std::io;

/// What is read ahead of an error: as much as ringgate's `Feedback::from_response` looks at.
const MOST_OF_ERROR: usize = 64 * 1024;

/// How long an error's body is waited for, which usually comes with the headers.
const ERROR_COMES_WITHIN: Duration = Duration::from_secs(1);

/// If no connection was made, the provider has not begun with the call.
pub(crate) fn give_back_if_unsent(permit: OwnedLimiterPermit, error: &Error) {
    if error.is_connect() {
        permit.cancel();
    }
}

/// If something panics here, or the caller leaves, the answer is dropped before the permit.
pub(crate) async fn hold(
    settings: &Settings,
    permit: OwnedLimiterPermit,
    response: Response,
) -> Response {
    let url = response.url().clone();
    let (parts, body) = http::Response::from(response).into_parts();
    let mut body = AnswerBody::new(body);
    if parts.status.is_client_error() || parts.status.is_server_error() {
        // A retry may drop it unread, and there are stops that look like any other 429 without it.
        let mut ahead =
            Ahead { permit: &permit, reader: settings.reader, parts: &parts, text: Vec::new() };
        body.read_ahead(&mut ahead.text, MOST_OF_ERROR, ERROR_COMES_WITHIN).await;
        drop(ahead);
        if body.has_come() {
            // Whoever waits before another try need not hold the slot.
            drop(permit);
            return rebuild(url, parts, reqwest::Body::wrap(body));
        }
    }
    let body = hold_body(settings, permit, &parts, body);
    rebuild(url, parts, reqwest::Body::wrap(body))
}

/// An error whose body is read ahead. It is observed when that ends, also if the caller leaves meanwhile: by what has come.
struct Ahead<'a> {
    permit: &'a OwnedLimiterPermit,
    reader: Option<FeedbackReader>,
    parts: &'a Parts,
    text: Vec<u8>,
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader {
            let (status, headers) = (self.parts.status, &self.parts.headers);
            self.permit.observe(&reader.read(status, headers, Some(&self.text)));
        }
    }
}

fn hold_body(
    settings: &Settings,
    permit: OwnedLimiterPermit,
    parts: &Parts,
    body: AnswerBody,
) -> HeldBody<AnswerBody> {
    let status = parts.status;
    let body = if status.is_client_error() || status.is_server_error() {
        permit.hold_body(body)
    } else {
        hold_success(settings, permit, parts, body)
    };
    let body = match settings.idle {
        Some(timeout) => body.idle_timeout(timeout, stalled),
        None => body,
    };
    settings.holds.iter().fold(body, |body, hold| hold(status, body))
}

/// One answer is one success, which the end of its body tells if that is read.
fn hold_success(
    settings: &Settings,
    permit: OwnedLimiterPermit,
    parts: &Parts,
    body: AnswerBody,
) -> HeldBody<AnswerBody> {
    let reads = settings.reads_usage && parts.status.is_success() && !body.is_end_stream();
    if let Some(reader) = settings.reader {
        let said = reader.read(parts.status, &parts.headers, None);
        if reads { permit.observe_quotas(&said) } else { permit.observe(&said) }
    }
    let body = permit.hold_body(body);
    match settings.reader {
        _ if !reads => body,
        Some(reader) => body.read_usage_by(UsageReader::new().feedback_reader(reader)),
        None => body.settle_by(UsageReader::new()),
    }
}

/// As reqwest's own timeouts look.
fn stalled(stalled: StalledError) -> BoxError {
    io::Error::new(io::ErrorKind::TimedOut, stalled).into()
}

fn rebuild(url: Url, mut parts: Parts, body: reqwest::Body) -> Response {
    // The builder has the only key to where reqwest looks for the URL.
    if let Some(with_url) = http::Response::builder().url(url).extensions_mut() {
        parts.extensions.extend(mem::take(with_url));
    }
    http::Response::from_parts(parts, body).into()
}
