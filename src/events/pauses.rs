//! Pauses and stops.

use super::length;
use crate::feedback::StopReason;
use core::time::Duration;
use tracing::field::display as text;

/// No call goes for so long; without an end until it is resumed.
pub(crate) fn began(limiter: Option<&str>, left: Option<Duration>) {
    tell!(DEBUG, limiter, [left = left.map(length)], "paused");
}

/// A pause or a stop is over by time.
pub(crate) fn ended(limiter: Option<&str>) {
    tell!(DEBUG, limiter, [], "the pause is over");
}

/// A pause or a stop was ended.
pub(crate) fn resumed(limiter: Option<&str>) {
    tell!(DEBUG, limiter, [], "resumed");
}

/// All calls are refused.
pub(crate) fn stopped(limiter: Option<&str>, reason: StopReason, left: Option<Duration>) {
    tell!(WARN, limiter, [reason = text(reason), left = left.map(length)], "stopped");
}
