//! The forms of delays, resets, counts and moments; caps.

use crate::answers::{NOW, headers, millis, noon, read, read_by, reader, secs};
use http::StatusCode;
use ringgate::{Feedback, FeedbackReader, Signal, StopReason};
use std::time::{Duration, UNIX_EPOCH};

const MONTH: Duration = Duration::from_secs(31 * 86_400);

fn pause(list: &[(&str, &str)]) -> Option<Duration> {
    let found = read(429, list, "");
    assert_eq!(found.signal(), Signal::CoolDown, "{list:?}");
    found.retry_after()
}

fn reset(text: &str) -> Option<Duration> {
    // Another number beside it, so that there is a quota in any case.
    let list = [("x-ratelimit-reset-tokens", text), ("x-ratelimit-limit-tokens", "1")];
    read(200, &list, "").quotas()[0].reset_after()
}

/// Broken by: a unit that is wrong or missing; a bare number in milliseconds; no rounding up.
#[test]
fn resets_have_many_forms() {
    let table = [
        ("1s", secs(1)),
        ("6m0s", secs(360)),
        ("12ms", millis(12)),
        ("23h47m36s", secs(85_656)),
        ("2m59.56s", millis(179_560)),
        ("7.66s", millis(7_660)),
        ("0s", Duration::ZERO),
        ("1d2h", secs(26 * 3_600)),
        ("250us", Duration::from_micros(250)),
        ("17ns", Duration::from_nanos(17)),
        ("1.5ns", Duration::from_nanos(2)),
        ("1h 2m", secs(3_720)),
        ("45.837906927s", Duration::from_nanos(45_837_906_927)),
        ("0.0000000001s", Duration::from_nanos(1)),
        ("10", secs(10)),
        ("300", secs(300)),
        ("0.5", millis(500)),
        (" 5 ", secs(5)),
        ("999999999", MONTH),
        ("1795867230", secs(30)),
        ("1795867230000", secs(30)),
        ("1795867230250", millis(30_250)),
        ("1795867100000", Duration::ZERO),
        ("99999999999999999999999999999999", MONTH),
        ("99999999999999999999999h", MONTH),
    ];
    for (text, expected) in table {
        assert_eq!(reset(text), Some(expected), "{text}");
    }
}

/// Broken by: an offset that is added with the wrong sign; seconds of fractions; a leap day refused.
#[test]
fn moments_are_read_to_the_nanosecond() {
    let table = [
        ("2026-11-28T12:00:00Z", Duration::ZERO),
        ("2026-11-28T12:00:30Z", secs(30)),
        ("2026-11-28t12:00:30z", secs(30)),
        ("2026-11-28 12:00:30Z", secs(30)),
        ("2026-11-28T12:00:30.25Z", millis(30_250)),
        ("2026-11-28T12:00:30.123456789999Z", Duration::new(30, 123_456_789)),
        ("2026-11-28T13:00:30+01:00", secs(30)),
        ("2026-11-28T04:00:30-08:00", secs(30)),
        ("2026-11-29T00:00:00Z", secs(43_200)),
        ("1999-12-31T23:59:59Z", Duration::ZERO),
        ("2028-02-29T00:00:00Z", MONTH),
        ("9999-12-31T23:59:60Z", MONTH),
    ];
    for (text, expected) in table {
        assert_eq!(reset(text), Some(expected), "{text}");
    }
    // What lies between noon and these is known by other means.
    for (day, text) in [(58, "2027-01-25T12:00:00Z"), (461, "2028-03-03T12:00:00Z")] {
        let now = UNIX_EPOCH + secs(NOW + (day - 1) * 86_400);
        let list = [("anthropic-ratelimit-tokens-reset", text)];
        let found = read_by(reader().now(now), 200, &list, "");
        assert_eq!(found.quotas()[0].reset_after(), Some(secs(86_400)), "{text}");
    }
}

/// Broken by: a sign, an exponent or a word accepted; a bare zero taken for "now".
#[test]
fn what_is_no_form_has_not_been_said() {
    for text in [
        "",
        " ",
        "0",
        "0.0",
        "-1",
        "-5s",
        "+5",
        "NaN",
        "inf",
        "1e3",
        "0x10",
        "1,000",
        "5 parsecs",
        "s",
        ".5",
        "5.",
        "1s!",
        "soon",
        "1s2",
        "2026-11-28",
        "2026-11-28T12:00:30",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-28T24:00:00Z",
        "2026-11-28T12:60:00Z",
        "1969-12-31T23:59:59Z",
        "2026-11-28T12:00:30+1:00",
        "2026-11-28T12:00:30Zulu",
        "+026-11-28T12:00:30Z",
        "2026-+1-28T12:00:30Z",
        "Sat, 28 Nov 2026 12:00:30 GMT",
    ] {
        assert_eq!(reset(text), None, "{text:?}");
    }
}

/// Broken by: counts that are negative, saturated or taken from text.
#[test]
fn counts_are_digits() {
    let count = |text| {
        let list = [("x-ratelimit-remaining-requests", text)];
        read(200, &list, "").quotas().first().and_then(ringgate::Quota::remaining)
    };
    assert_eq!(count("0"), Some(0));
    assert_eq!(count(" 42 "), Some(42));
    assert_eq!(count("59.9"), Some(59));
    assert_eq!(count("18446744073709551615"), Some(u64::MAX));
    for wrong in ["-1", "+1", "1e9", "many", "", "1_000", "0x1", "NaN", "12 34"] {
        assert_eq!(count(wrong), None, "{wrong}");
    }
}

/// Broken by: another order of the three.
#[test]
fn delays_are_looked_for_in_the_order_of_the_sdks() {
    const DATE: &str = "Sat, 28 Nov 2026 12:00:40 GMT";
    let (ms, s, date) =
        (("retry-after-ms", "1500.5"), ("retry-after", "2.5"), ("retry-after", DATE));
    assert_eq!(pause(&[date, s, ms]), Some(Duration::from_micros(1_500_500)));
    assert_eq!(pause(&[date, s]), Some(millis(2_500)));
    assert_eq!(pause(&[date]), Some(secs(40)));
    // What cannot be read has not been said.
    for wrong in ["", "NaN", "-1", "0", "inf", "soon"] {
        assert_eq!(pause(&[("retry-after-ms", wrong), s]), Some(millis(2_500)), "{wrong}");
        assert_eq!(pause(&[("retry-after", wrong), date]), Some(secs(40)), "{wrong}");
        assert_eq!(pause(&[("retry-after", wrong)]), None, "{wrong}");
    }
    let body = r#"{"error": {"message": "Please try again in 9s."}}"#;
    assert_eq!(read(429, &[date], body).retry_after(), Some(secs(40)));
    assert_eq!(read(429, &[("retry-after", "0")], body).retry_after(), Some(secs(9)));
}

/// Broken by: a date in the past taken for a pause; a form of a date left out.
#[test]
fn dates_have_three_forms_and_rfc_3339() {
    for date in [
        "Sat, 28 Nov 2026 12:00:40 GMT",
        "Saturday, 28-Nov-26 12:00:40 GMT",
        "Sat Nov 28 12:00:40 2026",
        "2026-11-28T12:00:40Z",
    ] {
        assert_eq!(pause(&[("retry-after", date)]), Some(secs(40)), "{date}");
    }
    for past in ["Sat, 28 Nov 2026 12:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        assert_eq!(pause(&[("retry-after", past)]), None, "{past}");
    }
}

/// Broken by: the local clock asked though the server's is known, or though the caller has said the time.
#[test]
fn dates_are_compared_with_the_servers_clock_or_the_callers() {
    let list = headers(&[
        ("date", "Sat, 28 Nov 2026 12:00:10 GMT"),
        ("retry-after", "Sat, 28 Nov 2026 12:00:40 GMT"),
    ]);
    let read = |reader: FeedbackReader| reader.read(StatusCode::TOO_MANY_REQUESTS, &list, None);
    assert_eq!(read(FeedbackReader::new()), Feedback::cool_down(secs(30)));
    assert_eq!(read(FeedbackReader::default().now(noon())), Feedback::cool_down(secs(40)));
    assert_eq!(
        read(FeedbackReader::new().now(UNIX_EPOCH - secs(9))).retry_after(),
        Some(secs(120))
    );
}

/// Broken by: a phrase left out; a time without a unit believed.
#[test]
fn a_sentence_may_tell_the_time() {
    let told = |text: &str| {
        let body = serde_json::json!({ "error": { "message": text } }).to_string();
        read(429, &[], &body).retry_after()
    };
    let table = [
        ("Please try again in 34.337s. Visit us.", Some(millis(34_337))),
        ("Please try again in 1m12.5s.", Some(millis(72_500))),
        ("Please try again in 20ms.", Some(millis(20))),
        ("Please retry after 6 seconds.", Some(secs(6))),
        ("Please retry in 45.5s.", Some(millis(45_500))),
        ("TRY AGAIN IN 1 MINUTE", Some(secs(60))),
        ("try again after 2 min", Some(secs(120))),
        ("Do not try again in vain. Try again in 3s", Some(secs(3))),
        ("Please try again in 7m12s.", Some(secs(120))),
        ("Please try again later.", None),
        ("Please try again in 0s.", None),
        ("Retry after 30.", None),
        ("Retry after 30 moons", None),
        ("try again in ", None),
        ("30s", None),
    ];
    for (text, expected) in table {
        assert_eq!(told(text), expected, "{text}");
    }
}

/// Broken by: no cap; a cap on how long a stop holds.
#[test]
fn pauses_are_capped_and_stops_are_not() {
    assert_eq!(pause(&[("retry-after", "120")]), Some(secs(120)));
    assert_eq!(pause(&[("retry-after", "121")]), Some(secs(120)));
    assert_eq!(pause(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]), Some(secs(120)));
    let cap = |cap| read_by(reader().max_pause(cap), 429, &[("retry-after", "7")], "");
    assert_eq!(cap(millis(500)).retry_after(), Some(millis(500)));
    assert_eq!(cap(Duration::ZERO).retry_after(), Some(Duration::ZERO));
    assert_eq!(cap(Duration::MAX).retry_after(), Some(secs(7)));
    let uncapped = reader().max_pause(Duration::MAX);
    let longest = read_by(uncapped, 429, &[("retry-after", "99999999999999")], "");
    assert_eq!(longest.retry_after(), Some(MONTH));
    let stop = r#"{"message": "You have reached your specified API usage limits. You will regain access on 9999-12-31."}"#;
    let stop = read(400, &[], stop);
    assert_eq!(stop, Feedback::stop(StopReason::SpendLimit).with_retry_after(MONTH));
}

/// Broken by: a shorter or first header believed; contradicting numbers added up or taken from the last one.
#[test]
fn of_contradicting_headers_the_careful_one_counts() {
    for values in [["3", "9"], ["9", "3"]] {
        let both = |name: &'static str| values.map(|value| (name, value));
        assert_eq!(pause(&both("retry-after")), Some(secs(9)));
        let numbers = ["limit", "remaining", "reset"]
            .map(|field| both(format!("x-ratelimit-{field}-requests").leak()))
            .concat();
        let quota = read(200, &numbers, "").quotas()[0];
        let found = (quota.limit(), quota.remaining(), quota.reset_after());
        assert_eq!(found, (Some(3), Some(3), Some(secs(9))));
    }
}

/// Until midnight in California, from a moment in UTC.
///
/// Broken by: no summer time; a change of clocks a day early, late, or at midnight; the hour at the moment used for the
/// midnight after a change.
#[test]
fn a_day_ends_at_midnight_pacific() {
    let hours = |hours: u64| secs(hours * 3_600);
    let table = [
        ("2026-11-28T12:00:00Z", 1_795_867_200, hours(20)),
        ("2026-11-28T08:00:00Z", 1_795_852_800, hours(24)),
        ("2026-11-28T07:59:59Z", 1_795_852_799, secs(1)),
        ("2026-07-01T12:00:00Z", 1_782_907_200, hours(19)),
        ("2026-07-01T06:59:59Z", 1_782_889_199, secs(1)),
        ("2026-03-05T12:00:00Z", 1_772_712_000, hours(20)),
        ("2026-10-31T12:00:00Z", 1_793_448_000, hours(19)),
        // 8 March 2026 has 23 hours, 1 November 25.
        ("2026-03-08T08:00:00Z", 1_772_956_800, hours(23)),
        ("2026-03-08T10:00:00Z", 1_772_964_000, hours(21)),
        ("2026-03-09T07:00:00Z", 1_773_039_600, hours(24)),
        ("2026-11-01T07:00:00Z", 1_793_516_400, hours(25)),
        ("2026-11-01T09:00:00Z", 1_793_523_600, hours(23)),
        ("2026-11-02T08:00:00Z", 1_793_606_400, hours(24)),
        ("2026-12-31T23:00:00Z", 1_798_758_000, hours(9)),
        ("2027-01-01T00:00:00Z", 1_798_761_600, hours(8)),
        ("2028-02-29T20:00:00Z", 1_835_467_200, hours(12)),
        ("1970-01-01T00:00:00Z", 0, hours(8)),
    ];
    let body =
        r#"{"error": {"code": 429, "details": [{"violations": [{"quotaId": "RequestsPerDay"}]}]}}"#;
    for (name, now, expected) in table {
        let found = read_by(reader().now(UNIX_EPOCH + secs(now)), 429, &[], body);
        assert_eq!(found.signal(), Signal::Stop(StopReason::DailyQuota));
        assert_eq!(found.retry_after(), Some(expected), "{name}");
    }
    // Far beyond all years.
    let far = UNIX_EPOCH + secs(1 << 55);
    assert!(read_by(reader().now(far), 429, &[], body).retry_after() <= Some(hours(25)));
}
