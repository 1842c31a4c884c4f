//! A refusal by the rate, by a limit on tokens or by a pause.

use super::pause::Paused;
use super::pause_word::Kind;
use crate::error::{Limit, Refused};
use crate::feedback::StopReason;
use crate::raw::window::LogFull;
use crate::time::Timestamp;
use crate::tokens::NotNow;

/// Not until a time, or never.
#[derive(Clone, Copy)]
pub(crate) struct NotUntil {
    /// When the limits admit the call, by time alone; `None` if never.
    pub(super) free_at: Option<Timestamp>,
    /// The clock when it was asked.
    pub(super) now: Timestamp,
    /// No settlement helps before that.
    not_before: Timestamp,
    by: By,
}

#[derive(Clone, Copy)]
enum By {
    Rate,
    Tokens(NotNow, Limit),
    /// The limit's lease, or an amount above the limit (what was asked for, and the most).
    Lease(Limit, Option<(u64, u64)>),
    /// All calls are refused.
    Refusal,
    Pause,
    Stop(StopReason),
}

impl NotUntil {
    /// Times in ns.
    #[inline]
    pub(super) fn new(now: u64, free_at: Option<u64>) -> Self {
        let now = Timestamp::from_nanos(now);
        let free_at = free_at.map(Timestamp::from_nanos);
        Self { free_at, now, not_before: free_at.unwrap_or(Timestamp::MAX), by: By::Rate }
    }

    /// By a limit on tokens.
    pub(super) fn by_tokens(not_now: NotNow, limit: Limit) -> Self {
        let free_at = not_now.free_at();
        let not_before = free_at.filter(|_| !not_now.is_held()).unwrap_or(Timestamp::ZERO);
        Self { free_at, now: not_now.now(), not_before, by: By::Tokens(not_now, limit) }
    }

    /// By the lack of a lease, until more may be granted; `None` if that time is not known.
    pub(super) fn by_lease(now: Timestamp, until: Option<Timestamp>, limit: Limit) -> Self {
        let free_at = Some(until.unwrap_or(Timestamp::MAX));
        let not_before = until.unwrap_or(Timestamp::ZERO);
        Self { free_at, now, not_before, by: By::Lease(limit, None) }
    }

    /// By a leased limit that is less than what was asked for; of a rate that is zero.
    pub(super) fn over(now: Timestamp, limit: Limit, asked: u64, most: u64) -> Self {
        let is_rate = limit == Limit::Rate;
        let by = if is_rate { By::Rate } else { By::Lease(limit, Some((asked, most))) };
        Self { free_at: None, now, not_before: Timestamp::MAX, by }
    }

    /// By whoever grants leases: no call goes.
    pub(super) fn by_refusal(now: Timestamp) -> Self {
        Self { free_at: None, now, not_before: Timestamp::MAX, by: By::Refusal }
    }

    /// By a pause. Nobody waits until a stop is over: for the line that is never.
    pub(super) fn by_pause(Paused { now, until, kind }: Paused) -> Self {
        let (free_at, by) = match kind {
            Kind::Pause | Kind::Ramp => (Some(until), By::Pause),
            Kind::Stop(reason) => (None, By::Stop(reason)),
        };
        Self { free_at, now, not_before: until, by }
    }

    /// In ns, from when it was asked; 0 if it is never over.
    pub(super) fn wait(&self) -> u64 {
        let wait = |at: Timestamp| at.as_nanos().saturating_sub(self.now.as_nanos());
        self.free_at.map_or(0, wait)
    }

    /// Whether it may be over at `deadline` or before.
    pub(super) fn is_over_by(&self, deadline: Timestamp) -> bool {
        self.free_at.is_some() && self.not_before <= deadline
    }

    /// Before that it does not help to look again. A settlement may free tokens at any time.
    pub(super) fn by_time(&self) -> Option<Timestamp> {
        self.free_at.filter(|_| matches!(self.by, By::Rate | By::Pause))
    }

    /// Whether it waits for a lease, and it is not known until when.
    fn is_unknown(&self) -> bool {
        matches!(self.by, By::Lease(_, None)) && self.free_at == Some(Timestamp::MAX)
    }

    fn is_pause(&self) -> bool {
        matches!(self.by, By::Pause)
    }

    /// The one of two that lasts longer.
    pub(super) fn or_later(self, other: Self) -> Self {
        let lasts = |it: &Self| it.free_at.unwrap_or(Timestamp::MAX);
        let later = match (self.free_at, other.free_at) {
            (None, _) => self,
            (_, None) => other,
            // A pause has a time that can be told.
            _ if self.is_unknown() && other.is_pause() => other,
            _ if self.is_pause() && other.is_unknown() => self,
            _ if lasts(&other) > lasts(&self) => other,
            _ => self,
        };
        Self { not_before: self.not_before.max(other.not_before), ..later }
    }
}

impl From<LogFull> for NotUntil {
    #[inline]
    fn from(full: LogFull) -> Self {
        Self::new(full.reading.clock, full.free_at)
    }
}

impl From<NotUntil> for Refused {
    fn from(not_until: NotUntil) -> Self {
        match (not_until.by, not_until.free_at) {
            (By::Tokens(not_now, limit), _) => not_now.refused(limit),
            (By::Refusal, _) => Self::for_ever(Limit::Lease),
            (By::Lease(limit, Some((asked, most))), _) => Self::over(limit, asked, most),
            (By::Lease(limit, None), None | Some(Timestamp::MAX)) => Self::until_granted(limit),
            (By::Lease(limit, None), Some(_)) => Self::for_now(limit, not_until.wait().max(1)),
            (By::Stop(reason), _) if not_until.not_before == Timestamp::MAX => {
                Self::for_ever(Limit::Stopped(reason))
            }
            (By::Stop(reason), _) => {
                let wait = not_until.not_before.as_nanos().saturating_sub(not_until.now.as_nanos());
                Self::for_now(Limit::Stopped(reason), wait.max(1))
            }
            (By::Rate | By::Pause, None) => Self::for_ever(Limit::Rate),
            (By::Rate, Some(_)) => Self::for_now(Limit::Rate, not_until.wait()),
            // At the end of time there is something to wait for all the same.
            (By::Pause, Some(_)) => Self::for_now(Limit::Paused, not_until.wait().max(1)),
        }
    }
}
