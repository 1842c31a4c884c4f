//! The line: lanes of calls that wait for a turn.
//!
//! | lane | who waits in it |
//! |---|---|
//! | late | calls that found no room at their turn and are older than those in front. They get turns all together, so that they stay in order if they find none again |
//! | again | calls that have been sent before, and are sent again |
//! | front | calls that found no room at their turn; the first of them waits for the time by the rate |
//! | high, normal, low | all others, by [`Priority`] |
//!
//! Turns go to the lanes in this order, and to the last three by their shares. A lane is a semaphore without permits.
//! A turn is a permit that is released to it and, if nobody waits there, taken back at once.

use super::counts::{Count, Counted, Progress};
use super::panics::Panics;
use super::priority::{CLASSES, Priority};
use super::stands::Stands;
use super::turns::TurnsOut;
use crate::semaphore::{Semaphore, Waiting};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The lanes before those of the classes.
const AHEAD: usize = 3;

const LANES: usize = AHEAD + CLASSES;

/// The number of the first call that is sent for the first time. Those that are sent again have numbers of their own before it:
/// they are older than all others.
const FIRST: u64 = 1 << 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Late,
    Again,
    Front,
    Class(Priority),
}

impl Lane {
    fn index(self) -> usize {
        match self {
            Self::Late => 0,
            Self::Again => 1,
            Self::Front => 2,
            Self::Class(class) => AHEAD + class.index(),
        }
    }

    /// Whether its calls have had a turn, came first, or have been sent before.
    pub(super) fn is_ahead(self) -> bool {
        !matches!(self, Self::Class(_))
    }
}

#[derive(Debug)]
pub(super) struct Line {
    lanes: [Semaphore; LANES],
    pub(super) turns: TurnsOut,
    /// The calls in line by class, those with a turn included.
    calls: [AtomicU64; CLASSES],
    /// How many calls have ever joined, those that were sent before left out.
    joined: AtomicU64,
    /// How many have joined to be sent again.
    joined_again: AtomicU64,
    /// How many of them have left.
    left: AtomicU64,
    /// How many of them were admitted.
    pub(super) went: Progress,
    /// One more than the number of the newest call that has ever waited in front.
    newest_in_front: AtomicU64,
    /// Those that wait late.
    late: Count,
    /// How many turns the classes have had.
    shared_out: AtomicU64,
    /// Calls that have a turn and stand in the line of a shared semaphore.
    pub(super) stands: Stands,
    /// `UNTIMED`, `MISSED` or 0.
    untimed: AtomicU64,
}

/// The first in line has seen the rate open, and waits for a slot.
const UNTIMED: u64 = 1;
/// It must be woken once nobody has a turn any more.
const MISSED: u64 = 2;

impl Line {
    pub(super) fn new() -> Self {
        Self {
            lanes: core::array::from_fn(|_| Semaphore::new(0)),
            turns: TurnsOut::new(),
            calls: core::array::from_fn(|_| AtomicU64::new(0)),
            joined: AtomicU64::new(0),
            joined_again: AtomicU64::new(0),
            left: AtomicU64::new(0),
            went: Progress::default(),
            newest_in_front: AtomicU64::new(0),
            late: Count::default(),
            shared_out: AtomicU64::new(0),
            stands: Stands::new(),
            untimed: AtomicU64::new(0),
        }
    }

    // ---- who is in it ----------------------------------------------------------------------------

    /// Counts one more call for as long as its number lives. `silent` of those in line have had their turn and did not
    /// answer.
    pub(super) fn join(&self, class: Priority, silent: u64) -> Number<'_> {
        let ahead = self.len().saturating_sub(silent);
        // ORDERING: Relaxed: counts for estimates and for sleeps. Nothing else is read by them.
        let nth = self.joined.fetch_add(1, Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        let left = self.left.load(Ordering::Relaxed);
        // ORDERING: Relaxed, as above.
        self.calls[class.index()].fetch_add(1, Ordering::Relaxed);
        Number { line: self, nth: FIRST + nth, class, ahead, left, is_counted: true }
    }

    /// The same for a call that is sent again.
    pub(super) fn join_again(&self, class: Priority) -> Number<'_> {
        // ORDERING: Relaxed, as in `join`.
        let nth = self.joined_again.fetch_add(1, Ordering::Relaxed);
        // ORDERING: Relaxed, as in `join`.
        self.calls[class.index()].fetch_add(1, Ordering::Relaxed);
        Number { line: self, nth, class, ahead: 0, left: 0, is_counted: true }
    }

    /// How many calls are in line.
    pub(super) fn len(&self) -> u64 {
        Priority::ALL.into_iter().map(|class| self.len_of(class)).sum()
    }

    pub(super) fn len_of(&self, class: Priority) -> u64 {
        // ORDERING: Relaxed: a count for information.
        self.calls[class.index()].load(Ordering::Relaxed)
    }

    /// Whether a call waits for a turn.
    pub(super) fn is_waiting(&self) -> bool {
        self.lanes.iter().any(Semaphore::has_waiters)
    }

    /// Whether a call waits before the classes.
    pub(super) fn is_watched(&self) -> bool {
        self.lanes[..AHEAD].iter().any(Semaphore::has_waiters)
    }

    fn lane(&self, lane: Lane) -> &Semaphore {
        &self.lanes[lane.index()]
    }

    pub(super) fn wait(&self, lane: Lane) -> Waiting<'_> {
        self.lane(lane).wait()
    }

    /// Counts a call in its lane, until it has a turn or leaves.
    pub(super) fn count_in(&self, lane: Lane) -> Option<Counted<'_>> {
        (lane == Lane::Late).then(|| self.late.count())
    }

    /// How many turns it takes so that all that wait late have one.
    pub(super) fn late(&self) -> u64 {
        if self.lane(Lane::Late).has_waiters() { self.late.get() } else { 0 }
    }

    /// A semaphore that is closed with the line.
    pub(super) fn any_lane(&self) -> &Semaphore {
        self.lane(Lane::Front)
    }

    /// Whether the call is the first of all.
    pub(super) fn is_first(&self, lane: Lane, waiting: &Waiting<'_>) -> bool {
        let mut before = self.lanes[..lane.index()].iter();
        lane.is_ahead() && !before.any(Semaphore::has_waiters) && waiting.is_first()
    }

    /// How many calls wait for a turn before this one; `None` if it has one.
    pub(super) fn position(&self, lane: Lane, waiting: &Waiting<'_>) -> Option<u64> {
        let within = waiting.position()?;
        let before = &self.lanes[..lane.index().min(AHEAD)];
        let before: usize = before.iter().map(Semaphore::waiters).sum();
        let within = u64::try_from(within).unwrap_or(u64::MAX);
        let others = match lane {
            Lane::Class(class) => self.before(class, within),
            Lane::Late | Lane::Again | Lane::Front => 0,
        };
        Some(within + others + u64::try_from(before).unwrap_or(u64::MAX))
    }

    /// How many turns it takes until this call has one, if all that wait take theirs; `None` if it has one. In a very long
    /// line it is not counted, and the most.
    pub(super) fn turns_until(&self, lane: Lane, waiting: &Waiting<'_>) -> Option<u64> {
        /// A walk past so many takes less than 100 µs.
        const MOST: u64 = 8192;
        if self.len() > MOST {
            return Some(u64::MAX);
        }
        let position = self.position(lane, waiting)?;
        let Lane::Class(class) = lane else { return Some(position + 1) };
        // Its own turn may come after those of the others' shares.
        let others = self.before(class, position + 1);
        Some(position.saturating_add(others).saturating_add(1))
    }

    /// How many calls of other classes at least go before one that has `ahead` of its own before it.
    pub(super) fn before(&self, class: Priority, ahead: u64) -> u64 {
        let others = Priority::ALL.into_iter().filter(|other| *other != class);
        let turns = |other: Priority| ahead.saturating_mul(other.share()) / class.share();
        others.map(|other| turns(other).min(self.len_of(other))).sum()
    }

    /// The first in line waits for a slot. It does not know when the rate has room, should that be used up meanwhile.
    pub(super) fn sleep_untimed(&self) {
        // ORDERING: Relaxed: a hint. Without it the call looks a part of the grace later.
        self.untimed.fetch_max(UNTIMED, Ordering::Relaxed);
    }

    /// Something has changed, and whoever has a turn looks for the first in line when it answers.
    pub(super) fn leave_for_later(&self) {
        // ORDERING: Relaxed, as in `sleep_untimed`.
        self.untimed.store(MISSED, Ordering::Relaxed);
    }

    /// The same, if the first in line may need it.
    pub(super) fn leave_for_later_if_untimed(&self) {
        // ORDERING: Relaxed, as in `sleep_untimed`: both times.
        let _ =
            self.untimed.compare_exchange(UNTIMED, MISSED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether the first in line may not know when the rate has room. The caller wakes it. `is_vain`: nothing has changed
    /// but what was left for later.
    pub(super) fn take_untimed(&self, is_vain: bool) -> bool {
        // MUTANTS: take_untimed
        // ORDERING: Relaxed, as in `sleep_untimed`.
        if is_vain && self.untimed.load(Ordering::Relaxed) != MISSED {
            return false;
        }
        // ORDERING: Relaxed, as in `sleep_untimed`.
        self.untimed.swap(0, Ordering::Relaxed) > 0
    }

    // ---- handing out -----------------------------------------------------------------------------

    /// Hands out turns, and returns how many nobody took. That may be more than it was given: others' leftovers.
    pub(super) fn give(&self, turns: u64, panics: &mut Panics) -> u64 {
        let mut left = turns;
        for lane in [Lane::Late, Lane::Again, Lane::Front] {
            left = Self::give_to(self.lane(lane), left, panics);
        }
        let mut waits = Priority::ALL.map(|class| self.lane(Lane::Class(class)).has_waiters());
        while left > 0 && waits.contains(&true) {
            let is_alone = waits.iter().filter(|waits| **waits).count() == 1;
            let now = if is_alone { left } else { 1 };
            // Claimed first: two threads must not both skip a class's turn.
            // ORDERING: Relaxed: a count that only decides whose turn is next.
            let nth = self.shared_out.fetch_add(now, Ordering::Relaxed);
            let first = Priority::of_turn(nth).index();
            let class =
                if waits[first] { first } else { waits.iter().position(|w| *w).unwrap_or(0) };
            let untaken = Self::give_to(&self.lanes[AHEAD + class], now, panics);
            left = (left - now).saturating_add(untaken);
            waits[class] = untaken == 0 && self.lanes[AHEAD + class].has_waiters();
        }
        left
    }

    fn give_to(lane: &Semaphore, turns: u64, panics: &mut Panics) -> u64 {
        if turns == 0 || !lane.has_waiters() {
            return turns;
        }
        panics.catch(|| lane.release(usize::try_from(turns).unwrap_or(usize::MAX)));
        Self::take_back(lane)
    }

    fn take_back(lane: &Semaphore) -> u64 {
        lane.forget_permits(usize::MAX) as u64
    }

    /// Takes back what a call that had a turn has left, because nobody waited behind it.
    pub(super) fn take_back_from(&self, lane: Lane) -> u64 {
        Self::take_back(self.lane(lane))
    }

    /// Refuses every call that waits for a turn.
    pub(super) fn close(&self, panics: &mut Panics) {
        for lane in &self.lanes {
            panics.catch(|| lane.close());
        }
    }

    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(super) fn nodes_in_use(&self) -> u32 {
        self.lanes.iter().map(Semaphore::nodes_in_use).sum()
    }

    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(super) fn sweep_at(&self, dead: u64) {
        self.lanes.iter().for_each(|lane| lane.sweep_at(dead));
    }
}

/// A call's number in line. It is counted until it is dropped.
pub(super) struct Number<'a> {
    line: &'a Line,
    nth: u64,
    class: Priority,
    /// How many were in line when it joined.
    ahead: u64,
    /// How many had left by then.
    left: u64,
    is_counted: bool,
}

impl Number<'_> {
    /// How many calls are ahead, if none but those has left.
    pub(super) fn ahead(&self) -> u64 {
        // ORDERING: Relaxed: an estimate.
        let left = self.line.left.load(Ordering::Relaxed);
        self.ahead.saturating_sub(left.saturating_sub(self.left))
    }

    pub(super) fn nth(&self) -> u64 {
        self.nth
    }

    /// Whether no other was in line when it joined.
    pub(super) fn came_first(&self) -> bool {
        self.ahead == 0
    }

    /// The lane in which it waits after it found no room. `is_behind`: an older call watches in front.
    pub(super) fn lane_ahead(&self, is_behind: bool) -> Lane {
        // ORDERING: Relaxed: it only decides the order of calls that found no room at the same moment.
        let newest = self.line.newest_in_front.fetch_max(self.nth + 1, Ordering::Relaxed);
        let has_late = self.line.lane(Lane::Late).has_waiters();
        // MUTANTS: lane_ahead
        // The newest of all stays behind those in front, and any behind an older one that is there.
        if self.is_older_than(newest) && (!is_behind || has_late) {
            Lane::Late
        } else {
            self.home()
        }
    }

    /// Whether it has been sent before.
    fn is_again(&self) -> bool {
        self.nth < FIRST
    }

    /// Whether it goes before the `newest` in front.
    fn is_older_than(&self, newest: u64) -> bool {
        self.is_again() || self.nth + 1 < newest
    }

    /// The lane before the classes in which it waits behind others.
    pub(super) fn home(&self) -> Lane {
        if self.is_again() { Lane::Again } else { Lane::Front }
    }

    /// Whether others wait in front, and none of them is known to be younger.
    pub(super) fn is_behind_those_in_front(&self) -> bool {
        // ORDERING: Relaxed, as in `lane_ahead`.
        let newest = self.line.newest_in_front.load(Ordering::Relaxed);
        self.line.is_watched() && !self.is_older_than(newest)
    }

    /// It counts as waiting no more: it is in the log, or has left.
    pub(super) fn count_out(&mut self) {
        if core::mem::replace(&mut self.is_counted, false) {
            // ORDERING: Relaxed: counts for estimates and for sleeps.
            self.line.calls[self.class.index()].fetch_sub(1, Ordering::Relaxed);
            // ORDERING: Relaxed, as above.
            self.line.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It waits again: the log did not take it.
    pub(super) fn count_in(&mut self) {
        if !core::mem::replace(&mut self.is_counted, true) {
            // ORDERING: Relaxed: counts for estimates and for sleeps.
            self.line.left.fetch_sub(1, Ordering::Relaxed);
            // ORDERING: Relaxed, as above.
            self.line.calls[self.class.index()].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.count_out();
    }
}
