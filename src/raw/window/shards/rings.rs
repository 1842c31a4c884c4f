//! What the shards consist of, and how their rule, shares and time are read.

use super::layout::Layout;
use crate::raw::window::cell::{Format, Rule, from_epoch};
use crate::raw::window::chunks::Chunks;
use crate::raw::window::reading::{ReadClock, Reading, TimeBase};
use crate::raw::window::ring::{Ring, Rules};
use crate::raw::window::select::Merged;
use crate::raw::window::split::{Split, State, deal};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::leak::Tracked;
use core::ptr;
use crossbeam_utils::CachePadded;

/// The rings of one size.
pub(crate) struct Shards {
    /// The first rule, where there is one ring.
    pub(super) rule: AtomicU64,
    /// The first rule's window as it was requested. Shared cells keep it less exactly.
    pub(super) requested_window: AtomicU64,
    /// The first rule and its shares, where there are several rings.
    pub(super) split: Split,
    /// Further rules. With them there is one ring, with a cell for each admission.
    pub(super) more_rules: Box<[AtomicU64]>,
    pub(super) format: Format,
    /// One rule, one admission a cell.
    pub(super) is_plain: bool,
    pub(super) rings: Box<[CachePadded<Ring>]>,
    pub(super) layout: Layout,
    /// How far the predecessor's stamps have been copied into these.
    pub(super) copying: Chunks,
    /// The marked pointer to the successor; null as long as there is none.
    pub(super) successor: AtomicPtr<Self>,
    /// They are freed before the log is: readers have to pin them.
    pub(super) needs_pin: bool,
    /// No stamp is earlier: the log may have forgotten what had left the window by then. (One ring's stamps grow by
    /// themselves; each of several rings knows only its own.)
    pub(super) floor: u64,
    /// Some stamps may be from after a jump of the clock that no thread has noticed: there are several rings, or
    /// there were several since time last restarted. (One ring clamps each stamp to the one before.)
    pub(super) is_mixed: bool,
    /// Why they are closed, if not for growth or finer cells: `RESET`, `JUMP`.
    pub(super) closed_for: AtomicU32,
    /// How many resets and jumps came before them.
    pub(super) epoch: u32,
    /// How far their time is ahead of the clock's, in ns; `TimeBase::UNSET` after a jump, until the clock is read.
    pub(super) offset: AtomicU64,
    /// The next in the list of retired logs.
    pub(super) next_retired: AtomicPtr<Self>,
    pub(crate) tracked: Tracked,
}

impl Shards {
    /// Empty rings, with no rule set yet.
    pub(crate) fn new(layout: Layout) -> Self {
        let format = Format::new(layout.capacity, layout.max_cells);
        let cells = u64::from(layout.capacity).div_ceil(format.per_cell).max(1);
        let cells = u32::try_from(cells).unwrap_or(u32::MAX);
        let rings = 1_u32 << layout.rings_log2;
        let ring = || CachePadded::new(Ring::new(layout.cells(cells.div_ceil(rings))));
        let rings: Box<[_]> = (0..rings).map(|_| ring()).collect();
        let is_mixed = rings.len() > 1;
        Self {
            rule: AtomicU64::new(0),
            requested_window: AtomicU64::new(0),
            split: Split::new(if rings.len() > 1 { rings.len() } else { 0 }),
            more_rules: (1..layout.rules).map(|_| AtomicU64::new(0)).collect(),
            format,
            is_plain: layout.rules == 1 && format == Format::PLAIN,
            rings,
            layout,
            copying: Chunks::new(0),
            successor: AtomicPtr::new(ptr::null_mut()),
            needs_pin: false,
            floor: 0,
            is_mixed,
            closed_for: AtomicU32::new(0),
            epoch: 0,
            offset: AtomicU64::new(0),
            next_retired: AtomicPtr::new(ptr::null_mut()),
            tracked: Tracked::new(),
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Admissions that share a cell.
    pub(crate) fn per_cell(&self) -> u64 {
        self.format.per_cell
    }

    pub(crate) fn rule_count(&self) -> usize {
        1 + self.more_rules.len()
    }

    pub(super) fn is_shared(&self) -> bool {
        self.format.per_cell > 1
    }

    pub(super) fn cells_per_ring(&self) -> usize {
        self.rings[0].usable_cells()
    }

    /// How many cells rules may look back, in all rings.
    pub(super) fn usable_cells(&self) -> usize {
        self.rings.len() * self.cells_per_ring()
    }

    #[inline]
    pub(super) fn mask(&self) -> usize {
        self.rings.len() - 1
    }

    // ---- time ----------------------------------------------------------------------------------

    /// How their time follows the clock's.
    #[inline]
    pub(crate) fn time_base(&self) -> TimeBase {
        // ORDERING: Acquire pairs with the Release in `set_offset`: the clock is read after it has jumped. (Mostly
        // the Acquire of the current shards tells that, too; not if the thread that linked them had closed the rings
        // for finer cells and only then saw the cause of the jump.)
        TimeBase { epoch: self.epoch, offset: self.offset.load(Ordering::Acquire) }
    }

    /// Reads the base, then the clock.
    #[inline]
    pub(crate) fn read_clock(
        &self,
        read: impl FnOnce() -> u64,
        read_again: ReadClock<'_>,
    ) -> Reading {
        let base = self.time_base();
        if base.offset == TimeBase::UNSET {
            return self.read_clock_first(read_again);
        }
        Reading { clock: read(), base }
    }

    /// The first reading after a jump.
    #[cold]
    #[inline(never)]
    fn read_clock_first(&self, read: ReadClock<'_>) -> Reading {
        self.set_offset(read());
        let base = self.time_base();
        Reading { clock: read(), base }
    }

    /// After a jump, lets time continue from the newest stamp at this reading, unless another reading has set the
    /// offset. The reading was made since these shards have been current.
    fn set_offset(&self, clock: u64) {
        let offset = from_epoch(self.floor).unwrap_or(0).saturating_sub(clock);
        // ORDERING: Release pairs with the Acquire in `time_base`: the clock was read before. Relaxed on failure:
        // `time_base` reads it again.
        let _ = self.offset.compare_exchange(
            TimeBase::UNSET,
            offset,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    // ---- rules and shares ----------------------------------------------------------------------

    #[inline]
    pub(super) fn rule_word(&self) -> u64 {
        // ORDERING: Relaxed: a rule is one word; no other memory goes with it.
        self.rule.load(Ordering::Relaxed)
    }

    /// The first rule of one ring.
    #[inline]
    pub(super) fn first_rule(&self) -> Rule {
        self.format.unpack_rule(self.rule_word())
    }

    pub(super) fn rule_words(&self) -> impl Iterator<Item = &AtomicU64> {
        core::iter::once(&self.rule).chain(&self.more_rules)
    }

    /// The rules for one ring.
    pub(super) fn rules(&self, first: Rule) -> Rules<'_> {
        Rules { format: self.format, first, more: &self.more_rules }
    }

    /// The rule for one of several rings.
    #[inline]
    pub(super) fn share(&self, rule: Rule, ring: usize) -> Rule {
        Rule { limit: self.split.share(ring), ..rule }
    }

    /// The rule of several rings, once no change is pending.
    pub(super) fn settled_rule(&self) -> (State, Rule) {
        loop {
            let state = self.split.state();
            if state.is_changing() {
                self.finish_change(state);
                continue;
            }
            let rule = self.split.rule(state);
            if self.split.is_current(state) {
                return (state, rule);
            }
        }
    }

    /// Does all that is left of a pending change.
    #[cold]
    pub(super) fn finish_change(&self, state: State) {
        let is_over = || !self.split.is_current(state);
        let mut rings = self.rings.iter();
        // MUTANTS: finish_change
        if !rings.all(|ring| ring.touch(self.format, state.mark(), is_over)) {
            return;
        }
        let limit = self.split.next_rule(state).limit;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let held = Merged::new(&self.rings, self.format).newest(limit);
        let shares = deal(limit, self.rings.len(), held, self.cells_per_ring());
        for (ring, share) in shares.into_iter().enumerate().take(self.rings.len()) {
            self.split.set_share(ring, state, share);
        }
        self.split.complete(state);
    }

    // ---- the list of retired logs --------------------------------------------------------------

    /// The next in the list of retired logs.
    pub(crate) fn next_retired(&self) -> *mut Self {
        // ORDERING: Relaxed: the thread that has taken the list has acquired it.
        self.next_retired.load(Ordering::Relaxed)
    }

    pub(crate) fn set_next_retired(&self, shards: *mut Self) {
        // ORDERING: Relaxed: published with the list.
        self.next_retired.store(shards, Ordering::Relaxed);
    }
}
