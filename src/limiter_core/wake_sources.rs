//! What the head of the line waits for.

use super::concurrency::{Concurrency, Slot, permanent_refusal};
use super::not_until::NotUntil;
use super::shared::Core;
use crate::error::Refused;
use crate::semaphore::{Closed, Semaphore, SemaphorePermit, Waiting};
use crate::time::{SleepUntil, Timestamp};
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// What makes the head look at the rate before its time.
pub(super) struct WakeSources<'a> {
    closed: [Option<Closed<'a>>; 2],
    changes: RateChanges<'a>,
}

impl<'a> WakeSources<'a> {
    pub(super) fn of(core: &'a Core) -> Self {
        let mut closed = core.concurrency().semaphores().map(Semaphore::closed);
        Self { closed: [closed.next(), closed.next()], changes: RateChanges::of(core) }
    }

    fn is_closed(&mut self, cx: &mut Context<'_>) -> bool {
        self.closed.iter_mut().flatten().any(|closed| Pin::new(closed).poll(cx).is_ready())
    }
}

/// The next change of a rate, reset, or jump of the clock.
pub(super) struct RateChanges<'a> {
    core: &'a Core,
    next: Waiting<'a>,
}

impl<'a> RateChanges<'a> {
    pub(super) fn of(core: &'a Core) -> Self {
        Self { core, next: core.changes.wait() }
    }

    /// Whether a rate has changed. An error if the limiter is closed.
    pub(super) fn has_come(&mut self, cx: &mut Context<'_>) -> Result<bool, Refused> {
        let Poll::Ready(change) = Pin::new(&mut self.next).poll(cx) else { return Ok(false) };
        change.map_err(|_| Refused::closed())?.forget();
        // MUTANTS: has_come
        // One look is enough for any number of changes.
        self.core.changes.forget_permits(usize::MAX);
        self.next = self.core.changes.wait();
        Ok(true)
    }
}

/// Waits for a slot: one permit after the other.
pub(super) struct SlotWait<'a> {
    first: Option<SemaphorePermit<'a>>,
    /// `None`: no permit is needed.
    next: Option<Waiting<'a>>,
}

impl<'a> SlotWait<'a> {
    pub(super) fn of(core: &'a Core) -> Self {
        let next = core.concurrency().semaphores().next().map(Semaphore::wait);
        Self { first: None, next }
    }

    /// Ready with a slot, also where none is needed. The head keeps its limiter's own permit while it waits
    /// for a shared one: no other call could use it.
    pub(super) fn poll(
        &mut self,
        core: &'a Core,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Slot<'a>, Refused>> {
        let Concurrency::Limited(_, second) = core.concurrency() else {
            return Poll::Ready(core.concurrency().try_acquire());
        };
        while let Some(next) = &mut self.next {
            let Ok(permit) = ready!(Pin::new(next).poll(cx)) else {
                let refused = core.concurrency().semaphores().find_map(permanent_refusal);
                return Poll::Ready(Err(refused.unwrap_or_else(Refused::closed)));
            };
            match (self.first.take(), second) {
                (None, Some(second)) => {
                    self.first = Some(permit);
                    self.next = Some(second.wait());
                }
                (None, None) => return Poll::Ready(Ok(Slot { first: Some(permit), second: None })),
                (first, _) => return Poll::Ready(Ok(Slot { first, second: Some(permit) })),
            }
        }
        Poll::Pending
    }
}

/// How often one poll looks at the rate. With a clock that steps back at each reading it would never end.
const MAX_LOOKS: u32 = 4;

/// Ready when the rate admits one call.
pub(super) fn wait_for_rate<'a>(
    core: &'a Core,
    sources: &mut WakeSources<'a>,
    mut sleep: Pin<&mut Option<SleepUntil<'a>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Refused>> {
    for _ in 0..MAX_LOOKS {
        // The look below covers all changes so far.
        core.changes.forget_permits(usize::MAX);
        let Err(not_until) = core.peek() else {
            sleep.set(None);
            return Poll::Ready(Ok(()));
        };
        let free_at = wake_time(core.concurrency(), not_until)?;
        if sleep.as_ref().as_pin_ref().is_none_or(|sleep| sleep.deadline() != free_at) {
            sleep.set(Some(core.time.sleep_until(free_at, not_until.now)));
        }
        if sleep.as_mut().as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready()) {
            sleep.set(None);
            // MUTANTS: wait_for_rate 1
            return yield_now(cx);
        }
        // MUTANTS: wait_for_rate 2
        if sources.is_closed(cx) {
            return Poll::Ready(Err(Refused::closed()));
        }
        if !sources.changes.has_come(cx)? {
            return Poll::Pending;
        }
    }
    yield_now(cx)
}

/// When to look again; the refusal if that can never help.
fn wake_time(concurrency: &Concurrency, not_until: NotUntil) -> Result<Timestamp, Refused> {
    let refused = concurrency.escalate_if_permanent(not_until.into());
    match not_until.free_at {
        Some(free_at) if !refused.is_permanent() => Ok(free_at),
        _ => Err(refused),
    }
}

/// Looks again after other tasks have run: an erratic clock must not keep the thread.
pub(super) fn yield_now<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
