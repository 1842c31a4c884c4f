//! An answer on its way.

use crate::flight::InFlight;
use crate::log::End;
use crate::sse::Frame;
use crate::surprise::{After, Fault};
use bytes::Bytes;
use core::future::pending;
use core::time::Duration;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use std::io;
use std::vec;

/// The body of a response.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer that is being sent. It is dropped when the client hangs up, and its place in flight with it.
pub(crate) struct Sending {
    pub(crate) frames: vec::IntoIter<Frame>,
    /// Before each frame.
    pub(crate) pause: Duration,
    /// Held until the last frame is made.
    pub(crate) place: Option<InFlight>,
    /// What is sent where the answer ends with an error; `None` where it is no stream.
    pub(crate) error: Option<Frame>,
    pub(crate) sent: Sent,
}

/// How much of an answer has been sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    frames: usize,
    bytes: usize,
}

type Part = Result<hyper::body::Frame<Bytes>, io::Error>;

pub(crate) fn whole(text: String) -> Body {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

impl Sending {
    pub(crate) fn into_body(self) -> Body {
        StreamBody::new(stream::unfold(self, Self::next)).boxed_unsync()
    }

    async fn next(mut self) -> Option<(Part, Self)> {
        if let Some(fault) = self.due() {
            return self.fail(fault).await;
        }
        let mut frame = self.frames.next()?;
        tokio::time::sleep(self.pause).await;
        self.cut(&mut frame.bytes);
        if let Some(place) = self.place.as_mut().filter(|_| frame.tokens > 0) {
            place.send(frame.tokens);
        }
        self.sent.frames += 1;
        self.sent.bytes += frame.bytes.len();
        if self.frames.len() == 0 && self.due().is_none() {
            // Before the client can see the end of the answer: it may call again at once.
            self.end(End::Answered);
        }
        Some((Ok(hyper::body::Frame::data(frame.bytes)), self))
    }

    /// The fault, if it is time for it.
    fn due(&self) -> Option<Fault> {
        let fault = self.place.as_ref()?.fault?;
        let is_due = match fault.after() {
            After::Frames(frames) => self.sent.frames >= frames,
            After::Bytes(bytes) => self.sent.bytes >= bytes,
        };
        is_due.then_some(fault)
    }

    /// Leaves what may be sent before the fault. There is some, else it would be due.
    fn cut(&self, bytes: &mut Bytes) {
        let fault = self.place.as_ref().and_then(|place| place.fault);
        if let Some(After::Bytes(most)) = fault.map(Fault::after) {
            bytes.truncate(most - self.sent.bytes);
        }
    }

    async fn fail(mut self, fault: Fault) -> Option<(Part, Self)> {
        let error = match fault {
            Fault::Stall(_) => pending().await,
            Fault::BreakOff(_) => None,
            Fault::ErrorEvent(_) => self.error.take(),
        };
        // What was sent before leaves the buffers while this waits.
        tokio::task::yield_now().await;
        self.end(End::BrokenOff);
        self.frames = Vec::new().into_iter();
        let part = error.map_or_else(
            || Err(io::Error::other("the answer is broken off")),
            |error| Ok(hyper::body::Frame::data(error.bytes)),
        );
        Some((part, self))
    }

    fn end(&mut self, how: End) {
        if let Some(place) = self.place.take() {
            place.end(how);
        }
    }
}
