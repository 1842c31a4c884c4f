//! A sleep by any timer.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use pin_project_lite::pin_project;
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
use std::panic::{AssertUnwindSafe, catch_unwind};

pin_project! {
    /// A sleep begun by [`Clock::sleep_until`](crate::time::Clock::sleep_until).
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    #[project(!Unpin)]
    pub struct Sleep {
        #[pin]
        timer: Timer,
    }
}

#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
pin_project! {
    #[project = TimerProjection]
    enum Timer {
        Agnostic { #[pin] delay: futures_timer::Delay },
        Tokio { #[pin] sleep: tokio::time::Sleep },
        Boxed { future: Boxed },
    }
}

#[cfg(not(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown")))))]
pin_project! {
    #[project = TimerProjection]
    enum Timer {
        Agnostic { #[pin] delay: futures_timer::Delay },
        Boxed { future: Boxed },
    }
}

/// A user's sleep.
struct Boxed(Pin<Box<dyn Future<Output = ()> + Send>>);

// SAFETY: it is reached through `&mut` alone; a shared reference to it gives access to nothing.
unsafe impl Sync for Boxed {}

impl Sleep {
    /// A sleep that lasts as long as `future`, for [`Clock`](crate::time::Clock)s of your own. Allocates.
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { timer: Timer::Boxed { future: Boxed(Box::pin(future)) } }
    }

    pub(super) fn agnostic(delay: futures_timer::Delay) -> Self {
        Self { timer: Timer::Agnostic { delay } }
    }

    #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
    pub(super) fn tokio(sleep: tokio::time::Sleep) -> Self {
        Self { timer: Timer::Tokio { sleep } }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.project().timer;
        #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
        let timer = match poll_by_tokio(timer, cx) {
            Ok(polled) => return polled,
            Err(timer) => timer,
        };
        match timer.project() {
            TimerProjection::Agnostic { delay } => delay.poll(cx),
            #[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
            TimerProjection::Tokio { .. } => Poll::Pending,
            TimerProjection::Boxed { future } => future.0.as_mut().poll(cx),
        }
    }
}

/// Polls tokio's timer. Its runtime may have shut down: then it panics, and another timer takes over, which is
/// returned. Another one than tokio's is returned as it is.
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
fn poll_by_tokio<'a>(
    mut timer: Pin<&'a mut Timer>,
    cx: &mut Context<'_>,
) -> Result<Poll<()>, Pin<&'a mut Timer>> {
    let TimerProjection::Tokio { mut sleep } = timer.as_mut().project() else { return Err(timer) };
    let polled = catch_unwind(AssertUnwindSafe(|| sleep.as_mut().poll(cx)));
    if let Ok(polled) = polled {
        return Ok(polled);
    }
    let left = sleep.deadline().saturating_duration_since(tokio_now());
    timer.set(Timer::Agnostic { delay: futures_timer::Delay::new(left) });
    Err(timer)
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
#[expect(clippy::disallowed_methods, reason = "a part of the door")]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
