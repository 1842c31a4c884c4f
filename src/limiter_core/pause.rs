//! Until when a limiter is paused, and what for.
//!
//! ```text
//! the word: [ end by its own time : 61 | kind : 3 ]; 0 for no pause
//!
//! its own time = the clock + offset          left = end − its own time
//! ```
//!
//! While the clock only goes forward the offset stays as it is. Each look records the newest reading. If the clock shows a time
//! far before that, it has jumped back: the offset grows by as much, and the pause continues from the newest reading. So no
//! jump makes it longer, and two threads that notice the same jump move the offset once: both try the same exchange.
//!
//! Its own time wraps, so no reading, however far ahead, wears it out. What has passed is counted by the clock, which does not
//! wrap.
//!
//! A stop is a pause that calls do not wait for; its kind is the reason. A ramp (`ramp.rs`) is a pause that begins anew with each
//! call that it lets go.

use super::pause_word::{
    FOR_EVER, KIND, KIND_BITS, Kind, LONGEST, NONE, between, has_ramp, is_endless, merged,
};
use super::ramp::Ramp;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{JUMP, Timestamp, in_nanos};

/// How often one look reads a clock that jumps back each time.
const READINGS: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Pause {
    /// The word.
    until: AtomicU64,
    /// How far its own time is ahead of the clock, in ns.
    offset: AtomicU64,
    /// The newest reading, by its own time.
    seen: AtomicU64,
    ramp: Ramp,
}

/// A pause in force, by the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Paused {
    pub(super) now: Timestamp,
    /// [`Timestamp::MAX`] if it lasts until it is resumed.
    pub(super) until: Timestamp,
    pub(super) kind: Kind,
}

/// A clock, and what to do before others are told that it has jumped back.
pub(super) struct Watched<R, J> {
    pub(super) read: R,
    pub(super) on_jump: J,
}

/// A reading of the clock.
struct Reading {
    now: Timestamp,
    /// By the pause's own time.
    own: u64,
    /// The newest reading before this one, and what has passed since: less than zero if the clock has stepped back a little.
    seen: u64,
    passed: i128,
}

impl Reading {
    /// What was left until the end in a word, in ns.
    fn until(&self, word: u64) -> i128 {
        i128::from(between(self.seen << KIND_BITS, word)) - self.passed
    }

    /// How long the pause of a word has been over, in ns.
    fn since(&self, word: u64) -> u64 {
        u64::try_from(-self.until(word)).unwrap_or(0)
    }

    /// The pause of a word, if it is not over.
    fn in_force(&self, word: u64) -> Option<Paused> {
        let left = self.until(word);
        (left > 0).then(|| {
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            let until = Timestamp::from_nanos(self.now.as_nanos().saturating_add(left));
            Paused { now: self.now, until, kind: Kind::of(word) }
        })
    }

    /// The end of a pause that lasts so long from now on.
    fn after(&self, nanos: u64) -> u64 {
        match self.own.wrapping_add(nanos) << KIND_BITS {
            // This means something else: 1 ns longer, or over for so long.
            FOR_EVER if nanos == 0 => FOR_EVER.wrapping_sub(KIND + 1),
            FOR_EVER => 0,
            end => end,
        }
    }
}

/// When a pause is to end.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// In ns.
    After(u64),
    /// By the clock. The end of time is never reached.
    At(Timestamp),
}

impl End {
    fn is_never(self) -> bool {
        match self {
            Self::After(nanos) => nanos > LONGEST,
            Self::At(until) => until == Timestamp::MAX,
        }
    }

    fn nanos_from(self, now: Timestamp) -> u64 {
        match self {
            Self::After(nanos) => nanos,
            Self::At(until) => until.as_nanos().saturating_sub(now.as_nanos()),
        }
    }
}

impl Pause {
    /// Whether there may be one: it may be over.
    #[inline]
    pub(super) fn is_set(&self) -> bool {
        // ORDERING: Relaxed: whoever was told of a pause sees it by that; for others it begins when they see it.
        self.until.load(Ordering::Relaxed) != NONE
    }

    /// Whether calls may have to go one after another.
    pub(super) fn is_ramp(&self) -> bool {
        // ORDERING: Relaxed, as in `is_set`.
        Kind::of(self.until.load(Ordering::Relaxed)) == Kind::Ramp
    }

    /// What is left of it. One that is over is cleared, unless calls go one after another then.
    pub(super) fn look(
        &self,
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) -> Option<Paused> {
        // ORDERING: Acquire pairs with the Release in `extend`: the time that it was set by is seen, too.
        let until = self.until.load(Ordering::Acquire);
        if until == NONE {
            return None;
        }
        if is_endless(until) {
            let kind = Kind::of(until);
            return Some(Paused { now: (clock.read)(), until: Timestamp::MAX, kind });
        }
        let reading = self.read(clock);
        let paused = reading.in_force(until);
        if paused.is_some() || Kind::of(until) == Kind::Ramp && self.ramp.lasts(reading.own) {
            return paused;
        }
        // MUTANTS: look
        // From the value seen: a newer pause stays. This call comes before it.
        // ORDERING: Relaxed: whoever sees none reads nothing else.
        let _ = self.until.compare_exchange(until, NONE, Ordering::Relaxed, Ordering::Relaxed);
        None
    }

    /// Pauses until then, unless it is paused for longer. Of two kinds that holds which says more; of two stops the later one.
    pub(super) fn extend(
        &self,
        end: End,
        kind: Kind,
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) {
        // Also if it never ends: what is there may be over.
        let reading = self.read(clock);
        let until = match end.nanos_from(reading.now) {
            _ if end.is_never() => FOR_EVER,
            0 => return,
            nanos if nanos > LONGEST => FOR_EVER,
            nanos => reading.after(nanos),
        };
        // One that is over holds nobody, and after a jump far ahead it would look like a later one.
        let in_force = |found: u64| match Kind::of(found) {
            _ if found == NONE || is_endless(found) || reading.until(found) > 0 => found,
            Kind::Ramp if self.ramp.lasts(reading.own) => reading.after(0) | Kind::Ramp.bits(),
            _ => NONE,
        };
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut found = self.until.load(Ordering::Relaxed);
        loop {
            // MUTANTS: extend
            let wanted = merged(until | kind.bits(), in_force(found));
            // ORDERING: Release publishes the time by which it is set to the Acquire in `look`.
            if wanted != found
                && let Err(now) = self.until.compare_exchange_weak(
                    found,
                    wanted,
                    Ordering::Release,
                    Ordering::Relaxed,
                )
            {
                found = now;
                continue;
            }
            if has_ramp(wanted) {
                // Also if the word stays: the caller may have set an earlier start.
                self.ramp.begin_after(wanted);
            }
            return;
        }
    }

    /// Ends it.
    pub(super) fn end(&self) {
        // ORDERING: Relaxed: the caller wakes the line, by `Gate::change` and the count of turns. Those publish it to all who
        // are in line, or join it afterwards.
        // Not a store: the models would let a call of the slow start come after it.
        self.until.swap(NONE, Ordering::Relaxed);
    }

    /// So much time has passed that all that began before is over, and would look like something to come once the reading is
    /// recorded. So this comes first.
    #[cold]
    fn forget_before_a_leap(&self) {
        // ORDERING: Relaxed: a guess; the exchange decides.
        let word = self.until.load(Ordering::Relaxed);
        if word != NONE && !is_endless(word) {
            // ORDERING: Relaxed, as in `look`. The Release of `seen` comes after it.
            let _ = self.until.compare_exchange(word, NONE, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether calls wait because of a pause that stands, and not for one another in a ramp.
    pub(super) fn is_before_a_ramp(
        &self,
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) -> bool {
        // One without an end is none: nobody goes.
        let is_ramp = |paused: Paused| paused.kind == Kind::Ramp && paused.until < Timestamp::MAX;
        let begins = || self.ramp.has_begun(self.read(clock).own);
        self.look(clock).is_some_and(|paused| !is_ramp(paused) || !begins())
    }

    /// Reads the clock, and notices a jump back.
    fn read(&self, clock: &Watched<impl Fn() -> Timestamp, impl Fn()>) -> Reading {
        let mut tries = 0;
        loop {
            // ORDERING: Acquire pairs with the Release of the exchange below: a newer reading is not older than the offset.
            let offset = self.offset.load(Ordering::Acquire);
            // ORDERING: Acquire pairs with the Release below, for those who see the offset that follows from it.
            let seen = self.seen.load(Ordering::Acquire);
            // After the load: the clock has shown `newest` before.
            let now = (clock.read)();
            let newest = seen.wrapping_sub(offset);
            let passed = i128::from(now.as_nanos()) - i128::from(newest);
            let own = now.as_nanos().wrapping_add(offset);
            if passed >= -i128::from(in_nanos(JUMP)) {
                if passed > i128::from(LONGEST) {
                    self.forget_before_a_leap();
                }
                if passed > 0 {
                    // ORDERING: Release pairs with the Acquire above. It may fail: others have seen the time as well.
                    let _ =
                        self.seen.compare_exchange(seen, own, Ordering::Release, Ordering::Relaxed);
                }
                return Reading { now, own, seen, passed };
            }
            tries += 1;
            if tries == READINGS {
                return Reading { now, own: seen, seen, passed: 0 };
            }
            (clock.on_jump)();
            // ORDERING: Release pairs with the Acquire above. If it fails, another thread has noticed the jump.
            let _ = self.offset.compare_exchange(
                offset,
                seen.wrapping_sub(now.as_nanos()),
                Ordering::Release,
                Ordering::Relaxed,
            );
        }
    }

    /// Pauses so long (in ns), and lets calls go one after another when that is over.
    pub(super) fn extend_with_ramp(
        &self,
        (pause, length, gap): (u64, u64, u64),
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) {
        // Without a pause it begins with the shortest one.
        let pause = pause.max(1);
        let start = self.read(clock).own.wrapping_add(pause.min(LONGEST));
        self.ramp.set(start, length, gap);
        self.extend(End::After(pause), Kind::Ramp, clock);
    }

    /// Ends a pause, and lets calls go one after another from now on.
    pub(super) fn end_with_ramp(
        &self,
        (length, gap): (u64, u64),
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) {
        let reading = self.read(clock);
        self.ramp.set(reading.own, length, gap);
        // ORDERING: Release publishes the ramp to the Acquire in `pass` and `look`. Not a store, as in `end`.
        self.until.swap(reading.after(0) | Kind::Ramp.bits(), Ordering::Release);
    }

    /// [`look`](Self::look) of a call that goes if there is none: in a ramp the next one has to wait.
    pub(super) fn pass(
        &self,
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) -> Option<Paused> {
        loop {
            // ORDERING: Acquire pairs with the Release in `extend` and `end_with_ramp`: the ramp is seen, too.
            let word = self.until.load(Ordering::Acquire);
            if !has_ramp(word) {
                return self.look(clock);
            }
            let reading = self.read(clock);
            let paused = reading.in_force(word);
            if paused.is_some() {
                return paused;
            }
            let gap = self.ramp.next_gap(reading.own, reading.since(word));
            let next = gap.map_or(NONE, |gap| reading.after(gap) | Kind::Ramp.bits());
            // ORDERING: Release, as in `end_with_ramp`: whoever sees this word sees the ramp.
            let claimed =
                self.until.compare_exchange(word, next, Ordering::Release, Ordering::Relaxed);
            // MUTANTS: pass
            if claimed.is_ok() {
                return None;
            }
        }
    }
}
