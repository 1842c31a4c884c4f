//! Hands out turns: whoever may have made room, or has joined the line, looks for both.
//!
//! ```text
//! look at the count of turns out ─► any call in line? ─► room for how many? ─► count the turns ─► hand them out
//!          ▲                                                                                         │
//!          └──────────────────── some were not taken: look again ◄── uncount them ◄──────────────────┘
//! ```
//!
//! A turn only says "try now". The call takes its slot and its stamp itself when it is polled, so no turn can admit too
//! many. Nothing is lost between two that look at the same time: each changes something first (it joins, frees a
//! slot, answers a turn), then writes the count, then looks. Whoever writes later sees what both have changed.
//!
//! If there is no room by the rate, one call at least waits in front and sleeps until the time by the rate. It gets a
//! turn like any other, finds no room, and stays there.

use super::ask::Ask;
use super::budgets::Budgets;
use super::panics::Panics;
use super::shared::Core;
use crate::semaphore::Semaphore;
use crate::time::Timestamp;
use crate::tokens::Usage;

/// The most turns handed out by one look. Calls that have left look again.
const MAX_TURNS: u64 = 1024;

/// How often one call looks. More often only if others change something each time, and they look as well.
const MAX_LOOKS: u32 = 64;

/// Why someone looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// There may be room, or a new call in line.
    Room,
    /// A call has found no room at its turn.
    Vain,
    /// The same, and it is the first in line now.
    VainFirst,
    /// The same, because an older one waits for its tokens: what there is, is for that one.
    VainBehind,
    /// A call has left that may have slept until the time by the rate. Another one must.
    Successor,
    /// Something has changed that the first in line cannot see.
    Change,
    /// Tokens may have become free.
    Tokens,
    /// The calls ahead must be silent: room has been unused for long. With so many turns it is the looker's own.
    Silent(u64),
}

impl Reason {
    /// Whether nothing has changed but that a turn was answered.
    fn is_vain(self) -> bool {
        matches!(self, Self::Vain | Self::VainFirst | Self::VainBehind)
    }
}

impl Core {
    /// Hands out turns for the room there is.
    #[cold]
    pub(super) fn hand_out(&self, reason: Reason) {
        let mut panics = Panics::default();
        self.hand_out_in(reason, &mut panics);
        panics.resume();
    }

    /// Turns are answered; others get what is left.
    pub(super) fn hand_out_after(&self, answered: u64, reason: Reason) {
        self.line.turns.remove(answered);
        self.hand_out(reason);
    }

    /// Frees one of the limiter's own slots.
    #[inline]
    pub(super) fn release_own(&self) {
        // MUTANTS: release_own
        if self.gate.release() {
            self.hand_out(Reason::Room);
        }
    }

    /// Something has changed that the first in line cannot see.
    pub(super) fn look_again(&self) {
        if self.gate.change() {
            self.hand_out(Reason::Change);
        }
    }

    /// The rate has changed: wakes the first in line, and others for whom there is room. The first may be silent.
    pub(super) fn look_at_the_rate_again(&self) {
        self.look_again_for(Reason::Change);
    }

    /// Tokens may have become free: wakes the first in line, and others for whom there is room.
    pub(super) fn look_at_the_tokens_again(&self) {
        self.look_again_for(Reason::Tokens);
    }

    /// For the first in line, and then for others.
    fn look_again_for(&self, reason: Reason) {
        if self.gate.change() {
            let mut panics = Panics::default();
            self.hand_out_in(reason, &mut panics);
            self.hand_out_in(Reason::Room, &mut panics);
            panics.resume();
        }
    }

    fn hand_out_in(&self, mut reason: Reason, panics: &mut Panics) {
        for _ in 0..MAX_LOOKS {
            let seen = self.line.turns.look();
            if self.is_closed() {
                return;
            }
            let period = self.period();
            let out = seen.out(period);
            if !self.line.is_waiting() {
                if out > 0 || self.stands() > 0 {
                    return;
                }
                self.gate.end_line();
                // MUTANTS: hand_out_in 1
                if !self.line.is_waiting() && self.stands() == 0 {
                    return;
                }
                self.gate.form_line();
                continue;
            }
            let turns = self.turns_for(reason, out);
            if turns == 0 {
                return;
            }
            // MUTANTS: hand_out_in 4
            // All that wait late: one that finds no room waits behind those that stayed.
            let turns = turns.max(self.line.late().min(MAX_TURNS));
            // MUTANTS: hand_out_in 2
            if !self.line.turns.add(seen, period, turns) {
                continue;
            }
            if !reason.is_vain() {
                reason = Reason::Room;
            }
            let left = self.line.give(turns, panics);
            // MUTANTS: hand_out_in 3
            if left == 0 {
                return;
            }
            self.line.turns.remove(left);
        }
    }

    /// How many turns to hand out while `out` are out.
    fn turns_for(&self, reason: Reason, out: u64) -> u64 {
        if reason == Reason::Change {
            // Without a look at the rate: whoever notices there that the clock has jumped comes here.
            return 1;
        }
        if reason == Reason::Tokens {
            if out == 0 {
                return 1;
            }
            // The first may have a turn, and not fit: another one would go before it. Whoever answers a turn looks.
            self.line.leave_for_later();
            return 0;
        }
        if reason == Reason::VainBehind {
            return u64::from(out == 0 && self.line.take_untimed(true));
        }
        // Whoever takes those ahead for silent knows that its own tokens fit.
        let is_own = matches!(reason, Reason::Silent(_)) && self.budgets().is_some();
        let room_by_rate = if is_own { self.room_beside_tokens() } else { self.room(None) };
        let room = room_by_rate.unwrap_or(0);
        let turns = room.saturating_sub(out + self.stands()).min(MAX_TURNS);
        match reason {
            Reason::Silent(needed) if is_own && room > 0 => needed.min(MAX_TURNS),
            Reason::Silent(needed) if room > 0 => turns.max(needed.min(MAX_TURNS)),
            // The first in line tells what is needed.
            _ if room_by_rate == Some(0) && out == 0 && self.gate.lacks_leased() => {
                u64::from(reason == Reason::Successor || !self.line.is_watched())
            }
            Reason::Successor if turns == 0 && (out > 0 || room_by_rate.is_some()) => {
                // Those that have a turn look when they have answered it, and whoever frees a slot does.
                self.line.leave_for_later();
                0
            }
            // The same for the first in line.
            Reason::Room if turns == 0 && out > 0 => {
                self.line.leave_for_later_if_untimed();
                0
            }
            // It looks at the time by itself.
            Reason::VainFirst if room_by_rate.is_none() && out == 0 => {
                self.line.take_untimed(false);
                0
            }
            // Somebody must sleep until the time by the rate.
            _ if room_by_rate.is_none() && out == 0 => {
                // MUTANTS: turns_for
                let is_untimed = self.line.take_untimed(reason.is_vain());
                let is_watched = self.line.is_watched() && !is_untimed;
                u64::from(reason == Reason::Successor || !is_watched)
            }
            _ => turns,
        }
    }

    /// How many calls could go now, `newcomer` included: so many that the largest of them fit. `None` if the rate or the
    /// budgets may admit none before some time.
    fn room(&self, newcomer: Option<Usage>) -> Option<u64> {
        // All go, each with its refusal.
        if self.budgets().is_some_and(Budgets::refuses) {
            return Some(u64::MAX);
        }
        let room = self.room_beside_tokens()?;
        match self.budgets() {
            None => Some(room),
            // As many as there are, so that each is told, whatever it needs.
            Some(_) if room == u64::MAX && self.peek().is_err() => Some(room),
            Some(budgets) => {
                let fit = budgets.room(newcomer);
                (fit > 0).then(|| fit.min(room))
            }
        }
    }

    /// The same by the other limits.
    fn room_beside_tokens(&self) -> Option<u64> {
        let by_rate = match (self.rate(), self.peek()) {
            // It never admits any: all go, each with a refusal.
            (_, Err(busy)) if busy.free_at.is_none() => return Some(u64::MAX),
            (_, Err(_)) => return None,
            (None, Ok(_)) => u64::MAX,
            // At least the one that `peek` has found.
            (Some(log), Ok(_)) => u64::from(log.remaining_by(&|| self.now()).max(1)),
        };
        // In a ramp they go one after another.
        let most = if self.pause.is_ramp() { 1 } else { u64::MAX };
        Some(self.gate.free().map_or(by_rate, |free| by_rate.min(free)).min(most))
    }

    /// How many calls that stand for a shared permit keep room from others: none once all of them were granted theirs, and
    /// those were claimed.
    fn stands(&self) -> u64 {
        let shared = self.concurrency().shared();
        if shared.is_some_and(|shared| shared.has_waiters() || shared.has_unclaimed()) {
            self.line.stands.get(self.ticks())
        } else {
            0
        }
    }

    pub(super) fn has_room_for_more_than(&self, calls: u64, newcomer: Option<Usage>) -> bool {
        self.room(newcomer).is_some_and(|room| room > calls)
    }

    /// Whether a call may go although others are in line: nobody waits for a turn, and there is room for more than
    /// have one. Not after a close.
    #[cold]
    pub(super) fn passes_the_line(&self, ask: &Ask) -> bool {
        self.hand_out(Reason::Room);
        !self.is_closed() && !self.line.is_waiting() && self.has_room_beside_turns(Some(ask.tokens))
    }

    /// Whether there is room for a call that has no turn, and nobody ahead of it waits for more tokens.
    pub(super) fn has_room_for(&self, ask: &Ask) -> bool {
        let fits = self.budgets().is_none_or(|budgets| {
            budgets.watch.lasts(self.time.now(), self.grace).is_zero()
                && budgets.peek(ask.tokens).is_ok()
        });
        fits && self.room_beside_tokens().is_some_and(|room| room > self.stands())
    }

    /// Whether an older call than the `nth` waits for its tokens, and is not silent.
    pub(super) fn is_behind_the_watch(&self, nth: u64) -> bool {
        self.budgets().is_some_and(|budgets| {
            let watch = &budgets.watch;
            watch.is_before(nth) && !watch.lasts(self.time.now(), self.grace).is_zero()
        })
    }

    /// The first in line waits until a time. Returns when it looks again: earlier, to show that it is there, if others may
    /// need fewer tokens.
    pub(super) fn watches_until(&self, by: u64, free_at: Timestamp, now: Timestamp) -> Timestamp {
        self.budgets().map_or(free_at, |budgets| budgets.watch.show(by, free_at, now, self.grace))
    }

    /// Whether the first in line could go, if the rate has room.
    pub(super) fn has_room_for_the_first(&self) -> bool {
        self.gate.free() != Some(0) && self.has_room_beside_turns(None)
    }

    /// Whether there is room for more calls than have a turn.
    pub(super) fn has_room_beside_turns(&self, newcomer: Option<Usage>) -> bool {
        let period = self.period();
        let out = self.line.turns.look().out(period).saturating_add(self.stands());
        if out == 0 {
            // The call finds out by itself.
            return true;
        }
        let shared = self.concurrency().shared().map_or(usize::MAX, Semaphore::available_permits);
        u64::try_from(shared).unwrap_or(u64::MAX) > out
            && self.has_room_for_more_than(out, newcomer)
    }

    /// How many calls have a turn that counts.
    pub(super) fn turns_out(&self) -> u64 {
        let period = self.period();
        self.line.turns.peek().out(period).saturating_add(self.stands())
    }
}
