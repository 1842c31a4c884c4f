//! One pause for all: those of this process go up, those of others come down.
//!
//! Only one number is kept: until when the limiter is paused by the store's word. A local pause that lasts longer is news for the
//! store, and if none is left of one that was told, somebody here has ended it.

use super::{Driver, micros, timestamp};
use crate::link::Link;
use crate::script::{Pause, Reply};
use ringgate::time::Timestamp;

/// Differences that are smaller are none.
const SAME: u64 = 2_000;

/// Longer pauses are without an end: five years.
const LONGEST: u64 = 5 * 365 * 86_400 * 1_000_000;

/// When these end. That is one time, however late it is told.
const NEVER: u64 = 1 << 60;

impl<L: Link> Driver<L> {
    /// Until when calls are paused here. The steps of a ramp are this process's own.
    pub(super) fn pause_ends(&self) -> Option<u64> {
        self.lessee.paused_until().map(|until| self.end_at(micros(until)))
    }

    fn end_at(&self, at: u64) -> u64 {
        if at.saturating_sub(self.now) > LONGEST { NEVER } else { at }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.lessee.paused_until().is_some()
    }

    /// In a slow start: when the next call may go, if not now.
    pub(super) fn next_turn(&self) -> Option<u64> {
        let length = self.lessee.limiter().paused_for().filter(|_| !self.is_paused())?;
        let length = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Some(self.now.saturating_add(length).saturating_add(1))
    }

    /// Whether no call goes before a lease would come that is asked for now.
    pub(super) fn is_held_back(&self) -> bool {
        let comes = self.now.saturating_add(self.lead());
        self.is_paused() || self.next_turn().is_some_and(|at| at > comes)
    }

    pub(super) fn has_pause_to_tell(&self) -> bool {
        self.pause_to_tell() != Pause::Keep
    }

    pub(super) fn pause_to_tell(&self) -> Pause {
        let ends = self.pause_ends().unwrap_or(0);
        let told = self.told_pause.unwrap_or(0);
        if told > self.now.saturating_add(SAME) && ends.saturating_add(SAME) < told {
            return Pause::End;
        }
        if ends > self.now.saturating_add(SAME) && ends > told.saturating_add(SAME) {
            return Pause::For((ends - self.now).min(2 * LONGEST));
        }
        Pause::Keep
    }

    /// Takes over what the store tells. What has changed here meanwhile goes up first.
    pub(super) fn take_pause(&mut self, sent: Pause, reply: &Reply) {
        if sent == Pause::End {
            self.told_pause = None;
        }
        if self.pause_to_tell() == Pause::End {
            return;
        }
        let told = self.told_pause.take();
        let ends = self.pause_ends().unwrap_or(0);
        let is_news = told.is_none_or(|told| ends > told.saturating_add(SAME));
        if reply.paused == 0 {
            if !is_news && ends > self.now.saturating_add(SAME) {
                self.resume();
            }
            return;
        }
        // At the latest: the answer was on its way for some of the time that the trip took. Each takes another time.
        let until = self.end_at(self.now.saturating_add(reply.paused).saturating_add(1));
        let earliest = until.saturating_sub(self.took).saturating_sub(SAME);
        self.told_pause = Some(match ends {
            _ if ends < earliest => until,
            // It goes up.
            _ if is_news && ends > until.saturating_add(SAME) => until,
            // A shorter one is taken over when it is over: then the store tells of none.
            _ => ends,
        });
        if ends < earliest {
            self.pause_until(timestamp(until).min(LAST));
        }
    }
}

/// Not [`Timestamp::MAX`], which no store can mean.
const LAST: Timestamp = Timestamp::from_nanos(u64::MAX / 2);
