//! Changes how many permits there are.

use super::raw_semaphore::RawSemaphore;
use super::state::Bound;
use super::wake::WakeRunner;
use crate::sync::atomic::Ordering;

impl RawSemaphore {
    /// Adds new permits, no more than the bound allows. Those that were forgotten while they were owed are there again,
    /// to pay with.
    pub(crate) fn add(&self, permits: u64) {
        let more = |bound: Bound| {
            let room = bound.max_permits() - bound.there();
            (bound.there() + permits.min(room)).cast_signed()
        };
        let before = self.change_bound(|bound| Bound::new(more(bound), bound.max_permits()));
        // MUTANTS: add
        let added = if before.is_some() {
            (more(before) - before.existing()).unsigned_abs()
        } else {
            permits
        };
        if added > 0 {
            self.release(added);
        }
    }

    /// Records that `permits` held permits will not come back. If they are owed, or about to be, the debt stays: then fewer than
    /// none are there, until some are added.
    pub(crate) fn lose(&self, permits: u64) {
        self.change_bound(|bound| bound.without(permits));
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
        let fewer = |bound: Bound| permits.min(bound.there());
        let before = self.change_bound(|bound| {
            // MUTANTS: reduce 1
            let max_permits = bound.max_permits().saturating_sub(permits);
            Bound::new(bound.without(fewer(bound)).existing(), max_permits)
        });
        let permits = if before.is_some() { fewer(before) } else { permits };
        let taken = self.take_free(permits);
        let owed = permits - taken;
        let mut wakes = WakeRunner::default();
        let mut paid = 0;
        if owed > 0 {
            let waitlist = self.waitlist_or_new();
            // MUTANTS: reduce 2
            waitlist.debt.add(owed);
            // MUTANTS: reduce 3
            paid = self.settle(waitlist, owed, &mut wakes);
        }
        if before.is_some() {
            // MUTANTS: reduce 4
            self.refuse_unsatisfiable(&mut wakes);
        }
        wakes.finish();
        taken + paid
    }

    /// Refuses a front that asks for more than there can be since the bound was lowered.
    fn refuse_unsatisfiable(&self, wakes: &mut WakeRunner) {
        // ORDERING: AcqRel, and a write although it changes nothing. If it comes before the exchange that
        // makes a front (in `acquire_or_enqueue` or `retire`), that thread sees the new bound. Otherwise
        // this thread sees the front.
        self.state.fetch_or(0, Ordering::AcqRel);
        self.assign_permits(0, wakes);
    }
}
