//! One ring of stamped cells: the exact sliding log.
//!
//! ```text
//!          lap 1    lap 1    lap 0    lap 0    lap 0
//!        ┌────────┬────────┬────────┬────────┬────────┐
//!        │ 12:07  │ 12:09  │ 11:15  │ 11:20  │ 11:58  │      hint ─► somewhere near ▲
//!        └────────┴────────┴────────┴────────┴────────┘
//!                   newest ▲        ▲ oldest: the boundary between the laps, next to be stamped
//! ```
//!
//! **Safety rests on two lines.** An admission stamps the oldest cell, by a compare-and-swap on the
//! word that was read. It may only when the n-th newest stamp is at least a window old, for every
//! rule of n admissions. While the oldest cell has its word, no cell is stamped after it: so the
//! newest, the n-th newest and all between are what they were when they were read. One word decides
//! for all rules together. (Where cells are shared and the newest has room, it is that one's word.)
//!
//! **Stamps never decrease along the ring** (a stamp is clamped to its predecessor's), so the n-th
//! newest is n − 1 cells back: if it is busy, so are all after it. In a cell stamps strictly grow,
//! as between a stamp and the one a lap later lies at least one window: no ABA.
//!
//! **The boundary.** A cell `i` is behind it exactly when its lap differs from what its predecessor
//! `p` says it would be if it had been used this lap: `lap(p)`, flipped when `i` is cell 0. One bit
//! of lap is enough, because the predecessor is read again after the cell. If it has not changed,
//! then at the moment the cell was read it was either in the predecessor's lap or one behind, never
//! anything else: the predecessor cannot pass to its next lap before the cell has. No number of laps
//! during a stopped instruction can be mistaken for another.
//!
//! **The hint is not trusted.** It is a plain store by the last winner. From a stale one the walk
//! takes a few steps, then searches the boundary by halves.
//!
//! **What a refusal says is true at one moment.** When the n-th newest cell was read the oldest had
//! not changed yet (it is read again): so it was the n-th newest then, and busy for this `now`; and
//! what is busy for a `now` stays so.
//!
//! **There is one cell more than any rule needs**, so the oldest cell's stamp decides nothing. That
//! lets a ring be closed by one compare-and-swap, without losing anything: the oldest cell is stamped
//! with the end of time. All others then stand still, to be copied. (But for a shared cell that has
//! room: it gets another word after that, and only then all stand still.) A change of several rings
//! gives the oldest cell another word, so that claims seen before fail: a mark earlier than any clock's
//! time, which goes up with each change, so no word comes back.
//!
//! **Shared cells.** In a large log a cell covers several admissions: it counts them down in `room`,
//! and its stamp is that of the last one. Cells before the newest count whole, and none is begun while
//! the newest has room. Still never more than the limit; an admission's room comes back with the last of its cell's, so late by the time that
//! one cell took to fill.
//!
//! The sliding log is Redis's "sorted set" limiter and Nginx's and Cloudflare's exact alternative
//! to counters; the ring with laps is the bounded queue of Vyukov without its tickets.

use super::cell::{Format, Rule, lap};
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::leak::Canary;
use crate::sync::zeros;

/// Steps to take from the hint before searching by halves.
const WALK: u32 = if cfg!(ringgate_loom) { 1 } else { 8 };

/// The end of time, as the moment of what never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// Rules to be kept together, each with this ring's share of its limit.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) format: Format,
    pub(super) first: Rule,
    pub(super) more: &'a [AtomicU64],
}

impl Rules<'_> {
    fn all(self) -> impl Iterator<Item = Rule> {
        // ORDERING: Relaxed: a rule is one word, and all there is to read.
        let read = move |word: &AtomicU64| self.format.read_rule(word.load(Ordering::Relaxed));
        core::iter::once(self.first).chain(self.more.iter().map(read))
    }
}

/// The rules forbid an admission until `free_at`; `newest` is the newest stamp.
#[derive(Clone, Copy)]
pub(super) struct Full {
    pub(super) free_at: u64,
    pub(super) newest: u64,
}

impl Full {
    /// What no ring yet has to say.
    pub(super) const NOTHING: Self = Self { free_at: NEVER, newest: 0 };

    /// Of two rings together.
    #[inline]
    pub(super) fn and(self, other: Self) -> Self {
        let (free_at, newest) = (self.free_at.min(other.free_at), self.newest.max(other.newest));
        Self { free_at, newest }
    }
}

/// Why a ring admits nothing.
#[derive(Clone, Copy)]
pub(super) enum Stop {
    Full(Full),
    /// Its successor is to be asked.
    Closed,
}

pub(super) struct Ring {
    /// Probably the oldest cell. Written at every admission.
    hint: AtomicUsize,
    cells: Box<[AtomicU64]>,
    canary: Canary,
}

/// The oldest cell and the newest one before it, as they were together.
#[derive(Clone, Copy)]
struct Boundary {
    oldest: usize,
    oldest_word: u64,
    newest: usize,
    newest_word: u64,
}

/// What came of a quick try.
#[derive(Clone, Copy)]
pub(super) enum Quick<T> {
    Done(T),
    Full(Full),
    /// A proper look is called for.
    Unclear,
}

impl Quick<Spot> {
    /// With the ring that the spot is in.
    #[inline]
    pub(super) fn at(self, ring: &Ring) -> Quick<(&Ring, Spot)> {
        match self {
            Self::Done(spot) => Quick::Done((ring, spot)),
            Self::Full(full) => Quick::Full(full),
            Self::Unclear => Quick::Unclear,
        }
    }
}

/// One admission, seen to be free but not claimed.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    index: usize,
    from: u64,
    to: u64,
    stamp: u64,
}

impl Ring {
    /// A ring that rules may look back `cells` cells in.
    pub(super) fn new(cells: u32) -> Self {
        Self {
            hint: AtomicUsize::new(0),
            cells: zeros(index(u64::from(cells)) + 1),
            canary: Canary::new(),
        }
    }

    /// How many cells rules may look back.
    pub(super) fn looks_back(&self) -> usize {
        self.cells.len() - 1
    }

    // ---- one attempt ---------------------------------------------------------------------------

    /// Whether the rules allow an admission at `now`, and where; nowhere if nothing limits.
    pub(super) fn look(&self, rules: Rules<'_>, now: u64) -> Result<Option<Spot>, Stop> {
        let format = rules.format;
        loop {
            let found = self.locate_open(format)?;
            // The latest moment any rule names.
            let (mut busy, mut is_limited) = (None, false);
            for rule in rules.all() {
                is_limited |= !rule.is_open();
                busy = busy.max(self.busy_until(format, rule, &found, now));
            }
            match busy {
                None if !is_limited => return Ok(None),
                None if self.fill_up(format, &found, rules.first.limit) => {}
                None => return Ok(Some(spot(format, &found, now))),
                Some(free_at) if self.still(&found) => {
                    let newest = format.time(found.newest_word);
                    return Err(Stop::Full(Full { free_at, newest }));
                }
                Some(_) => {}
            }
        }
    }

    /// `look`, where one rule gives each admission a cell, the hint is right and nobody else is at
    /// it: in a third of the instructions, which are most of the time it takes.
    #[inline]
    pub(super) fn glance(&self, rule: Rule, now: u64) -> Quick<Spot> {
        let cells = &*self.cells;
        let Some(others) = rule.limit.checked_sub(1) else { return Quick::Unclear };
        // ORDERING: Relaxed: a hint.
        let oldest = self.hint.load(Ordering::Relaxed);
        let newest = self.back(oldest, 1);
        let nth = self.back(newest, others);
        let (Some(oldest_cell), Some(newest_cell), Some(nth)) =
            (cells.get(oldest), cells.get(newest), cells.get(nth))
        else {
            return Quick::Unclear;
        };
        // ORDERING: Acquire, all of them: as in `word`.
        let newest_word = newest_cell.load(Ordering::Acquire);
        let oldest_word = oldest_cell.load(Ordering::Acquire);
        let free_at = Format::PLAIN.time(nth.load(Ordering::Acquire)) + rule.window;
        let at_boundary = lap(oldest_word) ^ lap(newest_word) ^ (oldest == 0);
        let time = Format::PLAIN.time(newest_word);
        // ORDERING: Relaxed: kept after the Acquire load of the oldest; only compared.
        let together = newest_cell.load(Ordering::Relaxed) == newest_word;
        if !at_boundary || !together || time == Format::PLAIN.closed() {
            return Quick::Unclear;
        }
        if free_at > now {
            // ORDERING: Relaxed: kept after the Acquire load of the n-th; only compared.
            let still = oldest_cell.load(Ordering::Relaxed) == oldest_word;
            return if still {
                Quick::Full(Full { free_at, newest: time })
            } else {
                Quick::Unclear
            };
        }
        let stamp = now.max(time);
        let to = Format::pack(!lap(oldest_word), stamp, 0);
        Quick::Done(Spot { index: oldest, from: oldest_word, to, stamp })
    }

    /// Claims what was found; its stamp, unless others were quicker.
    #[inline]
    pub(super) fn claim(&self, spot: Spot) -> Option<u64> {
        let Spot { index, from, to, stamp } = spot;
        self.canary.look();
        if !self.swap(index, from, to) {
            return None;
        }
        if lap(from) != lap(to) {
            // ORDERING: Relaxed: a hint, checked at each use.
            self.hint.store(self.after(index), Ordering::Relaxed);
        }
        Some(stamp)
    }

    /// Until when a rule forbids an admission; `None` if it does not.
    #[inline]
    fn busy_until(&self, format: Format, rule: Rule, found: &Boundary, now: u64) -> Option<u64> {
        if rule.is_open() {
            return None;
        }
        let Some(others) = rule.limit.checked_sub(1) else { return Some(NEVER) };
        let used = used(format, found.newest_word);
        let back = match others.checked_sub(used) {
            // A limit that was lowered below what a cell covers.
            None => 0,
            Some(before) => u64::from(used > 0) + in_cells(format, before),
        };
        let free_at = format.time(self.word(self.back(found.newest, back))) + rule.window;
        (free_at > now).then_some(free_at)
    }

    /// The boundary, unless the ring is closed.
    #[inline]
    fn locate_open(&self, format: Format) -> Result<Boundary, Stop> {
        let found = self.locate();
        if format.time(found.newest_word) == format.closed() {
            Err(Stop::Closed)
        } else {
            Ok(found)
        }
    }

    /// Takes the room of a begun cell that has given `most` admissions, so that the next one can be
    /// begun: no cell is while the newest has room. True if all is to be looked at anew.
    fn fill_up(&self, format: Format, found: &Boundary, most: u64) -> bool {
        let is_due = used(format, found.newest_word) >= most.max(1);
        if is_due {
            self.fill(format, found);
        }
        is_due
    }

    fn fill(&self, format: Format, found: &Boundary) -> bool {
        let full = found.newest_word - format.room(found.newest_word);
        self.swap(found.newest, found.newest_word, full)
    }

    /// The next admission begins a cell, if the last one was by then.
    pub(super) fn end_cell(&self, format: Format, by: u64) {
        if let Ok(found) = self.locate_open(format)
            && format.room(found.newest_word) > 0
            && format.time(found.newest_word) <= by
        {
            // If it fails others have come meanwhile.
            self.fill(format, &found);
        }
    }

    /// Whether nothing has been stamped since.
    #[inline]
    fn still(&self, found: &Boundary) -> bool {
        self.word(found.oldest) == found.oldest_word
    }

    /// Finds the boundary between the laps.
    #[inline]
    fn locate(&self) -> Boundary {
        // ORDERING: Relaxed: a hint.
        let mut oldest = self.hint.load(Ordering::Relaxed);
        let mut steps = 0;
        loop {
            let newest = self.back(oldest, 1);
            let newest_word = self.word(newest);
            let oldest_word = self.word(oldest);
            let this_lap = lap(newest_word) ^ (oldest == 0);
            if lap(oldest_word) == this_lap {
                steps += 1;
                oldest = if steps % WALK == 0 { self.search() } else { self.after(oldest) };
                continue;
            }
            // Only together do the two words prove anything.
            if self.word(newest) == newest_word {
                return Boundary { oldest, oldest_word, newest, newest_word };
            }
        }
    }

    /// The boundary by halves: the first cell whose lap is not cell 0's. Stale if others go on.
    #[cold]
    fn search(&self) -> usize {
        let first = lap(self.word(0));
        let (mut start, mut end) = (1, self.cells.len());
        while start < end {
            let middle = start.midpoint(end);
            if lap(self.word(middle)) == first { start = middle + 1 } else { end = middle }
        }
        if start < self.cells.len() { start } else { 0 }
    }

    // ---- looking ahead -------------------------------------------------------------------------

    /// How many more admissions the rules allow at `now`.
    pub(super) fn remaining(&self, rules: Rules<'_>, now: u64) -> Result<u64, Stop> {
        self.reckon(rules.format, |found| {
            let all = rules.all().filter(|rule| !rule.is_open());
            let remaining = all.map(|rule| self.remaining_by(rules.format, rule, found, now));
            remaining.min().unwrap_or(NEVER)
        })
    }

    /// Reads what must belong together, from a boundary on.
    fn reckon(&self, format: Format, reading: impl Fn(&Boundary) -> u64) -> Result<u64, Stop> {
        let mut tries = 0;
        loop {
            let found = self.locate_open(format)?;
            let result = reading(&found);
            tries += 1;
            // Stamped anew meanwhile: what was read belongs to two laps. Where that does not end, an
            // estimate has to do.
            if self.still(&found) || tries == RECKONINGS {
                return Ok(result);
            }
        }
    }

    fn remaining_by(&self, format: Format, rule: Rule, found: &Boundary, now: u64) -> u64 {
        let busy = |back| format.time(self.word(self.back(found.newest, back))) + rule.window > now;
        let used = used(format, found.newest_word);
        if used > 0 && used >= rule.limit {
            return if busy(0) { 0 } else { rule.limit };
        }
        // Stamps grow from the oldest on: halve to the first busy cell.
        let start = u64::from(used > 0);
        let (mut full, mut end) = (0, in_cells(format, rule.limit + format.per_cell - 1));
        while full < end {
            let middle = full.midpoint(end);
            if busy(start + middle) { full = middle + 1 } else { end = middle }
        }
        rule.limit.saturating_sub(used).saturating_sub(full * format.per_cell)
    }

    /// When the admission after `ahead` others can be had, if each takes its own as soon as it can
    /// from `now` on.
    pub(super) fn turn(&self, rules: Rules<'_>, ahead: u64, now: u64) -> Result<u64, Stop> {
        self.reckon(rules.format, |found| {
            if rules.more.is_empty() {
                self.turn_by(rules.format, rules.first, found, ahead, now)
            } else {
                self.turn_by_all(rules, found, ahead, now)
            }
        })
    }

    /// By one rule: admission e of the cells from the newest one on looks back to a cell that is
    /// either there, or will be filled whole laps later.
    fn turn_by(&self, format: Format, rule: Rule, found: &Boundary, ahead: u64, now: u64) -> u64 {
        if rule.is_open() {
            return now;
        }
        let Some(others) = rule.limit.checked_sub(1) else { return NEVER };
        let newest = format.time(found.newest_word);
        let per_cell = format.per_cell.min(rule.limit);
        let used = used(format, found.newest_word);
        let begun = used > 0 && used < per_cell;
        let e = if begun { used } else { per_cell } + ahead;
        let (cell, before) = (e / per_cell, e % per_cell);
        // Counted from the newest cell on; negative: before it.
        let mut looks_at = cell.cast_signed() - 1 - ((others - before) / per_cell).cast_signed();
        let lap = (rule.limit / per_cell).cast_signed();
        // The newest cell is still to be stamped where it has been begun.
        let to_come = looks_at + i64::from(begun);
        let laps = if to_come > 0 { (to_come + lap - 1) / lap } else { 0 };
        looks_at -= laps * lap;
        let stamp = format.time(self.word(self.back(found.newest, looks_at.unsigned_abs())));
        match laps.cast_unsigned() {
            0 => now.max(stamp + rule.window),
            laps => {
                let first = format.tick(now).max(stamp + rule.window).max(newest);
                first.saturating_add(rule.window.saturating_mul(laps))
            }
        }
    }

    /// By several rules, whose cells cover one admission each: step by step.
    fn turn_by_all(&self, rules: Rules<'_>, found: &Boundary, ahead: u64, now: u64) -> u64 {
        let all: Vec<Rule> = rules.all().filter(|rule| !rule.is_open()).collect();
        let newest = rules.format.time(found.newest_word);
        let steps = ahead.min(FORESEEN);
        let mut stamps: Vec<u64> = Vec::new();
        let mut turn = now;
        for step in 0..=steps {
            let looks_back = |rule: &Rule| match step.checked_sub(rule.limit) {
                _ if rule.limit == 0 => NEVER,
                Some(foreseen) => stamps[index(foreseen)].saturating_add(rule.window),
                None => {
                    let stamp = self.word(self.back(found.newest, rule.limit - 1 - step));
                    rules.format.time(stamp) + rule.window
                }
            };
            turn = all.iter().map(looks_back).max().unwrap_or(now).max(now);
            stamps.push(turn.max(newest));
        }
        let beyond = ahead - steps;
        let least = |rule: &Rule| rule.window.saturating_mul(beyond / rule.limit.max(1));
        turn.saturating_add(all.iter().map(least).max().unwrap_or(0))
    }

    // ---- closing -------------------------------------------------------------------------------

    /// Closes the ring: nothing is stamped after this. If the newest cell has room, the close is not
    /// settled before that cell has another word, half a tick later: claims seen before then fail.
    pub(super) fn close(&self, format: Format) {
        loop {
            let found = self.locate();
            let is_closed = format.time(found.newest_word) == format.closed();
            let (index, word) = if is_closed {
                let newest = self.back(found.newest, 1);
                (newest, self.word(newest))
            } else {
                (found.newest, found.newest_word)
            };
            let is_begun = format.room(word) > 0;
            if !is_closed {
                let closed = if is_begun { format.closed() } else { format.settled() };
                let closed = Format::pack(!lap(found.oldest_word), closed, 0);
                self.swap(found.oldest, found.oldest_word, closed);
            } else if format.is_settled(found.newest_word) {
                return;
            } else if !is_begun || self.bump(format, index, word) {
                let settled = Format::pack(lap(found.newest_word), format.settled(), 0);
                self.swap(found.newest, found.newest_word, settled);
            }
        }
    }

    /// Gives a begun cell another word. True if it has it.
    fn bump(&self, format: Format, index: usize, word: u64) -> bool {
        let bumped = format.bumped(word);
        word == bumped || self.swap(index, word, bumped)
    }

    pub(super) fn is_closed(&self, format: Format) -> bool {
        self.locate_open(format).is_err()
    }

    /// Of a closed ring: how many admissions its newest cell had left to give.
    pub(super) fn unused(&self, format: Format) -> u64 {
        format.room(self.word(self.back(self.locate().newest, 1)))
    }

    /// Whether in the window that ends with the newest stamp there are stamps of so many cells at
    /// most.
    pub(super) fn is_within(&self, format: Format, window: u64, cells: u64) -> bool {
        let Ok(found) = self.locate_open(format) else { return true };
        let back = cells.min(self.looks_back() as u64);
        let oldest = format.time(self.word(self.back(found.newest, back)));
        oldest + window <= format.time(found.newest_word) && self.still(&found)
    }

    /// Gives the oldest cell another word, so that no claim that was seen to be free before this can
    /// be made. `mark`, before any time, goes up from touch to touch. A closed ring stands still by
    /// itself. False if by then the mark is `is_over`.
    pub(super) fn touch(&self, format: Format, mark: u64, is_over: impl Fn() -> bool) -> bool {
        loop {
            let Ok(found) = self.locate_open(format) else { return !is_over() };
            if format.time(found.oldest_word) == mark {
                return true;
            }
            // Asked after the cell was read: no older mark replaces a newer one.
            if is_over() {
                return false;
            }
            let touched = Format::pack(lap(found.oldest_word), mark, 0);
            if self.swap(found.oldest, found.oldest_word, touched) {
                return true;
            }
        }
    }

    /// The stamps of a ring that stands still.
    pub(super) fn history(&self, format: Format) -> History<'_> {
        let found = self.locate();
        let is_closed = format.time(found.newest_word) == format.closed();
        let newest = if is_closed { self.back(found.newest, 1) } else { found.newest };
        History { ring: self, format, newest }
    }

    /// Fills a cell of a new ring with an older stamp, unless another has: in the cells from the
    /// first on stamps do not decrease.
    pub(super) fn begin(&self, format: Format, index: usize, stamp: u64) {
        self.swap(index, 0, Format::pack(true, format.tick(stamp), 0));
    }

    // ---- cells ---------------------------------------------------------------------------------

    #[inline]
    fn word(&self, index: usize) -> u64 {
        // ORDERING: Acquire pairs with the Release in `swap`, and keeps later reads later: a
        // predecessor read again after its successor is at least as new as the successor's stamp
        // requires.
        self.cells[index].load(Ordering::Acquire)
    }

    #[inline]
    fn swap(&self, index: usize, from: u64, to: u64) -> bool {
        // ORDERING: Release publishes, with this stamp, the predecessor's that it was clamped to
        // and the whole lap before: whoever reads it (Acquire in `word`) reads the predecessor at
        // least as new. Relaxed on failure: all is read anew.
        self.cells[index].compare_exchange(from, to, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn back(&self, from: usize, by: u64) -> usize {
        debug_assert!(by < self.cells.len() as u64);
        let by = index(by);
        if from >= by { from - by } else { from + self.cells.len() - by }
    }

    #[inline]
    fn after(&self, index: usize) -> usize {
        if index + 1 == self.cells.len() { 0 } else { index + 1 }
    }
}

/// The stamps of a ring that stands still, newest first.
#[derive(Clone, Copy)]
pub(super) struct History<'a> {
    ring: &'a Ring,
    format: Format,
    newest: usize,
}

impl History<'_> {
    /// How many there are at most.
    pub(super) fn len(&self) -> usize {
        self.ring.looks_back()
    }

    /// The stamp so many before the newest; 0 if there are not so many.
    pub(super) fn get(&self, back: usize) -> u64 {
        if back < self.len() { self.stamp(back) } else { 0 }
    }

    /// The same, for less than `len`.
    pub(super) fn stamp(&self, back: usize) -> u64 {
        self.format.time(self.ring.word(self.ring.back(self.newest, back as u64)))
    }
}

/// How often what others change is read anew.
pub(super) const RECKONINGS: u32 = 16;

/// With several rules, turns are foreseen exactly for so many in line; beyond, at the earliest.
const FORESEEN: u64 = 4096;

/// Where an admission that the rules allow goes: into the newest cell if that has room, else into the
/// oldest.
fn spot(format: Format, found: &Boundary, now: u64) -> Spot {
    // Clamp the stamp, never the test: stamps do not decrease along the ring.
    let stamp = format.tick(now).max(format.time(found.newest_word));
    let room = format.room(found.newest_word);
    if room > 0 {
        let to = Format::pack(lap(found.newest_word), stamp, room - 1);
        return Spot { index: found.newest, from: found.newest_word, to, stamp };
    }
    let to = Format::pack(!lap(found.oldest_word), stamp, format.per_cell - 1);
    Spot { index: found.oldest, from: found.oldest_word, to, stamp }
}

/// Admissions the cell has given, if it still has some to give; else 0.
#[inline]
fn used(format: Format, cell: u64) -> u64 {
    match format.room(cell) {
        0 => 0,
        room => format.per_cell - room,
    }
}

/// Whole cells in so many admissions.
#[inline]
fn in_cells(format: Format, admissions: u64) -> u64 {
    if format.per_cell == 1 { admissions } else { admissions / format.per_cell }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "less than the number of cells")]
fn index(cells: u64) -> usize {
    cells as usize
}
