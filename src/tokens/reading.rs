//! Reading the clock.

use crate::raw::tokens::Now;
use crate::time::{Time, Timestamp};
use core::cell::Cell;

impl Now for &Time {
    #[inline]
    fn read(&self) -> Timestamp {
        self.now()
    }
}

/// Reads the clock, and keeps what it has read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) time: &'a Time,
    pub(super) last: &'a Cell<Timestamp>,
}

impl Now for Reading<'_> {
    #[inline]
    fn read(&self) -> Timestamp {
        let now = self.time.now();
        self.last.set(now);
        now
    }
}
