//! Changes how many permits there are.

use super::raw_semaphore::RawSemaphore;
use super::state::Bound;
use super::wake::WakeRunner;
use crate::sync::atomic::Ordering;

impl RawSemaphore {
    /// Adds new permits, no more than the bound allows.
    pub(crate) fn add(&self, permits: u64) {
        let room = |bound: Bound| bound.max_permits() - bound.existing();
        let before = self.change_bound(|bound| {
            Bound::new(bound.existing() + permits.min(room(bound)), bound.max_permits())
        });
        // MUTANTS: add
        let added = if before.is_some() { permits.min(room(before)) } else { permits };
        if added > 0 {
            self.release(added);
        }
    }

    /// Records that `permits` held permits will not come back. If that is more than the bound still counts,
    /// `reduce` has removed some of them while they were held, and their debt is cancelled.
    pub(crate) fn lose(&self, permits: u64) {
        let before = self.change_bound(|bound| {
            Bound::new(bound.existing().saturating_sub(permits), bound.max_permits())
        });
        if before.is_some() && permits > before.existing() {
            self.waitlist_or_new().debt.cancel(permits - before.existing());
        }
    }

    /// Permanently removes up to `permits` free permits; returns how many.
    pub(crate) fn forget(&self, permits: u64) -> u64 {
        let taken = self.take_free(permits);
        self.lose(taken);
        taken
    }

    /// Permanently removes `permits` permits: free ones now, the rest when they are released. Returns how
    /// many are gone already.
    ///
    /// Lowers a bound as well, and then removes no more than there are.
    pub(crate) fn reduce(&self, permits: u64) -> u64 {
        let fewer = |bound: Bound| permits.min(bound.existing());
        let before = self.change_bound(|bound| {
            // MUTANTS: reduce 1
            let max_permits = bound.max_permits().saturating_sub(permits);
            Bound::new(bound.existing() - fewer(bound), max_permits)
        });
        let permits = if before.is_some() { fewer(before) } else { permits };
        let taken = self.take_free(permits);
        let owed = permits - taken;
        let mut paid = 0;
        if owed > 0 {
            let waitlist = self.waitlist_or_new();
            // MUTANTS: reduce 2
            waitlist.debt.add(owed);
            // MUTANTS: reduce 3
            paid = self.settle(waitlist, owed);
        }
        if before.is_some() {
            // MUTANTS: reduce 4
            self.refuse_unsatisfiable();
        }
        taken + paid
    }

    /// Refuses a front that asks for more than there can be since the bound was lowered.
    fn refuse_unsatisfiable(&self) {
        let mut wakes = WakeRunner::default();
        // ORDERING: AcqRel, and a write although it changes nothing. If it comes before the exchange that
        // makes a front (in `acquire_or_enqueue` or `retire`), that thread sees the new bound. Otherwise
        // this thread sees the front.
        self.state.fetch_or(0, Ordering::AcqRel);
        self.assign_permits(0, &mut wakes);
        wakes.finish();
    }
}
