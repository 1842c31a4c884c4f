//! The forms in which counts and durations are written.
//!
//! | form | as in | read by |
//! |---|---|---|
//! | digits | `60`, `59.0` | [`count`] |
//! | Go duration, protobuf duration | `6m0s`, `12ms`, `23h47m36s`, `45.837906927s` | [`reset`], [`delay`] |
//! | seconds | `10`, `0.5` | [`reset`], [`delay`] |
//! | moments: RFC 3339, or seconds or ms since 1970 | `2026-11-28T12:00:30Z`, `1795867230000` | [`reset`] |
//! | a sentence | `Please try again in 34.337s.` | [`delay_in`] |
//!
//! Durations are rounded up to the nanosecond, and are a month at most.

use super::dates;
use core::time::Duration;

/// No limit is for longer than a month.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Nanoseconds in a second, and parts of a unit in [`Decimal`].
const BILLION: u128 = 1_000_000_000;

/// Larger numbers of "seconds" are moments: in seconds since 1970, or in milliseconds.
const AS_EPOCH_SECONDS: u128 = 1_000_000_000 * BILLION;
const AS_EPOCH_MILLIS: u128 = 100 * AS_EPOCH_SECONDS;

/// In billionths. At most 2^64 units, so this is far from overflowing.
type Decimal = u128;

/// A number of requests or tokens. What is behind a decimal point is dropped.
pub(super) fn count(text: &str) -> Option<u64> {
    let (number, rest) = leading_decimal(text.trim())?;
    if rest.is_empty() { u64::try_from(number / BILLION).ok() } else { None }
}

/// The time until a limit is replenished, where `now` is the time since 1970.
///
/// A bare zero means that nothing is known (Azure sends it); `0s` and a moment in the past mean that all of it is there.
pub(super) fn reset(text: &str, now: Duration) -> Option<Duration> {
    let text = text.trim();
    if let Some((number, "")) = leading_decimal(text) {
        return match number {
            0 => None,
            AS_EPOCH_MILLIS.. => Some(until(number / 1_000, now)),
            AS_EPOCH_SECONDS.. => Some(until(number, now)),
            _ => Some(span(number, 1_000_000_000)),
        };
    }
    match leading_span(text) {
        Some((span, "")) => Some(span),
        _ => dates::rfc3339(text).map(|moment| moment.saturating_sub(now).min(LONGEST)),
    }
}

/// From now until so many billionths of a second since 1970.
fn until(moment: Decimal, now: Duration) -> Duration {
    let nanos = moment.saturating_sub(now.as_nanos());
    span(nanos, 1_000_000_000)
}

/// A time to wait, of which a bare number is in `unit`. Zero is no time.
pub(super) fn delay(text: &str, unit: Duration) -> Option<Duration> {
    let text = text.trim();
    let delay = match leading_decimal(text) {
        Some((number, "")) => span(number, unit.as_nanos()),
        _ => leading_span(text).filter(|(_, rest)| rest.is_empty())?.0,
    };
    Some(delay).filter(|delay| !delay.is_zero())
}

/// What stands before a time to wait in a sentence.
const PHRASES: [&str; 4] = ["try again in ", "retry in ", "retry after ", "try again after "];

/// The time to wait that a sentence in lower case names.
pub(super) fn delay_in(sentence: &str) -> Option<Duration> {
    let after = |phrase: &str| {
        let mut places = sentence.match_indices(phrase);
        places.find_map(|(at, phrase)| leading_span(&sentence[at + phrase.len()..]))
    };
    let (delay, _) = PHRASES.into_iter().find_map(after)?;
    Some(delay).filter(|delay| !delay.is_zero())
}

/// One or more numbers with units at the start of a text, and what follows them.
fn leading_span(text: &str) -> Option<(Duration, &str)> {
    let (mut total, mut rest) = leading_part(text)?;
    while let Some((part, after)) = leading_part(rest) {
        total = total.saturating_add(part).min(LONGEST);
        rest = after;
    }
    Some((total, rest))
}

/// A number with its unit.
fn leading_part(text: &str) -> Option<(Duration, &str)> {
    let (number, rest) = leading_decimal(text.trim_start_matches(' '))?;
    let rest = rest.trim_start_matches(' ');
    let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    Some((span(number, nanos_of(unit)?), rest))
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => BILLION,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * BILLION,
        "h" | "hr" | "hrs" | "hour" | "hours" => 60 * 60 * BILLION,
        "d" | "day" | "days" => 24 * 60 * 60 * BILLION,
        _ => return None,
    })
}

/// So many billionths of a unit.
fn span(number: Decimal, unit_nanos: u128) -> Duration {
    let nanos = number.saturating_mul(unit_nanos).div_ceil(BILLION);
    u64::try_from(nanos).map_or(LONGEST, |nanos| Duration::from_nanos(nanos).min(LONGEST))
}

/// Digits at the start of a text, with or without a fraction, and what follows them. No sign, no exponent.
fn leading_decimal(text: &str) -> Option<(Decimal, &str)> {
    let (whole, rest) = split_digits(text);
    if whole.is_empty() {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix('.').map(split_digits) {
        None | Some(("", _)) => ("", rest),
        Some(found) => found,
    };
    // Digits alone: what cannot be parsed is too large.
    let whole = u128::from(whole.parse::<u64>().unwrap_or(u64::MAX));
    Some((whole * BILLION + billionths(fraction), rest))
}

fn billionths(fraction: &str) -> Decimal {
    let (kept, dropped) = fraction.split_at(fraction.len().min(9));
    let value = kept.bytes().fold(0, |value, digit| value * 10 + u128::from(digit - b'0'));
    let scale = (kept.len()..9).fold(1, |scale, _| scale * 10);
    let more = dropped.bytes().any(|digit| digit != b'0');
    value * scale + u128::from(more)
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}
