//! What a request expects to use.

use reqwest::{Body, Request};
use ringgate::Usage;

/// The output that is expected of a call whose body does not bound it.
pub const DEFAULT_OUTPUT: u64 = 4_096;

/// Stands in for the function of the library.
pub(crate) fn cost(request: &Request, default_output: u64) -> Usage {
    let Some(body) = request.body().and_then(Body::as_bytes) else { return Usage::default() };
    Usage::new(body.len() as u64 / 3, default_output)
}
