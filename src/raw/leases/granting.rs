//! Granting leases and taking them back. There is one who does.

use super::MOST;
use super::raw_leases::{Back, RawLeases};
use super::view::LIVE;
use crate::sync::atomic::Ordering;
use crate::time::Timestamp;

/// The right to grant. There is one for each [`RawLeases`], so no two threads grant at once.
#[derive(Debug)]
pub(crate) struct Granter {
    /// The number of the newest lease.
    newest: u64,
    /// Where it ends.
    cap: u64,
}

impl RawLeases {
    /// Leases, and the right to grant them. `is_held`: amounts count once they are settled.
    pub(crate) fn with_granter(is_held: bool) -> (Self, Granter) {
        (Self::new(is_held), Granter { newest: 0, cap: 0 })
    }

    /// Grants an amount until a time, and returns the lease's number. `None` if nothing was granted: the amount is nought, or there
    /// are no more numbers.
    ///
    /// Older leases run out by then, too: what has run out moves the beginning of what is left behind them. If [`LIVE`] are left, the
    /// oldest ends.
    pub(crate) fn grant(&self, by: &mut Granter, amount: u64, until: Timestamp) -> Option<u64> {
        let amount = amount.min(MOST);
        let number = by.newest.checked_add(1)?;
        let cap = by.cap.checked_add(amount).filter(|_| amount > 0)?;
        // MUTANTS: leases grant 1
        if let Some(oldest) = number.checked_sub(LIVE).filter(|oldest| *oldest > 0) {
            // The beginning of time: nothing has run out.
            self.pass_to(Timestamp::ZERO, |view| view.end_of(oldest));
        }
        if let Back::Told(unused) = &self.back {
            // MUTANTS: leases grant 2
            unused.begin(number);
        }
        self.line.show(number, cap, until);
        (by.newest, by.cap) = (number, cap);
        Some(number)
    }

    /// Takes up to so much of what is left out of use. Returns how much.
    pub(crate) fn reclaim(&self, _: &mut Granter, now: Timestamp, amount: u64) -> u64 {
        let to = |left: u64, begins: u64| begins + amount.min(left);
        let view = self.pass_to(now, |view| to(view.left(), view.begins));
        amount.min(view.left())
    }

    /// What has run out comes back from now on.
    pub(crate) fn close_ended(&self, now: Timestamp) {
        self.pass_to(now, |view| view.begins);
    }

    /// Takes what has come back by this time, of up to so many leases.
    pub(crate) fn take_unused(
        &self,
        by: &mut Granter,
        now: Timestamp,
        most: usize,
    ) -> Vec<(u64, u64)> {
        self.close_ended(now);
        match &self.back {
            Back::Told(unused) => unused.take(by.newest, most),
            Back::Held { .. } => Vec::new(),
        }
    }

    /// What is held at this time, of amounts that count once they are settled: granted, and neither run out, taken back nor settled. More
    /// than there is, never less.
    pub(crate) fn held(&self, by: &Granter, now: Timestamp) -> u64 {
        let Back::Held { lapsed, released } = &self.back else { return 0 };
        self.close_ended(now);
        // ORDERING: Acquire pairs with the Release in `settle`: what is not held any more is among what was used, if that is asked for
        // afterwards.
        let released = released.load(Ordering::Acquire);
        // ORDERING: Relaxed, as in `come_back`.
        by.cap.saturating_sub(lapsed.load(Ordering::Relaxed)).saturating_sub(released)
    }
}
