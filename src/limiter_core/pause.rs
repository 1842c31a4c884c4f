//! Until when a limiter is paused.
//!
//! ```text
//! its own time = the clock + offset          left = until − its own time
//! ```
//!
//! While the clock only goes forward the offset stays as it is. Each look records the newest reading. If the clock shows a time
//! far before that, it has jumped back: the offset grows by as much, and the pause continues from the newest reading. So no
//! jump makes it longer, and two threads that notice the same jump move the offset once: both try the same exchange.
//!
//! Its own time wraps, so no reading, however far ahead, wears it out. What has passed is counted by the clock, which does not
//! wrap.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::{JUMP, Timestamp, in_nanos};

/// Not paused.
const NONE: u64 = 0;
/// Paused until it is resumed.
const FOR_EVER: u64 = u64::MAX;
/// Longer ones last until they are resumed: 146 years. Half of what could be told apart from the past.
const LONGEST: u64 = 1 << 62;
/// How often one look reads a clock that jumps back each time.
const READINGS: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Its end by its own time, [`NONE`] or [`FOR_EVER`].
    until: AtomicU64,
    /// How far its own time is ahead of the clock, in ns.
    offset: AtomicU64,
    /// The newest reading, by its own time.
    seen: AtomicU64,
}

/// A pause in force, by the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Paused {
    pub(super) now: Timestamp,
    /// [`Timestamp::MAX`] if it lasts until it is resumed.
    pub(super) until: Timestamp,
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
    /// What was left until a time of the pause's own, in ns.
    fn until(&self, own: u64) -> i128 {
        i128::from(own.wrapping_sub(self.seen).cast_signed()) - self.passed
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

    /// What is left of it. One that is over is cleared.
    pub(super) fn look(
        &self,
        clock: &Watched<impl Fn() -> Timestamp, impl Fn()>,
    ) -> Option<Paused> {
        // ORDERING: Acquire pairs with the Release in `extend`: the time that it was set by is seen, too.
        let until = self.until.load(Ordering::Acquire);
        if until == NONE {
            return None;
        }
        if until == FOR_EVER {
            return Some(Paused { now: (clock.read)(), until: Timestamp::MAX });
        }
        let reading = self.read(clock);
        let left = reading.until(until);
        if left > 0 {
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            let until = Timestamp::from_nanos(reading.now.as_nanos().saturating_add(left));
            return Some(Paused { now: reading.now, until });
        }
        // MUTANTS: look
        // From the value seen: a newer pause stays. This call comes before it.
        // ORDERING: Relaxed: whoever sees none reads nothing else.
        let _ = self.until.compare_exchange(until, NONE, Ordering::Relaxed, Ordering::Relaxed);
        None
    }

    /// Pauses until then, unless it is paused for longer.
    pub(super) fn extend(&self, end: End, clock: &Watched<impl Fn() -> Timestamp, impl Fn()>) {
        if matches!(end, End::After(0)) {
            return;
        }
        let is_endless = match end {
            End::After(nanos) => nanos > LONGEST,
            End::At(until) => until == Timestamp::MAX,
        };
        let reading = (!is_endless).then(|| self.read(clock));
        let until = match &reading {
            None => FOR_EVER,
            Some(reading) => match end.nanos_from(reading.now) {
                0 => return,
                nanos if nanos > LONGEST => FOR_EVER,
                nanos => match reading.own.wrapping_add(nanos) {
                    // These two mean something else: 1 or 2 ns longer.
                    FOR_EVER | NONE => NONE + 1,
                    until => until,
                },
            },
        };
        // One that is over holds nobody, and after a jump far ahead it would look like a later one.
        let in_force = |found: u64| match &reading {
            Some(reading) if found != FOR_EVER && reading.until(found) <= 0 => NONE,
            _ => found,
        };
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut found = self.until.load(Ordering::Relaxed);
        // MUTANTS: extend
        while is_later(until, in_force(found)) {
            // ORDERING: Release publishes the time by which it is set to the Acquire in `look`.
            match self.until.compare_exchange_weak(
                found,
                until,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => found = now,
            }
        }
    }

    /// Ends it.
    pub(super) fn end(&self) {
        // ORDERING: Relaxed: the caller wakes the line, by `Gate::change` and the count of turns. Those publish it to all who
        // are in line, or join it afterwards.
        self.until.store(NONE, Ordering::Relaxed);
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
}

/// Whether a pause until `one` lasts longer than one until `other`.
fn is_later(one: u64, other: u64) -> bool {
    match (one, other) {
        (_, FOR_EVER) => false,
        (_, NONE) | (FOR_EVER, _) => true,
        _ => one.wrapping_sub(other).cast_signed() > 0,
    }
}
