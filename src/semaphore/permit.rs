//! The guards of permits in use.

use super::Semaphore;
use std::sync::Arc;

/// Permits of a borrowed [`Semaphore`], given back on drop.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back at once"]
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

    /// Takes these permits out of the semaphore for good.
    #[inline]
    pub fn forget(mut self) {
        self.semaphore.lose(std::mem::take(&mut self.permits));
    }

    /// The permits stay in use without a guard, until [`Semaphore::release`].
    #[inline]
    pub(crate) fn keep(mut self) {
        self.permits = 0;
    }

    /// Adds the permits of `other` to this guard.
    ///
    /// # Panics
    ///
    /// If `other` belongs to another semaphore, as in tokio: a mistake in the program, for which
    /// every silent answer would miscount.
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

    /// Splits `permits` permits off into a guard of their own; `None` if there are not as many.
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

/// Permits that own their [`Semaphore`]'s `Arc`, given back on drop.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back at once"]
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

    /// Takes these permits out of the semaphore for good.
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

    /// Splits `permits` permits off into a guard of their own; `None` if there are not as many.
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
