//! The semaphore's words, and every operation that meets no waiter.

use super::debt::Debt;
use super::leftovers::Leftovers;
use super::queue::Queue;
use super::state::{Bound, Refusal, State};
use super::unclaimed::Unclaimed;
use super::waiter::Waiter;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::const_fn;
use crate::sync::leak::Tracked;
use core::ptr;

/// Permits and the queue for them. Three words; the first wait allocates the [`Waitlist`].
pub(crate) struct RawSemaphore {
    pub(super) state: AtomicU64,
    waitlist: AtomicPtr<Waitlist>,
    bound: AtomicU64,
}

/// What a semaphore needs once a task waits or a permit is owed.
pub(super) struct Waitlist {
    pub(super) queue: Queue,
    pub(super) leftovers: Leftovers,
    pub(super) debt: Debt,
    pub(super) unclaimed: Unclaimed,
    /// The tasks that wait only for the close, in a queue of their own.
    pub(super) watchers: RawSemaphore,
    made: Tracked,
}

impl Waitlist {
    fn new() -> Self {
        Self {
            queue: Queue::new(),
            leftovers: Leftovers::new(),
            debt: Debt::new(),
            unclaimed: Unclaimed::new(),
            watchers: RawSemaphore::new(0),
            made: Tracked::new(),
        }
    }
}

impl RawSemaphore {
    /// The most permits there can be.
    pub(crate) const MAX_PERMITS: u64 = State::MAX_PERMITS;

    const_fn! {
        pub(crate) const fn new(permits: u64) -> Self {
            Self::with_bound(permits, Bound::NONE)
        }
    }

    const_fn! {
        /// Never has more than these permits, at most [`Bound::MAX`].
        pub(crate) const fn with_max_permits(permits: u64) -> Self {
            let permits = if permits > Bound::MAX { Bound::MAX } else { permits };
            Self::with_bound(permits, Bound::new(permits.cast_signed(), permits))
        }
    }

    const_fn! {
        const fn with_bound(permits: u64, bound: Bound) -> Self {
            Self {
                state: AtomicU64::new(State::new(permits).0),
                waitlist: AtomicPtr::new(ptr::null_mut()),
                bound: AtomicU64::new(bound.0),
            }
        }
    }

    pub(super) fn state(&self) -> State {
        // ORDERING: Acquire pairs with the Release in `cas_state`: the fields of a new front are visible,
        // and every node that `retire` took off has visibly left.
        State(self.state.load(Ordering::Acquire))
    }

    /// Replaces the state.
    pub(super) fn cas_state(&self, from: State, to: State) -> bool {
        // ORDERING: Release publishes a releaser's work to the next holder's Acquire in `try_acquire` or
        // here, and a new front's fields to the Acquire in `state`. Acquire takes over what earlier
        // releases published.
        self.state.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn available(&self) -> u64 {
        self.state().permits()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed()
    }

    /// Whether the queue has a front, which may have been served already.
    pub(crate) fn has_waiters(&self) -> bool {
        self.state().front().is_some()
    }

    /// Whether this waiter is the front of the queue.
    pub(crate) fn is_front(&self, waiter: &Waiter) -> bool {
        waiter.node.is_some() && self.state().front() == waiter.node
    }

    /// Whether it can never have a permit.
    pub(crate) fn is_permanently_empty(&self) -> bool {
        self.bound().max_permits() == 0
    }

    /// How many permits releases pay before any waiter gets one.
    pub(crate) fn debt(&self) -> u64 {
        let owed = self.waitlist_if_any().map_or(0, |waitlist| waitlist.debt.owed());
        let bound = self.bound();
        // Those that were forgotten since are not there to pay with.
        let missing = if bound.is_some() { bound.existing().min(0).unsigned_abs() } else { 0 };
        owed.saturating_sub(missing)
    }

    // ---- taking what is free -----------------------------------------------------------------

    pub(crate) fn try_acquire(&self, asked: u32) -> Result<(), Refusal> {
        // ORDERING: Relaxed: a guess; the exchange decides, and a refusal reads nothing else.
        let mut state = State(self.state.load(Ordering::Relaxed));
        loop {
            if state.is_closed() {
                // MUTANTS: try_acquire
                // Read again with Acquire: a caller that is refused sees what led to the close.
                self.state();
                return Err(Refusal::Closed);
            }
            if asked == 0 {
                return Ok(());
            }
            let Some(left) = state.permits().checked_sub(u64::from(asked)) else {
                return Err(Refusal::NoPermits);
            };
            // ORDERING: Acquire pairs with the Release in `release` and `cas_state` that made these
            // permits free: the holder sees what earlier holders did.
            match self.state.compare_exchange_weak(
                state.0,
                state.with_permits(left).0,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => state = State(now),
            }
        }
    }

    /// Takes all free permits; at least one.
    pub(crate) fn try_acquire_all(&self) -> Result<u64, Refusal> {
        loop {
            let state = self.state();
            if state.is_closed() {
                return Err(Refusal::Closed);
            }
            if state.permits() == 0 {
                return Err(Refusal::NoPermits);
            }
            if self.cas_state(state, state.with_permits(0)) {
                return Ok(state.permits());
            }
        }
    }

    /// Whether a waiter was granted a permit and has not claimed it so far.
    pub(crate) fn has_unclaimed(&self) -> bool {
        self.waitlist_if_any().is_some_and(|waitlist| waitlist.unclaimed.is_any())
    }

    /// A waiter may take so many ns to claim what it was granted. The longest of those times holds for all.
    pub(crate) fn wait_for_claims(&self, nanos: u64) {
        self.waitlist_or_new().unclaimed.wait_for(nanos);
    }

    /// The longest of those times.
    pub(crate) fn longest_claim(&self) -> u64 {
        self.waitlist_if_any().map_or(0, |waitlist| waitlist.unclaimed.longest())
    }

    /// Takes up to `permits` free permits, also from a closed semaphore; returns how many.
    pub(super) fn take_free(&self, permits: u64) -> u64 {
        loop {
            let state = self.state();
            let taken = state.permits().min(permits);
            // MUTANTS: take_free
            if taken == 0 || self.cas_state(state, state.with_permits(state.permits() - taken)) {
                return taken;
            }
        }
    }

    // ---- the bound ---------------------------------------------------------------------------

    pub(super) fn bound(&self) -> Bound {
        // ORDERING: Relaxed: a limit that is only compared. A waiter that enqueues by an old one meets the
        // new one at the front: `reduce` lowers the bound before its exchange of `state`, and a thread
        // that makes or meets a front has acquired that.
        Bound(self.bound.load(Ordering::Relaxed))
    }

    /// Changes a bound and returns what it replaced. Does nothing if there is none.
    pub(super) fn change_bound(&self, change: impl Fn(Bound) -> Bound) -> Bound {
        let mut bound = self.bound();
        while bound.is_some() {
            // ORDERING: Relaxed, as in `bound`.
            match self.bound.compare_exchange_weak(
                bound.0,
                change(bound).0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return bound,
                Err(now) => bound = Bound(now),
            }
        }
        Bound::NONE
    }

    // ---- the waitlist ------------------------------------------------------------------------

    pub(super) fn waitlist(&self) -> &Waitlist {
        // ORDERING: Acquire pairs with the Release in `waitlist_or_new`.
        let waitlist = self.waitlist.load(Ordering::Acquire);
        debug_assert!(!waitlist.is_null());
        // SAFETY: every caller has a node in hand or has seen QUEUE or DEBT, all later than the
        // waitlist's publication. It is freed with `self` and never replaced.
        let waitlist = unsafe { &*waitlist };
        waitlist.made.check();
        waitlist
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.waitlist().queue
    }

    pub(super) fn waitlist_if_any(&self) -> Option<&Waitlist> {
        // ORDERING: Acquire pairs with the Release in `waitlist_or_new`.
        let waitlist = self.waitlist.load(Ordering::Acquire);
        // SAFETY: null, or published whole. It is freed with `self` and never replaced.
        unsafe { waitlist.as_ref() }.inspect(|waitlist| waitlist.made.check())
    }

    pub(super) fn waitlist_or_new(&self) -> &Waitlist {
        if self.waitlist_if_any().is_none() {
            let ours = Box::into_raw(Box::new(Waitlist::new()));
            // ORDERING: Release publishes the waitlist to the Acquire in `waitlist` and
            // `waitlist_if_any`; the first one stays.
            let installed = self.waitlist.compare_exchange(
                ptr::null_mut(),
                ours,
                Ordering::Release,
                Ordering::Relaxed,
            );
            // MUTANTS: waitlist_or_new
            if installed.is_err() {
                // SAFETY: `ours` came from `Box::into_raw` above and was not published.
                drop(unsafe { Box::from_raw(ours) });
            }
        }
        self.waitlist()
    }
}

impl Drop for RawSemaphore {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let waitlist = self.waitlist.load(Ordering::Relaxed);
        // MUTANTS: drop 2
        if !waitlist.is_null() {
            // SAFETY: it came from `Box::into_raw` in `waitlist_or_new`; `&mut self`: no other thread
            // uses it.
            drop(unsafe { Box::from_raw(waitlist) });
        }
    }
}
