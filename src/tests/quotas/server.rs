//! A provider with exact limits, which counts calls at their arrival.

use std::collections::VecDeque;

/// Times are in ms here.
pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;

/// How a provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sliding,
    Fixed,
    Bucket,
}

pub(super) const KINDS: [Kind; 3] = [Kind::Sliding, Kind::Fixed, Kind::Bucket];

#[derive(Debug)]
pub(super) struct Server {
    kind: Kind,
    pub(super) limit: u64,
    /// What counts in the window, with its arrival.
    counted: VecDeque<(u64, u64)>,
    /// What the bucket misses, times `MINUTE`, at a time.
    missing: (u64, u64),
}

impl Server {
    pub(super) fn new(kind: Kind, limit: u64) -> Self {
        Self { kind, limit, counted: VecDeque::new(), missing: (0, 0) }
    }

    fn used(&mut self, now: u64) -> u64 {
        let window = match self.kind {
            Kind::Sliding => now.saturating_sub(MINUTE),
            Kind::Fixed => (now / MINUTE * MINUTE).saturating_sub(1),
            Kind::Bucket => {
                let (missing, at) = self.missing;
                let missing = missing.saturating_sub(self.limit * (now - at));
                self.missing = (missing, now);
                return missing.div_ceil(MINUTE);
            }
        };
        let first = self.kind == Kind::Fixed && now < MINUTE;
        while let Some(&(at, _)) = self.counted.front() {
            if at > window || first {
                break;
            }
            self.counted.pop_front();
        }
        self.counted.iter().map(|(_, weight)| weight).sum()
    }

    pub(super) fn remaining(&mut self, now: u64) -> u64 {
        let used = self.used(now);
        self.limit.saturating_sub(used)
    }

    /// Whether it takes the call. A call that it refuses does not count.
    pub(super) fn takes(&mut self, now: u64, weight: u64) -> bool {
        let fits = self.used(now) + weight <= self.limit;
        if fits {
            self.count(now, weight);
        }
        fits
    }

    pub(super) fn count(&mut self, now: u64, weight: u64) {
        let used = self.used(now);
        let _ = used;
        self.counted.push_back((now, weight));
        self.missing.0 += weight * MINUTE;
    }

    /// Less than it weighed, of what came at a time.
    pub(super) fn corrects(&mut self, at: u64, weight: u64, used: u64) {
        let counted = self.counted.iter_mut().find(|counted| **counted == (at, weight));
        if let Some(counted) = counted {
            counted.1 = used;
        }
        self.missing.0 = self.missing.0.saturating_sub((weight - used) * MINUTE);
    }

    /// When it takes one more.
    pub(super) fn frees_after(&mut self, now: u64) -> u64 {
        self.used(now);
        let oldest = self.counted.front().map_or(0, |(at, _)| *at);
        match self.kind {
            Kind::Sliding => (oldest + MINUTE).saturating_sub(now),
            Kind::Fixed => MINUTE - now % MINUTE,
            Kind::Bucket => MINUTE.div_ceil(self.limit),
        }
    }
}
