//! A client that is no more than it must be. Each call has a connection of its own.

#![allow(dead_code, reason = "each test uses a part")]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use ringgate_mock_provider::{Counts, MockProvider};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// A response whose body has yet to be read. The connection is closed when this is dropped.
pub(crate) struct Begun {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    _connection: Connection,
}

/// A whole response.
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn begin(provider: &MockProvider, path: &str, body: impl Into<Bytes>) -> Begun {
    send(provider, "POST", path, body).await.expect("there is a response")
}

pub(crate) async fn send(
    provider: &MockProvider,
    method: &str,
    path: &str,
    body: impl Into<Bytes>,
) -> hyper::Result<Begun> {
    let stream = TcpStream::connect(provider.address()).await.expect("it listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = Connection(tokio::spawn(async { drop(connection.await) }).abort_handle());
    let request = Request::builder().method(method).uri(path).header("host", "mock");
    let request = request.body(Full::new(body.into())).expect("a request");
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let (status, headers) = (parts.status.as_u16(), parts.headers);
    Ok(Begun { status, headers, body, _connection: connection })
}

pub(crate) async fn call(provider: &MockProvider, path: &str, body: &Value) -> Whole {
    begin(provider, path, body.to_string()).await.finish().await
}

impl Begun {
    /// The next bytes of the body; `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<hyper::Result<Bytes>> {
        let frame = self.body.frame().await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    pub(crate) async fn finish(mut self) -> Whole {
        let (bytes, error) = self.rest().await;
        assert!(error.is_none(), "the body ends with {error:?}");
        Whole { status: self.status, headers: self.headers, bytes }
    }

    /// What is left of the body, and how it ends.
    pub(crate) async fn rest(&mut self) -> (Bytes, Option<hyper::Error>) {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Some(Ok(bytes)) => all.extend(bytes),
                Some(Err(error)) => return (all.into(), Some(error)),
                None => return (all.into(), None),
            }
        }
    }
}

impl Whole {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The events of the body, with their names, but for `[DONE]`.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        let text = core::str::from_utf8(&self.bytes).expect("UTF-8");
        text.split_terminator("\n\n").filter_map(event).collect()
    }
}

fn event(text: &str) -> Option<(String, Value)> {
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ").expect("an event has data");
    let name = field("event: ").unwrap_or_default().to_owned();
    (data != "[DONE]").then(|| (name, serde_json::from_str(data).expect("JSON")))
}

/// A chat with a prompt of so many bytes.
pub(crate) fn chat(bytes: usize, max_tokens: u64) -> Value {
    let messages = json!([{ "role": "user", "content": "a".repeat(bytes) }]);
    json!({ "model": "any", "messages": messages, "max_tokens": max_tokens })
}

/// The same, streamed.
pub(crate) fn streamed(mut body: Value) -> Value {
    body["stream"] = true.into();
    body
}

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";
pub(crate) const RESPONSES: &str = "/v1/responses";
pub(crate) const EMBEDDINGS: &str = "/v1/embeddings";

/// Looks again and again until the counts are so.
pub(crate) async fn until(provider: &MockProvider, is_so: impl Fn(Counts) -> bool) -> Counts {
    loop {
        let counts = provider.counts();
        if is_so(counts) {
            return counts;
        }
        tokio::task::yield_now().await;
    }
}
