//! The one door to clocks and timers.
//!
//! A limiter takes a [`Clock`] at construction. Its lock-free parts have none: they take `now` as an argument, or
//! a function that reads it. There are four clocks:
//!
//! | clock           | reads                              | sleeps by                     |
//! |-----------------|------------------------------------|-------------------------------|
//! | `TokioClock`    | tokio's clock, paused time included | tokio's timer, or as below outside a runtime |
//! | [`SystemClock`] | `std::time::Instant`               | a runtime-agnostic timer      |
//! | `FastClock`     | the processor's time-stamp counter | as [`DefaultClock`]           |
//! | [`ManualClock`] | what the test sets                 | the test's `advance`          |
//!
//! `TokioClock` needs the feature `tokio` (on by default) and `FastClock` the feature `quanta`.
//!
//! On `wasm32-unknown-unknown`, where `std` and tokio have no time, there is no `TokioClock`:
//! [`SystemClock`] goes by the browser's clock and timer.
//!
//! # What clocks do
//!
//! * **Suspend.** The monotonic clocks of Linux and macOS stand still while the machine sleeps. A limiter
//!   then counts what went before as if it were recent, so after waking up calls are held back by at most
//!   the rest of a window.
//! * **Drift.** The time-stamp counter drifts against the system's clock, by 5 to 83 parts in a million
//!   where it was measured: 5 ms in a minute at the worst. A margin covers it.
//! * **Short windows.** Tokio's timer has a grain of one millisecond. Under a window much shorter than
//!   that (one call in 200 µs, say) calls that wait get a fraction of the rate, 13 % there.
//! * **Jumps back.** If the clock steps back by less than a second, calls wait until it has caught up. If a
//!   refused call finds it more than a second behind the newest stamp (a static limiter used under tokio's paused
//!   time and later in real time), the clock has jumped: the limiter's time continues from that stamp, and no
//!   call waits longer than a window because of the jump. The limits hold by real time, too. The limiter cannot
//!   know how long ago earlier calls were: it counts them as later than they were, up to the jump itself. It
//!   moves to a new log, as after a [reset](crate::SlidingWindow::reset), and at the same cost.
//! * **Jumps ahead** look like a long pause: earlier calls leave the window early. Afterwards, if one reading
//!   was far ahead of all later ones, call [`reset`](crate::Limiter::reset).
//! * **Two clocks.** Give each runtime its own limiter if one is paused and the other is not: two clocks more
//!   than a second apart behind one limiter make its time run too fast.

#[cfg(feature = "quanta")]
mod fast;
mod manual;
mod sleep;
mod system;
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
mod tokio;

#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
pub use self::tokio::TokioClock;
#[cfg(feature = "quanta")]
pub use fast::FastClock;
pub use manual::ManualClock;
pub use sleep::Sleep;
pub use system::SystemClock;

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use once_cell::race::OnceBox;
use pin_project_lite::pin_project;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// The clock a limiter uses unless it is given another.
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
pub type DefaultClock = TokioClock;
/// The clock a limiter uses unless it is given another.
#[cfg(not(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown")))))]
pub type DefaultClock = SystemClock;

/// A point in time, in nanoseconds since its clock's epoch.
///
/// ```
/// use ringgate::time::Timestamp;
/// use std::time::Duration;
///
/// let at = Timestamp::from_nanos(5).saturating_add(Duration::from_nanos(7));
/// assert_eq!(at.as_nanos(), 12);
/// assert_eq!(at.saturating_duration_since(Timestamp::from_nanos(2)), Duration::from_nanos(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's epoch.
    pub const ZERO: Self = Self(0);
    /// The end of time, 584 years after the epoch.
    pub const MAX: Self = Self(u64::MAX);

    /// So many nanoseconds after the epoch.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// `after` the epoch, at most [`MAX`](Self::MAX).
    #[must_use]
    #[inline]
    pub fn from_epoch(after: Duration) -> Self {
        let seconds = after.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(after.subsec_nanos().into()))
    }

    /// `duration` later, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::from_epoch(duration).0))
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A source of time, and a timer for it.
///
/// A clock may stand still or step back. The limits still hold, by the stamps the limiter records. A wait lasts
/// until the clock reaches the right time, or for a window after the clock has [jumped](self#what-clocks-do). A
/// clock must not panic.
///
/// ```
/// use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
///
/// /// Another clock's time, a minute ahead.
/// #[derive(Debug)]
/// struct Ahead(ManualClock);
///
/// const MINUTE: u64 = 60_000_000_000;
///
/// impl Clock for Ahead {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_nanos(self.0.now().as_nanos() + MINUTE)
///     }
///     fn sleep_until(&self, deadline: Timestamp) -> Sleep {
///         self.0.sleep_until(Timestamp::from_nanos(deadline.as_nanos().saturating_sub(MINUTE)))
///     }
/// }
/// # let clock = Ahead(ManualClock::new());
/// # assert_eq!(clock.now().as_nanos(), MINUTE);
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// A future that is ready once the time is `deadline`.
    ///
    /// It may be ready early, because timers have a longest sleep or another time base: the limiter reads
    /// [`now`](Self::now) again and continues to sleep.
    fn sleep_until(&self, deadline: Timestamp) -> Sleep;
}

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

/// The default clock, which starts when it is first asked.
#[derive(Default)]
pub(crate) struct Unread(OnceBox<DefaultClock>);

impl Unread {
    fn clock(&self) -> &DefaultClock {
        self.0.get_or_init(Box::default)
    }
}

/// One that has not started either.
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

    /// The default clock, which is not read before somebody asks.
    pub(crate) fn unread() -> Self {
        Self::Unread(Unread::default())
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

    /// Sleeps until the clock shows `deadline`, however often the timer wakes early.
    pub(crate) fn sleep_until(&self, deadline: Timestamp) -> SleepUntil<'_> {
        SleepUntil { time: self, deadline, sleep: None }
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
    /// The future of [`Time::sleep_until`].
    pub(crate) struct SleepUntil<'a> {
        time: &'a Time,
        deadline: Timestamp,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl SleepUntil<'_> {
    pub(crate) fn deadline(&self) -> Timestamp {
        self.deadline
    }
}

impl Future for SleepUntil<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.time.now() >= *this.deadline {
            return Poll::Ready(());
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(this.time.timer(*this.deadline)));
        }
        let rung = this.sleep.as_mut().as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready());
        if !rung {
            return Poll::Pending;
        }
        this.sleep.set(None);
        if this.time.now() >= *this.deadline {
            return Poll::Ready(());
        }
        // Early: others run first. Whoever moves this clock may be waiting for this very thread.
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

/// The longest single sleep asked of a timer; some overflow beyond.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze))))]
mod tests {
    use super::*;

    /// Broken by: `Unread` that starts as it is made.
    #[test]
    fn a_clock_that_nobody_needs_is_not_read() {
        let time = Time::unread();
        let Time::Unread(unread) = &time else { panic!("read") };
        assert!(unread.0.get().is_none());
        assert!(time.now() <= time.now());
        assert!(unread.0.get().is_some());
    }
}
