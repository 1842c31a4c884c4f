//! The clock of a limiter, whichever it is, and a sleep by it.

use super::clock::{Clock, JUMP, Timestamp};
use super::default::DefaultClock;
#[cfg(feature = "quanta")]
use super::fast::FastClock;
use super::sleep::Sleep;
use super::system::SystemClock;
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
use super::tokio::TokioClock;
use core::any::Any;
use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use once_cell::race::OnceBox;
use pin_project_lite::pin_project;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Any clock; the crate's own are dispatched without a virtual call.
#[derive(Clone)]
pub(crate) enum Time {
    System(SystemClock),
    #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
    Tokio(TokioClock),
    #[cfg(feature = "quanta")]
    Fast(FastClock),
    Unread(Unread),
    Other(Arc<dyn Clock>),
}

/// The default clock, started by the first reading.
#[derive(Default)]
pub(crate) struct Unread(OnceBox<DefaultClock>);

impl Unread {
    fn clock(&self) -> &DefaultClock {
        self.0.get_or_init(Box::default)
    }
}

/// The clone is not started either.
impl Clone for Unread {
    fn clone(&self) -> Self {
        Self::default()
    }
}

// A clock is only read, and must not panic.
impl UnwindSafe for Time {}
impl RefUnwindSafe for Time {}

impl Time {
    pub(crate) fn new(clock: impl Clock) -> Self {
        let any: &dyn Any = &clock;
        if let Some(clock) = any.downcast_ref::<SystemClock>() {
            return Self::System(clock.clone());
        }
        #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
        if let Some(clock) = any.downcast_ref::<TokioClock>() {
            return Self::Tokio(clock.clone());
        }
        #[cfg(feature = "quanta")]
        if let Some(clock) = any.downcast_ref::<FastClock>() {
            return Self::Fast(clock.clone());
        }
        Self::Other(Arc::new(clock))
    }

    /// The default clock, started by the first reading.
    pub(crate) fn unread() -> Self {
        Self::Unread(Unread::default())
    }

    /// Whether it is a clock that no call has read.
    #[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze))))]
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self, Self::Unread(unread) if unread.0.get().is_none())
    }

    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::System(clock) => clock.now(),
            #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
            Self::Tokio(clock) => clock.now(),
            #[cfg(feature = "quanta")]
            Self::Fast(clock) => clock.now(),
            Self::Unread(unread) => unread.clock().now(),
            Self::Other(clock) => clock.now(),
        }
    }

    /// Sleeps until the clock shows `deadline`, however often the timer wakes early. The deadline was set when the
    /// clock showed `seen`.
    pub(crate) fn sleep_until(&self, deadline: Timestamp, seen: Timestamp) -> SleepUntil<&Self> {
        SleepUntil::new(self, deadline, seen)
    }

    fn timer(&self, deadline: Timestamp) -> Sleep {
        match self {
            Self::System(clock) => clock.sleep_until(deadline),
            #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
            Self::Tokio(clock) => clock.sleep_until(deadline),
            #[cfg(feature = "quanta")]
            Self::Fast(clock) => clock.sleep_until(deadline),
            Self::Unread(unread) => unread.clock().sleep_until(deadline),
            Self::Other(clock) => clock.sleep_until(deadline),
        }
    }
}

pin_project! {
    /// The future of [`Time::sleep_until`], whichever way the clock is held.
    pub(crate) struct SleepUntil<T> {
        time: T,
        deadline: Timestamp,
        // What the clock showed at the last poll.
        seen: Timestamp,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<T: Deref<Target = Time>> SleepUntil<T> {
    pub(crate) fn new(time: T, deadline: Timestamp, seen: Timestamp) -> Self {
        Self { time, deadline, seen, sleep: None }
    }

    pub(crate) fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Begins again: `length` from now. The timer stays as it is set, and goes on if that is too early.
    pub(crate) fn restart(self: Pin<&mut Self>, length: Duration) {
        let mut this = self.project();
        let now = this.time.now();
        let deadline = now.saturating_add(length);
        if deadline < *this.deadline {
            this.sleep.set(None);
        }
        (*this.seen, *this.deadline) = (now, deadline);
    }

    /// Sets the timer. True if the deadline has come meanwhile.
    fn arm(mut self: Pin<&mut Self>) -> bool {
        let mut this = self.as_mut().project();
        this.sleep.set(Some(this.time.timer(*this.deadline)));
        // The timer has read the clock, too: what it waits for was not moved if the clock jumped just before.
        let is_over = self.as_mut().is_over();
        let mut this = self.project();
        if this.sleep.is_none() {
            this.sleep.set(Some(this.time.timer(*this.deadline)));
        }
        is_over
    }

    /// Whether the deadline has come. If the clock has jumped back, the deadline moves back with it.
    fn is_over(self: Pin<&mut Self>) -> bool {
        let mut this = self.project();
        let now = this.time.now();
        let back = this.seen.saturating_duration_since(now);
        if back > JUMP {
            *this.deadline =
                now.saturating_add(this.deadline.saturating_duration_since(*this.seen));
            this.sleep.set(None);
        }
        *this.seen = now;
        now >= *this.deadline
    }
}

impl<T: Deref<Target = Time>> Future for SleepUntil<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.as_mut().is_over() {
            return Poll::Ready(());
        }
        if self.sleep.is_none() && self.as_mut().arm() {
            return Poll::Ready(());
        }
        let mut this = self.as_mut().project();
        let rung = this.sleep.as_mut().as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready());
        if !rung {
            return Poll::Pending;
        }
        this.sleep.set(None);
        if self.is_over() {
            return Poll::Ready(());
        }
        // Too early: let other tasks run first. The one that moves this clock may need this thread.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::new(DefaultClock::default())
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(clock) => clock.fmt(f),
            #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
            Self::Tokio(clock) => clock.fmt(f),
            #[cfg(feature = "quanta")]
            Self::Fast(clock) => clock.fmt(f),
            Self::Unread(unread) => unread.0.get().fmt(f),
            Self::Other(clock) => clock.fmt(f),
        }
    }
}
