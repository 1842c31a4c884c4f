//! How much to ask for ahead: about what was taken while a lease lasts.

/// Parts of one, so that a few calls in many leases are not rounded to none.
const SCALE: u64 = 1024;

/// What calls take of one limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    /// In the time of a lease, in [`SCALE`]ths.
    taken: u64,
    looked_at: u64,
    /// Since the last trip.
    since_trip: u64,
    /// What there was at the last look.
    left: u64,
    /// Counted as produced: what was held beyond that, and what was used.
    outstanding: u64,
    used: u64,
}

/// What a limit looks like now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Look {
    pub(crate) left: u64,
    pub(crate) held: u64,
    pub(crate) used: u64,
    pub(crate) is_produced: bool,
}

impl Flow {
    /// Takes note of what was taken since the last look; tells whether that is anything.
    pub(crate) fn look(&mut self, now: u64, lease: u64, look: Look) -> bool {
        let taken = if look.is_produced {
            let outstanding = look.held.saturating_sub(look.left);
            let settled = look.used.saturating_sub(self.used);
            let taken = outstanding.saturating_add(settled).saturating_sub(self.outstanding);
            (self.outstanding, self.used) = (outstanding, look.used);
            taken
        } else {
            self.left.saturating_sub(look.left)
        };
        self.left = look.left;
        let passed = now.saturating_sub(self.looked_at);
        self.looked_at = now;
        let kept = u128::from(self.taken) * u128::from(lease)
            / (u128::from(lease) + u128::from(passed)).max(1);
        let kept = u64::try_from(kept).unwrap_or(u64::MAX);
        self.taken = kept.saturating_add(taken.saturating_mul(SCALE));
        self.since_trip = self.since_trip.saturating_add(taken);
        taken > 0
    }

    /// The clock has gone back.
    pub(crate) fn restart(&mut self) {
        (self.looked_at, self.taken) = (0, 0);
    }

    /// So much was added to what is left, or has come back of it: nobody has taken that.
    pub(crate) fn now_left(&mut self, left: u64) {
        self.left = left;
    }

    /// What to have ahead: what is taken while a lease lasts.
    pub(crate) fn ahead(&self) -> u64 {
        (self.taken.saturating_add(SCALE / 2)) / SCALE
    }

    /// Whether anything was taken since the last trip.
    pub(crate) fn flows(&self) -> bool {
        self.since_trip > 0
    }

    pub(crate) fn begin_trip(&mut self) {
        self.since_trip = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Look};

    const LEASE: u64 = 1_000_000;

    #[test]
    fn what_is_taken_evenly_is_asked_for_ahead_and_forgotten_when_it_ends() {
        let mut flow = Flow::default();
        for tenth in 1..100 {
            flow.now_left(50);
            flow.look(tenth * LEASE / 10, LEASE, Look { left: 40, ..Look::default() });
        }
        assert!((90..=120).contains(&flow.ahead()), "{}", flow.ahead());
        let mut now = 10 * LEASE;
        for _ in 0..20 {
            now += LEASE;
            flow.look(now, LEASE, Look { left: 40, ..Look::default() });
        }
        assert_eq!(flow.ahead(), 0);
    }

    #[test]
    fn what_was_held_and_what_is_settled_are_the_same_calls() {
        let mut flow = Flow::default();
        let look = |left, held, used| Look { left, held, used, is_produced: true };
        flow.now_left(100);
        flow.look(1, LEASE, look(70, 100, 0));
        assert_eq!(flow.ahead(), 30);
        flow.look(2, LEASE, look(70, 70, 30));
        assert_eq!(flow.ahead(), 30, "settled at what it had reserved");
        assert!(flow.flows());
    }
}
