//! The log, and which of its shards are current.

use crate::rate::Margin;
use crate::raw::window::cell::Rule;
use crate::raw::window::reclaim::{Pinned, Reclaimer};
use crate::raw::window::shards::{Layout, Shards, needs_pin, unmarked};
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::time::in_nanos;
use core::fmt;
use core::ptr;
use core::time::Duration;

/// Admissions in time, kept within one or several rules.
pub(crate) struct Log {
    /// The first shards. They are inline, so that most logs have one pointer less to follow.
    pub(super) first: Shards,
    /// The marked pointer to the shards that have replaced `first`; null as long as `first` is current.
    current: AtomicPtr<Shards>,
    pub(super) reclaimer: Reclaimer,
    /// Added to every window.
    pub(super) margin: Margin,
}

/// The current shards.
pub(super) struct Current<'a> {
    pub(super) shards: &'a Shards,
    /// The pointer to them, as `Log::current` has it.
    place: *mut Shards,
    /// Keeps them from being freed, if they can be.
    pub(super) pinned: Option<Pinned<'a>>,
}

impl Log {
    /// A log that keeps all these rules together: limit and window, each window longer by `margin`.
    pub(crate) fn new(rules: &[(u32, Duration)], margin: impl Into<Margin>) -> Self {
        Self::with_layout(rules, margin, Layout::new(rules.len()).with_capacity(largest(rules)))
    }

    /// The same, and it also knows for a while what has left the window: for the answers of a provider.
    pub(crate) fn with_spare(rules: &[(u32, Duration)], margin: impl Into<Margin>) -> Self {
        let layout = Layout::new(rules.len()).with_spare().with_capacity(largest(rules));
        Self::with_layout(rules, margin, layout)
    }

    pub(crate) fn with_layout(
        rules: &[(u32, Duration)],
        margin: impl Into<Margin>,
        layout: Layout,
    ) -> Self {
        let margin = margin.into();
        let first = Shards::new(layout);
        for (index, (limit, window)) in rules.iter().enumerate() {
            first.seed_rule(index, (*limit).min(layout.capacity), in_nanos(margin.add_to(*window)));
        }
        let current = AtomicPtr::new(ptr::null_mut());
        Self { first, current, reclaimer: Reclaimer::new(), margin }
    }

    /// Limit and window of a rule, without the margin.
    pub(crate) fn rule(&self, index: usize) -> Option<(u32, Duration)> {
        let Rule { limit, window } = self.current().shards.rule(index)?;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Some((limit, self.margin.take_from(Duration::from_nanos(window))))
    }

    /// A rule's window with the margin, as it is kept.
    pub(crate) fn kept_window(&self, index: usize) -> Option<Duration> {
        self.current().shards.rule(index).map(|rule| Duration::from_nanos(rule.window))
    }

    /// How many rules there are.
    pub(crate) fn rules(&self) -> usize {
        self.first.rule_count()
    }

    /// How many rings it began with: so many threads are expected to stamp at once.
    pub(crate) fn rings(&self) -> usize {
        1 << self.first.layout().rings_log2
    }

    /// Admissions that share a cell.
    pub(crate) fn per_cell(&self) -> u32 {
        u32::try_from(self.current().shards.per_cell()).unwrap_or(u32::MAX)
    }

    // ---- the current shards --------------------------------------------------------------------

    #[inline]
    pub(super) fn current(&self) -> Current<'_> {
        match self.current_unpinned() {
            Some((shards, place)) => Current { shards, place, pinned: None },
            None => self.current_pinned(),
        }
    }

    /// The current shards and the pointer to them, if they are not freed before the log is.
    #[inline]
    pub(super) fn current_unpinned(&self) -> Option<(&Shards, *mut Shards)> {
        // ORDERING: Acquire pairs with the Release in `promote_successor`: the successor is seen filled.
        let place = self.current.load(Ordering::Acquire);
        if needs_pin(place) {
            return None;
        }
        // SAFETY: null, or a successor that is freed with `self` and not before.
        let shards = unsafe { place.as_ref() }.unwrap_or(&self.first);
        shards.tracked.check();
        Some((shards, place))
    }

    #[cold]
    #[inline(never)]
    fn current_pinned(&self) -> Current<'_> {
        let pinned = self.reclaimer.pin();
        // ORDERING: Acquire pairs with the Release in `promote_successor`, as in `current_unpinned`.
        let place = self.current.load(Ordering::Acquire);
        // SAFETY: once `current` is marked it stays marked, so it is not null. These shards were current after we
        // pinned, so they are not freed before we unpin.
        let shards = unsafe { &*unmarked(place) };
        shards.tracked.check();
        Current { shards, place, pinned: Some(pinned) }
    }

    /// Makes the successor of these shards the current ones. There is one, or they are closed.
    #[cold]
    pub(super) fn promote_successor(&self, old: &Current<'_>) {
        let (shards, from) = (old.shards, old.place);
        if shards.successor().is_null() {
            shards.link_successor();
        }
        let pinned = self.reclaimer.pin();
        // MUTANTS: promote_successor 1
        // ORDERING: Acquire pairs with the Release below. If other shards have become current since, the successor may
        // have been replaced, too.
        if self.current.load(Ordering::Acquire) != from {
            return;
        }
        let to = shards.successor();
        // SAFETY: linked by now, and whole. It had not been current when we pinned, so it is not freed before we unpin.
        let next = unsafe { &*unmarked(to) };
        next.tracked.check();
        shards.migrate_to(next, to);
        // ORDERING: Release publishes the copied cells and rules to the Acquire in `current_unpinned` and
        // `current_pinned`. Relaxed on failure: another thread has done so.
        let exchanged =
            self.current.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
        // MUTANTS: promote_successor 2
        if exchanged.is_ok() && needs_pin(from) {
            pinned.retire(unmarked(from));
        }
    }
}

fn largest(rules: &[(u32, Duration)]) -> u32 {
    rules.iter().map(|(limit, _)| *limit).max().unwrap_or(0)
}

impl Drop for Log {
    fn drop(&mut self) {
        // SAFETY: they came from `Box::into_raw` in `Shards::link`. No other thread is left.
        let free = |shards: *mut Shards| unsafe { Box::from_raw(unmarked(shards)) }.successor();
        let mut next = self.first.successor();
        while !next.is_null() && !needs_pin(next) {
            next = free(next);
        }
        // ORDERING: Relaxed: exclusive access.
        let place = self.current.load(Ordering::Relaxed);
        if needs_pin(place) {
            // The one that `next` points to may have been retired and freed.
            next = free(place);
        }
        if !next.is_null() {
            // Linked, but never current.
            free(next);
        }
    }
}

/// Without the cells: there may be a million.
impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = (0..self.rules()).filter_map(|index| self.rule(index));
        f.debug_list().entries(rules).finish()
    }
}
