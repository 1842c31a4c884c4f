//! How rules are read and set.

use super::layout::Layout;
use super::rings::Shards;
use crate::raw::window::cell::{NEVER, Rule};
use crate::raw::window::select::MAX_RINGS;
use crate::raw::window::split::deal;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Shared cells are replaced by finer ones when the limit falls below the capacity divided by this.
const COARSE: u32 = 4;
/// So often an exchange of a limit is tried while others change it.
const EXCHANGES: u32 = 8;

impl Shards {
    pub(crate) fn rule(&self, index: usize) -> Option<Rule> {
        if self.rings.len() > 1 {
            return (index == 0).then(|| self.settled_rule().1);
        }
        // ORDERING: Relaxed: a rule is one word; no other memory goes with it.
        let read = |word: &AtomicU64| self.format.unpack_rule(word.load(Ordering::Relaxed));
        self.rule_words().nth(index).map(read)
    }

    /// Sets a rule before any other thread has these shards.
    pub(crate) fn seed_rule(&self, index: usize, limit: u32, window: u64) {
        let word = self.set_word(index, limit, window);
        let limit = usize::try_from(self.format.unpack_rule(word).limit).unwrap_or(usize::MAX);
        let shares = deal(limit, self.rings.len(), [0; MAX_RINGS], self.cells_per_ring());
        self.split.seed(word, shares);
    }

    /// Sets a rule. False if there is no slot for it.
    pub(crate) fn set_rule(&self, index: usize, limit: u32, window: u64) -> bool {
        if self.rings.len() > 1 {
            return self.change(self.format.pack_rule(limit, window));
        }
        let word = self.set_word(index, limit, window);
        // Not read again: it may be another one's by now, who looks as well. (With several rules no cell is shared.)
        if self.finer_capacity(self.format.unpack_rule(word)).is_some() {
            // Later admissions do not share a cell with earlier ones.
            self.rings[0].seal_stale_cell(self.format, NEVER);
        }
        true
    }

    fn set_word(&self, index: usize, limit: u32, window: u64) -> u64 {
        let word = self.format.pack_rule(limit, window);
        if self.is_shared() {
            // ORDERING: Relaxed: the reader checks that it belongs to the rule.
            self.requested_window.store(window, Ordering::Relaxed);
        }
        if let Some(rule) = self.rule_words().nth(index) {
            // ORDERING: Relaxed: `has_successor` orders a thread that copies it after this.
            rule.store(word, Ordering::Relaxed);
        }
        word
    }

    /// The first rule's window as it was requested.
    pub(super) fn requested_window(&self, limit: u32, rule: Rule) -> u64 {
        // ORDERING: Relaxed: another change's window belongs to another rule, or serves as well.
        let requested = self.requested_window.load(Ordering::Relaxed);
        let kept = self.format.unpack_rule(self.format.pack_rule(limit, requested));
        if self.is_shared() && kept == rule { requested } else { rule.window }
    }

    /// Changes the rule of several rings. False if there is no slot for it.
    fn change(&self, word: u64) -> bool {
        let Some(slot) = self.split.fill_slot(word) else { return false };
        loop {
            let (state, _) = self.settled_rule();
            if let Some(changing) = self.split.propose(state, slot) {
                self.finish_change(changing);
                return true;
            }
        }
    }

    /// Changes a limit from one to another, and keeps the window. Whether it is the other one now: not if it was neither. No
    /// limit is above the capacity.
    pub(crate) fn exchange_limit(&self, index: usize, from: u32, to: u32) -> bool {
        if self.rings.len() > 1 {
            return self.exchange_shared_limit(from.into(), to);
        }
        let Some(rule) = self.rule_words().nth(index) else { return false };
        // ORDERING: Relaxed: a rule is one word; no other memory goes with it.
        let word = rule.load(Ordering::Relaxed);
        let limit = self.format.unpack_rule(word).limit;
        if limit != u64::from(from) && limit != u64::from(to) {
            return false;
        }
        let changed = self.format.with_limit(word, to);
        // ORDERING: Relaxed, both, as in `set_word`. A write even if it changes nothing: the load above may have been stale.
        let exchanged =
            rule.compare_exchange(word, changed, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if exchanged && self.finer_capacity(self.format.unpack_rule(changed)).is_some() {
            self.rings[0].seal_stale_cell(self.format, NEVER);
        }
        exchanged
    }

    /// The same for several rings.
    fn exchange_shared_limit(&self, from: u64, to: u32) -> bool {
        for _ in 0..EXCHANGES {
            let (state, rule) = self.settled_rule();
            if rule.limit == u64::from(to) || rule.limit != from {
                return rule.limit == u64::from(to);
            }
            let word = self.format.pack_rule(to, rule.window);
            let Some(slot) = self.split.fill_slot(word) else { return false };
            if let Some(changing) = self.split.propose(state, slot) {
                self.finish_change(changing);
                return true;
            }
            self.split.free(slot);
        }
        false
    }

    /// The capacity that finer cells would have, if far more admissions share a cell than the limit calls for. It is
    /// wide enough that at a steady pace the window's admissions come to fit, although they are counted in whole cells.
    pub(super) fn finer_capacity(&self, rule: Rule) -> Option<u32> {
        let Layout { capacity, max_cells, .. } = self.layout;
        let least = rule.limit + 2 * self.format.per_cell;
        if !self.is_shared() || rule.is_unlimited() {
            None
        } else if least <= u64::from(max_cells) {
            Some(max_cells)
        } else if rule.limit < u64::from(capacity / COARSE) && least <= u64::from(capacity / 2) {
            Some(capacity / 2)
        } else {
            None
        }
    }
}
