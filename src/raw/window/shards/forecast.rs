//! What all rings together will allow: how many admissions now, and when a later one.

use super::rings::Shards;
use crate::raw::window::cell::{NEVER, Rule};
use crate::raw::window::ring::{MAX_SNAPSHOTS, RingError};
use crate::raw::window::select::MAX_RINGS;

impl Shards {
    pub(crate) fn remaining(&self, now: u64) -> Result<u64, RingError> {
        self.snapshot(|rule| match &*self.rings {
            [ring] => ring.remaining(self.rules(rule), now),
            rings => rings.iter().enumerate().try_fold(0_u64, |sum, (index, ring)| {
                let rules = self.rules(self.share(rule, index));
                Ok(sum.saturating_add(ring.remaining(rules, now)?))
            }),
        })
    }

    /// When the admission after `ahead` others is free.
    pub(crate) fn free_at(&self, ahead: u64, now: u64) -> Result<u64, RingError> {
        self.snapshot(|rule| match &*self.rings {
            [ring] => ring.free_at(self.rules(rule), ahead, now),
            _ => self.free_at_all(rule, ahead, now),
        })
    }

    /// Reads what belongs to one rule and its shares.
    fn snapshot(&self, read: impl Fn(Rule) -> Result<u64, RingError>) -> Result<u64, RingError> {
        if self.rings.len() == 1 {
            return read(self.first_rule());
        }
        let mut tries = 0;
        loop {
            let (state, rule) = self.settled_rule();
            let result = read(rule);
            tries += 1;
            // If changes do not end, an estimate must do.
            if self.split.is_current(state) || tries == MAX_SNAPSHOTS {
                return result;
            }
        }
    }

    /// By halves: the first moment by which all rings together allow `ahead` admissions and one. It is not before the
    /// first ring has allowed its part (often just then), nor after all have.
    fn free_at_all(&self, rule: Rule, ahead: u64, now: u64) -> Result<u64, RingError> {
        let mut shares = [0; MAX_RINGS];
        for (number, share) in shares.iter_mut().enumerate().take(self.rings.len()) {
            *share = self.share(rule, number).limit;
        }
        let sharing =
            || (0..self.rings.len()).filter(|ring| rule.is_unlimited() || shares[*ring] > 0);
        let free_at = |ring: usize, ahead| {
            let share = Rule { limit: shares[ring], ..rule };
            self.rings[ring].free_at(self.rules(share), ahead, now)
        };
        let part = ahead / (sharing().count() as u64).max(1);
        let (mut start, mut end) = (NEVER, 0);
        for ring in sharing() {
            let free_at = free_at(ring, part)?;
            (start, end) = (start.min(free_at), end.max(free_at));
        }
        let mut moment = start;
        while start < end {
            let allowed = sharing().try_fold(0, |sum, ring| {
                Ok(sum + count_free_by(moment, ahead, |ahead| free_at(ring, ahead))?)
            })?;
            if allowed > ahead {
                end = moment;
            } else {
                start = moment + 1;
            }
            moment = start.midpoint(end);
        }
        Ok(start)
    }
}

/// How many of the first `ahead` admissions and one are free by `moment`.
fn count_free_by(
    moment: u64,
    ahead: u64,
    free_at: impl Fn(u64) -> Result<u64, RingError>,
) -> Result<u64, RingError> {
    let (mut count, mut end) = (0, ahead + 1);
    while count < end {
        let middle = count.midpoint(end);
        if free_at(middle)? <= moment { count = middle + 1 } else { end = middle }
    }
    Ok(count)
}
