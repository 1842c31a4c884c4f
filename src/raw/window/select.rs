//! Several rings read as one history: their stamps newest first, although only each ring's own are in order. Of equal
//! stamps the first ring's comes first.
//!
//! Nothing is sorted and nothing is allocated. The k newest of all are found by halving the span of time in which the
//! k-th lies. The index in each ring that belongs to a moment is found by halves too, between those of earlier moments.
//!
//! Rings that do not stand still give some answer, and never a panic.

use super::cell::Format;
use super::ring::{History, Ring};
use crossbeam_utils::CachePadded;

/// The most rings that a log has.
pub(super) const MAX_RINGS: usize = 16;

/// A number for each ring; zero beyond the last.
pub(super) type Each = [usize; MAX_RINGS];

/// The stamps of several rings that stand still.
pub(super) struct Merged<'a> {
    rings: [Option<History<'a>>; MAX_RINGS],
}

impl<'a> Merged<'a> {
    pub(super) fn new(rings: &'a [CachePadded<Ring>], format: Format) -> Self {
        let mut merged = Self { rings: [const { None }; MAX_RINGS] };
        for (history, ring) in merged.rings.iter_mut().zip(rings) {
            *history = Some(ring.history(format));
        }
        merged
    }

    fn rings(&self) -> impl Iterator<Item = (usize, &History<'a>)> {
        self.rings.iter().map_while(Option::as_ref).enumerate()
    }

    /// How many of the `count` newest stamps are in each ring.
    pub(super) fn newest(&self, count: usize) -> Each {
        let all = self.later_than(0, [0; MAX_RINGS], [usize::MAX; MAX_RINGS]);
        if sum(all) <= count {
            return all;
        }
        // More than `count` are later than `low`, and at most `count` are later than `high`.
        let (mut low, mut high) = self.span(all);
        let (mut at_low, mut at_high) = (all, [0; MAX_RINGS]);
        while high - low > 1 {
            let middle = low.midpoint(high);
            let at_middle = self.later_than(middle, at_high, at_low);
            if sum(at_middle) <= count {
                (high, at_high) = (middle, at_middle);
            } else {
                (low, at_low) = (middle, at_middle);
            }
        }
        // The rest is stamped `high`.
        let mut rest = count.saturating_sub(sum(at_high));
        for (newest, with_equal) in at_high.iter_mut().zip(at_low) {
            let equal = with_equal.saturating_sub(*newest).min(rest);
            *newest += equal;
            rest -= equal;
        }
        at_high
    }

    /// How many stamps are less than `window` older than the newest one, and that newest stamp.
    pub(super) fn within(&self, window: u64) -> (usize, u64) {
        let all = self.later_than(0, [0; MAX_RINGS], [usize::MAX; MAX_RINGS]);
        let (_, newest) = self.span(all);
        let within = self.later_than(newest.saturating_sub(window), [0; MAX_RINGS], all);
        (sum(within), newest)
    }

    /// How many stamps there are.
    pub(super) fn len(&self) -> usize {
        sum(self.newest(usize::MAX))
    }

    /// The stamps that have at least `newer` newer ones, newest first.
    pub(super) fn after(&self, newer: usize) -> impl Iterator<Item = u64> {
        let mut passed = self.newest(newer);
        let mut heads = [0; MAX_RINGS];
        for (number, ring) in self.rings() {
            heads[number] = ring.get(passed[number]);
        }
        let rings = self.rings().count();
        core::iter::from_fn(move || {
            let mut newest = 0;
            for number in 1..rings {
                if heads[number] > heads[newest] {
                    newest = number;
                }
            }
            let stamp = heads[newest];
            passed[newest] += 1;
            heads[newest] = self.rings[newest].as_ref()?.get(passed[newest]);
            (stamp > 0).then_some(stamp)
        })
    }

    /// A moment before all stamps, and the newest stamp.
    fn span(&self, all: Each) -> (u64, u64) {
        let (mut first, mut last) = (u64::MAX, 0);
        for (number, ring) in self.rings() {
            if let Some(oldest) = all[number].checked_sub(1) {
                first = first.min(ring.stamp(oldest));
                last = last.max(ring.stamp(0));
            }
        }
        (first.saturating_sub(1).min(last), last)
    }

    /// How many stamps of each ring are later than `moment`, at least `from` and at most `to`.
    fn later_than(&self, moment: u64, from: Each, to: Each) -> Each {
        let mut later = [0; MAX_RINGS];
        for (number, ring) in self.rings() {
            let (mut start, mut end) = (from[number], to[number].min(ring.len()));
            while start < end {
                let middle = start.midpoint(end);
                if ring.stamp(middle) > moment { start = middle + 1 } else { end = middle }
            }
            later[number] = start;
        }
        later
    }
}

pub(super) fn sum(each: Each) -> usize {
    each.iter().fold(0, |sum, one| sum.saturating_add(*one))
}
