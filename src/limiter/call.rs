//! What a call asks for, put together step by step.

use super::acquire::{LimiterAcquire, LimiterAcquireOwned};
use super::permit::{LimiterPermit, OwnedLimiterPermit};
use super::{Limiter, Priority};
use crate::blocking::block_on;
use crate::error::Refused;
use crate::limiter_core::{Ask, Kept, Reserved, Stamp};
use crate::tokens::Usage;
use core::time::Duration;
use std::sync::Arc;

impl Limiter {
    /// A call that says more about itself: its [priority](LimiterCall::priority), its [timeout](LimiterCall::timeout),
    /// the [tokens](LimiterCall::tokens) it expects to use.
    ///
    /// ```
    /// use ringgate::{Limiter, Priority, Rate};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ringgate::Refused> {
    /// let limiter = Limiter::new(Rate::per_minute(60), 4);
    /// let batch = limiter.call().priority(Priority::Low);
    /// let first = batch.timeout(Duration::from_secs(5)).acquire().await?;
    /// let second = batch.try_acquire()?;
    /// # drop((first, second));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn call(&self) -> LimiterCall<'_> {
        LimiterCall { limiter: self, ask: Ask::default() }
    }
}

/// A call of a [`Limiter`], before it is made. From [`Limiter::call`].
///
/// It is small and can be copied; one may be made as often as you like. It counts nothing until one of its
/// methods is called.
#[derive(Debug, Clone, Copy)]
#[must_use = "a call does nothing until it is acquired"]
pub struct LimiterCall<'a> {
    limiter: &'a Limiter,
    ask: Ask,
}

impl<'a> LimiterCall<'a> {
    /// How urgent it is, compared with the others in line. [`Normal`](Priority::Normal) unless it is set here.
    #[inline]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.ask.class = priority;
        self
    }

    /// Waits for at most `timeout`, from the first poll on; for as long as it takes if that is `None`, as it is unless it is set here.
    /// See [`Limiter::acquire_timeout`].
    #[inline]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.ask.timeout = timeout.into();
        self
    }

    /// How many tokens it expects to use. See [`LimiterBuilder::tokens`](crate::LimiterBuilder::tokens).
    ///
    /// Say no less than the provider reserves for it: usually the request's tokens, and the most that the answer may have. Zero,
    /// unless it is set, is never refused by a limit on tokens. Limits that the limiter does not have ignore it.
    #[inline]
    pub fn tokens(mut self, expected: Usage) -> Self {
        self.ask.tokens = expected;
        self
    }

    /// How many input tokens it expects to use. See [`tokens`](Self::tokens).
    #[inline]
    pub fn input_tokens(mut self, expected: u64) -> Self {
        self.ask.tokens.input = expected;
        self
    }

    /// How many output tokens it expects to use. See [`tokens`](Self::tokens).
    #[inline]
    pub fn output_tokens(mut self, expected: u64) -> Self {
        self.ask.tokens.output = expected;
        self
    }

    /// It has been sent before. It waits before all that have not, and is not one of
    /// [`max_waiters`](crate::LimiterBuilder::max_waiters).
    pub(crate) fn again(mut self) -> Self {
        self.ask.is_again = true;
        self
    }

    /// Waits in line. See [`Limiter::acquire`].
    ///
    /// # Errors
    ///
    /// As [`Limiter::acquire`]; with a timeout also as [`Limiter::acquire_timeout`].
    #[inline]
    pub fn acquire(self) -> LimiterAcquire<'a> {
        LimiterAcquire::new(&self.limiter.core, self.ask)
    }

    /// [`acquire`](Self::acquire) with a future and a permit that borrow nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(self) -> LimiterAcquireOwned {
        LimiterAcquireOwned::new(Arc::clone(&self.limiter.core), self.ask)
    }

    /// Admits the call now, or refuses. It does not wait, so a timeout means nothing to it.
    ///
    /// # Errors
    ///
    /// As [`Limiter::try_acquire`]. The time it tells is that of a call of this priority.
    #[inline]
    pub fn try_acquire(self) -> Result<LimiterPermit<'a>, Refused> {
        let core = &*self.limiter.core;
        if core.budgets().is_some() {
            return self.try_acquire_with_tokens();
        }
        let stamp = self.try_admit::<Stamp>()?;
        Ok(LimiterPermit::new(core, Reserved::of_rate(stamp)))
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(self) -> Result<OwnedLimiterPermit, Refused> {
        let core = &self.limiter.core;
        if core.budgets().is_some() {
            return self.try_acquire_owned_with_tokens();
        }
        let stamp = self.try_admit::<Stamp>()?;
        let tokens = Reserved::of_rate(stamp);
        Ok(OwnedLimiterPermit::new(Arc::clone(core), tokens))
    }

    /// Tries, and counts a refusal.
    #[inline]
    fn try_admit<K: Kept>(&self) -> Result<K, Refused> {
        let core = &*self.limiter.core;
        match core.try_admit(&self.ask) {
            Ok(kept) => Ok(kept),
            Err(refused) => {
                core.count_refusal(refused.limit());
                core.note_refusal(&self.ask, &refused);
                core.ring_if_noted();
                // Last: a subscriber may panic.
                core.tell_refusal(&refused);
                Err(refused)
            }
        }
    }

    /// A call of its own, so that one without tokens stays small where it is inlined.
    #[inline(never)]
    fn try_acquire_with_tokens(self) -> Result<LimiterPermit<'a>, Refused> {
        let core = &*self.limiter.core;
        Ok(LimiterPermit::new(core, self.try_admit()?))
    }

    #[inline(never)]
    fn try_acquire_owned_with_tokens(self) -> Result<OwnedLimiterPermit, Refused> {
        let core = &self.limiter.core;
        let tokens = self.try_admit()?;
        Ok(OwnedLimiterPermit::new(Arc::clone(core), tokens))
    }

    /// [`acquire`](Self::acquire) for a thread: it waits in the same line as tasks do.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`Semaphore::blocking_acquire`](crate::Semaphore::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire(self) -> Result<LimiterPermit<'a>, Refused> {
        block_on(self.acquire())
    }

    /// [`blocking_acquire`](Self::blocking_acquire) with a permit that borrows nothing.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`blocking_acquire`](Self::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_owned(self) -> Result<OwnedLimiterPermit, Refused> {
        block_on(self.acquire_owned())
    }
}
