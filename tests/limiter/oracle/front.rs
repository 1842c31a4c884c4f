//! What is tested: limiters, and windows, which make the same promises.

use super::hand::HandClock;
use super::programs::{InFlight, Shape};
use crate::common::poll_with;
use crate::refusal::refusal;
use ringgate::{
    AcquireError, Limiter, LimiterAcquire, LimiterAcquireOwned, LimiterPermit, OwnedLimiterPermit,
    Priority, Rate, Refused, Semaphore, SemaphorePermit, SlidingWindow, WindowAcquire,
};
use ringgate_model::limiter::Refusal;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

const PRIORITIES: [Priority; 3] = [Priority::Normal, Priority::High, Priority::Low];

pub(super) fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// A limiter, or a window, which makes the same promises.
pub(super) enum Front {
    Limiter(Limiter),
    Window(Box<SlidingWindow>),
}

impl Front {
    pub(super) fn limiter(
        shape: &Shape,
        in_flight: InFlight,
        shared: &Arc<Semaphore>,
        clock: &HandClock,
    ) -> Self {
        let builder = Limiter::builder().margin(ns(shape.margin)).clock(clock.clone());
        let builder = match in_flight {
            InFlight::Unlimited => builder,
            InFlight::None => builder.max_concurrent(0),
            InFlight::Own(slots) => builder.max_concurrent(slots),
            InFlight::Shared(_) => builder.semaphore(Arc::clone(shared)),
            InFlight::Both { own, .. } => builder.max_concurrent(own).semaphore(Arc::clone(shared)),
        };
        let add = |builder: ringgate::LimiterBuilder, rule: &(u32, u64)| {
            builder.rate(Rate::new(rule.0, ns(rule.1)))
        };
        Self::Limiter(shape.rules.iter().fold(builder, add).build())
    }

    pub(super) fn window(shape: &Shape, clock: &HandClock) -> Self {
        let builder = SlidingWindow::builder().clock(clock.clone()).margin(ns(shape.margin));
        let add = |builder: ringgate::SlidingWindowBuilder, rule: &(u32, u64)| {
            builder.rate(Rate::new(rule.0, ns(rule.1)))
        };
        Self::Window(Box::new(shape.rules.iter().fold(builder, add).build()))
    }

    pub(super) fn try_acquire(&self, class: usize, owned: bool) -> Result<Permit<'_>, Refused> {
        match self {
            Self::Limiter(limiter) => {
                let call = limiter.call().priority(PRIORITIES[class]);
                if owned {
                    call.try_acquire_owned().map(Permit::Owned)
                } else {
                    call.try_acquire().map(Permit::Borrowed)
                }
            }
            Self::Window(window) => window.try_acquire().map(|()| Permit::None),
        }
    }

    pub(super) fn call(&self, class: usize, timeout: Option<u64>, owned: bool) -> Calling<'_> {
        match (self, timeout.map(ns)) {
            (Self::Limiter(limiter), timeout) => {
                let call = limiter.call().priority(PRIORITIES[class]);
                let call = timeout.map_or(call, |timeout| call.timeout(timeout));
                if owned {
                    Calling::Owned(Box::pin(call.acquire_owned()))
                } else {
                    Calling::Call(Box::pin(call.acquire()))
                }
            }
            (Self::Window(window), None) => Calling::Window(Box::pin(window.acquire())),
            (Self::Window(window), Some(timeout)) => {
                Calling::Window(Box::pin(window.acquire_timeout(timeout)))
            }
        }
    }

    pub(super) fn reset(&self) {
        match self {
            Self::Limiter(limiter) => limiter.reset(),
            Self::Window(window) => window.reset(),
        }
    }

    pub(super) fn close(&self) {
        match self {
            Self::Limiter(limiter) => limiter.close(),
            Self::Window(window) => window.close(),
        }
    }

    /// A window is never paused. `u64::MAX`: until it is resumed.
    pub(super) fn pause(&self, length: u64) -> bool {
        let Self::Limiter(limiter) = self else { return false };
        limiter.pause(if length == u64::MAX { Duration::MAX } else { ns(length) });
        true
    }

    pub(super) fn resume(&self) -> bool {
        let Self::Limiter(limiter) = self else { return false };
        limiter.resume();
        true
    }

    pub(super) fn paused_for(&self) -> Option<Duration> {
        match self {
            Self::Limiter(limiter) => limiter.paused_for(),
            Self::Window(_) => None,
        }
    }

    pub(super) fn set_rate(&self, n: usize, limit: u32, window: u64) -> bool {
        match self {
            Self::Limiter(limiter) => limiter.set_rate_at(n, Rate::new(limit, ns(window))).is_ok(),
            Self::Window(front) => front.set_rate_at(n, Rate::new(limit, ns(window))).is_ok(),
        }
    }

    pub(super) fn remaining(&self) -> u32 {
        match self {
            Self::Limiter(limiter) => limiter.remaining(),
            Self::Window(window) => window.remaining(),
        }
    }

    pub(super) fn available(&self) -> usize {
        match self {
            Self::Limiter(limiter) => limiter.available_permits(),
            Self::Window(_) => usize::MAX,
        }
    }

    pub(super) fn waiters(&self) -> usize {
        match self {
            Self::Limiter(limiter) => limiter.waiters(),
            Self::Window(window) => window.waiters(),
        }
    }
}

pub(super) enum Permit<'a> {
    Borrowed(#[expect(dead_code, reason = "held")] LimiterPermit<'a>),
    Owned(#[expect(dead_code, reason = "held")] OwnedLimiterPermit),
    OfSlots(#[expect(dead_code, reason = "held")] SemaphorePermit<'a>),
    None,
}

pub(super) enum Calling<'a> {
    Call(Pin<Box<LimiterAcquire<'a>>>),
    Owned(Pin<Box<LimiterAcquireOwned>>),
    Window(Pin<Box<WindowAcquire<'a>>>),
    Slot(Pin<Box<ringgate::Acquire<'a>>>),
}

impl<'a> Calling<'a> {
    pub(super) fn poll(&mut self, waker: &Waker) -> Poll<Result<Permit<'a>, Refusal>> {
        match self {
            Self::Call(call) => poll_with(call.as_mut(), waker)
                .map(|got| got.map(Permit::Borrowed).map_err(refusal)),
            Self::Owned(call) => {
                poll_with(call.as_mut(), waker).map(|got| got.map(Permit::Owned).map_err(refusal))
            }
            Self::Window(call) => poll_with(call.as_mut(), waker)
                .map(|got| got.map(|()| Permit::None).map_err(refusal)),
            Self::Slot(call) => poll_with(call.as_mut(), waker).map(|got| {
                let closed = |error: AcquireError| {
                    assert!(error.is_closed());
                    Refusal::Closed
                };
                got.map(Permit::OfSlots).map_err(closed)
            }),
        }
    }

    /// Place and estimated wait, if the future has them.
    pub(super) fn stands(&self) -> Option<(Option<usize>, Option<Duration>)> {
        match self {
            Self::Call(call) => Some((call.position(), call.estimated_wait())),
            Self::Window(call) => Some((call.position(), call.estimated_wait())),
            Self::Owned(call) => Some((call.position(), call.estimated_wait())),
            Self::Slot(_) => None,
        }
    }
}
