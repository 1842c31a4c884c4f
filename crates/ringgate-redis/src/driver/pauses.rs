//! One pause for all: those of this process go up, those of others come down.
//!
//! Only one number is kept: until when the limiter is paused by the store's word. A local pause that lasts longer is news for the
//! store, and if none is left of one that was told, somebody here has ended it.

use super::{Driver, timestamp};
use crate::link::Link;
use crate::script::{Pause, Reply};
use core::time::Duration;
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
        let paused = self.lessee.paused_for()?;
        Some(self.ends_in(u64::try_from(paused.as_micros()).unwrap_or(u64::MAX)))
    }

    fn ends_in(&self, length: u64) -> u64 {
        if length > LONGEST { NEVER } else { self.now.saturating_add(length).saturating_add(1) }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.lessee.paused_for().is_some_and(|paused| paused > Duration::ZERO)
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
        if reply.paused == 0 {
            let ends = self.pause_ends().unwrap_or(0);
            let was_told =
                self.told_pause.take().is_some_and(|told| ends <= told.saturating_add(SAME));
            if was_told && ends > self.now.saturating_add(SAME) {
                self.lessee.limiter().resume();
            }
            return;
        }
        let until = self.ends_in(reply.paused);
        self.told_pause = Some(until);
        if self.pause_ends().is_none_or(|ends| ends.saturating_add(SAME) < until) {
            self.lessee.limiter().pause_until(timestamp(until).min(LAST));
        }
    }
}

/// Not [`Timestamp::MAX`], which no store can mean.
const LAST: Timestamp = Timestamp::from_nanos(u64::MAX / 2);
