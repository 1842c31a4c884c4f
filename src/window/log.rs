//! The log of admissions: rings side by side, the rules for all of them, and their change.
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
//! **Changing a rule** of one ring is one store, as a rule is one word. Every admission from then on
//! obeys the new one, counting those from before; one that had read the old rule obeys that. Several
//! rings change together, with their shares: see `split.rs`. What a log remembers is counted: as many
//! stamps as it has cells, and at the least all that were in the window by the old rule. Where a
//! window is lengthened, older ones may have been forgotten.
//!
//! **Growing** beyond the cells there are: a larger log is linked behind the old one, whose rings
//! are then closed, one compare-and-swap each, and copied. Whoever meets a closed ring takes part in
//! that: cells are copied in chunks, which are dealt out (`chunks.rs`); where a chunk begins in each
//! ring is found without sorting (`select.rs`). All of it can be done twice, so nobody waits for a
//! thread that has stopped in it, and nobody who copies allocates. Old
//! logs stay until the whole is dropped (a stopped thread may be reading them). Capacities double, so
//! up to 2^20 they take little more room together than the newest; beyond, there can be twelve more
//! of at most 8 MiB.

use super::cell::{Format, MAX_CELLS, Rule, epoched, shown};
use super::chunks::Chunks;
use super::ring::{Full, NEVER, Quick, RECKONINGS, Ring, Rules, Spot, Stop};
use super::select::{MOST_RINGS, Merged};
use super::split::{Split, State, deal};
use crate::error::NoSuchRate;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::sync::leak::Canary;
use crate::sync::{parallelism, thread_number};
use core::fmt;
use core::ptr;
use core::time::Duration;
use crossbeam_utils::CachePadded;

/// Cells a ring has at least, where there are several.
const LEAST_CELLS: u32 = 64;

/// No admission now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Busy {
    /// When one is free, in ns of the clock; `None` if time ends before.
    pub(crate) free_at: Option<u64>,
    /// The newest stamp; if it is later than the caller's `now`, that reading was stale.
    pub(crate) newest: u64,
}

/// Room for one admission, seen but not claimed.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    /// `None` where nothing limits.
    at: Option<(&'a Ring, Spot)>,
    now: u64,
}

/// Admissions in time, at most so many in any window.
pub(crate) struct Log {
    /// What all began with: inside, so that most logs have one pointer less to follow.
    first: Shards,
    /// What has grown out of `first`; null if nothing has.
    grown: AtomicPtr<Shards>,
    /// Added to every window.
    guard: Duration,
}

/// The rings of one size.
struct Shards {
    /// The first rule, where there is one ring.
    rule: AtomicU64,
    /// It and its shares, where there are several.
    split: Split,
    /// Further rules. Then there is one ring, with a cell for each admission.
    more: Box<[AtomicU64]>,
    format: Format,
    /// One rule, one admission a cell.
    is_plain: bool,
    rings: Box<[CachePadded<Ring>]>,
    layout: Layout,
    /// How far the stamps of the log before have been copied into this one.
    copying: Chunks,
    /// The successor, once there is to be one.
    next: AtomicPtr<Self>,
    canary: Canary,
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

    fn new(rules: usize) -> Self {
        Self::of(rules, MAX_CELLS, parallelism().next_power_of_two().min(MOST_RINGS))
    }

    /// With room for a limit of `capacity`.
    fn with_capacity(self, capacity: u32) -> Self {
        let several = self.rules > 1;
        let capacity = if several { capacity.min(self.most_cells) } else { capacity };
        // Shared cells hold back part of the limit, each ring's anew: so there one ring is best.
        let one = several || capacity > self.most_cells;
        let useful = if one { 1 } else { capacity / LEAST_CELLS };
        let rings = usize::try_from(useful).unwrap_or(usize::MAX).clamp(1, self.most_rings);
        Self { capacity, rings_log2: rings.ilog2(), ..self }
    }
}

// ---- the log ---------------------------------------------------------------------------------------

impl Log {
    /// A log that keeps all these rules together: limit and window, each window longer by `guard`.
    pub(crate) fn new(rules: &[(u32, Duration)], guard: Duration) -> Self {
        let capacity = rules.iter().map(|(limit, _)| *limit).max().unwrap_or(0);
        Self::with_layout(rules, guard, Layout::new(rules.len()).with_capacity(capacity))
    }

    pub(crate) fn with_layout(rules: &[(u32, Duration)], guard: Duration, layout: Layout) -> Self {
        let first = Shards::new(layout);
        for (index, (limit, window)) in rules.iter().enumerate() {
            let word = first.format.rule((*limit).min(layout.capacity), guarded(*window, guard));
            first.begin_rule(index, word);
        }
        Self { first, grown: AtomicPtr::new(ptr::null_mut()), guard }
    }

    /// Claims one admission at `now` (ns); returns its stamp.
    #[inline]
    pub(crate) fn try_acquire(&self, now: u64) -> Result<u64, Busy> {
        match self.shards().quick(epoched(now)) {
            Quick::Done((ring, spot)) => match ring.claim(spot) {
                Some(stamp) => Ok(shown(stamp).unwrap_or(NEVER)),
                None => self.try_acquire_well(now),
            },
            Quick::Full(full) => Err(full.into()),
            Quick::Unclear => self.try_acquire_well(now),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_acquire_well(&self, now: u64) -> Result<u64, Busy> {
        self.take(self.peek_well(epoched(now))?)
    }

    /// Whether one admission could be claimed at `now` (ns), and where.
    #[inline]
    pub(crate) fn peek(&self, now: u64) -> Result<Opening<'_>, Busy> {
        let now = epoched(now);
        match self.shards().quick(now) {
            Quick::Done(at) => Ok(Opening { at: Some(at), now }),
            Quick::Full(full) => Err(full.into()),
            Quick::Unclear => self.peek_well(now),
        }
    }

    #[cold]
    #[inline(never)]
    fn peek_well(&self, now: u64) -> Result<Opening<'_>, Busy> {
        let at = self.ask(|shards| shards.look(now))?;
        Ok(Opening { at, now })
    }

    /// Claims what `peek` found, or if others did, what is there now; returns the stamp.
    #[inline]
    pub(crate) fn take(&self, opening: Opening<'_>) -> Result<u64, Busy> {
        let Opening { mut at, now } = opening;
        while let Some((ring, spot)) = at {
            if let Some(stamp) = ring.claim(spot) {
                return Ok(shown(stamp).unwrap_or(NEVER));
            }
            at = self.ask(|shards| shards.look(now))?;
        }
        Ok(shown(now).unwrap_or(NEVER))
    }

    /// When the admission after `ahead` others can be had, if each takes its own as soon as it can
    /// from `now` (ns) on; `None` if time ends before. With several rules and more than 4096 ahead,
    /// that or earlier.
    pub(crate) fn free_at(&self, ahead: u64, now: u64) -> Option<u64> {
        let at = epoched(now);
        let turn = self.ask(|shards| shards.turn(ahead, at)).unwrap_or(at);
        if turn == at { Some(now) } else { shown(turn) }
    }

    /// How many admissions could be claimed at `now` (ns): a count that may be stale when read.
    pub(crate) fn remaining(&self, now: u64) -> u32 {
        let now = epoched(now);
        let remaining = self.ask(|shards| shards.remaining(now)).unwrap_or(0);
        u32::try_from(remaining).unwrap_or(u32::MAX)
    }

    /// Limit and window of a rule, without the guard.
    pub(crate) fn rule(&self, index: usize) -> Option<(u32, Duration)> {
        let rule = self.shards().rule(index)?;
        let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
        Some((limit, Duration::from_nanos(rule.window).saturating_sub(self.guard)))
    }

    pub(crate) fn guard(&self) -> Duration {
        self.guard
    }

    pub(crate) fn rules(&self) -> usize {
        1 + self.first.more.len()
    }

    /// Admissions that share a cell.
    pub(crate) fn per_cell(&self) -> u32 {
        u32::try_from(self.shards().format.per_cell).unwrap_or(u32::MAX)
    }

    /// Changes a rule for all admissions from now on.
    pub(crate) fn set(&self, index: usize, limit: u32, window: Duration) -> Result<(), NoSuchRate> {
        if index >= self.rules() {
            return Err(NoSuchRate);
        }
        let limit = if self.rules() > 1 { limit.min(self.first.layout.most_cells) } else { limit };
        let window = guarded(window, self.guard);
        while !self.set_in(self.shards(), index, limit, window) {}
        Ok(())
    }

    /// Sets the rule here, unless these shards have been succeeded or are to be.
    fn set_in(&self, shards: &Shards, index: usize, limit: u32, window: u64) -> bool {
        if limit > shards.layout.capacity && !shards.is_succeeded() {
            shards.grow(index, limit, window);
        }
        let is_set = limit <= shards.layout.capacity
            && shards.set_rule(index, shards.format.rule(limit, window));
        if !is_set && !shards.is_succeeded() {
            // No slot for the rule: there are in the next.
            shards.grow(index, limit, window);
        }
        if shards.is_succeeded() {
            self.succeed(shards);
            return false;
        }
        true
    }

    /// Asks the newest shards; helps whoever is closing them.
    #[inline]
    fn ask<'a, R>(&'a self, question: impl Fn(&'a Shards) -> Result<R, Stop>) -> Result<R, Busy> {
        loop {
            let shards = self.shards();
            match question(shards) {
                Ok(answer) => return Ok(answer),
                Err(Stop::Full(full)) => return Err(full.into()),
                Err(Stop::Closed) => self.succeed(shards),
            }
        }
    }

    #[inline]
    fn shards(&self) -> &Shards {
        // ORDERING: Acquire pairs with the Release in `succeed`: the successor is seen filled.
        let grown = self.grown.load(Ordering::Acquire);
        // SAFETY: null, or a successor, which is freed with `self` and not before.
        let shards = unsafe { grown.as_ref() }.unwrap_or(&self.first);
        shards.canary.look();
        shards
    }

    /// Puts the successor of these shards, which exists, in their place.
    #[cold]
    fn succeed(&self, shards: &Shards) {
        let Some(next) = shards.next() else { return };
        shards.hand_over_to(next);
        let this = ptr::from_ref(shards).cast_mut();
        let from = if ptr::eq(shards, &raw const self.first) { ptr::null_mut() } else { this };
        let to = ptr::from_ref(next).cast_mut();
        // ORDERING: Release publishes the cells and rules copied; if it fails, another has done so.
        let _ = self.grown.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // ORDERING: Relaxed: exclusive access.
        let mut next = self.first.next.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: it came from `Box::into_raw` in `grow`; nobody is left.
            let shards = unsafe { Box::from_raw(next) };
            // ORDERING: Relaxed, as above.
            next = shards.next.load(Ordering::Relaxed);
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

impl From<Full> for Busy {
    #[inline]
    fn from(full: Full) -> Self {
        Self { free_at: shown(full.free_at), newest: shown(full.newest).unwrap_or(0) }
    }
}

/// A window with its guard, in ns. Where there is no window there is no limit, and no guard.
fn guarded(window: Duration, guard: Duration) -> u64 {
    if window.is_zero() {
        return 0;
    }
    u64::try_from(window.saturating_add(guard).as_nanos()).unwrap_or(u64::MAX)
}

// ---- the rings -------------------------------------------------------------------------------------

impl Shards {
    /// Empty rings, and rules that are still to be set.
    fn new(layout: Layout) -> Self {
        let format = Format::new(layout.capacity, layout.most_cells);
        let cells = u64::from(layout.capacity).div_ceil(format.per_cell).max(1);
        let cells = u32::try_from(cells).unwrap_or(u32::MAX);
        let rings = 1_u32 << layout.rings_log2;
        let ring = || CachePadded::new(Ring::new(cells.div_ceil(rings)));
        let rings: Box<[_]> = (0..rings).map(|_| ring()).collect();
        Self {
            rule: AtomicU64::new(0),
            split: Split::new(if rings.len() > 1 { rings.len() } else { 0 }),
            more: (1..layout.rules).map(|_| AtomicU64::new(0)).collect(),
            format,
            is_plain: layout.rules == 1 && format == Format::PLAIN,
            rings,
            layout,
            copying: Chunks::new(0),
            next: AtomicPtr::new(ptr::null_mut()),
            canary: Canary::new(),
        }
    }

    // ---- what is asked of them -----------------------------------------------------------------

    /// `look`, in the common case.
    #[inline]
    fn quick(&self, now: u64) -> Quick<(&Ring, Spot)> {
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
    fn look(&self, now: u64) -> Result<Option<(&Ring, Spot)>, Stop> {
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

    fn remaining(&self, now: u64) -> Result<u64, Stop> {
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

    fn turn(&self, ahead: u64, now: u64) -> Result<u64, Stop> {
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

    fn rule(&self, index: usize) -> Option<Rule> {
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
    fn begin_rule(&self, index: usize, word: u64) {
        self.set_word(index, word);
        let limit = usize::try_from(self.format.read_rule(word).limit).unwrap_or(usize::MAX);
        let shares = deal(limit, self.rings.len(), [0; MOST_RINGS], self.cells_each());
        self.split.begin(word, shares);
    }

    /// Sets a rule. False if there is no slot for it.
    fn set_rule(&self, index: usize, word: u64) -> bool {
        if self.rings.len() > 1 {
            return self.change(word);
        }
        self.set_word(index, word);
        true
    }

    fn set_word(&self, index: usize, word: u64) {
        if let Some(rule) = self.rule_words().nth(index) {
            // ORDERING: Relaxed: whoever copies it is ordered after it by `is_succeeded`.
            rule.store(word, Ordering::Relaxed);
        }
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

    // ---- growing -------------------------------------------------------------------------------

    fn next(&self) -> Option<&Self> {
        // ORDERING: Relaxed: whoever asks has met a closed ring (Acquire in `Ring::word`; whoever
        // closed it had seen the link) or `is_succeeded`, either of which acquires the link.
        let next = self.next.load(Ordering::Relaxed);
        // SAFETY: null, or published whole, and freed with the log.
        let next = unsafe { next.as_ref() }?;
        next.canary.look();
        Some(next)
    }

    /// Whether there is a successor, for somebody who has just set a rule.
    fn is_succeeded(&self) -> bool {
        // ORDERING: Release, and a write although it changes nothing: if it comes before the
        // exchange in `grow`, whoever copies the rules after that one sees ours; else we see that we
        // have to set it in the successor, and acquire that. Where there is none nothing is read.
        let null = ptr::null_mut();
        self.next.compare_exchange(null, null, Ordering::Release, Ordering::Acquire).is_err()
    }

    /// Links a successor that has room for `limit`, with this rule and otherwise empty, unless there
    /// is one.
    fn grow(&self, index: usize, limit: u32, window: u64) {
        let twice = self.layout.capacity.saturating_mul(2);
        // Not into shared cells only to have room to spare.
        let most = self.layout.most_cells;
        let spare = if limit <= most { twice.min(most) } else { twice };
        let mut next = Self::new(self.layout.with_capacity(limit.max(spare)));
        next.copying = Chunks::new(next.looks_back());
        next.begin_rule(index, next.format.rule(limit, window));
        let next = Box::into_raw(Box::new(next));
        // ORDERING: Release publishes the successor. Nothing is acquired: `is_succeeded` looks next.
        let linked =
            self.next.compare_exchange(ptr::null_mut(), next, Ordering::Release, Ordering::Relaxed);
        if linked.is_err() {
            // SAFETY: it came from `Box::into_raw` above and was not published.
            drop(unsafe { Box::from_raw(next) });
        }
    }

    /// Closes these rings and copies all there is into the successor. Any number of threads may do
    /// so at once, also after it is in use.
    fn hand_over_to(&self, next: &Self) {
        self.rings.iter().for_each(|ring| ring.close(self.format));
        for (from, to) in self.rule_words().zip(next.rule_words()) {
            // ORDERING: Relaxed: whoever set it before the link was seen is ordered before this.
            let rule = self.format.read_rule(from.load(Ordering::Relaxed));
            let limit = u32::try_from(rule.limit).unwrap_or(u32::MAX);
            let word = next.format.rule(limit, rule.window);
            // ORDERING: Relaxed: published with the cells, by `succeed`. Only if it is not set yet.
            let _ = to.compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
        }
        let history = Merged::new(&self.rings, self.format);
        // A cell of the successor's has the stamp of the newest of the admissions it covers.
        let (here, there) = (self.format.per_cell, next.format.per_cell);
        let cells = (history.len() as u64 * here).div_ceil(there);
        let cells = usize::try_from(cells).unwrap_or(usize::MAX).min(next.looks_back());
        let from = |number: usize| index_of(number as u64 * there / here);
        next.copying.share(cells, |numbers| {
            let (mut at, mut stamps) = (from(numbers.start), history.after(from(numbers.start)));
            let mut stamp = stamps.next();
            for number in numbers {
                while at < from(number) {
                    (at, stamp) = (at + 1, stamps.next());
                }
                if let Some(stamp) = stamp {
                    next.begin_cell(number, cells, stamp);
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
