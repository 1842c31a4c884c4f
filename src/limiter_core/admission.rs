//! One call's way through the limiter, as a future that tells its place in line.

use super::ask::Ask;
use super::going::{Deadline, Queued};
use super::leasing::Leasing;
use super::reserved::Kept;
use super::shared::Core;
use crate::coop;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::error::Limit;
use crate::error::Refused;
use core::fmt;
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;

/// How a call refers to its limiter.
///
/// # Safety
///
/// The core stays at its address for as long as this lives, even if this is moved.
pub(crate) unsafe trait Handle: Deref<Target = Core> {}

// SAFETY: what is borrowed does not move.
unsafe impl Handle for &Core {}
// SAFETY: the core is in the allocation, which an `Arc` keeps.
unsafe impl Handle for Arc<Core> {}

/// A call. It is small until it has to wait: then its place in line is an allocation of its own.
pub(crate) struct Admission<H: Handle> {
    /// Borrows the core, so it comes first: fields are dropped in this order.
    queued: Option<Pin<Box<Queued<'static>>>>,
    /// `None` once it has completed.
    core: Option<H>,
    ask: Ask,
    /// Decided while the task's budget was spent; the next poll returns it.
    undelivered: Option<Refused>,
}

impl<H: Handle> Admission<H> {
    #[inline]
    pub(crate) fn new(core: H, ask: Ask) -> Self {
        Self { queued: None, core: Some(core), ask, undelivered: None }
    }

    /// How many calls are ahead in line; `None` unless it waits.
    pub(crate) fn position(&self) -> Option<usize> {
        let position = self.queued.as_ref()?.position()?;
        Some(usize::try_from(position).unwrap_or(usize::MAX))
    }

    /// Its limiter, if it waits.
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    pub(crate) fn waits_for(&self) -> Option<&H> {
        self.core.as_ref().filter(|_| self.queued.is_some())
    }

    /// How many calls are ahead, what is in its way, and for how long, by one look; `None` unless it waits.
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    pub(crate) fn outlook(&self) -> Option<(usize, Limit, Option<Duration>)> {
        let ahead = self.position()?;
        let core = self.core.as_ref()?;
        let not_until = core.estimate_for(&self.ask, u64::try_from(ahead).unwrap_or(u64::MAX));
        let wait = match not_until {
            None => Some(Duration::ZERO),
            Some(not_until) => Refused::from(not_until).retry_after(),
        };
        Some((ahead, core.refusal(not_until).limit(), wait))
    }

    /// How long until the rate and the budgets admit it; `None` unless it waits, or if that is never.
    pub(crate) fn estimated_wait(&self) -> Option<Duration> {
        let ahead = u64::try_from(self.position()?).unwrap_or(u64::MAX);
        match self.core.as_ref()?.estimate_for(&self.ask, ahead) {
            None => Some(Duration::ZERO),
            Some(not_until) => Refused::from(not_until).retry_after(),
        }
    }

    /// Whether what it hands over is to be kept.
    #[inline]
    pub(crate) fn has_budgets(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.budgets().is_some())
    }

    /// Whether that is the number of a lease alone.
    #[inline]
    pub(crate) fn goes_by_one_lease(&self) -> bool {
        let leasing = self.core.as_ref().and_then(|core| core.leasing());
        leasing.is_some_and(Leasing::is_one_rate)
    }

    /// Stays pending after completion.
    #[inline]
    pub(crate) fn poll<K: Kept>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(H, K), Refused>> {
        if self.core.is_none() {
            return Poll::Pending;
        }
        let Poll::Ready(unit) = coop::poll_unit(cx) else {
            self.enqueue(cx);
            return Poll::Pending;
        };
        let decided = ready!(self.decide(cx));
        unit.made_progress();
        self.queued = None;
        Poll::Ready(match (decided, self.core.take()) {
            (Ok(reserved), Some(core)) => Ok((core, reserved)),
            (Err(refused), core) => {
                if let Some(core) = core {
                    core.count_refusal(refused.limit());
                    core.ring_if_noted();
                    // Last: a subscriber may panic.
                    core.tell_refusal(&refused);
                }
                Err(refused)
            }
            (Ok(_), None) => Err(Refused::closed()),
        })
    }

    #[inline]
    fn decide<K: Kept>(&mut self, cx: &mut Context<'_>) -> Poll<Result<K, Refused>> {
        if self.queued.is_none() {
            if let Some(refused) = self.undelivered.take() {
                return Poll::Ready(Err(refused));
            }
            if let Some(core) = self.core.as_deref()
                && let Some(kept) = K::at_once(|| core.try_one_lease())
            {
                return Poll::Ready(Ok(kept));
            }
            if let Poll::Ready(decided) = self.start(true) {
                return Poll::Ready(decided);
            }
        }
        let Some(queued) = &mut self.queued else { return Poll::Pending };
        let decided = queued.as_mut().poll(cx).map_ok(K::of);
        if decided.is_pending()
            && let Some(core) = &self.core
        {
            core.ring_if_noted();
        }
        decided
    }

    /// The call takes its place in line, and decides at the next poll: the task's budget is spent, or it has yet to give back what it
    /// had.
    #[cold]
    pub(crate) fn enqueue(&mut self, cx: &mut Context<'_>) {
        if self.queued.is_some() || self.undelivered.is_some() {
            return;
        }
        if let Poll::Ready(Err(refused)) = self.start::<()>(false) {
            self.undelivered = Some(refused);
        }
        if let Some(queued) = &mut self.queued
            && let Err(refused) = queued.as_mut().take_place(cx)
        {
            (self.queued, self.undelivered) = (None, Some(refused));
        }
        if let Some(core) = &self.core {
            core.ring_if_noted();
        }
    }

    /// Tries without a place in line, if `may_go`; joins the line if that can help.
    #[inline]
    fn start<K: Kept>(&mut self, may_go: bool) -> Poll<Result<K, Refused>> {
        let Some(core) = self.core.as_deref() else { return Poll::Pending };
        let deadline = self.ask.timeout.map(|timeout| {
            let set_at = core.time.now();
            Deadline { at: set_at.saturating_add(timeout), set_at }
        });
        let is_free = may_go && (core.gate.is_open() || core.passes_the_line(&self.ask));
        let decided = if is_free {
            Some(core.try_admit_uncontended(&self.ask))
        } else {
            core.check_satisfiable(&self.ask).err().map(Err)
        };
        match decided {
            None => {}
            Some(Err(refused)) if !refused.ends_the_wait() => {}
            Some(decided) => return Poll::Ready(decided),
        }
        self.join(deadline, may_go)
    }

    #[cold]
    fn join<K>(&mut self, deadline: Option<Deadline>, waits: bool) -> Poll<Result<K, Refused>> {
        let Some(core) = self.core.as_deref() else { return Poll::Pending };
        // SAFETY: by `Handle` the core stays at its address until `self.core` is dropped or given out. Only
        // `self.queued` gets this reference, and it is dropped before that. (`Drop` of this type keeps borrowed ones alive.)
        let core: &'static Core = unsafe { &*ptr::from_ref(core) };
        if let Some(deadline) = &deadline {
            let wait = core.estimate_for_newcomer(&self.ask);
            if wait.is_some_and(|wait| !wait.is_over_by(deadline.at)) {
                let refused = core.refusal(wait);
                core.note_refusal(&self.ask, &refused);
                return Poll::Ready(Err(refused));
            }
        }
        match Queued::new(core, self.ask, deadline, waits) {
            Ok(queued) => self.queued = Some(Box::pin(queued)),
            Err(refused) => return Poll::Ready(Err(refused)),
        }
        Poll::Pending
    }
}

/// The place in line says that it borrows for ever. This makes the compiler ask for the core when a call is dropped:
///
/// ```compile_fail,E0597
/// use ringgate::Limiter;
/// let call;
/// let limiter = Limiter::builder().max_concurrent(1).build();
/// call = limiter.acquire(); // it would be dropped after the limiter
/// ```
impl<H: Handle> Drop for Admission<H> {
    #[inline]
    fn drop(&mut self) {
        self.queued = None;
    }
}

impl<H: Handle> fmt::Debug for Admission<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("position", &self.position()).finish_non_exhaustive()
    }
}
