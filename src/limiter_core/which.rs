//! Which limit a provider means.

use crate::feedback::Quota;
use core::time::Duration;
use smallvec::SmallVec;

/// A limit of the kind that a quota is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its number.
    pub(super) index: usize,
    /// As the user has set it.
    pub(super) limit: u64,
    pub(super) window: Duration,
    /// With the margin.
    pub(super) kept: Duration,
}

/// Few limiters have more limits of a kind than fit here.
pub(super) type Candidates = SmallVec<[Candidate; 4]>;

/// Windows that differ by less than this part are equal: long ones are kept in coarser steps than nanoseconds.
const EXACT: u32 = 1_000_000;

/// The limit that is meant, if one is.
///
/// With a window that is told, it is the one with that window. Otherwise it is the one with the limit that is told, or the only one
/// there is, unless all is back so late that the provider's window must be longer.
pub(super) fn which(quota: &Quota, candidates: &[Candidate]) -> Option<usize> {
    if let Some(window) = quota.window().length() {
        let has_window = |one: &&Candidate| one.window.abs_diff(window) <= window / EXACT;
        return candidates.iter().find(has_window).map(|one| one.index);
    }
    let mut same = candidates.iter().filter(|one| Some(one.limit) == quota.limit());
    if let (Some(one), None) = (same.next(), same.next()) {
        return Some(one.index);
    }
    let [one] = candidates else { return None };
    let is_longer = quota.reset_after().is_some_and(|reset| reset > one.kept);
    (!is_longer).then_some(one.index)
}
