//! What the tests share: clients, requests, and servers of their own.

use futures_util::stream::{self, StreamExt};
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{
    ClientBuilder, ClientWithMiddleware, Middleware, Next, RequestBuilder, Result,
};
use ringgate::{Limiter, Rate};
use ringgate_mock_provider::MockProvider;
use ringgate_reqwest::LimiterMiddleware;
use serde_json::{Value, json};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A thousand calls in a minute, eight at a time.
pub(crate) fn limiter() -> Limiter {
    Limiter::new(Rate::per_minute(1_000), 8)
}

/// How many calls it has admitted.
pub(crate) fn admitted(limiter: &Limiter) -> u32 {
    1_000 - limiter.remaining()
}

pub(crate) fn client(middleware: LimiterMiddleware) -> ClientWithMiddleware {
    ClientBuilder::new(bare()).with(middleware).build()
}

pub(crate) fn bare() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

pub(crate) async fn provider() -> MockProvider {
    MockProvider::builder().output_tokens(60).start().await.expect("a port")
}

/// A request, and its body.
pub(crate) struct Form {
    pub(crate) path: &'static str,
    pub(crate) body: Value,
}

pub(crate) fn chat(streamed: bool) -> Form {
    let messages = json!([{ "role": "user", "content": "What is a ring?" }]);
    let mut body = json!({ "model": "m", "max_tokens": 100, "messages": messages });
    if streamed {
        body["stream"] = true.into();
        body["stream_options"] = json!({ "include_usage": true });
    }
    Form { path: "/v1/chat/completions", body }
}

pub(crate) fn messages(streamed: bool) -> Form {
    let messages = json!([{ "role": "user", "content": "What is a ring?" }]);
    let body = json!({ "model": "m", "max_tokens": 100, "messages": messages, "stream": streamed });
    Form { path: "/v1/messages", body }
}

impl Form {
    pub(crate) fn by(
        &self,
        client: &ClientWithMiddleware,
        provider: &MockProvider,
    ) -> RequestBuilder {
        client.post(provider.origin() + self.path).json(&self.body)
    }
}

/// Polls it, and gives it up at the so-manieth time that it has to wait.
pub(crate) async fn give_up<F: Future>(future: F, waits: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut waits = waits;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if waits == 0 => Poll::Ready(None),
        Poll::Pending => {
            waits -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Until this is so; fails after ten seconds.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it never came to that");
}

/// A server of a test's own: it says what it is told to, call after call, each on a connection of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Something for each request that has come.
    pub(crate) requests: UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

impl Server {
    /// After the last answer that is told, connections stay open and silent.
    pub(crate) async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, requests) = unbounded_channel();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _ = sender.send(request(&mut stream).await);
                stream.write_all(answer.as_bytes()).await.expect("it is read");
                open.push(stream);
            }
            std::future::pending::<()>().await;
        });
        Self { address, requests, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The head of a request.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.expect("a request");
        assert!(read > 0, "the client has left");
        text.extend_from_slice(&bytes[..read]);
    }
    String::from_utf8(text).expect("text")
}

/// An answer that is whole, on a connection that is not used again.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

/// The innermost layer of a client that sends nothing: each answer is made by this.
pub(crate) struct Answers(pub(crate) fn() -> http::Response<reqwest::Body>);

#[async_trait::async_trait]
impl Middleware for Answers {
    async fn handle(&self, _: Request, _: &mut Extensions, _: Next<'_>) -> Result<Response> {
        Ok((self.0)().into())
    }
}

/// A client whose answers come from no server.
pub(crate) fn answered(
    middleware: LimiterMiddleware,
    answer: fn() -> http::Response<reqwest::Body>,
) -> ClientWithMiddleware {
    ClientBuilder::new(bare()).with(middleware).with(Answers(answer)).build()
}

/// A body in these pieces, after which nothing comes any more.
pub(crate) fn silent_after(pieces: &'static [&'static str]) -> reqwest::Body {
    let pieces = stream::iter(pieces.iter().map(|piece| Ok::<_, std::io::Error>(*piece)));
    reqwest::Body::wrap_stream(pieces.chain(stream::pending()))
}
