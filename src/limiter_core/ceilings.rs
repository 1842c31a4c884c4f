//! The rates as the user has set them, and as a provider tells them.

use super::ceiling::Ceiling;
use super::which::{Candidate, Candidates};
use crate::raw::window::Log;

/// What the user allows of each rule of a log.
#[derive(Debug)]
pub(super) struct Ceilings(Box<[Ceiling]>);

impl Ceilings {
    /// What the log allows now.
    pub(super) fn of(log: Option<&Log>) -> Self {
        let limits = log.into_iter().flat_map(|log| (0..log.rules()).map_while(|n| log.rule(n)));
        Self(limits.map(|(limit, _)| Ceiling::new(limit.into())).collect())
    }

    /// Before the user's change of a rule.
    pub(super) fn set(&self, index: usize, limit: u32) {
        if let Some(ceiling) = self.0.get(index) {
            ceiling.set(limit.into());
        }
    }

    /// The rules that limit something.
    pub(super) fn candidates(&self, log: &Log) -> Candidates {
        let candidate = |(index, ceiling): (usize, &Ceiling)| {
            let (_, window) = log.rule(index)?;
            let kept = log.kept_window(index)?;
            Some(Candidate { index, limit: ceiling.get(), window, kept })
        };
        let all = self.0.iter().enumerate().filter_map(candidate);
        all.filter(|one| !one.kept.is_zero()).collect()
    }

    /// Takes over a limit that the provider tells, as far as the user allows it. Returns whether it has changed.
    pub(super) fn take_over(&self, log: &Log, index: usize, said: u64) -> bool {
        let Some(ceiling) = self.0.get(index) else { return false };
        let current = || log.rule(index).map_or(0, |(limit, _)| limit.into());
        // Both are at most the user's.
        let limit = |limit: u64| u32::try_from(limit).unwrap_or(u32::MAX);
        ceiling
            .take_over(said, current, |from, to| log.exchange_limit(index, limit(from), limit(to)))
    }
}
