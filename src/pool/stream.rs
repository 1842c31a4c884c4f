//! The stream of an answer, and what its call has used.

use super::reader::Reader;
use crate::feedback::{Feedback, Signal};
use crate::limiter::OwnedLimiterPermit;
use crate::provider::EventStream;
use crate::tokens::Usage;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::Stream;

/// The stream of a [`ProviderPool`](crate::ProviderPool)'s answer. It holds the call's concurrency slot and its tokens.
///
/// It releases the slot when it ends, panics or is dropped. After its end it returns `None` again.
///
/// At its end the call is settled at what its events said it has used. If they said nothing, or it is dropped or panics before its
/// end, what the call had reserved counts; of its input or output what was said by then, if that counts more.
///
/// What its events say for all calls ([`Provider::event_feedback`](crate::Provider::event_feedback)) the limiter learns at once, and
/// at its end that there was no error. Nothing is sent again: the caller has read the answer's beginning.
#[must_use = "streams do nothing unless polled"]
pub struct PoolStream<Event> {
    running: Option<Running<Event>>,
}

/// Dropped in this order, so that the slot is free only after the provider's stream has gone.
struct Running<Event> {
    events: EventStream<Event>,
    call: Call<Event>,
}

impl<Event> PoolStream<Event> {
    /// A stream that holds `permit` until it ends, for pools of other kinds than [`ProviderPool`](crate::ProviderPool). The call
    /// counts as many tokens as it had reserved.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, PoolStream, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let permit = limiter.acquire_owned().await?;
    /// let answer = PoolStream::new(Box::pin(stream::iter("hello".chars())), permit);
    /// assert_eq!(limiter.available_permits(), 0);
    /// assert_eq!(answer.collect::<String>().await, "hello");
    /// assert_eq!(limiter.available_permits(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(events: EventStream<Event>, permit: OwnedLimiterPermit) -> Self {
        Self::of(events, permit, Reader::Own { usage: None, feedback: None })
    }

    /// [`new`](Self::new), and asks `usage` what each event says has been used so far. At its end the call is settled at the
    /// largest input and the largest output. See [`Provider::usage`](crate::Provider::usage).
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, PoolStream, Usage};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().tokens(Usage::new(100, 500)).acquire_owned().await?;
    /// let events = stream::iter(["Hello", "!", "[120 tokens]"]);
    /// let usage = |event: &&str| event.starts_with('[').then_some(Usage::new(90, 30));
    /// let answer = PoolStream::with_usage(Box::pin(events), permit, usage);
    /// assert_eq!(limiter.remaining_tokens(), 400);
    /// answer.collect::<Vec<_>>().await;
    /// assert_eq!(limiter.remaining_tokens(), 880);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_usage(
        events: EventStream<Event>,
        permit: OwnedLimiterPermit,
        usage: impl FnMut(&Event) -> Option<Usage> + Send + 'static,
    ) -> Self {
        Self::of(events, permit, Reader::Own { usage: Some(Box::new(usage)), feedback: None })
    }

    /// A stream made here, and asks `feedback` what each event says for all calls. The permit's limiter
    /// [observes](crate::Limiter::observe) it; at the stream's end, if there was no error, it observes a success. See
    /// [`Provider::event_feedback`](crate::Provider::event_feedback). A stream of a [`ProviderPool`](crate::ProviderPool) asks its
    /// provider already, and stays as it is.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Feedback, Limiter, PoolStream, Rate};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let permit = limiter.acquire_owned().await?;
    /// let events = stream::iter(["Hello", "[slow down]"]);
    /// let feedback =
    ///     |event: &&str| (*event == "[slow down]").then(|| Feedback::cool_down(Duration::from_secs(7)));
    /// let answer = PoolStream::new(Box::pin(events), permit).with_feedback(feedback);
    /// answer.collect::<Vec<_>>().await;
    /// assert!(limiter.paused_for() > Some(Duration::from_secs(6)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_feedback(
        mut self,
        feedback: impl FnMut(&Event) -> Option<Feedback> + Send + 'static,
    ) -> Self {
        if let Some(Running {
            call: Call { reader: Reader::Own { feedback: own, .. }, .. }, ..
        }) = &mut self.running
        {
            *own = Some(Box::new(feedback));
        }
        self
    }

    pub(super) fn of(
        events: EventStream<Event>,
        permit: OwnedLimiterPermit,
        reader: Reader<Event>,
    ) -> Self {
        let call = Call { permit: Some(permit), reader, said: None, heard: Heard::Nothing };
        Self { running: Some(Running { events, call }) }
    }
}

impl<Event> Stream for PoolStream<Event> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        // Taken out, so that a panic of the provider's drops all of it.
        let Some(mut running) = self.running.take() else { return Poll::Ready(None) };
        let next = running.events.as_mut().poll_next(cx);
        match &next {
            Poll::Ready(None) => {
                drop(running.events);
                running.call.end();
                return next;
            }
            Poll::Ready(Some(event)) => running.call.note(event),
            Poll::Pending => {}
        }
        self.running = Some(running);
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.running.as_ref().map_or((0, Some(0)), |running| running.events.size_hint())
    }
}

impl<Event> fmt::Debug for PoolStream<Event> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolStream").field("ended", &self.running.is_none()).finish_non_exhaustive()
    }
}

/// An admitted call, and what its events have said so far.
struct Call<Event> {
    /// `None` once it is settled.
    permit: Option<OwnedLimiterPermit>,
    reader: Reader<Event>,
    said: Option<Usage>,
    heard: Heard,
}

/// What the limiter has learned from a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// That it goes well.
    Success,
    Error,
}

impl<Event> Call<Event> {
    fn note(&mut self, event: &Event) {
        if let Some(used) = self.reader.usage(event) {
            self.said = Some(self.said.map_or(used, |said| said.or_more(used)));
        }
        if let Some(feedback) = self.reader.feedback(event) {
            self.observe(&feedback);
        }
    }

    /// Passes on the first success and the first error: many events may tell the same.
    fn observe(&mut self, feedback: &Feedback) {
        let is_new = match self.heard {
            Heard::Nothing => says_something(feedback),
            Heard::Success => feedback.signal() != Signal::Proceed,
            Heard::Error => false,
        };
        if !is_new {
            return;
        }
        self.heard = match feedback.signal() {
            Signal::Proceed => Heard::Success,
            _ => Heard::Error,
        };
        if let Some(permit) = &self.permit {
            permit.observe(feedback);
        }
    }

    /// The stream has ended: what was said is all that was used.
    fn end(mut self) {
        if self.heard == Heard::Nothing
            && self.reader.looks_for_errors()
            && let Some(permit) = &self.permit
        {
            // Before its slot is free.
            permit.observe(&Feedback::new());
        }
        if let Some(used) = self.said
            && let Some(permit) = self.permit.take()
        {
            permit.settle(used);
        }
    }
}

/// Whether there is something in it for other calls.
pub(super) fn says_something(feedback: &Feedback) -> bool {
    feedback.signal() != Signal::Proceed || !feedback.quotas().is_empty()
}

impl<Event> Drop for Call<Event> {
    /// How much was used is not known: as much as was reserved, or more if more was said.
    fn drop(&mut self) {
        if let (Some(permit), Some(used)) = (self.permit.take(), self.said) {
            permit.settle_at_least(used);
        }
    }
}
