//! The body of an error, read as it passes.

use crate::common::at_once;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use ringgate::time::ManualClock;
use ringgate::{Feedback, FeedbackReader, HeldBody, Limit, Limiter, Rate, StopReason};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const SPENT: &str = r#"{"error": {"code": "insufficient_quota", "message": "Spent."}}"#;
const SLOTS: usize = 4;

fn limiter() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let builder = Limiter::builder().rate(Rate::per_minute(100)).max_concurrent(SLOTS);
    (builder.clock(clock.clone()).build(), clock)
}

type Frames<D> = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<D>, Infallible>>>>;

/// A call that is answered by this, of which the head has been observed.
fn held<D: bytes::Buf>(
    limiter: &Limiter,
    (status, headers): (u16, &[(&'static str, &str)]),
    parts: Vec<D>,
) -> HeldBody<Frames<D>> {
    let status = StatusCode::try_from(status).unwrap();
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    let reader = FeedbackReader::new();
    let permit = limiter.try_acquire_owned().unwrap();
    permit.observe(&reader.read(status, &headers, None));
    let frames: Vec<_> = parts.into_iter().map(|part| Ok(Frame::data(part))).collect();
    let body = permit.hold_body(StreamBody::new(stream::iter(frames)));
    body.observe_error_by(reader, status, &headers)
}

fn answered(limiter: &Limiter, head: (u16, &[(&'static str, &str)]), body: &'static str) {
    let body = held(limiter, head, vec![body.as_bytes()]);
    at_once(body.collect()).unwrap();
}

/// What a limiter has learned: why it has stopped, for how long it pauses, and how many calls may be in flight.
fn learned(limiter: &Limiter) -> (Option<StopReason>, Option<Duration>, usize) {
    let pause = limiter.paused_for().filter(|_| limiter.stopped().is_none());
    (limiter.stopped(), pause, limiter.concurrency_limit())
}

/// Broken by: a case of `follow_more` that does nothing, or what another one does.
#[test]
fn a_body_adds_to_what_the_head_has_said() {
    const NONE: &[(&str, &str)] = &[];
    const IN_7: &[(&str, &str)] = &[("retry-after", "7")];
    const DELAY: &str =
        r#"{"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "45s"}]}}"#;
    const BUSY: &str = r#"{"error": {"code": "queue_exceeded"}}"#;
    const SLOW: &str = r#"{"error": {"code": "slow_down"}}"#;
    const PLAIN: &str = r#"{"error": {"code": "rate_limit_exceeded"}}"#;
    let stops = Some(StopReason::QuotaExhausted);
    for (head, body, expected) in [
        ((429, NONE), PLAIN, (None, Some(SECOND), SLOTS)),
        ((429, NONE), DELAY, (None, Some(45 * SECOND), SLOTS)),
        // The headers are the more explicit ones.
        ((429, IN_7), DELAY, (None, Some(7 * SECOND), SLOTS)),
        ((429, IN_7), SPENT, (stops, None, SLOTS)),
        ((429, IN_7), BUSY, (None, Some(7 * SECOND), 1)),
        ((429, IN_7), SLOW, (None, Some(7 * SECOND), SLOTS)),
        ((429, NONE), SLOW, (None, Some(SECOND), SLOTS)),
        ((503, NONE), BUSY, (None, None, 1)),
        ((503, NONE), SPENT, (stops, None, 1)),
        // Of these the status says nothing.
        ((400, NONE), SPENT, (stops, None, SLOTS)),
        ((500, NONE), PLAIN, (None, Some(SECOND), SLOTS)),
        ((400, NONE), r#"{"error": {"code": "invalid"}}"#, (None, None, SLOTS)),
        ((429, IN_7), "<html>Too many requests</html>", (None, Some(7 * SECOND), SLOTS)),
    ] {
        let (limiter, _) = limiter();
        answered(&limiter, head, body);
        assert_eq!(learned(&limiter), expected, "{head:?} {body}");
    }
}

/// Broken by: a ramp that only pauses.
#[test]
fn a_ramp_that_the_body_asks_for_follows_the_pause() {
    let (limiter, clock) = limiter();
    answered(&limiter, (429, &[]), r#"{"error": {"code": "slow_down"}}"#);
    clock.advance(SECOND);
    drop(limiter.try_acquire().unwrap());
    assert_eq!(limiter.try_acquire().unwrap_err().limit(), Limit::Paused);
}

#[test]
fn what_is_left_may_stand_in_the_body() {
    let (limiter, _) = limiter();
    let body = r#"{"error": {"code": 429, "metadata": {"headers": {"X-RateLimit-Limit": "50"}}}}"#;
    answered(&limiter, (429, &[("retry-after", "7")]), body);
    limiter.resume();
    assert_eq!(limiter.remaining(), 49);
}

/// Others use 20. Then three calls, one of them refused: the provider has counted two of them. Broken by: a refusal that is counted at
/// the head and once more with the body.
#[test]
fn a_refused_call_is_one_whatever_its_body_adds() {
    fn left(limiter: &Limiter, left: &str) {
        let told =
            [("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", left)];
        drop(held(limiter, (200, &told), vec![&b""[..]]));
    }
    let (limiter, clock) = limiter();
    left(&limiter, "79");
    assert_eq!(limiter.remaining(), 79);
    clock.advance(10 * SECOND);
    answered(&limiter, (429, &[("retry-after", "7")]), SPENT);
    limiter.resume();
    clock.advance(10 * SECOND);
    left(&limiter, "78");
    assert_eq!(limiter.remaining(), 77);
}

#[test]
fn a_body_that_is_dropped_early_tells_what_has_passed_before_its_slot_is_free() {
    let (limiter, _) = limiter();
    let mut body = pin!(held(&limiter, (429, &[]), vec![SPENT.as_bytes(), b" "]));
    at_once(body.as_mut().frame()).unwrap().unwrap();
    assert_eq!((limiter.stopped(), limiter.available_permits()), (None, SLOTS - 1));
    body.set(HeldBody::empty());
    assert_eq!(limiter.stopped(), Some(StopReason::QuotaExhausted));
    let (limiter, _) = self::limiter();
    drop(held(&limiter, (429, &[]), vec![SPENT.as_bytes()]));
    assert_eq!(limiter.stopped(), None);
}

/// Broken by: only the first piece of a frame; a byte twice at a border.
#[test]
fn frames_may_be_in_pieces_anywhere() {
    for cut in 0..SPENT.len() {
        let (first, second) = SPENT.as_bytes().split_at(cut);
        let (limiter, _) = limiter();
        at_once(held(&limiter, (429, &[]), vec![first, second]).collect()).unwrap();
        assert_eq!(limiter.stopped(), Some(StopReason::QuotaExhausted), "{cut}");
        let (limiter, _) = self::limiter();
        let mut pieces: VecDeque<u8> = second.iter().copied().collect();
        first.iter().rev().for_each(|byte| pieces.push_front(*byte));
        at_once(held(&limiter, (429, &[]), vec![pieces]).collect()).unwrap();
        assert_eq!(limiter.stopped(), Some(StopReason::QuotaExhausted), "{cut}");
    }
}

/// Broken by: no bound; bytes that are changed; more that is read after it.
#[test]
fn a_body_without_end_is_read_to_a_bound_and_passes_on() {
    let (limiter, _) = limiter();
    let long: &'static [u8] = Vec::leak(vec![b'x'; 10_000]);
    let mut body = pin!(held(&limiter, (429, &[]), vec![long, long, long, SPENT.as_bytes()]));
    let grown = crate::common::counting::growth(|| {
        for _ in 0..3 {
            let frame = at_once(body.as_mut().frame()).unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), long);
        }
    });
    assert!(grown < 1_000, "{grown} bytes more");
    assert_eq!(at_once(body.as_mut().collect()).unwrap().to_bytes(), SPENT);
    assert!(body.is_end_stream());
    assert_eq!(learned(&limiter), (None, Some(SECOND), SLOTS));
}

/// Broken by: a success at the end of an error.
#[test]
fn the_end_of_an_error_is_no_success() {
    let (limiter, clock) = limiter();
    for seconds in [1, 2, 4] {
        answered(&limiter, (429, &[]), r#"{"error": {"code": "rate_limit_exceeded"}}"#);
        assert_eq!(limiter.paused_for(), Some(seconds * SECOND));
        clock.advance(seconds * SECOND);
    }
    limiter.observe(&Feedback::new());
}

#[test]
fn usage_alone_is_read_without_observing() {
    let (limiter, _) = limiter();
    let permit = limiter.try_acquire_owned().unwrap();
    let body = http_body_util::Full::new(SPENT.as_bytes());
    let body = permit.hold_body(body).settle_by(ringgate::UsageReader::new());
    at_once(body.collect()).unwrap();
    assert_eq!(learned(&limiter), (None, None, SLOTS));
}
