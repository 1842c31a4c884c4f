//! The guards of admitted calls.

use super::Limiter;
use super::lease::Lease;
use super::reserved::{LimiterReservation, OwnedLimiterReservation, Unsettled};
use crate::error::Refused;
use crate::feedback::Feedback;
use crate::limiter_core::{Core, Panics, Reserved};
use crate::time::Time;
use crate::tokens::Usage;
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

impl Limiter {
    /// Admits the call now, or refuses.
    ///
    /// # Errors
    ///
    /// [`Refused`] says which limit refused, and how long to wait if that is known.
    #[inline]
    pub fn try_acquire(&self) -> Result<LimiterPermit<'_>, Refused> {
        self.call().try_acquire()
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<OwnedLimiterPermit, Refused> {
        self.call().try_acquire_owned()
    }
}

/// A call's slot and tokens, whichever way its limiter is held.
struct Held<H: Deref<Target = Core>> {
    unsettled: Option<Unsettled<H>>,
    lease: Lease,
}

impl<H: Deref<Target = Core>> Held<H> {
    #[expect(clippy::inline_always, reason = "a call of its own moves what was reserved twice")]
    #[inline(always)]
    fn new(core: H, tokens: Reserved) -> Self {
        core.count_admission(&tokens);
        let mut held = Self { unsettled: Some(Unsettled::new(core, tokens)), lease: Lease::new() };
        // Last: the clock may panic, and then the slot and the tokens are given back.
        if let Some(unsettled) = &held.unsettled {
            held.lease.begin(&unsettled.core);
            // It runs the waker of the one who grants leases, which may panic, too. Then the call is not made.
            if let Some(panics) = unsettled.core.ring_if_noted_and_catch() {
                held.is_not_made(panics);
            }
        }
        held
    }

    #[cold]
    fn is_not_made(&mut self, panics: Panics) {
        if !std::thread::panicking() {
            self.give_back();
        }
        panics.resume();
    }

    fn core(&self) -> Option<&H> {
        self.unsettled.as_ref().map(|unsettled| &unsettled.core)
    }

    fn expected(&self) -> Usage {
        self.unsettled.as_ref().map_or(Usage::default(), Unsettled::expected)
    }

    fn observe(&self, feedback: &Feedback) {
        if let Some(unsettled) = &self.unsettled {
            unsettled.observe(feedback);
        }
    }

    fn observe_quotas(&self, feedback: &Feedback) {
        if let Some(unsettled) = &self.unsettled {
            unsettled.observe_quotas(feedback);
        }
    }

    fn observe_more(&self, head: &Feedback, all: &Feedback) {
        if let Some(unsettled) = &self.unsettled {
            unsettled.observe_more(head, all);
        }
    }

    fn settle(&mut self, used: Usage) {
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.settle(used);
        }
    }

    fn settle_at_least(&mut self, used: Usage) {
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.settle_at_least(used);
        }
    }

    fn give_back(&mut self) {
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.give_back();
        }
    }

    fn release_slot(mut self) -> Option<Unsettled<H>> {
        let unsettled = self.unsettled.take()?;
        unsettled.core.release();
        self.lease.end(&unsettled.core);
        Some(unsettled)
    }
}

impl<H: Deref<Target = Core>> Drop for Held<H> {
    /// The tokens are settled after that, even if a waker panics.
    #[inline]
    fn drop(&mut self) {
        if let Some(unsettled) = &self.unsettled {
            unsettled.core.release();
            self.lease.end(&unsettled.core);
        }
    }
}

/// An admitted call. Dropping it releases its concurrency slot; what it expected to use counts as used.
#[must_use = "dropping a permit releases its slot immediately"]
#[clippy::has_significant_drop]
pub struct LimiterPermit<'a>(Held<&'a Core>);

impl<'a> LimiterPermit<'a> {
    #[expect(clippy::inline_always, reason = "as `Held::new`")]
    #[inline(always)]
    pub(super) fn new(core: &'a Core, tokens: Reserved) -> Self {
        Self(Held::new(core, tokens))
    }

    /// What the call was [expected](crate::LimiterCall::tokens) to use; zero if its limiter has no limits on tokens.
    #[must_use]
    pub fn expected(&self) -> Usage {
        self.0.expected()
    }

    /// Takes over what the provider has said to this call, for all calls: [`Limiter::observe`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn observe(&self, feedback: &Feedback) {
        self.0.observe(feedback);
    }

    /// Takes over what is left of the provider's limits, and nothing else that was said.
    ///
    /// For what the headers of an answer say whose body tells whether it is a success (`read_usage`, `observe_with`): it
    /// counts as one answer then.
    ///
    /// ```
    /// use ringgate::{Feedback, Limiter, Quota, QuotaKind, QuotaWindow, Rate};
    ///
    /// let limiter = Limiter::builder().rate(Rate::per_minute(60)).build();
    /// let permit = limiter.try_acquire()?;
    /// let left = Quota::new(QuotaKind::Requests, QuotaWindow::Minute).with_limit(40);
    /// permit.observe_quotas(&Feedback::new().with_quota(left));
    /// assert_eq!(limiter.remaining(), 39);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`Limiter::observe`].
    pub fn observe_quotas(&self, feedback: &Feedback) {
        self.0.observe_quotas(feedback);
    }

    pub(crate) fn observe_more(&self, head: &Feedback, all: &Feedback) {
        self.0.observe_more(head, all);
    }

    /// Counts what the call has used in the place of what it was [expected](crate::LimiterCall::tokens) to, and ends it.
    ///
    /// Less gives the rest back: at the start, until the admission itself has left the window; as produced, at once. More is
    /// counted on top from now on, whatever the limit, because it has happened.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then all is counted, and the slot is free.
    ///
    /// ```
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let limiter =
    ///     Limiter::builder().input_tokens(2_000, minute).output_tokens(1_000, minute).build();
    /// let permit = limiter.call().tokens(Usage::new(1_200, 800)).try_acquire()?;
    /// assert_eq!(limiter.remaining_output_tokens(), 200);
    /// permit.settle(Usage::new(1_180, 512));
    /// assert_eq!(limiter.remaining_output_tokens(), 488);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn settle(mut self, used: Usage) {
        self.0.settle(used);
    }

    /// As [`OwnedLimiterPermit::settle_at_least`].
    pub(crate) fn settle_at_least(mut self, used: Usage) {
        self.0.settle_at_least(used);
    }

    /// Ends a call that was never sent, and gives its tokens back. In the rates it stays counted.
    ///
    /// # Panics
    ///
    /// As [`settle`](Self::settle).
    pub fn cancel(mut self) {
        self.0.give_back();
    }

    /// Releases the slot, and keeps the tokens: they are settled later.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; then all tokens count as used.
    ///
    /// ```
    /// use ringgate::{Limiter, Usage};
    /// use std::time::Duration;
    ///
    /// let limiter =
    ///     Limiter::builder().max_concurrent(1).tokens(2_000, Duration::from_secs(60)).build();
    /// let permit = limiter.call().input_tokens(1_200).try_acquire()?;
    /// let tokens = permit.release_slot();
    /// assert_eq!(limiter.available_permits(), 1);
    /// tokens.settle(Usage::new(700, 0)); // once the numbers are there
    /// assert_eq!(limiter.remaining_tokens(), 1_300);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn release_slot(self) -> LimiterReservation<'a> {
        LimiterReservation(self.0.release_slot())
    }
}

/// An admitted call that keeps its limiter alive. Dropping it releases its concurrency slot; what it expected to use counts as
/// used.
#[must_use = "dropping a permit releases its slot immediately"]
#[clippy::has_significant_drop]
pub struct OwnedLimiterPermit(Held<Arc<Core>>);

impl OwnedLimiterPermit {
    #[expect(clippy::inline_always, reason = "as `Held::new`")]
    #[inline(always)]
    pub(super) fn new(core: Arc<Core>, tokens: Reserved) -> Self {
        Self(Held::new(core, tokens))
    }

    /// The limiter's clock. `None` once the permit has ended.
    pub(crate) fn time(&self) -> Option<LimiterTime> {
        self.0.core().map(|core| LimiterTime(Arc::clone(core)))
    }

    /// As [`LimiterPermit::expected`].
    #[must_use]
    pub fn expected(&self) -> Usage {
        self.0.expected()
    }

    /// As [`LimiterPermit::observe`].
    ///
    /// # Panics
    ///
    /// As [`Limiter::observe`].
    pub fn observe(&self, feedback: &Feedback) {
        self.0.observe(feedback);
    }

    /// As [`LimiterPermit::observe_quotas`].
    ///
    /// # Panics
    ///
    /// As [`Limiter::observe`].
    pub fn observe_quotas(&self, feedback: &Feedback) {
        self.0.observe_quotas(feedback);
    }

    pub(crate) fn observe_more(&self, head: &Feedback, all: &Feedback) {
        self.0.observe_more(head, all);
    }

    /// As [`LimiterPermit::settle`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn settle(mut self, used: Usage) {
        self.0.settle(used);
    }

    /// Ends a call of which only this use is known: what it expected counts, or what it used where that is more.
    pub(crate) fn settle_at_least(mut self, used: Usage) {
        self.0.settle_at_least(used);
    }

    /// As [`LimiterPermit::cancel`].
    ///
    /// # Panics
    ///
    /// As [`LimiterPermit::settle`].
    pub fn cancel(mut self) {
        self.0.give_back();
    }

    /// As [`LimiterPermit::release_slot`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn release_slot(self) -> OwnedLimiterReservation {
        OwnedLimiterReservation(self.0.release_slot())
    }
}

/// A limiter's clock.
pub(crate) struct LimiterTime(Arc<Core>);

impl LimiterTime {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

impl Deref for LimiterTime {
    type Target = Time;

    fn deref(&self) -> &Time {
        self.0.time()
    }
}

/// Omits the limiter.
impl fmt::Debug for LimiterPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterPermit").finish_non_exhaustive()
    }
}

/// Omits the limiter.
impl fmt::Debug for OwnedLimiterPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLimiterPermit").finish_non_exhaustive()
    }
}
