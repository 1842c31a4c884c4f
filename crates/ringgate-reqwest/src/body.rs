//! The body of an answer, of which the beginning may have been read already.

use bytes::Bytes;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_timer::Delay;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;

/// An error of a body. As `tower::BoxError`.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A longer beginning of an error is not read ahead.
const MOST_FRAMES: usize = 256;

/// The body of an answer, as [`hold_with`](crate::LimiterMiddleware::hold_with) gets it.
///
/// Its frames, trailers, errors and length are those that came.
pub struct AnswerBody {
    /// What has been read ahead, and what that ended with.
    read: VecDeque<Frame<Bytes>>,
    error: Option<BoxError>,
    /// `None` once it has ended.
    rest: Option<reqwest::Body>,
}

impl AnswerBody {
    pub(crate) fn new(body: reqwest::Body) -> Self {
        let rest = Some(body).filter(|body| !body.is_end_stream());
        Self { read: VecDeque::new(), error: None, rest }
    }

    /// Whether nothing more will come.
    pub(crate) fn has_come(&self) -> bool {
        self.rest.is_none()
    }

    /// Reads ahead, up to so many bytes and for so long. The text is a copy: it stays part of the body.
    pub(crate) async fn read_ahead(&mut self, text: &mut Vec<u8>, most: usize, within: Duration) {
        let mut is_late = Delay::new(within);
        while text.len() < most && self.read.len() < MOST_FRAMES && self.rest.is_some() {
            let next = poll_fn(|cx| {
                // First of all: what is always ready must not go on for ever.
                match Pin::new(&mut is_late).poll(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => self.poll_rest(cx).map(Some),
                }
            });
            match next.await {
                Some(Some(Ok(frame))) => {
                    text.extend_from_slice(frame.data_ref().map_or(&[], AsRef::as_ref));
                    self.read.push_back(frame);
                }
                Some(Some(Err(error))) => self.error = Some(error),
                Some(None) => {}
                None => break,
            }
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *rest).poll_frame(cx);
        let ends = match &polled {
            Poll::Ready(Some(Ok(_))) => rest.is_end_stream(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if ends {
            self.rest = None;
        }
        polled.map(|next| next.map(|frame| frame.map_err(Into::into)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(frame) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match this.error.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => this.poll_rest(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.error.is_none() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let lengths = self.read.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64);
        let read = lengths.fold(0, u64::saturating_add);
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            None if self.error.is_some() => SizeHint::new(),
            None => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("has_come", &self.has_come()).finish_non_exhaustive()
    }
}
