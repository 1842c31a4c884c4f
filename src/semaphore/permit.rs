//! The guards of held permits, and the operations that take permits without waiting.

use super::{Semaphore, count};
use crate::error::TryAcquireError;
use crate::raw::semaphore::Refusal;
use std::sync::Arc;

impl Semaphore {
    /// Takes one permit if one is free and no task waits.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` permits together if they are free and no task waits.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire_many(&self, permits: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.raw.try_acquire(permits)?;
        Ok(SemaphorePermit::new(self, permits as usize))
    }

    /// Takes all free permits; fails if there is none.
    ///
    /// ```
    /// let semaphore = ringgate::Semaphore::new(3);
    /// let all = semaphore.try_acquire_all()?;
    /// assert_eq!((all.num_permits(), semaphore.available_permits()), (3, 0));
    /// # Ok::<(), ringgate::TryAcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    pub fn try_acquire_all(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let permits = self.raw.try_acquire_all()?;
        Ok(SemaphorePermit::new(self, count(permits)))
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// [`try_acquire_many`](Self::try_acquire_many) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire_many_owned(
        self: Arc<Self>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.raw.try_acquire(permits)?;
        Ok(OwnedSemaphorePermit::new(self, permits as usize))
    }

    /// [`try_acquire_all`](Self::try_acquire_all) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    pub fn try_acquire_all_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let permits = self.raw.try_acquire_all()?;
        Ok(OwnedSemaphorePermit::new(self, count(permits)))
    }
}

/// Permits of a borrowed [`Semaphore`], returned on drop.
#[derive(Debug)]
#[must_use = "dropping a permit returns it immediately"]
#[clippy::has_significant_drop]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

impl<'a> SemaphorePermit<'a> {
    #[inline]
    pub(super) fn new(semaphore: &'a Semaphore, permits: usize) -> Self {
        Self { semaphore, permits }
    }

    /// Permanently removes these permits from the semaphore.
    #[inline]
    pub fn forget(mut self) {
        self.semaphore.lose(std::mem::take(&mut self.permits));
    }

    /// Keeps the permits in use without a guard, until [`Semaphore::release`].
    #[inline]
    pub(crate) fn keep(mut self) {
        self.permits = 0;
    }

    /// Adds the permits of `other` to this guard.
    ///
    /// # Panics
    ///
    /// If `other` belongs to another semaphore, as in tokio.
    ///
    /// ```
    /// # use ringgate::Semaphore;
    /// let semaphore = Semaphore::new(3);
    /// let mut permit = semaphore.try_acquire()?;
    /// permit.merge(semaphore.try_acquire_many(2)?);
    /// assert_eq!(permit.num_permits(), 3);
    /// # Ok::<(), ringgate::TryAcquireError>(())
    /// ```
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(
            std::ptr::eq(self.semaphore, other.semaphore),
            "merging permits from different semaphores"
        );
        self.permits = self.permits.saturating_add(std::mem::take(&mut other.permits));
    }

    /// Splits `permits` permits off into a new guard; `None` if this guard holds fewer.
    pub fn split(&mut self, permits: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(permits)?;
        Some(Self { semaphore: self.semaphore, permits })
    }

    /// How many permits this guard holds.
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// The semaphore these permits belong to.
    #[must_use]
    pub fn semaphore(&self) -> &'a Semaphore {
        self.semaphore
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

/// Permits that own their [`Semaphore`]'s `Arc`, returned on drop.
#[derive(Debug)]
#[must_use = "dropping a permit returns it immediately"]
#[clippy::has_significant_drop]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl OwnedSemaphorePermit {
    #[inline]
    pub(super) fn new(semaphore: Arc<Semaphore>, permits: usize) -> Self {
        Self { semaphore, permits }
    }

    /// Permanently removes these permits from the semaphore.
    #[inline]
    pub fn forget(mut self) {
        self.semaphore.lose(std::mem::take(&mut self.permits));
    }

    /// Adds the permits of `other` to this guard.
    ///
    /// # Panics
    ///
    /// If `other` belongs to another semaphore, as [`SemaphorePermit::merge`].
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(
            Arc::ptr_eq(&self.semaphore, &other.semaphore),
            "merging permits from different semaphores"
        );
        self.permits = self.permits.saturating_add(std::mem::take(&mut other.permits));
    }

    /// Splits `permits` permits off into a new guard; `None` if this guard holds fewer.
    pub fn split(&mut self, permits: usize) -> Option<Self> {
        self.permits = self.permits.checked_sub(permits)?;
        Some(Self { semaphore: Arc::clone(&self.semaphore), permits })
    }

    /// How many permits this guard holds.
    #[must_use]
    pub fn num_permits(&self) -> usize {
        self.permits
    }

    /// The semaphore these permits belong to.
    #[must_use]
    pub fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

impl From<Refusal> for TryAcquireError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => Self::Closed,
            Refusal::NoPermits | Refusal::TooMany | Refusal::Lapsed => Self::NoPermits,
        }
    }
}
