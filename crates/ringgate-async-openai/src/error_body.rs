//! The body of an error, read along.

use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use reqwest::Body;
use ringgate::{Feedback, FeedbackReader, Limiter, OwnedLimiterPermit};

/// As much of a body as is read.
const LONGEST: usize = 64 * 1024;

/// An error's body, which stays as it is. At its end, or when it is dropped, the limiter observes what has come of it: that waiting
/// will not help, or a time to wait.
pub(crate) struct ErrorBody {
    body: Body,
    /// `None` once it has been told.
    error: Option<Box<AnError>>,
}

/// What is known of an error before its body.
pub(crate) enum Head {
    /// What the limiter has observed.
    Observed(Limiter, Feedback),
    /// That it is a refusal, but not for how long. Nobody goes in its slot before its body has told that.
    Untold(OwnedLimiterPermit),
}

pub(crate) struct AnError {
    pub(crate) head: Head,
    pub(crate) reader: FeedbackReader,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) read: Vec<u8>,
}

type Data = <Body as http_body::Body>::Data;
type Polled = Poll<Option<Result<Frame<Data>, reqwest::Error>>>;

impl ErrorBody {
    pub(crate) fn new(body: Body, error: AnError) -> Self {
        Self { body, error: Some(Box::new(error)) }
    }
}

impl AnError {
    fn read(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.read.len());
        self.read.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn tell(self) {
        let told = self.reader.read(self.status, &self.headers, Some(&self.read));
        match self.head {
            Head::Observed(limiter, said) if told != said => limiter.observe_more(&said, &told),
            Head::Observed(..) => {}
            Head::Untold(permit) => permit.observe(&told),
        }
    }
}

impl ErrorBody {
    fn tell(&mut self) {
        if let Some(error) = self.error.take() {
            error.tell();
        }
    }
}

/// Its slot is free after it has gone.
impl Drop for ErrorBody {
    fn drop(&mut self) {
        drop(mem::take(&mut self.body));
        self.tell();
    }
}

impl http_body::Body for ErrorBody {
    type Data = Data;
    type Error = reqwest::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(error)) = (&polled, &mut self.error)
            && let Some(data) = frame.data_ref()
        {
            error.read(data);
        }
        let has_ended = match &polled {
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            Poll::Pending => false,
        };
        if has_ended {
            self.tell();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
