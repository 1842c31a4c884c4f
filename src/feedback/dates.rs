//! Moments, as the time since 1970, and midnight in California.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Times before 1970 are 1970.
pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `Sat, 28 Nov 2026 18:28:37 GMT`, or one of the two older forms of HTTP.
pub(super) fn http_date(text: &str) -> Option<Duration> {
    httpdate::parse_http_date(text.trim()).ok().map(since_1970)
}

/// `2026-11-28T18:28:37Z`, with a fraction or an offset or without. Years 1970 to 9999.
pub(super) fn rfc3339(text: &str) -> Option<Duration> {
    let (day, rest) = leading_date(text)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (minutes, rest) = leading_time(rest)?;
    let (seconds, rest) = leading_number(rest.strip_prefix(':')?, 2, 60)?;
    let (nanos, rest) = leading_fraction(rest);
    let seconds = day * DAY + minutes * MINUTE + seconds - offset(rest)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

/// `2026-12-01 at 00:00 UTC`, with the time or without, at the start of a text in lower case.
pub(super) fn leading_day_at(text: &str) -> Option<Duration> {
    let (day, rest) = leading_date(text)?;
    let time = rest.strip_prefix(" at ").and_then(leading_time);
    let minutes = time.map_or(0, |(minutes, _)| minutes);
    u64::try_from(day * DAY + minutes * MINUTE).ok().map(Duration::from_secs)
}

/// Days since 1970.
fn leading_date(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = leading_number(text, 4, 9_999)?;
    let (month, rest) = leading_number(rest.strip_prefix('-')?, 2, 12)?;
    let (day, rest) = leading_number(rest.strip_prefix('-')?, 2, 31)?;
    let is_valid = year >= 1970 && month >= 1 && day >= 1 && day <= days_in(year, month);
    is_valid.then(|| (days_before(year, month) + day - 1, rest))
}

/// Minutes since midnight.
fn leading_time(text: &str) -> Option<(i64, &str)> {
    let (hours, rest) = leading_number(text, 2, 23)?;
    let (minutes, rest) = leading_number(rest.strip_prefix(':')?, 2, 59)?;
    Some((hours * 60 + minutes, rest))
}

/// So many digits, of which at most `most` is made.
fn leading_number(text: &str, digits: usize, most: i64) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|number| is_number && *number <= most)?;
    Some((number, rest))
}

/// Nanoseconds; further digits are dropped.
fn leading_fraction(text: &str) -> (u32, &str) {
    let Some(digits) = text.strip_prefix('.') else { return (0, text) };
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let padded = digits.bytes().chain(core::iter::repeat(b'0')).take(9);
    (padded.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0')), rest)
}

/// How far local time is ahead, in seconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.chars().next()? {
        'Z' | 'z' if text.len() == 1 => return Some(0),
        '+' => (1, &text[1..]),
        '-' => (-1, &text[1..]),
        _ => return None,
    };
    let (minutes, rest) = leading_time(rest)?;
    rest.is_empty().then_some(sign * minutes * MINUTE)
}

/// The time until the next midnight in California, where Gemini's day ends. `now` is the time since 1970.
///
/// That is 08:00 UTC in winter and 07:00 in summer: from the second Sunday of March, 10:00 UTC, to the first Sunday of
/// November, 09:00 UTC. (The rule of 2007; it is followed for all years.)
pub(super) fn until_midnight_pacific(now: Duration) -> Duration {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).min(LAST);
    let today = (seconds - hours_behind(seconds) * HOUR).div_euclid(DAY);
    let midnight = (today + 1) * DAY;
    // The clocks may change until then.
    let midnight = midnight + hours_behind(midnight + 8 * HOUR) * HOUR;
    let midnight = u64::try_from(midnight).map_or(Duration::ZERO, Duration::from_secs);
    midnight.saturating_sub(now)
}

/// The end of 9998.
const LAST: i64 = 253_370_764_799;

fn hours_behind(seconds: i64) -> i64 {
    let year = year_of(seconds.div_euclid(DAY));
    let spring = sunday_from(days_before(year, 3) + 7) * DAY + 10 * HOUR;
    let autumn = sunday_from(days_before(year, 11)) * DAY + 9 * HOUR;
    if (spring..autumn).contains(&seconds) { 7 } else { 8 }
}

/// The first Sunday from this day on. Day 0 was a Thursday.
fn sunday_from(day: i64) -> i64 {
    day + 6 - (day + 3).rem_euclid(7)
}

fn year_of(day: i64) -> i64 {
    // 400 years have 146 097 days. The guess is off by one at most.
    let guess = 1970 + (day * 400).div_euclid(146_097);
    (guess - 1..=guess + 1).rev().find(|year| days_before(*year, 1) <= day).unwrap_or(guess)
}

/// Days from 1970 to the start of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>()
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
