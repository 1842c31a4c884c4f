//! A stream that holds a permit.

use super::call::{Call, Reads};
use super::closures::Closures;
use super::guard::{Admitted, Guard};
use super::holding::{Holding, Then};
use super::idle::{Idle, StalledError};
use crate::feedback::Feedback;
use crate::limiter::{LimiterPermit, OwnedLimiterPermit};
use crate::semaphore::OwnedSemaphorePermit;
use crate::tokens::Usage;
#[cfg(feature = "http")]
use crate::usage::UsageReader;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use pin_project_lite::pin_project;

pin_project! {
    /// A stream that holds a permit until it ends, panics or is dropped. From
    /// [`OwnedLimiterPermit::hold`](crate::OwnedLimiterPermit::hold).
    ///
    /// Once it has ended it returns `None` again, and the stream it was made of is not polled any more. That one is dropped before
    /// the slot is free. It is `Unpin` if that one is.
    ///
    /// At its end the call is settled at what was [said](Self::settle_with) of its items. If nothing was said, an item
    /// [told](Self::observe_with) an error, or it is dropped or panics before its end, what the call had reserved counts; of its input
    /// or output what was said by then, if that counts more.
    ///
    /// Nothing can see that a stream is not polled any more: it holds its slot until it is dropped.
    ///
    /// # Cost
    ///
    /// No allocation, but one for each function given to it that captures something, and one for an
    /// [`idle_timeout`](Self::idle_timeout).
    #[must_use = "streams do nothing unless polled"]
    pub struct HeldStream<S: Stream, P: Guard = OwnedLimiterPermit> {
        #[pin]
        holding: Holding<S, P, Closures<S::Item>>,
        is_last: Option<fn(&S::Item) -> bool>,
        idle: Option<Pin<Box<Idle<S::Item>>>>,
    }
}

impl OwnedLimiterPermit {
    /// The stream with this permit, which is released when the stream ends, panics or is dropped.
    ///
    /// For an answer that is read while it comes: the provider counts it as in flight until its end.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let permit = limiter.acquire_owned().await?;
    /// let answer = permit.hold(stream::iter("hello".chars()));
    /// assert_eq!(limiter.available_permits(), 0);
    /// assert_eq!(answer.collect::<String>().await, "hello");
    /// assert_eq!(limiter.available_permits(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold<S: Stream>(self, stream: S) -> HeldStream<S> {
        HeldStream::new(stream, self)
    }
}

impl<'a> LimiterPermit<'a> {
    /// As [`OwnedLimiterPermit::hold`].
    pub fn hold<S: Stream>(self, stream: S) -> HeldStream<S, LimiterPermit<'a>> {
        HeldStream::new(stream, self)
    }
}

impl OwnedSemaphorePermit {
    /// As [`OwnedLimiterPermit::hold`].
    pub fn hold<S: Stream>(self, stream: S) -> HeldStream<S, OwnedSemaphorePermit> {
        HeldStream::new(stream, self)
    }
}

impl<S: Stream, P: Guard> HeldStream<S, P> {
    fn new(stream: S, permit: P) -> Self {
        let holding = Holding::new(stream, permit, Closures::none());
        Self { holding, is_last: None, idle: None }
    }

    fn with_reader(mut self, set: impl FnOnce(&mut Closures<S::Item>)) -> Self {
        if let Some(reader) = self.holding.reader() {
            set(reader);
        }
        self
    }
}

impl<S: Stream<Item = Result<T, E>>, T, E, P: Guard> HeldStream<S, P> {
    /// Ends the stream after its first error, which it returns, and releases the permit.
    ///
    /// Without it the stream goes on after an error, as the one that it is made of does, and its end is the end of the answer. With
    /// it the answer counts as broken off: as reserved, or more if more was said.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, Rate};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let items = stream::iter([Ok("hel"), Err("reset"), Ok("lo")]);
    /// let mut answer = limiter.acquire_owned().await?.hold(items).end_at_error();
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

impl<S: Stream, P: Admitted> HeldStream<S, P> {
    /// Settles the call at what `usage` says of the items: at the largest input and the largest output that it has said by the
    /// stream's end. See [`Provider::usage`](crate::Provider::usage).
    ///
    /// If items may be errors, [end](Self::end_at_error) at them: what a broken answer has used is not known.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().tokens(Usage::new(100, 500)).acquire_owned().await?;
    /// let items = stream::iter(["Hello", "!", "[120 tokens]"]);
    /// let answer =
    ///     permit.hold(items).settle_with(|item| item.starts_with('[').then_some(Usage::new(90, 30)));
    /// assert_eq!(limiter.remaining_tokens(), 400);
    /// answer.collect::<Vec<_>>().await;
    /// assert_eq!(limiter.remaining_tokens(), 880);
    /// # Ok(())
    /// # }
    /// ```
    pub fn settle_with(
        self,
        usage: impl FnMut(&S::Item) -> Option<Usage> + Send + 'static,
    ) -> Self {
        self.with_reader(|reader| reader.set_usage(usage))
    }

    /// Asks `feedback` what each item says for all calls. The limiter [observes](crate::Limiter::observe) the first error, the
    /// first of the others that has quotas, and at the stream's end, if there was none of them, a success: so it is not for the body
    /// of a refusal, if that tells no error. See [`Provider::event_feedback`](crate::Provider::event_feedback).
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Feedback, Limiter, Rate};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let items = stream::iter(["Hello", "[slow down]"]);
    /// let answer = limiter.acquire_owned().await?.hold(items).observe_with(|item| {
    ///     (*item == "[slow down]").then(|| Feedback::cool_down(Duration::from_secs(7)))
    /// });
    /// answer.collect::<Vec<_>>().await;
    /// assert!(limiter.paused_for() > Some(Duration::from_secs(6)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn observe_with(
        self,
        feedback: impl FnMut(&S::Item) -> Option<Feedback> + Send + 'static,
    ) -> Self {
        self.with_reader(|reader| reader.set_feedback(feedback))
    }
}

/// With the feature `http`.
#[cfg(feature = "http")]
impl<S: Stream<Item = Result<T, E>>, T: AsRef<[u8]>, E, P: Admitted> HeldStream<S, P> {
    /// Settles the call at the usage that stands in the bytes, and [observes](crate::Limiter::observe) an error in them: a
    /// [`UsageReader`] reads along. The bytes stay as they are. It also [ends at an error](Self::end_at_error).
    ///
    /// If the bytes say that the answer is complete (`[DONE]`, `message_stop`, `response.completed`), that is its end for all but the
    /// slot: many clients drop the stream then.
    ///
    /// For answers with a status of success only. Of another one let the permit [observe](crate::OwnedLimiterPermit::observe) the
    /// status, and do not read its body by this: a body in which no error is found counts as a success.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::builder().tokens(1_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().tokens(Usage::new(100, 500)).acquire_owned().await?;
    /// // As reqwest's `bytes_stream` gives them.
    /// let chunks = [r#"data: {"choices": [], "usage": {"prompt_tok"#, "ens\": 90, \"completion_tokens\": 30}}\n\n"];
    /// let chunks = stream::iter(chunks.map(Ok::<_, std::io::Error>));
    /// permit.hold(chunks).read_usage().collect::<Vec<_>>().await;
    /// assert_eq!(limiter.remaining_tokens(), 880);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_usage(self) -> Self {
        self.read_usage_by(UsageReader::new())
    }

    /// [`read_usage`](Self::read_usage) with a reader of other settings.
    pub fn read_usage_by(self, reader: UsageReader) -> Self {
        self.with_reader(|closures| closures.set_wire(reader, bytes_of)).end_at_error()
    }
}

#[cfg(feature = "http")]
fn bytes_of<T: AsRef<[u8]>, E>(item: &Result<T, E>) -> Option<&[u8]> {
    item.as_ref().ok().map(AsRef::as_ref)
}

impl<S: Stream> HeldStream<S> {
    /// Ends the stream if nothing comes for `timeout`, by the limiter's clock: with one more item, that `ends_with` makes of the
    /// error. By then its permit has been released.
    ///
    /// The time begins when the stream is asked and has nothing, and ends with the next item. How long its reader takes between two
    /// items does not count. When the time is over the stream is asked once more: in a task that has spent tokio's budget it had
    /// nothing, though an item may be there. With zero it ends where it would first have to wait. Its tokens count as those of any
    /// that is dropped.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ringgate::{Limiter, Rate, StalledError};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 1);
    /// let stalls = stream::iter([Ok("hel")]).chain(stream::pending());
    /// let mut answer = limiter
    ///     .acquire_owned()
    ///     .await?
    ///     .hold(stalls)
    ///     .idle_timeout(Duration::from_millis(30), |stalled: StalledError| Err(stalled));
    /// assert_eq!(answer.next().await, Some(Ok("hel")));
    /// let stalled = answer.next().await.unwrap().unwrap_err();
    /// assert_eq!(stalled.to_string(), "the answer stalled: nothing came within 30ms");
    /// assert_eq!(limiter.available_permits(), 1);
    /// assert_eq!(answer.next().await, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn idle_timeout(
        mut self,
        timeout: Duration,
        ends_with: impl FnOnce(StalledError) -> S::Item + Send + 'static,
    ) -> Self {
        self.idle = Idle::of(self.holding.permit(), timeout, ends_with);
        self
    }
}

impl<S: Stream, P: Guard> Stream for HeldStream<S, P> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        poll_next(this.holding, *this.is_last, this.idle, cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        size_hint(self.holding.inner(), self.is_last.is_some(), self.idle.is_some())
    }
}

impl<S: Stream, P: Guard> FusedStream for HeldStream<S, P> {
    fn is_terminated(&self) -> bool {
        self.holding.inner().is_none()
    }
}

/// How many items come of a stream, if it has not ended: fewer if it may end at an error, one more if it may end because it stalls.
pub(crate) fn size_hint<S: Stream>(
    stream: Option<&S>,
    ends_at_error: bool,
    may_stall: bool,
) -> (usize, Option<usize>) {
    let Some(stream) = stream else { return (0, Some(0)) };
    let (least, most) = stream.size_hint();
    let least = if ends_at_error || may_stall { 0 } else { least };
    (least, most.and_then(|most| most.checked_add(usize::from(may_stall))))
}

/// The next item of what is held, or the one that it ends with because nothing comes.
pub(crate) fn poll_next<S: Stream, P: Guard, R: Reads<Item = S::Item>>(
    mut holding: Pin<&mut Holding<S, P, R>>,
    is_last: Option<fn(&S::Item) -> bool>,
    idle: &mut Option<Pin<Box<Idle<S::Item>>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<S::Item>> {
    let polled = holding.as_mut().step(|stream, call| next(stream, call, is_last, cx));
    let polled = polled.unwrap_or(Poll::Ready(None));
    let Some(idle) = idle else { return polled };
    idle.as_mut().watch(polled, || holding.fail(), cx, |item| item)
}

/// The next item of the stream, and how it goes on after that.
fn next<S: Stream, P: Guard, R: Reads<Item = S::Item>>(
    stream: Pin<&mut S>,
    call: &mut Call<P, R>,
    is_last: Option<fn(&S::Item) -> bool>,
    cx: &mut Context<'_>,
) -> (Poll<Option<S::Item>>, Then) {
    let next = stream.poll_next(cx);
    let then = match &next {
        Poll::Ready(None) => Then::End,
        Poll::Ready(Some(item)) => {
            call.note(item);
            if is_last.is_some_and(|is_last| is_last(item)) { Then::Fail } else { Then::GoOn }
        }
        Poll::Pending => Then::GoOn,
    };
    (next, then)
}

impl<S: Stream, P: Guard> fmt::Debug for HeldStream<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.holding.inner().is_none();
        f.debug_struct("HeldStream").field("ended", &ended).finish_non_exhaustive()
    }
}
