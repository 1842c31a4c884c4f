//! An HTTP body that holds a permit.

use super::call::Call;
use super::closures::Closures;
#[cfg(feature = "http")]
use super::error_body::ErrorBody;
use super::guard::{Admitted, Guard};
use super::holding::{Holding, Then};
use super::idle::{Idle, StalledError};
use crate::feedback::Feedback;
#[cfg(feature = "http")]
use crate::feedback::FeedbackReader;
use crate::limiter::{LimiterPermit, OwnedLimiterPermit};
use crate::semaphore::OwnedSemaphorePermit;
use crate::tokens::Usage;
#[cfg(feature = "http")]
use crate::usage::UsageReader;
#[cfg(feature = "http")]
use bytes::Buf;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
#[cfg(feature = "http")]
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
#[cfg(feature = "http")]
use std::io::IoSlice;

pin_project! {
    /// An HTTP body that holds a permit until its end or an error, or until it panics or is dropped. From
    /// [`OwnedLimiterPermit::hold_body`](crate::OwnedLimiterPermit::hold_body).
    ///
    /// Frames, trailers, errors and the size hint are those of the body it was made of. That one is dropped before the slot is free.
    /// Its end is the last frame if the body says so then, and else the `None` after it. Not before that does
    /// [`is_end_stream`](Body::is_end_stream) say that it has ended: who reads a body need not poll it then, and its call would not
    /// be settled.
    ///
    /// Tokens and [cost](crate::HeldStream#cost) are as with a [`HeldStream`](crate::HeldStream).
    #[must_use = "bodies do nothing unless polled"]
    pub struct HeldBody<B: Body, P: Guard = OwnedLimiterPermit> {
        #[pin]
        holding: Holding<B, P, Closures<Frame<B::Data>>>,
        idle: Option<Pin<Box<Idle<B::Error>>>>,
    }
}

/// With the feature `http-body`.
impl OwnedLimiterPermit {
    /// The body with this permit, which is released at the body's end or error, or when it panics or is dropped. The permit of a
    /// body that has no frames is released at once: nothing is settled then, and no success observed.
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use ringgate::{Limiter, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let permit = limiter.acquire_owned().await?;
    /// let answer = http::Response::new(Full::new("hello".as_bytes()));
    /// let answer = answer.map(|body| permit.hold_body(body));
    /// assert_eq!(limiter.available_permits(), 0);
    /// assert_eq!(answer.into_body().collect().await?.to_bytes(), "hello");
    /// assert_eq!(limiter.available_permits(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_body<B: Body>(self, body: B) -> HeldBody<B> {
        HeldBody::new(body, self)
    }
}

/// With the feature `http-body`.
impl<'a> LimiterPermit<'a> {
    /// As [`OwnedLimiterPermit::hold_body`].
    pub fn hold_body<B: Body>(self, body: B) -> HeldBody<B, LimiterPermit<'a>> {
        HeldBody::new(body, self)
    }
}

/// With the feature `http-body`.
impl OwnedSemaphorePermit {
    /// As [`OwnedLimiterPermit::hold_body`].
    pub fn hold_body<B: Body>(self, body: B) -> HeldBody<B, OwnedSemaphorePermit> {
        HeldBody::new(body, self)
    }
}

impl<B: Body, P: Guard> HeldBody<B, P> {
    /// A body without frames, and without a permit: for a response that no call is made for, where the others hold theirs.
    ///
    /// ```
    /// use http_body::Body;
    /// use http_body_util::Full;
    /// use ringgate::HeldBody;
    ///
    /// let body = HeldBody::<Full<&[u8]>>::empty();
    /// assert!(body.is_end_stream());
    /// ```
    pub fn empty() -> Self {
        Self { holding: Holding::ended(), idle: None }
    }

    fn new(body: B, permit: P) -> Self {
        let mut holding = Holding::new(body, permit, Closures::none());
        if holding.inner().is_some_and(Body::is_end_stream) {
            holding.release();
        }
        Self { holding, idle: None }
    }

    fn with_reader(mut self, set: impl FnOnce(&mut Closures<Frame<B::Data>>)) -> Self {
        if let Some(reader) = self.holding.reader() {
            set(reader);
        }
        self
    }
}

impl<B: Body, P: Admitted> HeldBody<B, P> {
    /// Settles the call at what `usage` says of the frames: at the largest input and the largest output that it has said by the
    /// body's end. A frame has [data](Frame::data_ref) or [trailers](Frame::trailers_ref).
    ///
    /// ```
    /// use http_body::Frame;
    /// use http_body_util::{BodyExt, Full};
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().tokens(Usage::new(100, 500)).acquire_owned().await?;
    /// let trailers = http::HeaderMap::from_iter([(
    ///     http::HeaderName::from_static("x-output-tokens"),
    ///     http::HeaderValue::from_static("30"),
    /// )]);
    /// let body = Full::new("hello".as_bytes()).with_trailers(std::future::ready(Some(Ok(trailers))));
    /// let answer = permit.hold_body(body).settle_with(|frame| {
    ///     let output = frame.trailers_ref()?.get("x-output-tokens")?.to_str().ok()?;
    ///     Some(Usage::new(100, output.parse().ok()?))
    /// });
    /// assert_eq!(answer.collect().await?.to_bytes(), "hello");
    /// assert_eq!(limiter.remaining_tokens(), 870);
    /// # Ok(())
    /// # }
    /// ```
    pub fn settle_with(
        self,
        usage: impl FnMut(&Frame<B::Data>) -> Option<Usage> + Send + 'static,
    ) -> Self {
        self.with_reader(|reader| reader.set_usage(usage))
    }

    /// Asks `feedback` what each frame says for all calls. See [`HeldStream::observe_with`](crate::HeldStream::observe_with). A body
    /// that ends with an error is no success, and one without frames is none either.
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use ringgate::{Feedback, Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let body = Full::new("[slow down]".as_bytes());
    /// let answer = limiter.acquire_owned().await?.hold_body(body).observe_with(|frame| {
    ///     let is_refusal = frame.data_ref()?.starts_with(b"[slow down]");
    ///     is_refusal.then(|| Feedback::cool_down(Duration::from_secs(7)))
    /// });
    /// answer.collect().await?;
    /// assert!(limiter.paused_for() > Some(Duration::from_secs(6)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn observe_with(
        self,
        feedback: impl FnMut(&Frame<B::Data>) -> Option<Feedback> + Send + 'static,
    ) -> Self {
        self.with_reader(|reader| reader.set_feedback(feedback))
    }
}

/// With the feature `http`.
#[cfg(feature = "http")]
impl<B: Body, P: Admitted> HeldBody<B, P>
where
    B::Data: AsRef<[u8]>,
{
    /// Settles the call at the usage that stands in the body, and [observes](crate::Limiter::observe) an error in it: a
    /// [`UsageReader`] reads along. The body stays as it is. For answers with a status of success only, and complete where the bytes
    /// say so: see [`HeldStream::read_usage`](crate::HeldStream::read_usage).
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().tokens(Usage::new(100, 500)).acquire_owned().await?;
    /// let body = r#"{"content": [], "usage": {"input_tokens": 90, "output_tokens": 30}}"#;
    /// let answer = permit.hold_body(Full::new(body.as_bytes())).read_usage();
    /// assert_eq!(answer.collect().await?.to_bytes(), body);
    /// assert_eq!(limiter.remaining_tokens(), 880);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_usage(self) -> Self {
        self.read_usage_by(UsageReader::new())
    }

    /// [`read_usage`](Self::read_usage) with a reader of other settings.
    pub fn read_usage_by(self, reader: UsageReader) -> Self {
        self.with_reader(|closures| closures.set_wire(reader, bytes_of))
    }

    /// As [`read_usage_by`](Self::read_usage_by), and observes nothing: neither an error in the body, nor a success. For a server,
    /// whose answers are its own.
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use ringgate::{Limiter, Usage, UsageReader};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().tokens(Usage::new(100, 500)).acquire_owned().await?;
    /// let body = r#"{"error": {"code": "insufficient_quota"}, "usage": {"input_tokens": 90, "output_tokens": 0}}"#;
    /// permit.hold_body(Full::new(body.as_bytes())).settle_by(UsageReader::new()).collect().await?;
    /// assert_eq!(limiter.stopped(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn settle_by(self, reader: UsageReader) -> Self {
        self.with_reader(|closures| closures.set_wire_unobserved(reader, bytes_of))
    }
}

/// With the feature `http`.
#[cfg(feature = "http")]
impl<B: Body, P: Admitted> HeldBody<B, P> {
    /// Observes what the body of an error says beyond its status and its headers: the reason for a stop, the time to wait, what is
    /// left. Let the permit [observe](OwnedLimiterPermit::observe) these first, as `reader` reads them, so that others pause before
    /// the body is read.
    ///
    /// At the body's end, or when it is dropped, what has passed by is read: its first 16 KiB, of which a copy is made. A body that
    /// nobody reads tells nothing.
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use http_body_util::{BodyExt, Full};
    /// use ringgate::{FeedbackReader, Limiter, Rate, StopReason};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let permit = limiter.acquire_owned().await?;
    /// let (status, headers) = (StatusCode::TOO_MANY_REQUESTS, HeaderMap::new());
    /// let body = Full::new(r#"{"error": {"code": "insufficient_quota"}}"#.as_bytes());
    ///
    /// let reader = FeedbackReader::new();
    /// permit.observe(&reader.read(status, &headers, None));
    /// let body = permit.hold_body(body).observe_error_by(reader, status, &headers);
    /// assert_eq!(limiter.stopped(), None);
    /// body.collect().await?;
    /// assert_eq!(limiter.stopped(), Some(StopReason::QuotaExhausted));
    /// # Ok(())
    /// # }
    /// ```
    pub fn observe_error_by(
        self,
        reader: FeedbackReader,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Self {
        self.with_reader(|closures| {
            closures.set_error(ErrorBody::new(reader, status, headers, pieces_of::<B>));
        })
    }
}

/// The bytes of a frame. Those of one in very many pieces are cut off.
#[cfg(feature = "http")]
fn pieces_of<B: Body>(frame: &Frame<B::Data>, note: &mut dyn FnMut(&[u8])) {
    let Some(data) = frame.data_ref() else { return };
    let mut pieces = [IoSlice::new(&[]); 16];
    let count = data.chunks_vectored(&mut pieces);
    pieces.iter().take(count).for_each(|piece| note(piece));
}

#[cfg(feature = "http")]
fn bytes_of<D: AsRef<[u8]>>(frame: &Frame<D>) -> Option<&[u8]> {
    frame.data_ref().map(AsRef::as_ref)
}

impl<B: Body> HeldBody<B> {
    /// Ends the body if no frame comes for `timeout`: with the error that `ends_with` makes. See
    /// [`HeldStream::idle_timeout`](crate::HeldStream::idle_timeout).
    ///
    /// ```
    /// use futures_util::stream;
    /// use http_body::Frame;
    /// use http_body_util::{BodyExt, StreamBody};
    /// use ringgate::{Limiter, Rate};
    /// use std::{io, time::Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let stalls = StreamBody::new(stream::pending::<io::Result<Frame<&[u8]>>>());
    /// let body = limiter.acquire_owned().await?.hold_body(stalls);
    /// let body = body.idle_timeout(Duration::from_millis(30), |stalled| {
    ///     io::Error::new(io::ErrorKind::TimedOut, stalled)
    /// });
    /// assert_eq!(body.collect().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    /// assert_eq!(limiter.available_permits(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn idle_timeout(
        mut self,
        timeout: Duration,
        ends_with: impl FnOnce(StalledError) -> B::Error + Send + 'static,
    ) -> Self {
        self.idle = Idle::of(self.holding.permit(), timeout, ends_with);
        self
    }
}

type Polled<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

impl<B: Body, P: Guard> Body for HeldBody<B, P> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled<B> {
        let mut this = self.project();
        let polled = this.holding.as_mut().step(|body, call| next(body, call, cx));
        let polled = polled.unwrap_or(Poll::Ready(None));
        let Some(idle) = this.idle else { return polled };
        idle.as_mut().watch(polled, || this.holding.fail(), cx, Err)
    }

    fn is_end_stream(&self) -> bool {
        self.holding.inner().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.holding.inner().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The next frame of the body, and how it goes on after that. (Who reads a body need not ask again once it says that it has ended.)
fn next<B: Body, P: Guard>(
    mut body: Pin<&mut B>,
    call: &mut Call<P, Closures<Frame<B::Data>>>,
    cx: &mut Context<'_>,
) -> (Polled<B>, Then) {
    let next = body.as_mut().poll_frame(cx);
    let then = match &next {
        Poll::Ready(None) => Then::End,
        Poll::Ready(Some(Err(_))) => Then::Fail,
        Poll::Ready(Some(Ok(frame))) => {
            call.note(frame);
            if body.is_end_stream() { Then::End } else { Then::GoOn }
        }
        Poll::Pending => Then::GoOn,
    };
    (next, then)
}

impl<B: Body, P: Guard> fmt::Debug for HeldBody<B, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.holding.inner().is_none();
        f.debug_struct("HeldBody").field("ended", &ended).finish_non_exhaustive()
    }
}
