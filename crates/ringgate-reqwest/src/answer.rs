//! What is done with an answer: it is observed, and its body gets the permit.

use crate::body::{AnswerBody, BoxError};
use crate::settings::Settings;
use bytes::Bytes;
use core::mem;
use core::time::Duration;
use http::response::Parts;
use http_body::{Body, Frame};
use reqwest::{Response, ResponseBuilderExt, Url};
use reqwest_middleware::Error;
use ringgate::{Feedback, HeldBody, OwnedLimiterPermit, StalledError, Usage, UsageReader};
use std::io;

/// What is read ahead of an error: as much as [`Feedback::from_response`] looks at.
const MOST_OF_ERROR: usize = 64 * 1024;

/// How long an error's body is waited for, which usually comes with the headers.
const ERROR_COMES_WITHIN: Duration = Duration::from_secs(1);

/// If no connection was made, the provider has not seen the call.
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
        let text = body.read_ahead(MOST_OF_ERROR, ERROR_COMES_WITHIN).await;
        if let Some(reader) = &settings.reader {
            permit.observe(&reader.read(parts.status, &parts.headers, Some(&text)));
        }
        if body.has_come() {
            // Whoever waits before another try need not hold the slot.
            drop(permit);
            return rebuild(url, parts, reqwest::Body::wrap(body));
        }
    }
    let body = hold_body(settings, permit, &parts, body);
    rebuild(url, parts, reqwest::Body::wrap(body))
}

fn hold_body(
    settings: &Settings,
    permit: OwnedLimiterPermit,
    parts: &Parts,
    body: AnswerBody,
) -> HeldBody<AnswerBody> {
    let status = parts.status;
    let body = if status.is_success() {
        hold_success(settings, permit, parts, body)
    } else {
        permit.hold_body(body)
    };
    let body = match settings.idle {
        Some(timeout) => body.idle_timeout(timeout, stalled),
        None => body,
    };
    settings.holds.iter().fold(body, |body, hold| hold(status, body))
}

fn hold_success(
    settings: &Settings,
    permit: OwnedLimiterPermit,
    parts: &Parts,
    body: AnswerBody,
) -> HeldBody<AnswerBody> {
    let said = settings.reader.map(|reader| reader.read(parts.status, &parts.headers, None));
    if !settings.reads_usage || body.is_end_stream() {
        if let Some(said) = said {
            permit.observe(&said);
        }
        return permit.hold_body(body);
    }
    let Some(reader) = settings.reader else {
        return permit.hold_body(body).settle_with(usage_only());
    };
    let body = permit.hold_body(body).read_usage_by(UsageReader::new().feedback_reader(reader));
    // One answer is one success, which the end of the body tells. What else the headers say goes with its first frame.
    let mut told = said.filter(|said| *said != Feedback::new());
    if told.is_none() { body } else { body.observe_with(move |_| told.take()) }
}

/// What a frame says of the usage, and nothing else.
fn usage_only() -> impl FnMut(&Frame<Bytes>) -> Option<Usage> + Send {
    let mut reader = UsageReader::new();
    move |frame| {
        reader.feed(frame.data_ref()?);
        reader.usage()
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
