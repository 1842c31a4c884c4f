//! How long an answer may stand still.

use super::exclusive::Exclusive;
use crate::limiter::{LimiterTime, OwnedLimiterPermit};
use crate::time::{SleepUntil, Timestamp};
use core::error::Error;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use pin_project_lite::pin_project;

/// An answer has made no progress for too long, and was given up. See
/// [`HeldStream::idle_timeout`](crate::HeldStream::idle_timeout).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StalledError {
    timeout: Duration,
}

impl StalledError {
    /// How long nothing had come.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl fmt::Display for StalledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer stalled: nothing came within {:?}", self.timeout)
    }
}

impl Error for StalledError {}

pin_project! {
    /// Ends an answer from which nothing comes. What it ends with is made by a function of the user's.
    pub(crate) struct Idle<E> {
        timeout: Duration,
        #[pin]
        alarm: SleepUntil<LimiterTime>,
        // The answer has been asked, and had nothing.
        is_waiting: bool,
        // It had nothing when its time was over, and is asked once more.
        is_overdue: bool,
        ends_with: Option<Exclusive<EndsWith<E>>>,
    }
}

type EndsWith<E> = dyn FnOnce(StalledError) -> E + Send;

impl<E> Idle<E> {
    /// For an answer that holds this permit, by its clock. `None` for one that has ended.
    pub(crate) fn of(
        permit: Option<&OwnedLimiterPermit>,
        timeout: Duration,
        ends_with: impl FnOnce(StalledError) -> E + Send + 'static,
    ) -> Option<Pin<Box<Self>>> {
        let time = permit.and_then(OwnedLimiterPermit::time)?;
        Some(Box::pin(Self::new(time, timeout, ends_with)))
    }

    fn new(
        time: LimiterTime,
        timeout: Duration,
        ends_with: impl FnOnce(StalledError) -> E + Send + 'static,
    ) -> Self {
        let alarm = SleepUntil::new(time, Timestamp::ZERO, Timestamp::ZERO);
        let ends_with: Box<EndsWith<E>> = Box::new(ends_with);
        let ends_with = Some(Exclusive::new(ends_with));
        Self { timeout, alarm, is_waiting: false, is_overdue: false, ends_with }
    }

    /// The answer has come on.
    fn progress(self: Pin<&mut Self>) {
        let this = self.project();
        (*this.is_waiting, *this.is_overdue) = (false, false);
    }

    /// Ready when nothing has come for too long. The time begins when the answer is first asked in vain: what its reader takes
    /// to ask again is no fault of it. At the end of the time it wakes the task, and is ready if it is polled again: a stream of
    /// tokio's has nothing in a task whose budget is spent, though an item is there.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if !*this.is_waiting {
            *this.is_waiting = true;
            this.alarm.as_mut().restart(*this.timeout);
        }
        if *this.is_overdue {
            return Poll::Ready(());
        }
        ready!(this.alarm.poll(cx));
        *this.is_overdue = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What the answer gives; or if it has stood still for too long `fail` and what it ends with.
    pub(super) fn watch<T>(
        mut self: Pin<&mut Self>,
        polled: Poll<Option<T>>,
        fail: impl FnOnce(),
        cx: &mut Context<'_>,
        item: impl FnOnce(E) -> T,
    ) -> Poll<Option<T>> {
        if polled.is_ready() {
            self.progress();
            return polled;
        }
        ready!(self.as_mut().poll(cx));
        fail();
        Poll::Ready(self.error().map(item))
    }

    /// What to end with, once.
    fn error(self: Pin<&mut Self>) -> Option<E> {
        let this = self.project();
        let ends_with = this.ends_with.take()?;
        Some((ends_with.into_inner())(StalledError { timeout: *this.timeout }))
    }
}
