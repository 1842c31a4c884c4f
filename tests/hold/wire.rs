//! Answers whose usage stands in their bytes.

use crate::scene::{AS_RESERVED, SLOTS, next, scene};
use futures_util::stream;
use ringgate::{Feedback, Usage, UsageReader};
use std::task::Poll;
use std::time::Duration;

const START: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":90,"cache_read_input_tokens":7,"output_tokens":1}}}

"#;
const DELTA: &str = r#"event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":20}}

"#;
const OVERLOADED: &str = r#"event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}

"#;

type Chunk = Result<String, &'static str>;

fn chunks(parts: &[&str]) -> Vec<Chunk> {
    let text = parts.concat();
    let bytes: Vec<_> = text.chars().collect();
    bytes.chunks(7).map(|chunk| Ok(chunk.iter().collect())).collect()
}

/// Broken by: bytes that are changed; a reader that is not fed; one whose usage is not asked for.
#[test]
fn the_usage_in_the_bytes_settles_the_call() {
    let scene = scene();
    let all = chunks(&[START, DELTA]);
    let mut held = scene.permit().hold(stream::iter(all.clone())).read_usage();
    let mut read = Vec::new();
    while let Poll::Ready(Some(chunk)) = next(&mut held) {
        read.push(chunk);
    }
    assert_eq!(read, all);
    scene.assert_over((90, 20));
    let reader = UsageReader::new().count_cached(true);
    let mut held = scene.permit().hold(stream::iter(all)).read_usage_by(reader);
    while let Poll::Ready(Some(_)) = next(&mut held) {}
    scene.assert_over((187, 40));
}

/// Broken by: `read_usage` that goes on after an error, by which what was said first would be all.
#[test]
fn an_answer_that_breaks_off_counts_as_reserved() {
    let scene = scene();
    let mut all = chunks(&[START]);
    all.extend([Err("reset"), Ok(String::new())]);
    let mut held = scene.permit().hold(stream::iter(all)).read_usage();
    while let Poll::Ready(Some(Ok(_))) = next(&mut held) {}
    scene.assert_over(AS_RESERVED);
    assert_eq!(next(&mut held), Poll::Ready(None));
}

/// Broken by: an error in the bytes that is not passed on; a success that is not.
#[test]
fn an_error_in_the_bytes_is_observed() {
    let scene = scene();
    let mut held = scene.permit().hold(stream::iter(chunks(&[START, OVERLOADED]))).read_usage();
    assert_eq!(scene.limiter.concurrency_limit(), SLOTS);
    while let Poll::Ready(Some(_)) = next(&mut held) {}
    assert_eq!(scene.limiter.concurrency_limit(), SLOTS - 1);
    let mut held = scene.permit().hold(stream::iter(chunks(&[START, DELTA]))).read_usage();
    while let Poll::Ready(Some(_)) = next(&mut held) {}
    assert_eq!(scene.limiter.concurrency_limit(), SLOTS);
}

/// Broken by: one of two sources that hides the other.
#[test]
fn a_function_may_say_more_than_the_bytes() {
    let scene = scene();
    let all: Chunk = Ok([START, DELTA].concat());
    let held = scene.permit().hold(stream::iter([all.clone()])).read_usage();
    let mut held = held.settle_with(|_| Some(Usage::new(95, 0)));
    while let Poll::Ready(Some(_)) = next(&mut held) {}
    scene.assert_over((95, 20));
    let held = scene.permit().hold(stream::iter([all])).read_usage();
    let mut held = held.observe_with(|_| Some(Feedback::cool_down(Duration::from_secs(7))));
    while let Poll::Ready(Some(_)) = next(&mut held) {}
    assert_eq!(scene.limiter.paused_for(), Some(Duration::from_secs(7)));
}
