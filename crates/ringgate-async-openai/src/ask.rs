//! Asking a streamed completion for its usage.

use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Request};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

const OPTIONS: &[u8] = br#""stream_options":{"include_usage":true},"#;

/// What a body asks for.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    stream_options: bool,
}

/// Whether it is there, though it may be null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// The request with the options for its usage, if it is one for a streamed completion without options.
pub(crate) fn with_usage_asked_for(mut request: Request) -> Request {
    let is_completion = request.url().path().ends_with("/completions");
    let asking = request.body().and_then(Body::as_bytes).filter(|_| is_completion).and_then(asking);
    if let Some(asking) = asking {
        *request.body_mut() = Some(asking.into());
        request.headers_mut().remove(CONTENT_LENGTH);
    }
    request
}

/// The body with the options before its first member. The members stay in their order: that of a schema has a meaning.
fn asking(body: &[u8]) -> Option<Vec<u8>> {
    let asked: Asked = serde_json::from_slice(body).ok()?;
    if asked.stream != Some(true) || asked.stream_options {
        return None;
    }
    let first = body.iter().position(|byte| *byte == b'{')? + 1;
    let mut asking = Vec::with_capacity(body.len() + OPTIONS.len());
    asking.extend_from_slice(&body[..first]);
    asking.extend_from_slice(OPTIONS);
    asking.extend_from_slice(&body[first..]);
    Some(asking)
}
