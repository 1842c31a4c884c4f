//! How far the limits were used, by the server's log.

use crate::flags::Terms;
use core::ops::Range;
use core::time::Duration;
use ringgate_mock_provider::{Counting, Log};
use std::time::Instant;

/// The name of a limit, and the share of it that was used.
pub(crate) type Use = (&'static str, f64);

/// The mean share of each limit that whole windows hold, in this time. None if it is shorter than two windows.
pub(crate) fn of(log: &Log, terms: Terms, time: &Range<Instant>) -> Vec<Use> {
    let calls: Vec<_> = log.arrivals.iter().map(|at| (*at, 1)).collect();
    let (arrived, sent) = (&log.counted_at_arrival, &log.counted_as_sent);
    let mut limits = vec![("requests", u64::from(terms.limit), &calls)];
    match terms.tokens {
        Counting::Uncounted => {}
        Counting::AtArrival { total } => limits.push(("tokens", total, arrived)),
        Counting::AsSent { input, output } => {
            limits.extend([("input", input, arrived), ("output", output, sent)]);
        }
    }
    let share = |(name, limit, entries): (_, u64, &Vec<_>)| {
        Some((name, mean(entries, terms.window, time)? / as_float(limit.max(1))))
    };
    limits.into_iter().filter_map(share).collect()
}

/// What the window that ends at `t` holds, for all `t` of this time but those of the first window, on average. Each entry
/// counts for as long as it lies in one of these windows.
fn mean(entries: &[(Instant, u64)], window: Duration, time: &Range<Instant>) -> Option<f64> {
    let (first, last) = (time.start + window, time.end);
    let length = last.checked_duration_since(first).filter(|length| *length >= window)?;
    let counted = |(at, amount): &(Instant, u64)| {
        let inside = (*at + window).min(last).saturating_duration_since((*at).max(first));
        as_float(*amount) * inside.div_duration_f64(length)
    };
    Some(entries.iter().map(counted).fold(0.0, |sum, counted| sum + counted))
}

#[expect(clippy::cast_precision_loss, reason = "a share to read")]
fn as_float(number: u64) -> f64 {
    number as f64
}
