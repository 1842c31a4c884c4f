//! How many turns are out: handed out to calls that have not answered yet.
//!
//! ```text
//! [ period : 32 | out since before : 16 | out in this period : 16 ]
//! ```
//!
//! A call that nobody polls never answers, so its turn stops counting after the period that follows. The count is a
//! guess. If it is too low, a call is woken in vain and waits in front of the others; if it is too high, room stays
//! unused until the period ends. It is never too high by more than the turns of silent calls, because a turn is
//! counted before it is handed out, and whoever takes some off looks for room again.

use crate::sync::atomic::{AtomicU64, Ordering};

const FIELD: u64 = 0xFFFF;

#[derive(Debug)]
pub(super) struct TurnsOut {
    word: AtomicU64,
    /// All turns that have not been answered, those of silent calls included.
    unanswered: AtomicU64,
}

/// A value of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Seen {
    fn new(period: u32, before: u64, now: u64) -> Self {
        Self(u64::from(period) << 32 | before.min(FIELD) << 16 | now.min(FIELD))
    }

    fn period(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn parts(self) -> (u64, u64) {
        (self.0 >> 16 & FIELD, self.0 & FIELD)
    }

    /// The same turns, as they count in `period`.
    fn at(self, period: u32) -> Self {
        let (_, now) = self.parts();
        match period.wrapping_sub(self.period()) {
            // A thread that has read the clock earlier; or the clock has stepped back a little, and all count so much
            // longer.
            0 | u32::MAX => self,
            // MUTANTS: at
            1 => Self::new(period, now, 0),
            // Long ago; or the clock has stepped back, and the old periods would not end.
            _ => Self::new(period, 0, 0),
        }
    }

    /// How many turns are out.
    pub(super) fn out(self, period: u32) -> u64 {
        let (before, now) = self.at(period).parts();
        before + now
    }
}

impl TurnsOut {
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(0), unanswered: AtomicU64::new(0) }
    }

    /// The count for one who is about to look for room and for calls in line.
    pub(super) fn look(&self) -> Seen {
        // ORDERING: AcqRel, and a write although it changes nothing. Of two who each changed something and then look,
        // the later one here sees both changes.
        Seen(self.word.fetch_add(0, Ordering::AcqRel))
    }

    /// The count for information.
    pub(super) fn peek(&self) -> Seen {
        // ORDERING: Relaxed: an estimate.
        Seen(self.word.load(Ordering::Relaxed))
    }

    /// Counts `turns` more, unless the count has changed since.
    pub(super) fn add(&self, seen: Seen, period: u32, turns: u64) -> bool {
        let counted = seen.at(period);
        let (before, now) = counted.parts();
        let more = Seen::new(counted.period(), before, now + turns);
        // ORDERING: AcqRel, as in `look`. Relaxed on failure: the caller looks again.
        let added = self.word.compare_exchange(seen.0, more.0, Ordering::AcqRel, Ordering::Relaxed);
        if added.is_ok() {
            // ORDERING: Relaxed: a count for estimates.
            self.unanswered.fetch_add(turns, Ordering::Relaxed);
        }
        added.is_ok()
    }

    /// Turns were answered, or nobody took them. The caller looks for room afterwards.
    pub(super) fn remove(&self, turns: u64) {
        if turns == 0 {
            return;
        }
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut seen = Seen(self.word.load(Ordering::Relaxed));
        loop {
            let (before, now) = seen.parts();
            // The newest first: those of silent calls stay with the older ones, and end with them.
            let rest = turns.saturating_sub(now);
            let fewer =
                Seen::new(seen.period(), before.saturating_sub(rest), now.saturating_sub(turns));
            // ORDERING: AcqRel, as in `look`.
            match self.word.compare_exchange_weak(
                seen.0,
                fewer.0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(changed) => seen = Seen(changed),
            }
        }
        // ORDERING: Relaxed: a count for estimates.
        self.unanswered.fetch_sub(turns, Ordering::Relaxed);
    }

    /// How many calls have had a turn for longer than turns count.
    pub(super) fn silent(&self, period: u32) -> u64 {
        // ORDERING: Relaxed: an estimate. It may be below zero for a moment.
        let unanswered = self.unanswered.load(Ordering::Relaxed).cast_signed();
        let out = self.peek().out(period).cast_signed();
        unanswered.saturating_sub(out).max(0).cast_unsigned()
    }
}
