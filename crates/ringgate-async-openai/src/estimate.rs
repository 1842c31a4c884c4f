//! What a request expects to use.

use reqwest::{Body, Request};
use ringgate::Usage;

/// The output that is expected of a call whose body does not bound it.
pub const DEFAULT_OUTPUT: u64 = 4_096;

/// What answers nothing that counts as output.
const WITHOUT_OUTPUT: [&str; 2] = ["/embeddings", "/moderations"];

/// By the body, if it is JSON.
pub(crate) fn cost(request: &Request, default_output: u64) -> Usage {
    let path = request.url().path();
    let has_output = !WITHOUT_OUTPUT.iter().any(|end| path.ends_with(end));
    let default_output = if has_output { default_output } else { 0 };
    let body = request.body().and_then(Body::as_bytes);
    body.and_then(|body| Usage::estimate_from_json(body, default_output)).unwrap_or_default()
}
