//! What processes may really have spent, by the true time: at most the limit in any window, whatever clocks say.

use ringgate_redis::script::Terms;

#[derive(Debug)]
pub(crate) struct Ledger {
    terms: Terms,
    /// For each window.
    grants: Vec<Vec<Spent>>,
}

#[derive(Debug, Clone, Copy)]
struct Spent {
    process: u64,
    /// The limit's time, and the true one.
    granted_at: u64,
    at: u64,
    amount: u64,
}

impl Ledger {
    pub(crate) fn new(terms: Terms) -> Self {
        let grants = vec![Vec::new(); terms.windows.len()];
        Self { terms, grants }
    }

    /// A process has the answer, and may spend all of it.
    pub(crate) fn grant(
        &mut self,
        process: u64,
        window: usize,
        granted_at: u64,
        at: u64,
        amount: u64,
    ) {
        self.grants[window].push(Spent { process, granted_at, at, amount });
        self.check(window, at, 0);
    }

    /// A process has used something that comes from no lease, or was held.
    pub(crate) fn spend(&mut self, process: u64, window: usize, at: u64, amount: u64) {
        self.grants[window].push(Spent { process, granted_at: u64::MAX, at, amount });
    }

    /// With what processes hold.
    pub(crate) fn check(&mut self, window: usize, now: u64, held: u64) {
        let grants = &mut self.grants[window];
        let window = self.terms.windows[window];
        grants.retain(|grant| grant.amount > 0 && grant.at + window.kept > now);
        let sum: u64 = grants.iter().map(|grant| grant.amount).sum::<u64>() + held;
        assert!(sum <= window.limit, "{sum} ({held} held) of {window:?}: {grants:?}");
    }

    /// It has not spent so much of one of its grants, and will not.
    pub(crate) fn give_back(&mut self, process: u64, window: usize, granted_at: u64, amount: u64) {
        let mut grants = self.grants[window].iter_mut();
        let grant = grants.find(|grant| {
            (grant.process, grant.granted_at) == (process, granted_at) && grant.amount >= amount
        });
        if let Some(grant) = grant {
            grant.amount -= amount;
        }
    }
}
