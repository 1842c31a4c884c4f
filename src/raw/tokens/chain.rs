//! The wheels, one after the other, and which of them is the current one.

use super::offset::Now;
use super::scale::Scale;
use super::succession::Change;
use super::wheel::{Closed, Wheel};
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::time::{JUMP, Timestamp, in_nanos};
use core::ptr;

pub(super) struct Chain {
    first: Box<Wheel>,
    /// The wheel that has replaced `first`; null as long as that is current.
    current: AtomicPtr<Wheel>,
}

impl Chain {
    pub(super) fn new(limit: u64, window: u64) -> Self {
        Self::of(Wheel::first(Scale::new(limit, window, 0), limit))
    }

    /// The chain that begins with this wheel.
    pub(super) fn of(first: Wheel) -> Self {
        let first = Box::new(first);
        Self { first, current: AtomicPtr::new(ptr::null_mut()) }
    }

    #[inline]
    pub(super) fn current(&self) -> &Wheel {
        // ORDERING: Acquire pairs with the Release in `promote`: the wheel is seen filled.
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: null, or a linked wheel, which is freed with `self` and not before.
        let wheel = unsafe { current.as_ref() }.unwrap_or(&self.first);
        wheel.tracked.check();
        wheel
    }

    /// Does this with the current wheel.
    #[inline]
    pub(super) fn with<T>(&self, work: impl Fn(&Wheel) -> Result<T, Closed>) -> T {
        loop {
            let wheel = self.current();
            match work(wheel) {
                Ok(result) => return result,
                Err(Closed) => self.promote(wheel),
            }
        }
    }

    /// The same, with a reading of the clock and its tick.
    #[inline]
    pub(super) fn with_tick<T>(
        &self,
        now: impl Now,
        work: impl Fn(&Wheel, Timestamp, u32) -> Result<T, Closed>,
    ) -> T {
        self.with_tick_from(now, 0, work)
    }

    /// The same, or with the tick of this time of the wheels if that is later. (If it is much later the clock has jumped back
    /// since, and that time will not come.) A wheel that has no more numbers for it gets a successor.
    #[inline]
    pub(super) fn with_tick_from<T>(
        &self,
        now: impl Now,
        earliest: u64,
        work: impl Fn(&Wheel, Timestamp, u32) -> Result<T, Closed>,
    ) -> T {
        loop {
            let wheel = self.current();
            let (now, time) = wheel.read(now);
            let has_jumped = earliest.saturating_sub(time) > in_nanos(JUMP);
            let time = if has_jumped { time } else { time.max(earliest) };
            let Some(tick) = wheel.scale.tick_at(time) else {
                self.renew(wheel, time);
                continue;
            };
            match work(wheel, now, tick) {
                Ok(result) => return result,
                Err(Closed) => self.promote(wheel),
            }
        }
    }

    /// A wheel of the same kind whose numbers begin at this time.
    #[cold]
    fn renew(&self, wheel: &Wheel, time: u64) {
        wheel.link(wheel.scale.with_origin(time), None, Change::Renumber);
        self.promote(wheel);
    }

    /// Makes the successor of this wheel the current one. There is one.
    #[cold]
    pub(super) fn promote(&self, wheel: &Wheel) {
        let Some(next) = wheel.successor() else { return };
        next.tracked.check();
        wheel.hand_over(next);
        let from = if ptr::eq(wheel, &raw const *self.first) { ptr::null() } else { wheel };
        let (from, to) = (from.cast_mut(), ptr::from_ref(next).cast_mut());
        // ORDERING: Release publishes what has been filled to the Acquire in `current`. Relaxed on failure: another thread
        // has done so.
        let _ = self.current.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let mut next = self.first.successor.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: it came from `Box::into_raw` in `link`, and no other thread is left.
            let wheel = unsafe { Box::from_raw(next) };
            // ORDERING: Relaxed: exclusive access.
            next = wheel.successor.load(Ordering::Relaxed);
        }
    }
}
