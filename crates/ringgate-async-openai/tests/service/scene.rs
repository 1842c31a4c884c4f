//! What sends, without a server: each call is answered by a function of its number.

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};
use reqwest::{Body, Method, Request, Response};
use ringgate::time::ManualClock;
use ringgate::{Limiter, Rate};
use ringgate_async_openai::LimiterService;
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;

pub(crate) const SLOTS: usize = 2;
/// Requests in a minute.
pub(crate) const RATE: u32 = 100;
/// Tokens in a minute.
pub(crate) const TOKENS: u64 = 10_000;

/// A limiter by a clock of its own, and what has been sent.
pub(crate) struct Scene {
    pub(crate) limiter: Limiter,
    pub(crate) clock: ManualClock,
    seen: Arc<Seen>,
    sender: Sender<Sent>,
    sent: Receiver<Sent>,
}

pub(crate) fn scene() -> Scene {
    let clock = ManualClock::new();
    let limiter = Limiter::builder()
        .rate(Rate::per_minute(RATE))
        .tokens(TOKENS, Duration::from_secs(60))
        .max_concurrent(SLOTS)
        .clock(clock.clone())
        .build();
    let (sender, sent) = channel();
    Scene { limiter, clock, seen: Arc::default(), sender, sent }
}

impl Scene {
    /// By tokio's clock, which is paused: retries sleep by that one.
    pub(crate) fn in_tokios_time(slots: usize) -> Self {
        let limiter = Limiter::builder()
            .rate(Rate::per_minute(RATE))
            .tokens(TOKENS, Duration::from_secs(60))
            .max_concurrent(slots)
            .build();
        Self { limiter, ..scene() }
    }

    pub(crate) fn inner(&self, answers: fn(usize) -> Answer) -> Inner {
        let (limiter, seen) = (self.limiter.clone(), Arc::clone(&self.seen));
        Inner { limiter, seen, sender: self.sender.clone(), answers, is_ready: false }
    }

    pub(crate) fn service(&self, answers: fn(usize) -> Answer) -> LimiterService<Inner> {
        LimiterService::new(self.limiter.clone(), self.inner(answers))
    }

    pub(crate) fn free(&self) -> usize {
        self.limiter.available_permits()
    }

    /// Requests that count.
    pub(crate) fn requests(&self) -> u32 {
        RATE - self.limiter.remaining()
    }

    /// Tokens that count.
    pub(crate) fn tokens(&self) -> u64 {
        TOKENS - self.limiter.remaining_tokens()
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.calls.load(SeqCst)
    }

    /// What has been sent since this was asked last.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.try_iter().collect()
    }

    /// How many slots were free when the last call under way was dropped.
    pub(crate) fn free_at_drop(&self) -> Option<usize> {
        self.seen.drop.load(SeqCst).checked_sub(1)
    }
}

/// A request as it was sent, and how many slots were free then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) free: usize,
}

#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    /// One more than the slots that were free.
    drop: AtomicUsize,
}

pub(crate) enum Answer {
    Is(Response),
    Fails,
    Hangs,
    Panics,
}

/// It panics if it is called before it was asked whether it is ready. A clone has not been asked.
pub(crate) struct Inner {
    limiter: Limiter,
    seen: Arc<Seen>,
    sender: Sender<Sent>,
    answers: fn(usize) -> Answer,
    is_ready: bool,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        let (limiter, seen) = (self.limiter.clone(), Arc::clone(&self.seen));
        let (sender, answers) = (self.sender.clone(), self.answers);
        Self { limiter, seen, sender, answers, is_ready: false }
    }
}

impl Service<Request> for Inner {
    type Response = Response;
    type Error = OpenAIError;
    type Future = UnderWay;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> UnderWay {
        assert!(std::mem::take(&mut self.is_ready), "it was not asked whether it is ready");
        let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
        let sent = Sent {
            path: request.url().path().to_owned(),
            body: String::from_utf8_lossy(body).into_owned(),
            free: self.limiter.available_permits(),
        };
        let _ = self.sender.send(sent);
        let answer = (self.answers)(self.seen.calls.fetch_add(1, SeqCst));
        UnderWay { answer: Some(answer), limiter: self.limiter.clone(), seen: self.seen.clone() }
    }
}

pub(crate) struct UnderWay {
    answer: Option<Answer>,
    limiter: Limiter,
    seen: Arc<Seen>,
}

impl Future for UnderWay {
    type Output = Result<Response, OpenAIError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.answer.take() {
            Some(Answer::Is(response)) => Poll::Ready(Ok(response)),
            Some(Answer::Fails) => Poll::Ready(Err(OpenAIError::InvalidArgument("broken".into()))),
            Some(Answer::Panics) => panic!("the client panics"),
            Some(Answer::Hangs) | None => Poll::Pending,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.seen.drop.store(self.limiter.available_permits() + 1, SeqCst);
    }
}

/// What an answer is made of.
pub(crate) fn answer(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: impl Into<Body>,
) -> Answer {
    let mut response = http::Response::new(body.into());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, http::HeaderValue::from_static(value));
    }
    Answer::Is(response.into())
}

pub(crate) fn ok(body: &'static str) -> Answer {
    answer(200, &[], body)
}

/// A body in these pieces, which then ends.
pub(crate) fn pieces(pieces: &'static [&'static str]) -> Body {
    Body::wrap_stream(stream::iter(pieces.iter().map(|piece| Ok::<_, io::Error>(*piece))))
}

/// A body in these pieces, which then breaks off.
pub(crate) fn broken(pieces: &'static [&'static str]) -> Body {
    let pieces = stream::iter(pieces.iter().map(|piece| Ok(*piece)));
    Body::wrap_stream(pieces.chain(stream::once(ready(Err(io::Error::other("broken"))))))
}

/// A request to this path, with this body.
pub(crate) fn post(path: &'static str, body: &'static str) -> HttpRequestFactory {
    HttpRequestFactory::new(move || async move {
        let mut request = Request::new(Method::POST, url(path));
        *request.body_mut() = Some(body.into());
        Ok(request)
    })
}

pub(crate) fn chat() -> HttpRequestFactory {
    post("/v1/chat/completions", CHAT)
}

/// It expects 16 tokens of input.
pub(crate) const CHAT: &str = r#"{"model":"m","max_tokens":500}"#;

pub(crate) fn url(path: &str) -> reqwest::Url {
    reqwest::Url::parse("http://there.test").unwrap().join(path).unwrap()
}

/// The output of a future that must not have to wait.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("it waits")
}

/// Nobody listens at it, nor can: it is free again when the socket is dropped.
pub(crate) fn port_without_server() -> (tokio::net::TcpSocket, u16) {
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = taken.local_addr().unwrap().port();
    (taken, port)
}
