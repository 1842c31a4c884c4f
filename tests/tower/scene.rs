//! A service that does what its request says, behind a limiter.

use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{Full, combinators::WithTrailers};
use ringgate::time::ManualClock;
use ringgate::{Limiter, Rate};
use std::error::Error;
use std::fmt;
use std::future::{Future, Ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;

pub(crate) const SLOTS: usize = 2;
/// Requests in a minute.
pub(crate) const RATE: u32 = 100;
/// Tokens in a minute.
pub(crate) const TOKENS: u64 = 1_000;

pub(crate) struct Scene {
    pub(crate) limiter: Limiter,
    pub(crate) clock: ManualClock,
    pub(crate) seen: Arc<Seen>,
}

pub(crate) fn scene() -> Scene {
    let clock = ManualClock::new();
    let limiter = Limiter::builder()
        .rate(Rate::per_minute(RATE))
        .tokens(TOKENS, Duration::from_secs(60))
        .max_concurrent(SLOTS)
        .clock(clock.clone())
        .build();
    Scene { limiter, clock, seen: Arc::default() }
}

impl Scene {
    pub(crate) fn inner(&self) -> Inner {
        let (limiter, seen) = (self.limiter.clone(), Arc::clone(&self.seen));
        Inner { limiter, seen, is_ready: false }
    }

    pub(crate) fn free(&self) -> usize {
        self.limiter.available_permits()
    }

    /// Requests and tokens that count.
    pub(crate) fn used(&self) -> (u64, u64) {
        let requests = u64::from(RATE) - u64::from(self.limiter.remaining());
        (requests, TOKENS - self.limiter.remaining_tokens())
    }
}

/// What the service has seen.
#[derive(Default)]
pub(crate) struct Seen {
    calls: AtomicUsize,
    /// One more than the slots that were free when the last call was dropped.
    drop: AtomicUsize,
}

impl Seen {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    pub(crate) fn free_at_drop(&self) -> Option<usize> {
        self.drop.load(SeqCst).checked_sub(1)
    }
}

/// It panics if it is called before it was asked whether it is ready. A clone has not been asked.
pub(crate) struct Inner {
    limiter: Limiter,
    seen: Arc<Seen>,
    is_ready: bool,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        let (limiter, seen) = (self.limiter.clone(), Arc::clone(&self.seen));
        Self { limiter, seen, is_ready: false }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl Error for Broken {}

type Trailers = Ready<Option<Result<HeaderMap, std::convert::Infallible>>>;
pub(crate) type Body = WithTrailers<Full<&'static [u8]>, Trailers>;
pub(crate) type Answer = Result<Response<Body>, Broken>;
pub(crate) type Data = Frame<&'static [u8]>;

pub(crate) fn request(does: &'static str) -> Request<&'static str> {
    Request::new(does)
}

/// As the request says.
fn answer(does: &'static str) -> Poll<Answer> {
    let (status, text) = match does {
        "wait" => return Poll::Pending,
        "fail" => return Poll::Ready(Err(Broken)),
        "panic" => panics(),
        "refuse" => (429, ""),
        // A body that tells usage, though it is none of a success.
        "deny" => (400, USAGE),
        "use" | "tell" => (200, USAGE),
        text => (200, text),
    };
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-used"), 30.into())]);
    let body = Full::new(text.as_bytes());
    let body = http_body_util::BodyExt::with_trailers(body, std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into().unwrap();
    if status == 429 {
        response.headers_mut().insert("retry-after", 7.into());
    }
    if does == "tell" {
        response.headers_mut().insert("x-ratelimit-limit-requests", 50.into());
        response.headers_mut().insert("x-ratelimit-remaining-requests", 49.into());
    }
    Poll::Ready(Ok(response))
}

const USAGE: &str = r#"{"content": [], "usage": {"input_tokens": 40, "output_tokens": 2}}"#;

impl Service<Request<&'static str>> for Inner {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<&'static str>) -> Answering {
        assert!(mem::take(&mut self.is_ready), "it was not asked whether it is ready");
        self.seen.calls.fetch_add(1, SeqCst);
        if *request.body() == "panic at once" {
            panics();
        }
        let (limiter, seen) = (self.limiter.clone(), Arc::clone(&self.seen));
        Answering { does: request.into_body(), limiter, seen }
    }
}

/// A call of the service.
pub(crate) struct Answering {
    does: &'static str,
    limiter: Limiter,
    seen: Arc<Seen>,
}

impl Future for Answering {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        answer(self.does)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.seen.drop.store(self.limiter.available_permits() + 1, SeqCst);
    }
}

/// The panic of a test: it prints nothing.
struct OnPurpose;

pub(crate) fn panics() -> ! {
    resume_unwind(Box::new(OnPurpose))
}

pub(crate) fn has_panicked<T>(run: impl FnOnce() -> T) -> bool {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(_) => false,
        Err(panic) if panic.is::<OnPurpose>() => true,
        Err(panic) => resume_unwind(panic),
    }
}
