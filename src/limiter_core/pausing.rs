//! Pausing a limiter: no call goes before a time, and those in line keep their places.
//!
//! A pause is one more answer to "until when is there no room", beside those of the rate and of the tokens. The call in front
//! sleeps until its end, as it sleeps until the rate has room, and then hands out turns for what there is. So a pause wakes
//! nobody when it begins, and one call when it ends.

use super::ask::Ask;
use super::not_until::NotUntil;
use super::pause::{End, Paused, Watched};
use super::shared::Core;
use crate::error::Refused;
use crate::time::{Timestamp, in_nanos};
use core::time::Duration;

impl Core {
    /// Admits no call for so long, unless it is paused for longer.
    pub(crate) fn pause(&self, length: Duration) {
        self.pause.extend(End::After(in_nanos(length)), &self.watched());
    }

    /// The same until a time. The end of time is never reached.
    pub(crate) fn pause_until(&self, until: Timestamp) {
        self.pause.extend(End::At(until), &self.watched());
    }

    /// Ends a pause, and wakes the first in line and others for whom there is room. Also if there is none: whoever has ended it may
    /// have stopped before it woke them.
    pub(crate) fn resume(&self) {
        self.pause.end();
        // MUTANTS: resume
        self.look_at_the_rate_again();
    }

    /// How long it is still paused.
    pub(crate) fn paused_for(&self) -> Option<Duration> {
        // At the end of time something is left all the same.
        self.paused().map(|paused| Duration::from_nanos(paused.wait().max(1)))
    }

    /// Until when it is paused, whatever the other limits say.
    pub(super) fn paused(&self) -> Option<NotUntil> {
        let Paused { now, until } = self.pause.look(&self.watched())?;
        Some(NotUntil::by_pause(now, until))
    }

    /// An error if it is paused and the call cannot go: by what lasts longest of the limits that a time ends.
    #[cold]
    pub(super) fn check_pause_for(&self, ask: &Ask) -> Result<(), Refused> {
        if self.paused().is_none() {
            return Ok(());
        }
        self.peek_for(ask).map(drop).map_err(|busy| self.refused(busy))
    }

    /// An error if it is paused: by the pause, or by the rate if that lasts longer.
    pub(super) fn check_pause(&self) -> Result<(), NotUntil> {
        // MUTANTS: check_pause
        if !self.pause.is_set() {
            return Ok(());
        }
        let Some(by_pause) = self.paused() else { return Ok(()) };
        Err(match self.peek_rate() {
            Ok(_) => by_pause,
            Err(by_rate) => by_pause.or_later(by_rate),
        })
    }

    /// If the clock has jumped back, the first in line sleeps until a time of before. It is woken before others can no longer
    /// notice the jump: a thread that stalls in between would leave it asleep.
    fn watched(&self) -> Watched<impl Fn() -> Timestamp, impl Fn()> {
        Watched { read: || self.time.now(), on_jump: || self.look_again() }
    }
}
