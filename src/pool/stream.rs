//! The stream of an answer, and what its call has used.

use super::reader::Reader;
use crate::feedback::Feedback;
use crate::hold::{Closures, Holding, Idle, StalledError, poll_next, size_hint};
use crate::limiter::OwnedLimiterPermit;
use crate::provider::EventStream;
use crate::tokens::Usage;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_core::Stream;

/// The stream of a [`ProviderPool`](crate::ProviderPool)'s answer. It holds the call's concurrency slot and its tokens.
///
/// It releases the slot when it ends, panics or is dropped. After its end it returns `None` again.
///
/// At its end the call is settled at what its events said it has used. If they said nothing, one of them told an error, or it is
/// dropped or panics before its end, what the call had reserved counts; of its input or output what was said by then, if that counts
/// more.
///
/// What its events say for all calls ([`Provider::event_feedback`](crate::Provider::event_feedback)) the limiter learns at once, and
/// at its end that there was no error. Nothing is sent again: the caller has read the answer's beginning.
#[must_use = "streams do nothing unless polled"]
pub struct PoolStream<Event> {
    holding: Holding<EventStream<Event>, OwnedLimiterPermit, Reader<Event>>,
    is_last: Option<fn(&Event) -> bool>,
    idle: Option<Pin<Box<Idle<Event>>>>,
}

impl<T, E> PoolStream<Result<T, E>> {
    /// Ends the stream after its first error, which it returns. See [`HeldStream::end_at_error`](crate::HeldStream::end_at_error):
    /// without it an error that is no [feedback](crate::Provider::event_feedback) is an event as any other.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, PoolStream, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let permit = limiter.acquire_owned().await?;
    /// let events = stream::iter([Ok("hel"), Err("reset"), Ok("lo")]);
    /// let mut answer = PoolStream::new(Box::pin(events), permit).end_at_error();
    /// assert_eq!(answer.next().await, Some(Ok("hel")));
    /// assert_eq!(answer.next().await, Some(Err("reset")));
    /// assert_eq!(limiter.available_permits(), 1);
    /// assert_eq!(answer.next().await, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn end_at_error(mut self) -> Self {
        self.is_last = Some(Result::is_err);
        self
    }
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
        Self::of(events, permit, Reader::Own(Closures::none()))
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
        let mut closures = Closures::none();
        closures.set_usage(usage);
        Self::of(events, permit, Reader::Own(closures))
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
        if let Some(Reader::Own(closures)) = self.holding.reader() {
            closures.set_feedback(feedback);
        }
        self
    }

    /// Ends the stream if no event comes for `timeout`, by the limiter's clock: with one more event, that `ends_with` makes of the
    /// error. By then the slot is free. See [`HeldStream::idle_timeout`](crate::HeldStream::idle_timeout); for all streams of a pool
    /// [`ProviderPool::with_idle_timeout`](crate::ProviderPool::with_idle_timeout).
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, PoolStream, Rate};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let stalls = stream::iter([Ok("hel")]).chain(stream::pending());
    /// let mut answer = PoolStream::new(Box::pin(stalls), limiter.acquire_owned().await?)
    ///     .idle_timeout(Duration::from_millis(30), Err);
    /// assert_eq!(answer.next().await, Some(Ok("hel")));
    /// assert!(answer.next().await.unwrap().is_err());
    /// assert_eq!(limiter.available_permits(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn idle_timeout(
        mut self,
        timeout: Duration,
        ends_with: impl FnOnce(StalledError) -> Event + Send + 'static,
    ) -> Self {
        self.idle = Idle::of(self.holding.permit(), timeout, ends_with);
        self
    }

    pub(super) fn of(
        events: EventStream<Event>,
        permit: OwnedLimiterPermit,
        reader: Reader<Event>,
    ) -> Self {
        Self { holding: Holding::new(events, permit, reader), is_last: None, idle: None }
    }
}

impl<Event> Stream for PoolStream<Event> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Self { holding, is_last, idle } = &mut *self;
        poll_next(Pin::new(holding), *is_last, idle, cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        size_hint(self.holding.inner(), self.is_last.is_some(), self.idle.is_some())
    }
}

impl<Event> fmt::Debug for PoolStream<Event> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.holding.inner().is_none();
        f.debug_struct("PoolStream").field("ended", &ended).finish_non_exhaustive()
    }
}
