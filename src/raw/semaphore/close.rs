//! Closing, and waiting for the close.

use super::raw_semaphore::RawSemaphore;
use super::state::State;
use super::waiter::Waiter;
use super::wake::WakeRunner;
use crate::sync::atomic::Ordering;
use core::task::{Context, Poll};

impl RawSemaphore {
    pub(crate) fn close(&self) {
        let mut wakes = WakeRunner::default();
        self.refuse_all(&mut wakes);
        if let Some(waitlist) = self.waitlist_if_any() {
            // MUTANTS: close 1
            waitlist.watchers.refuse_all(&mut wakes);
        }
        wakes.finish();
    }

    fn refuse_all(&self, wakes: &mut WakeRunner) {
        // ORDERING: Release publishes what the closer did to every thread that acquires CLOSED (in
        // `state`). The load in `assign_permits` acquires what came before.
        self.state.fetch_or(State::CLOSED, Ordering::Release);
        // MUTANTS: refuse_all
        self.assign_permits(0, wakes);
    }

    /// Ready once the semaphore is closed. Watchers have a queue of their own and block no waiter.
    pub(crate) fn poll_closed(&self, watcher: &mut Waiter, cx: &mut Context<'_>) -> Poll<()> {
        if self.waitlist_or_new().watchers.poll(watcher, cx).is_ready() {
            return Poll::Ready(());
        }
        // MUTANTS: poll_closed
        // ORDERING: AcqRel, and a write although it changes nothing. If it comes before the closer's
        // `fetch_or`, the closer acquires the waitlist (in `assign_permits`) and finds this watcher in it.
        // Otherwise this thread sees CLOSED.
        if State(self.state.fetch_or(0, Ordering::AcqRel)).is_closed() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    pub(crate) fn cancel_closed(&self, watcher: &mut Waiter) {
        if let Some(waitlist) = self.waitlist_if_any() {
            waitlist.watchers.cancel(watcher);
        }
    }
}
