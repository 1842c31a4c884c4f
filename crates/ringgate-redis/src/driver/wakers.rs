//! What runs wakers of calls, and of those who wait for another status: they are the user's. One that panics must not end the driver,
//! or calls would wait for good. The panic has been told when it began.
//!
//! Whatever a method does here is done before it runs a waker, and before a panic of one goes on. So nothing is left open.

use super::{Driver, timestamp};
use crate::status::Status;
use core::mem::forget;
use ringgate::Lessee;
use ringgate::time::Timestamp;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// `None` if a waker has panicked.
fn caught<R>(runs_wakers: impl FnOnce() -> R) -> Option<R> {
    // Leaked: to drop it would run the user's code.
    catch_unwind(AssertUnwindSafe(runs_wakers)).map_err(forget).ok()
}

/// The lease's number, if one was granted.
pub(super) fn grant(lessee: &mut Lessee, n: usize, amount: u64, until: u64) -> Option<u64> {
    let before = lessee.newest_lease(n);
    caught(|| lessee.grant(n, amount, timestamp(until)));
    lessee.newest_lease(n).filter(|&newest| Some(newest) != before)
}

impl<L> Driver<L> {
    pub(super) fn set_slots(&mut self, slots: u64) {
        self.slots = slots;
        caught(|| self.lessee.set_slots(usize::try_from(slots).unwrap_or(usize::MAX)));
    }

    pub(super) fn refuse_all(&mut self, refuses: bool) {
        self.refuses = refuses;
        caught(|| self.lessee.refuse_all(refuses));
    }

    pub(super) fn resume(&self) {
        caught(|| self.lessee.limiter().resume());
    }

    pub(super) fn pause_until(&self, until: Timestamp) {
        caught(|| self.lessee.limiter().pause_until(until));
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Status)) {
        caught(|| self.status.send_modify(change));
    }
}
