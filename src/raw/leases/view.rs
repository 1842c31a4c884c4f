//! The leases as one look finds them.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;
use crossbeam_utils::CachePadded;

/// How many leases may be left at a time.
#[cfg(not(ringgate_loom))]
pub(crate) const LIVE: u64 = 7;
/// Few, so that a model sees the oldest end.
#[cfg(ringgate_loom)]
pub(crate) const LIVE: u64 = 2;

/// One more than a look reads: that one may be written.
const SLOTS: usize = MOST_READ + 1;
#[expect(clippy::cast_possible_truncation, reason = "a few")]
const MOST_READ: usize = LIVE as usize;

/// Where the leases lie, and how far they are spent.
#[derive(Debug)]
pub(super) struct Line {
    /// All before it was taken, has run out or was taken back. It only grows.
    spent: CachePadded<AtomicU64>,
    /// The number of the newest lease, from 1; 0 before the first.
    newest: AtomicU64,
    /// Lease `k` in slot `k % SLOTS`.
    slots: [Slot; SLOTS],
}

#[derive(Debug)]
struct Slot {
    /// Where it ends on the line.
    cap: AtomicU64,
    /// When it runs out, in ns.
    until: AtomicU64,
}

/// What is left of the oldest lease that is not spent, if that is one of the newest two. Leases are granted ahead, so mostly it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub(super) number: u64,
    /// Where it begins.
    pub(super) spent: u64,
    /// Where it ends.
    pub(super) cap: u64,
    /// Where everything ends.
    pub(super) end: u64,
}

/// What one look has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) newest: u64,
    pub(super) spent: u64,
    /// Where what is left begins.
    pub(super) begins: u64,
    /// Where the leases end, the newest first; those that are spent are left out, except the first of them.
    caps: [u64; MOST_READ],
    read: usize,
}

impl View {
    /// Where everything ends.
    pub(super) fn end(&self) -> u64 {
        self.caps[0]
    }

    pub(super) fn left(&self) -> u64 {
        self.end().saturating_sub(self.begins)
    }

    /// Where this lease ends, if it is not spent.
    pub(super) fn end_of(&self, number: u64) -> u64 {
        let nth = self.newest.checked_sub(number).and_then(|nth| usize::try_from(nth).ok());
        let cap = nth.and_then(|nth| self.caps[..self.read].get(nth).copied());
        cap.unwrap_or(self.spent)
    }

    /// Where the `nth` newest lease begins; before what is spent if it does so there.
    fn begin(&self, nth: usize) -> u64 {
        self.caps[..self.read].get(nth + 1).copied().unwrap_or(0)
    }

    /// The leases of a part of the line, the newest first: their numbers, and how much of each lies there. The part is not before what
    /// is spent.
    pub(super) fn parts(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
        let part = move |nth: usize| {
            let (begin, end) = (self.begin(nth).max(from), self.caps[nth].min(to));
            let number = self.newest.saturating_sub(u64::try_from(nth).unwrap_or(u64::MAX));
            (number, end.saturating_sub(begin))
        };
        (0..self.read).map(part).filter(|(_, amount)| *amount > 0)
    }
}

impl Line {
    pub(super) fn new() -> Self {
        let slot = |_| Slot { cap: AtomicU64::new(0), until: AtomicU64::new(0) };
        Self {
            spent: CachePadded::new(AtomicU64::new(0)),
            newest: AtomicU64::new(0),
            slots: core::array::from_fn(slot),
        }
    }

    fn slot(&self, number: u64) -> &Slot {
        &self.slots[usize::try_from(number % (LIVE + 1)).unwrap_or(0)]
    }

    /// The number of the newest lease.
    pub(super) fn newest(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `show`: the lease is seen, and that its word of what is unused was made.
        self.newest.load(Ordering::Acquire)
    }

    /// The rest of one of the newest two leases at this time, if it is what comes next and at least so much. It looks once.
    #[inline]
    pub(super) fn look_at_newest(&self, now: Timestamp, amount: u64) -> Option<Rest> {
        let number = self.newest();
        let (slot, before) = (self.slot(number), self.slot(number.wrapping_sub(1)));
        // ORDERING: Acquire, here and below, pairs with the Release in `show`, as in `look`. Before the first lease it is zero.
        let begin = before.cap.load(Ordering::Acquire);
        // ORDERING: Acquire, as above.
        let end = slot.cap.load(Ordering::Acquire);
        // ORDERING: Acquire, as above.
        let until = slot.until.load(Ordering::Acquire);
        // ORDERING: Relaxed: the exchange decides. Late, so that others are seldom faster than that.
        let spent = self.spent.load(Ordering::Relaxed);
        // MUTANTS: leases look 3
        let mut is_live = until > now.as_nanos();
        let mut rest = Rest { number, spent, cap: end, end };
        // MUTANTS: leases look 4
        if begin > spent {
            // ORDERING: Acquire, as above.
            let older = before.until.load(Ordering::Acquire);
            // ORDERING: Acquire, as above. If a later lease is in its slot, this is more than `spent`.
            let begins = self.slot(number.wrapping_sub(2)).cap.load(Ordering::Acquire);
            // MUTANTS: leases look 5
            is_live &= older > now.as_nanos() && begins <= spent;
            rest = Rest { number: number.wrapping_sub(1), cap: begin, ..rest };
        }
        let has_all = spent < rest.cap && amount <= rest.cap - spent;
        // The same number, as in `look`.
        // MUTANTS: leases look 6
        let is_newest = self.newest() == number;
        (has_all && is_live && is_newest).then_some(rest)
    }

    /// The leases at this time. It looks again if others were granted meanwhile.
    #[inline]
    pub(super) fn look(&self, now: Timestamp) -> View {
        loop {
            let newest = self.newest();
            // ORDERING: Acquire pairs with the Release in `pass`, and comes after `newest`: what was spent before that was shown is
            // spent here, so leases that are not read are spent. It also keeps the slots' loads behind it.
            let spent = self.spent.load(Ordering::Acquire);
            let mut view = View { newest, spent, begins: spent, caps: [0; MOST_READ], read: 0 };
            let mut number = newest;
            while number > 0 && view.read < MOST_READ {
                let slot = self.slot(number);
                // ORDERING: Acquire pairs with the Release in `show`. If this is a later lease's word, `newest` below is another
                // number: that of the lease before, or a later one.
                let cap = slot.cap.load(Ordering::Acquire);
                // ORDERING: Acquire, as above.
                let until = slot.until.load(Ordering::Acquire);
                view.caps[view.read] = cap;
                view.read += 1;
                // MUTANTS: leases look 1
                if until <= now.as_nanos() {
                    // Older ones end with it.
                    view.begins = view.begins.max(cap);
                }
                if cap <= spent {
                    break;
                }
                number -= 1;
            }
            // The same number: no slot that was read has been written meanwhile, and what is left was so when `spent` was read.
            // MUTANTS: leases look 2
            if self.newest() == newest {
                return view;
            }
        }
    }

    /// Moves the end of what is spent on from where a look has found it. False if it has moved since.
    #[inline]
    pub(super) fn pass(&self, from: u64, to: u64) -> bool {
        // ORDERING: Release publishes to the Acquire in `look`: a look that finds this finds the leases that it was found by. Acquire
        // pairs with the Release in `touch`: the mark that was set before it is seen. Relaxed on failure: the caller looks again.
        self.spent.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// A write that changes nothing: whoever passes later sees what was stored before, and whoever has passed before is seen.
    pub(super) fn touch(&self) {
        // ORDERING: Release publishes what was stored before to the Acquire in `pass`. Who has passed before is seen by later loads of
        // the same word.
        // MUTANTS: leases touch
        self.spent.fetch_add(0, Ordering::Release);
    }

    /// Shows a new lease. One thread only; all leases but the newest `LIVE - 1` are spent.
    pub(super) fn show(&self, number: u64, cap: u64, until: Timestamp) {
        let slot = self.slot(number);
        // ORDERING: Release pairs with the Acquire in `look`: whoever finds this word finds the number before it, or a later one, as the newest.
        slot.cap.store(cap, Ordering::Release);
        // ORDERING: Release, as above.
        slot.until.store(until.as_nanos(), Ordering::Release);
        // ORDERING: Release publishes the slot, and that older leases are spent, to the Acquire in `newest`.
        self.newest.store(number, Ordering::Release);
    }
}
