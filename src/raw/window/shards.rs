//! Rings of one size, side by side, and the rules for all of them.
//!
//! **Shards.** With one rule and a large limit the cells are split into several rings, and the
//! limit into shares: a thread begins at a ring of its own and goes on to the others when that one
//! is full, so threads do not share cache lines until the limit is near. No ring exceeds its share,
//! hence all together never the limit. A refusal means that every ring was full for this `now`;
//! since what is full for a `now` stays so, they were all full together at the end.
//!
//! Several rules are kept in one ring: with two, one ring may be free by the first only and the
//! other by the second only, though the log as a whole is free by both.
//!
//! **Changing a rule** of one ring is one store, as a rule is one word. Several rings change together,
//! with their shares: see `split.rs`.

use super::cell::{Format, MAX_CELLS, Rule, shown};
use super::chunks::Chunks;
use super::log::Base;
use super::ring::{Full, NEVER, Quick, RECKONINGS, Ring, Rules, Spot, Stop};
use super::select::{MOST_RINGS, Merged};
use super::split::{Split, State, deal};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::leak::Canary;
use crate::sync::{parallelism, thread_number};
use core::ptr;
use crossbeam_utils::CachePadded;

/// Cells a ring has at least, where there are several.
const LEAST_CELLS: u32 = 64;

/// Shared cells are left for finer ones when the limit is this part of what they are made for.
const COARSE: u32 = 4;

/// The rings of one size.
pub(super) struct Shards {
    /// The first rule, where there is one ring.
    rule: AtomicU64,
    /// The first rule's window as it was asked for, where cells that are shared keep it less exactly.
    asked: AtomicU64,
    /// The first rule and its shares, where there are several.
    split: Split,
    /// Further rules. Then there is one ring, with a cell for each admission.
    pub(super) more: Box<[AtomicU64]>,
    pub(super) format: Format,
    /// One rule, one admission a cell.
    is_plain: bool,
    rings: Box<[CachePadded<Ring>]>,
    pub(super) layout: Layout,
    /// How far the stamps of the log before have been copied into this one.
    copying: Chunks,
    /// The successor, once there is to be one.
    next: AtomicPtr<Self>,
    /// They are freed before the log is: readers have to pin them.
    is_counted: bool,
    /// No stamp is earlier: what had left the window by then may have been forgotten. (One ring's stamps
    /// grow by themselves; each of several knows only its own.)
    floor: u64,
    /// What they are being left by: `RESET`, `JUMP`.
    left_by: AtomicU32,
    /// How many resets and jumps came before them.
    epoch: u32,
    /// How far their time is ahead of the clock's, in ns; `UNSET` after a jump, until the clock is read.
    ahead: AtomicU64,
    /// The next in the list of retired logs.
    next_retired: AtomicPtr<Self>,
    pub(super) canary: Canary,
}

/// How a log is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The largest limit.
    pub(crate) capacity: u32,
    pub(crate) rules: usize,
    pub(crate) rings_log2: u32,
    /// A larger limit shares cells.
    pub(crate) most_cells: u32,
    pub(crate) most_rings: usize,
}

impl Layout {
    /// For so many rules and nothing yet.
    pub(crate) fn of(rules: usize, most_cells: u32, most_rings: usize) -> Self {
        Self { capacity: 0, rules, rings_log2: 0, most_cells, most_rings }
    }

    pub(super) fn new(rules: usize) -> Self {
        Self::of(rules, MAX_CELLS, parallelism().next_power_of_two().min(MOST_RINGS))
    }

    /// With room for a limit of `capacity`.
    pub(super) fn with_capacity(self, capacity: u32) -> Self {
        let several = self.rules > 1;
        let capacity = if several { capacity.min(self.most_cells) } else { capacity };
        // Shared cells hold back part of the limit, each ring's anew: so there one ring is best.
        let one = several || capacity > self.most_cells;
        let useful = if one { 1 } else { capacity / LEAST_CELLS };
        let rings = usize::try_from(useful).unwrap_or(usize::MAX).clamp(1, self.most_rings);
        Self { capacity, rings_log2: rings.ilog2(), ..self }
    }
}

// ---- the rings -------------------------------------------------------------------------------------

impl Shards {
    /// Empty rings, and rules that are still to be set.
    pub(super) fn new(layout: Layout) -> Self {
        let format = Format::new(layout.capacity, layout.most_cells);
        let cells = u64::from(layout.capacity).div_ceil(format.per_cell).max(1);
        let cells = u32::try_from(cells).unwrap_or(u32::MAX);
        let rings = 1_u32 << layout.rings_log2;
        let ring = || CachePadded::new(Ring::new(cells.div_ceil(rings)));
        let rings: Box<[_]> = (0..rings).map(|_| ring()).collect();
        Self {
            rule: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            split: Split::new(if rings.len() > 1 { rings.len() } else { 0 }),
            more: (1..layout.rules).map(|_| AtomicU64::new(0)).collect(),
            format,
            is_plain: layout.rules == 1 && format == Format::PLAIN,
            rings,
            layout,
            copying: Chunks::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
            is_counted: false,
            floor: 0,
            left_by: AtomicU32::new(0),
            epoch: 0,
            ahead: AtomicU64::new(0),
            next_retired: AtomicPtr::new(ptr::null_mut()),
            canary: Canary::new(),
        }
    }

    // ---- what is asked of them -----------------------------------------------------------------

    /// `look`, in the common case.
    #[inline]
    pub(super) fn quick(&self, now: u64) -> Quick<(&Ring, Spot)> {
        let [ring] = &*self.rings else { return self.quick_around(now) };
        let rule = Format::PLAIN.read_rule(self.rule_word());
        if !self.is_plain || rule.is_open() {
            return Quick::Unclear;
        }
        ring.glance(rule, now).at(ring)
    }

    /// At the thread's own ring, and from there on.
    #[inline(never)]
    fn quick_around(&self, now: u64) -> Quick<(&Ring, Spot)> {
        let now = now.max(self.floor);
        let state = self.split.state();
        let rule = self.split.rule(state);
        if state.is_changing() || rule.is_open() || rule.limit == 0 {
            return Quick::Unclear;
        }
        let mut found = Quick::Full(Full::NOTHING);
        for (number, ring) in self.starting_at_home() {
            let limit = self.split.share(number);
            if limit == 0 {
                continue;
            }
            match (ring.glance(Rule { limit, ..rule }, now), found) {
                (Quick::Full(full), Quick::Full(all)) => found = Quick::Full(all.and(full)),
                (decided, _) => {
                    found = decided.at(ring);
                    break;
                }
            }
        }
        // Asked after the oldest cell was read, and before it is claimed.
        if self.split.is(state) { found } else { Quick::Unclear }
    }

    /// Where the rules allow an admission at `now`; nowhere if nothing limits.
    pub(super) fn look(&self, now: u64) -> Result<Option<(&Ring, Spot)>, Stop> {
        if let [ring] = &*self.rings {
            let spot = ring.look(self.rules(self.first_rule()), now)?;
            return Ok(spot.map(|spot| (&**ring, spot)));
        }
        loop {
            let (state, rule) = self.settled();
            let found = self.look_around(rule, now);
            // As in `quick_around`.
            if self.split.is(state) {
                return found;
            }
        }
    }

    fn look_around(&self, rule: Rule, now: u64) -> Result<Option<(&Ring, Spot)>, Stop> {
        let now = now.max(self.floor);
        let mut all = Full::NOTHING;
        for (number, ring) in self.starting_at_home() {
            match ring.look(self.rules(self.share(rule, number)), now) {
                Err(Stop::Full(full)) => all = all.and(full),
                decided => return decided.map(|spot| Some((ring, spot?))),
            }
        }
        Err(Stop::Full(all))
    }

    /// The rings and their numbers, from the thread's own on.
    #[inline]
    fn starting_at_home(&self) -> impl Iterator<Item = (usize, &Ring)> {
        let home = thread_number();
        (0..self.rings.len()).map(move |further| {
            let number = (home + further) & self.mask();
            (number, &*self.rings[number])
        })
    }

    pub(super) fn remaining(&self, now: u64) -> Result<u64, Stop> {
        self.reckon(|rule| match &*self.rings {
            [ring] => ring.remaining(self.rules(rule), now),
            rings => rings.iter().enumerate().try_fold(0_u64, |sum, (index, ring)| {
                let rules = self.rules(self.share(rule, index));
                Ok(sum.saturating_add(ring.remaining(rules, now)?))
            }),
        })
    }

    /// Reads what must belong to one rule and its shares.
    fn reckon(&self, reading: impl Fn(Rule) -> Result<u64, Stop>) -> Result<u64, Stop> {
        if self.rings.len() == 1 {
            return reading(self.first_rule());
        }
        let mut tries = 0;
        loop {
            let (state, rule) = self.settled();
            let result = reading(rule);
            tries += 1;
            // Where changes do not end, an estimate has to do.
            if self.split.is(state) || tries == RECKONINGS {
                return result;
            }
        }
    }

    pub(super) fn turn(&self, ahead: u64, now: u64) -> Result<u64, Stop> {
        self.reckon(|rule| match &*self.rings {
            [ring] => ring.turn(self.rules(rule), ahead, now),
            _ => self.turn_around(rule, ahead, now),
        })
    }

    /// By halves: the first moment by which all rings together allow so many. It is not before any
    /// of them has allowed its part (often just then), nor after all have.
    fn turn_around(&self, rule: Rule, ahead: u64, now: u64) -> Result<u64, Stop> {
        let mut shares = [0; MOST_RINGS];
        for (number, share) in shares.iter_mut().enumerate().take(self.rings.len()) {
            *share = self.share(rule, number).limit;
        }
        let sharing = || (0..self.rings.len()).filter(|ring| rule.is_open() || shares[*ring] > 0);
        let turn = |ring: usize, ahead| {
            self.rings[ring].turn(self.rules(Rule { limit: shares[ring], ..rule }), ahead, now)
        };
        let part = ahead / (sharing().count() as u64).max(1);
        let (mut start, mut end) = (NEVER, 0);
        for ring in sharing() {
            let turn = turn(ring, part)?;
            (start, end) = (start.min(turn), end.max(turn));
        }
        let mut moment = start;
        while start < end {
            let allowed = sharing().try_fold(0, |sum, ring| {
                Ok(sum + count_until(moment, ahead, |ahead| turn(ring, ahead))?)
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

    // ---- time ----------------------------------------------------------------------------------

    /// How their time goes by the clock's.
    #[inline]
    pub(super) fn base(&self) -> Base {
        // ORDERING: Acquire pairs with the Release in `set_ahead`: the clock is read after it has jumped.
        Base { epoch: self.epoch, ahead: self.ahead.load(Ordering::Acquire) }
    }

    /// After a jump: at this reading, made since they have been in place, time goes on from the newest stamp,
    /// unless another reading has set that.
    pub(super) fn set_ahead(&self, clock: u64) {
        let ahead = shown(self.floor).unwrap_or(0).saturating_sub(clock);
        // ORDERING: Release pairs with the Acquire in `base`: the clock was read before.
        let _ = self.ahead.compare_exchange(UNSET, ahead, Ordering::Release, Ordering::Relaxed);
    }

    // ---- rules ---------------------------------------------------------------------------------

    #[inline]
    fn rule_word(&self) -> u64 {
        // ORDERING: Relaxed: a rule is one word, and all there is to read.
        self.rule.load(Ordering::Relaxed)
    }

    /// Of one ring.
    #[inline]
    fn first_rule(&self) -> Rule {
        self.format.read_rule(self.rule_word())
    }

    pub(super) fn rule(&self, index: usize) -> Option<Rule> {
        if self.rings.len() > 1 {
            return (index == 0).then(|| self.settled().1);
        }
        // ORDERING: Relaxed: a rule is one word, and all there is to read.
        let read = |word: &AtomicU64| self.format.read_rule(word.load(Ordering::Relaxed));
        self.rule_words().nth(index).map(read)
    }

    fn rule_words(&self) -> impl Iterator<Item = &AtomicU64> {
        core::iter::once(&self.rule).chain(&self.more)
    }

    /// Sets a rule before anybody else has this.
    pub(super) fn begin_rule(&self, index: usize, limit: u32, window: u64) {
        let word = self.set_word(index, limit, window);
        let limit = usize::try_from(self.format.read_rule(word).limit).unwrap_or(usize::MAX);
        let shares = deal(limit, self.rings.len(), [0; MOST_RINGS], self.cells_each());
        self.split.begin(word, shares);
    }

    /// Sets a rule. False if there is no slot for it.
    pub(super) fn set_rule(&self, index: usize, limit: u32, window: u64) -> bool {
        if self.rings.len() > 1 {
            return self.change(self.format.rule(limit, window));
        }
        self.set_word(index, limit, window);
        if self.finer_capacity(self.first_rule()).is_some() {
            // What comes from now on is not mixed with what came before.
            self.rings[0].end_cell(self.format, NEVER);
        }
        true
    }

    fn set_word(&self, index: usize, limit: u32, window: u64) -> u64 {
        let word = self.format.rule(limit, window);
        if self.is_shared() {
            // ORDERING: Relaxed: whoever reads it asks whether it goes with the rule.
            self.asked.store(window, Ordering::Relaxed);
        }
        if let Some(rule) = self.rule_words().nth(index) {
            // ORDERING: Relaxed: whoever copies it is ordered after it by `is_succeeded`.
            rule.store(word, Ordering::Relaxed);
        }
        word
    }

    /// The first rule's window as it was asked for.
    fn asked_window(&self, limit: u32, rule: Rule) -> u64 {
        // ORDERING: Relaxed: another change's would go with another rule, or be as good.
        let asked = self.asked.load(Ordering::Relaxed);
        let kept = self.format.read_rule(self.format.rule(limit, asked));
        if self.is_shared() && kept == rule { asked } else { rule.window }
    }

    /// The rules for one ring.
    fn rules(&self, first: Rule) -> Rules<'_> {
        Rules { format: self.format, first, more: &self.more }
    }

    /// The rule for one of several rings.
    #[inline]
    fn share(&self, rule: Rule, ring: usize) -> Rule {
        Rule { limit: self.split.share(ring), ..rule }
    }

    fn cells_each(&self) -> usize {
        self.rings[0].looks_back()
    }

    #[inline]
    fn mask(&self) -> usize {
        self.rings.len() - 1
    }

    // ---- changing several rings' shares --------------------------------------------------------

    /// The rule of several rings, with no change pending.
    fn settled(&self) -> (State, Rule) {
        loop {
            let state = self.split.state();
            if state.is_changing() {
                self.help(state);
                continue;
            }
            let rule = self.split.rule(state);
            if self.split.is(state) {
                return (state, rule);
            }
        }
    }

    /// Changes the rule of several rings. False if there is no slot for it.
    fn change(&self, word: u64) -> bool {
        let Some(slot) = self.split.fill_slot(word) else { return false };
        loop {
            let (state, _) = self.settled();
            if let Some(changing) = self.split.propose(state, slot) {
                self.help(changing);
                return true;
            }
        }
    }

    /// Does what is left of a pending change.
    #[cold]
    fn help(&self, state: State) {
        let is_over = || !self.split.is(state);
        let mut rings = self.rings.iter();
        if !rings.all(|ring| ring.touch(self.format, state.mark(), is_over)) {
            return;
        }
        let limit = self.split.next_rule(state).limit;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let held = Merged::new(&self.rings, self.format).newest(limit);
        let shares = deal(limit, self.rings.len(), held, self.cells_each());
        for (ring, share) in shares.into_iter().enumerate().take(self.rings.len()) {
            self.split.set_share(ring, state, share);
        }
        self.split.complete(state);
    }

    // ---- successors ----------------------------------------------------------------------------

    /// The successor, marked if readers have to pin it; null if there is none.
    pub(super) fn next(&self) -> *mut Self {
        // ORDERING: Acquire pairs with the Release in `link`: it is seen whole.
        self.next.load(Ordering::Acquire)
    }

    /// Whether there is a successor, or is to be one, for somebody who has just set a rule.
    pub(super) fn is_succeeded(&self) -> bool {
        self.is_linked() || self.is_closed()
    }

    fn is_linked(&self) -> bool {
        // ORDERING: Release, and a write although it changes nothing: if it comes before the
        // exchange in `link`, whoever copies the rules after that one sees ours; else we see that we
        // have to set it in the successor, and acquire that. Acquire where there is none, too: of one
        // who sets a rule and one who has closed the ring and makes a successor, who comes second
        // here sees what the first has done.
        let null = ptr::null_mut();
        self.next.compare_exchange(null, null, Ordering::AcqRel, Ordering::Acquire).is_err()
    }

    /// Rings may be closed before there is a successor.
    fn is_closed(&self) -> bool {
        self.rings[0].is_closed(self.format)
    }

    /// Links a successor that has room for `limit`, with this rule and otherwise empty, unless there
    /// is one.
    pub(super) fn grow(&self, index: usize, limit: u32, window: u64) {
        let twice = self.layout.capacity.saturating_mul(2);
        // Not into shared cells only to have room to spare.
        let most = self.layout.most_cells;
        let spare = if limit <= most { twice.min(most) } else { twice };
        let next = self.successor(limit.max(spare), self.floor);
        next.begin_rule(index, limit, window);
        self.link(next, 0);
    }

    /// Links a successor to closed rings, unless there is one, with the rule there is: a fresh one if
    /// they are being reset, else one with finer cells, for as much as is in the window.
    #[cold]
    pub(super) fn succeed_closed(&self) {
        self.close();
        if self.is_linked() {
            return;
        }
        let Some(rule) = self.rule(0) else { return };
        let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
        // What several rules need is not for the first to say.
        let least = if self.is_shared() { limit } else { self.layout.capacity };
        // ORDERING: Relaxed: whoever has seen a ring closed for this has seen it before.
        let left_by = self.left_by.load(Ordering::Relaxed);
        let (cells, newest) = Merged::new(&self.rings, self.format).within(rule.window);
        let next = if left_by & RESET != 0 {
            self.successor(least, 0).with_time(self.epoch, 0)
        } else if left_by & JUMP != 0 {
            let floor = newest.max(self.floor);
            self.successor(self.layout.capacity, floor).with_time(self.epoch, UNSET)
        } else {
            let unused = self.rings[0].unused(self.format);
            let busy = (cells as u64 * self.format.per_cell).saturating_sub(unused);
            let busy = u32::try_from(busy).unwrap_or(u32::MAX);
            self.successor(busy.max(least), newest.max(self.floor))
        };
        next.begin_rule(0, limit, self.asked_window(limit, rule));
        let mark = if left_by & RESET != 0 {
            COUNTED | FRESH
        } else if left_by & JUMP != 0 {
            COUNTED | LIFTED
        } else {
            0
        };
        self.link(next, mark);
    }

    /// Has whoever makes the successor leave out what there is.
    pub(super) fn reset(&self) {
        self.leave_by(RESET);
    }

    /// Has whoever makes the successor let its time go on from the newest stamp.
    pub(super) fn go_on(&self) {
        self.leave_by(JUMP);
    }

    fn leave_by(&self, way: u32) {
        // ORDERING: Relaxed: published by the close, whose Release comes after this.
        self.left_by.fetch_or(way, Ordering::Relaxed);
        self.succeed_closed();
    }

    fn with_time(self, epoch: u32, ahead: u64) -> Self {
        Self { epoch: epoch.wrapping_add(1), ahead: AtomicU64::new(ahead), ..self }
    }

    fn close(&self) {
        self.rings.iter().for_each(|ring| ring.close(self.format));
    }

    fn successor(&self, capacity: u32, floor: u64) -> Self {
        let mut next = Self::new(self.layout.with_capacity(capacity));
        next.floor = floor;
        next.epoch = self.epoch;
        // If it is not set yet, each of the two goes on from what is the newest stamp here.
        next.ahead = AtomicU64::new(self.base().ahead);
        next.is_counted = self.is_counted || self.is_shared() || next.is_shared();
        next.copying = Chunks::new(next.looks_back());
        next
    }

    fn link(&self, mut next: Self, marks: u8) {
        next.is_counted |= marks & COUNTED != 0;
        let marks = marks | (u8::from(next.is_counted) * COUNTED);
        let next = Box::into_raw(Box::new(next));
        // ORDERING: Release publishes the successor. Nothing is acquired: whoever goes on to it looks
        // for it anew.
        let linked = self.next.compare_exchange(
            ptr::null_mut(),
            marked(next, marks),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if linked.is_err() {
            // SAFETY: it came from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(next) });
        }
    }

    fn is_shared(&self) -> bool {
        self.format.per_cell > 1
    }

    /// What finer cells are to be made for at the most, if cells are shared by far more admissions than
    /// the limit calls for. Wide enough that at a steady pace what is in the window comes to fit, though
    /// it is counted in whole cells.
    fn finer_capacity(&self, rule: Rule) -> Option<u32> {
        let Layout { capacity, most_cells, .. } = self.layout;
        let least = rule.limit + 2 * self.format.per_cell;
        if !self.is_shared() || rule.is_open() {
            None
        } else if least <= u64::from(most_cells) {
            Some(most_cells)
        } else if rule.limit < u64::from(capacity / COARSE) && least <= u64::from(capacity / 2) {
            Some(capacity / 2)
        } else {
            None
        }
    }

    /// Closes coarse cells once what is in the window fits into finer ones. True if they are closed.
    pub(super) fn close_coarse(&self, now: u64) -> bool {
        let rule = self.first_rule();
        let Some(capacity) = self.finer_capacity(rule) else { return false };
        let cells = (u64::from(capacity) / self.format.per_cell).max(1);
        let fits = self.rings[0].is_within(self.format, rule.window, cells);
        if fits {
            self.close();
        } else {
            // What has left the window is not to count again with what comes now.
            self.rings[0].end_cell(self.format, now.saturating_sub(rule.window));
        }
        fits
    }

    /// The next in the list of retired logs.
    pub(super) fn next_retired(&self) -> *mut Self {
        // ORDERING: Relaxed: whoever has taken the list has acquired it.
        self.next_retired.load(Ordering::Relaxed)
    }

    pub(super) fn set_next_retired(&self, shards: *mut Self) {
        // ORDERING: Relaxed: published with the list.
        self.next_retired.store(shards, Ordering::Relaxed);
    }

    /// Closes these rings and copies all there is into the successor, but that is a fresh one. Any
    /// number of threads may do so at once, also after it is in use.
    pub(super) fn hand_over_to(&self, next: &Self, place: *mut Self) {
        self.close();
        for (from, to) in self.rule_words().zip(next.rule_words()) {
            // ORDERING: Relaxed: whoever set it before the link was seen is ordered before this.
            let rule = self.format.read_rule(from.load(Ordering::Relaxed));
            let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
            let word = next.format.rule(limit, rule.window);
            // ORDERING: Relaxed: published with the cells, by `succeed`. Only if it is not set yet.
            let _ = to.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
        }
        if is_fresh(place) {
            return;
        }
        let least = if is_lifted(place) && self.rings.len() > 1 { next.floor } else { 0 };
        let history = Merged::new(&self.rings, self.format);
        // A cell of the successor's has the stamp of the newest of the admissions it covers.
        let (here, there) = (self.format.per_cell, next.format.per_cell);
        // Where cells are shared, the newest may have been left before it was full.
        let missing = self.rings[0].unused(self.format);
        let cells = (history.len() as u64 * here).saturating_sub(missing).div_ceil(there);
        let cells = usize::try_from(cells).unwrap_or(usize::MAX).min(next.looks_back());
        let from = |number: usize| index_of((number as u64 * there + missing) / here);
        next.copying.share(cells, |numbers| {
            let (mut at, mut stamps) = (from(numbers.start), history.after(from(numbers.start)));
            let mut stamp = stamps.next();
            for number in numbers {
                while at < from(number) {
                    (at, stamp) = (at + 1, stamps.next());
                }
                if let Some(stamp) = stamp {
                    next.begin_cell(number, cells, stamp.max(least));
                }
            }
        });
    }

    /// Fills a cell: of so many, the one that has `number` newer ones. The newest goes to the first
    /// ring, the one before to the second and so on: as shares go.
    fn begin_cell(&self, number: usize, of: usize, stamp: u64) {
        let rings = self.rings.len();
        let (ring, newer) = (number & self.mask(), number / rings);
        let in_ring = (of + self.mask() - ring) / rings;
        self.rings[ring].begin(self.format, in_ring - 1 - newer, stamp);
    }

    /// How many cells rules may look back, in all rings.
    fn looks_back(&self) -> usize {
        self.rings.len() * self.cells_each()
    }
}

/// A mark in a pointer to shards: readers have to pin them.
const COUNTED: u8 = 1;
/// A mark in a pointer to shards: a reset made them.
const FRESH: u8 = 2;
/// A mark in a pointer to shards: a jump of the clock made them.
const LIFTED: u8 = 4;

/// What shards are left by, if not by growth or for finer cells.
const RESET: u32 = 1;
const JUMP: u32 = 2;

/// How far time is ahead, while that is not known.
pub(super) const UNSET: u64 = u64::MAX;

fn marked(shards: *mut Shards, marks: u8) -> *mut Shards {
    shards.map_addr(|address| address | usize::from(marks))
}

pub(super) fn unmarked(shards: *mut Shards) -> *mut Shards {
    shards.map_addr(|address| address & !usize::from(COUNTED | FRESH | LIFTED))
}

#[inline]
pub(super) fn is_counted(shards: *mut Shards) -> bool {
    shards.addr() & usize::from(COUNTED) != 0
}

pub(super) fn is_fresh(shards: *mut Shards) -> bool {
    shards.addr() & usize::from(FRESH) != 0
}

fn is_lifted(shards: *mut Shards) -> bool {
    shards.addr() & usize::from(LIFTED) != 0
}

#[expect(clippy::cast_possible_truncation, reason = "less than the number of cells")]
fn index_of(cell: u64) -> usize {
    cell as usize
}

/// How many turns come by `moment`, of the first `ahead` and one.
fn count_until(
    moment: u64,
    ahead: u64,
    turn: impl Fn(u64) -> Result<u64, Stop>,
) -> Result<u64, Stop> {
    let (mut count, mut end) = (0, ahead + 1);
    while count < end {
        let middle = count.midpoint(end);
        if turn(middle)? <= moment { count = middle + 1 } else { end = middle }
    }
    Ok(count)
}
