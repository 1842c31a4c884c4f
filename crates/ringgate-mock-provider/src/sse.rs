//! Events of a stream, as bytes.

use bytes::Bytes;
use serde_json::Value;

/// A part of an answer that is sent at once.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    /// Its output.
    pub(crate) tokens: u64,
}

impl Frame {
    /// An event without a name.
    pub(crate) fn data(data: &Value) -> Self {
        Self::of(format!("data: {data}\n\n"))
    }

    pub(crate) fn event(kind: &str, data: &Value) -> Self {
        Self::of(format!("event: {kind}\ndata: {data}\n\n"))
    }

    /// OpenAI's last one.
    pub(crate) fn done() -> Self {
        Self::of("data: [DONE]\n\n".to_owned())
    }

    /// A body that is no stream.
    pub(crate) fn whole(body: &Value) -> Self {
        Self::of(body.to_string())
    }

    pub(crate) fn with_tokens(self, tokens: u64) -> Self {
        Self { tokens, ..self }
    }

    fn of(text: String) -> Self {
        Self { bytes: text.into(), tokens: 0 }
    }
}
