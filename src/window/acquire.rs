//! Waiting for a window.

use super::SlidingWindow;
use crate::blocking::block_on;
use crate::error::Refused;
use crate::limiter_core::{Admission, Ask, Core, Handle};
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

impl SlidingWindow {
    /// Waits in line until the window admits.
    ///
    /// The first in line sleeps once, until the oldest admission leaves the window (plus the timer's
    /// granularity).
    ///
    /// # Errors
    ///
    /// [`Refused`], immediately, only if the limit is zero, the window is closed, or the clock is at its end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; nothing has been counted.
    #[inline]
    pub fn acquire(&self) -> WindowAcquire<'_> {
        WindowAcquire { admission: Admission::new(&self.core, Ask::default()) }
    }

    /// Waits in line, but no longer than `timeout` after the first poll.
    ///
    /// # Errors
    ///
    /// [`Refused`] immediately if the current queue makes the deadline unreachable, otherwise at the
    /// deadline.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_timeout(&self, timeout: Duration) -> WindowAcquire<'_> {
        WindowAcquire { admission: Admission::new(&self.core, Ask::within(timeout)) }
    }

    /// [`acquire`](Self::acquire) with a future that keeps the window alive and borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(self: Arc<Self>) -> WindowAcquireOwned {
        WindowAcquireOwned { admission: Admission::new(Owned(self), Ask::default()) }
    }

    /// [`acquire_timeout`](Self::acquire_timeout) with a future that borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    pub fn acquire_timeout_owned(self: Arc<Self>, timeout: Duration) -> WindowAcquireOwned {
        WindowAcquireOwned { admission: Admission::new(Owned(self), Ask::within(timeout)) }
    }

    /// [`acquire`](Self::acquire) for a thread, which waits in the same line as tasks.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`Semaphore::blocking_acquire`](crate::Semaphore::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire(&self) -> Result<(), Refused> {
        block_on(self.acquire())
    }

    /// [`acquire_timeout`](Self::acquire_timeout) for a thread.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`blocking_acquire`](Self::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_timeout(&self, timeout: Duration) -> Result<(), Refused> {
        block_on(self.acquire_timeout(timeout))
    }
}

/// The future of [`SlidingWindow::acquire`] and [`SlidingWindow::acquire_timeout`].
///
/// Once it has completed it stays pending. It is small; where it has to wait, its place in line is an
/// allocation of its own.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WindowAcquire<'a> {
    admission: Admission<&'a Core>,
}

impl WindowAcquire<'_> {
    /// As [`LimiterAcquire::position`](crate::LimiterAcquire::position).
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.admission.position()
    }

    /// As [`LimiterAcquire::estimated_wait`](crate::LimiterAcquire::estimated_wait).
    #[must_use]
    pub fn estimated_wait(&self) -> Option<Duration> {
        self.admission.estimated_wait()
    }
}

impl Future for WindowAcquire<'_> {
    type Output = Result<(), Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.admission.poll(cx).map_ok(|(_, ())| ())
    }
}

/// The future of [`SlidingWindow::acquire_owned`] and [`SlidingWindow::acquire_timeout_owned`]: as
/// [`WindowAcquire`], and it borrows nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WindowAcquireOwned {
    admission: Admission<Owned>,
}

impl WindowAcquireOwned {
    /// As [`LimiterAcquire::position`](crate::LimiterAcquire::position).
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.admission.position()
    }

    /// As [`LimiterAcquire::estimated_wait`](crate::LimiterAcquire::estimated_wait).
    #[must_use]
    pub fn estimated_wait(&self) -> Option<Duration> {
        self.admission.estimated_wait()
    }
}

impl Future for WindowAcquireOwned {
    type Output = Result<(), Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.admission.poll(cx).map_ok(|(_, ())| ())
    }
}

/// A window's core, by the window's `Arc`.
struct Owned(Arc<SlidingWindow>);

impl Deref for Owned {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.0.core
    }
}

// SAFETY: the core is in the window, and that in the allocation, which an `Arc` keeps.
unsafe impl Handle for Owned {}
