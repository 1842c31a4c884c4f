//! Pausing a limiter: no call goes before a time, and those in line keep their places.
//!
//! A pause is one more answer to "until when is there no room", beside those of the rate and of the tokens. The call in front
//! sleeps until its end, as it sleeps until the rate has room, and then hands out turns for what there is. So a pause wakes
//! nobody when it begins, and one call when it ends.
//!
//! A stop is a limit that admits no call: those in line get turns at once, and each leaves with its refusal.

use super::leasing::Leasing;
use super::not_until::NotUntil;
use super::pause::{End, Paused, Watched};
use super::pause_word::Kind;
use super::shared::Core;
use crate::feedback::StopReason;
use crate::time::{Timestamp, in_nanos};
use core::time::Duration;

/// At least so many go within a ramp.
const FEW: u64 = 16;

impl Core {
    /// Admits no call for so long, unless it is paused for longer.
    pub(crate) fn pause(&self, length: Duration) {
        let _rings = self.rings_after();
        self.pause.extend(End::After(in_nanos(length)), Kind::Pause, &self.watched());
    }

    /// The same, and calls go one after another when it is over, closer and closer until so much time has passed.
    pub(crate) fn pause_then_ramp(&self, length: Duration, over: Duration) {
        let _rings = self.rings_after();
        let over = in_nanos(over);
        let ramp = (in_nanos(length), over, self.full_speed_gap(over));
        self.pause.extend_with_ramp(ramp, &self.watched());
    }

    /// Refuses all calls, also those in line, for so long; without an end until it is resumed.
    pub(crate) fn stop(&self, reason: StopReason, length: Option<Duration>) {
        let _rings = self.rings_after();
        let end = length.map_or(End::At(Timestamp::MAX), |length| End::After(in_nanos(length)));
        self.pause.extend(end, Kind::Stop(reason), &self.watched());
        // MUTANTS: stop
        self.look_at_the_rate_again();
    }

    /// Why it has been stopped.
    pub(crate) fn stopped(&self) -> Option<StopReason> {
        match self.pause.look(&self.watched())?.kind {
            Kind::Stop(reason) => Some(reason),
            Kind::Pause | Kind::Ramp => None,
        }
    }

    /// The same until a time. The end of time is never reached.
    pub(crate) fn pause_until(&self, until: Timestamp) {
        let _rings = self.rings_after();
        self.pause.extend(End::At(until), Kind::Pause, &self.watched());
    }

    /// Ends a pause, and wakes the first in line and others for whom there is room. Also if there is none: whoever has ended it may
    /// have stopped before it woke them.
    pub(crate) fn resume(&self) {
        let _rings = self.rings_after();
        self.pause.end();
        // MUTANTS: resume
        self.look_at_the_rate_again();
    }

    /// The same, and calls go one after another from now on, closer and closer until so much time has passed.
    pub(crate) fn resume_over(&self, over: Duration) {
        let _rings = self.rings_after();
        let over = in_nanos(over);
        self.pause.end_with_ramp((over, self.full_speed_gap(over)), &self.watched());
        self.look_at_the_rate_again();
    }

    /// What lies between two calls at full speed, in ns. Without a rate as many go within the ramp as may be in
    /// flight, or as are in line if these are more.
    fn full_speed_gap(&self, over: u64) -> u64 {
        let gap = self.rate().map_or(0, |log| {
            // Not by what others use: they may have gone when it ends.
            let rules =
                (0..log.rules()).filter_map(|n| Some((self.ceilings.allowed(n)?, log.rule(n)?.1)));
            rules.map(|(limit, window)| in_nanos(window) / limit.max(1)).max().unwrap_or(0)
        });
        let gap = self.leasing().map_or(gap, Leasing::full_speed_gap);
        let calls = self.concurrency_limit().map_or(0, u64::from).max(self.waiters());
        if gap > 0 { gap } else { over / calls.max(FEW).saturating_mul(2) }
    }

    /// Whether it is paused, and not only in a ramp.
    pub(crate) fn is_before_a_ramp(&self) -> bool {
        self.pause.is_before_a_ramp(&self.watched())
    }

    /// How long it is still paused.
    pub(crate) fn paused_for(&self) -> Option<Duration> {
        let Paused { now, until, .. } = self.pause.look(&self.watched())?;
        let left = until.as_nanos().saturating_sub(now.as_nanos());
        // At the end of time something is left all the same.
        Some(Duration::from_nanos(left.max(1)))
    }

    /// Until when it is paused, by the clock.
    pub(crate) fn paused_until(&self) -> Option<Timestamp> {
        self.pause.look(&self.watched()).map(|paused| paused.until)
    }

    /// Until when it is paused, whatever the other limits say.
    pub(super) fn paused(&self) -> Option<NotUntil> {
        self.pause.look(&self.watched()).map(NotUntil::by_pause)
    }

    /// An error if it is paused: by the pause, or by the rate if that lasts longer.
    pub(super) fn check_pause(&self) -> Result<(), NotUntil> {
        // MUTANTS: check_pause
        if !self.pause.is_set() {
            return Ok(());
        }
        self.go_unless(self.pause.look(&self.watched()))
    }

    /// The same of a call that goes if there is none: in a ramp it is the one that goes.
    pub(super) fn pass_pause(&self) -> Result<(), NotUntil> {
        if !self.pause.is_set() {
            return Ok(());
        }
        self.go_unless(self.pause.pass(&self.watched()))
    }

    fn go_unless(&self, paused: Option<Paused>) -> Result<(), NotUntil> {
        let Some(by_pause) = paused.map(NotUntil::by_pause) else { return Ok(()) };
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
