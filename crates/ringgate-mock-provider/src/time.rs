//! Times as headers write them.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

/// As Go writes a duration, rounded up to the millisecond: `0s`, `12ms`, `1.5s`, `6m0s`, `23h47m36.5s`.
pub(crate) fn go(duration: Duration) -> String {
    let millis = millis(duration);
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let fraction = format!(".{rest:03}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let seconds = format!("{}{fraction}s", seconds % 60);
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, _) => format!("{minutes}m{seconds}"),
        _ => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// Rounded up.
pub(crate) fn millis(duration: Duration) -> u128 {
    duration.as_nanos().div_ceil(1_000_000)
}

/// Rounded up.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// The moment after this time, as RFC 3339 writes it in whole seconds, rounded up.
pub(crate) fn rfc3339_after(duration: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(seconds(now.saturating_add(duration)))
}

/// So many seconds after the beginning of 1970.
fn rfc3339(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    while days >= length_of_year(year) {
        days -= length_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= length_of_month(year, month) {
        days -= length_of_month(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn length_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn length_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::{go, rfc3339, seconds};
    use core::time::Duration;

    /// Broken by: fractions with zeros at their end, or rounding down.
    #[test]
    fn durations_are_written_as_go_does() {
        let forms = [
            (0, "0s"),
            (12_000, "12ms"),
            (12_001, "13ms"),
            (1_000_000, "1s"),
            (1_500_000, "1.5s"),
            (10_050_000, "10.05s"),
            (360_000_000, "6m0s"),
            (85_656_500_000, "23h47m36.5s"),
        ];
        for (micros, form) in forms {
            assert_eq!(go(Duration::from_micros(micros)), form);
        }
    }

    /// Broken by: leap years by four only, or days that begin at zero.
    #[test]
    fn moments_are_written_as_rfc_3339_says() {
        let moments = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, form) in moments {
            assert_eq!(rfc3339(seconds), form);
        }
    }

    /// Broken by: rounding down, after which a client comes too early.
    #[test]
    fn seconds_are_rounded_up() {
        let forms = [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)];
        for (millis, whole) in forms {
            assert_eq!(seconds(Duration::from_millis(millis)), whole);
        }
        assert_eq!(seconds(Duration::MAX), u64::MAX);
    }
}
