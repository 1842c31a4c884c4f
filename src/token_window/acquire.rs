//! Waiting for tokens.

use super::reservation::{Owned, OwnedTokenReservation, TokenReservation};
use super::{TokenWindow, ask};
use crate::blocking::block_on;
use crate::error::Refused;
use crate::limiter_core::{Admission, Ask, Core};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

impl TokenWindow {
    /// Waits in line until `weight` tokens can be reserved. Calls go in the order in which they came, large ones and small ones.
    ///
    /// # Errors
    ///
    /// [`Refused`], immediately, only if `weight` is more than the limit or the window is closed. Calls in line are refused when
    /// that comes to be so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; nothing has been counted.
    ///
    /// # Cost
    ///
    /// As [`try_acquire`](Self::try_acquire) if it need not wait. Else one allocation and a timer; the first in line wakes four
    /// times in a [grace](crate::TokenWindowBuilder::grace).
    ///
    /// ```
    /// use ringgate::TokenWindow;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let window = TokenWindow::new(1_000, Duration::from_millis(200));
    /// drop(window.acquire(900).await?); // counts in full
    /// let second = window.acquire(800).await?; // a window later
    /// second.settle(100);
    /// assert_eq!(window.remaining(), 900);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn acquire(&self, weight: u64) -> TokenAcquire<'_> {
        TokenAcquire { admission: Admission::new(&self.core, ask(weight)) }
    }

    /// Waits in line, but no longer than `timeout` after the first poll.
    ///
    /// # Errors
    ///
    /// [`Refused`] immediately if by time alone its tokens do not fit before the deadline, otherwise at the deadline; also as
    /// [`acquire`](Self::acquire). (Where what is held has to be settled first, it waits for that until the deadline.)
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_timeout(&self, weight: u64, timeout: Duration) -> TokenAcquire<'_> {
        TokenAcquire { admission: Admission::new(&self.core, within(timeout, weight)) }
    }

    /// [`acquire`](Self::acquire) with a future and a reservation that keep the window alive and borrow nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(self: Arc<Self>, weight: u64) -> TokenAcquireOwned {
        TokenAcquireOwned { admission: Admission::new(Owned(self), ask(weight)) }
    }

    /// [`acquire_timeout`](Self::acquire_timeout) with a future and a reservation that borrow nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    pub fn acquire_timeout_owned(
        self: Arc<Self>,
        weight: u64,
        timeout: Duration,
    ) -> TokenAcquireOwned {
        TokenAcquireOwned { admission: Admission::new(Owned(self), within(timeout, weight)) }
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
    pub fn blocking_acquire(&self, weight: u64) -> Result<TokenReservation<'_>, Refused> {
        block_on(self.acquire(weight))
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
    pub fn blocking_acquire_timeout(
        &self,
        weight: u64,
        timeout: Duration,
    ) -> Result<TokenReservation<'_>, Refused> {
        block_on(self.acquire_timeout(weight, timeout))
    }
}

fn within(timeout: Duration, weight: u64) -> Ask {
    Ask { timeout: Some(timeout), ..ask(weight) }
}

/// The future of [`TokenWindow::acquire`] and [`TokenWindow::acquire_timeout`].
///
/// Once it has completed it stays pending. It is small; where it has to wait, its place in line is an
/// allocation of its own.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct TokenAcquire<'a> {
    admission: Admission<&'a Core>,
}

impl TokenAcquire<'_> {
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

impl<'a> Future for TokenAcquire<'a> {
    type Output = Result<TokenReservation<'a>, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let admitted = self.admission.poll(cx);
        admitted.map_ok(|(core, reserved)| TokenReservation::new(core, reserved, None))
    }
}

/// The future of [`TokenWindow::acquire_owned`] and [`TokenWindow::acquire_timeout_owned`]: as [`TokenAcquire`], and it borrows
/// nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct TokenAcquireOwned {
    admission: Admission<Owned>,
}

impl TokenAcquireOwned {
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

impl Future for TokenAcquireOwned {
    type Output = Result<OwnedTokenReservation, Refused>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let admitted = self.admission.poll(cx);
        admitted.map_ok(|(core, reserved)| OwnedTokenReservation::new(core, reserved))
    }
}
