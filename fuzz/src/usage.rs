//! Answers that pass by: bodies of JSON, streams of events (SSE), and whatever else.
//!
//! The input is the answer itself.

use ringgate::{Feedback, Signal, Usage, UsageReader, estimate_tokens};
use serde_json::Value;
use std::time::Duration;

const CAP: Duration = Duration::from_mins(2);
const MONTH: Duration = Duration::from_hours(31 * 24);

/// Reads an answer in pieces of several sizes. Nothing panics, and all of them say the same. What has been said is never taken
/// back, and no pause is longer than its cap. A document says the same by itself as in an event, and no less than a parser finds
/// in it. Whatever an event was, the next one is read. Cached input that is counted is more, if anything.
///
/// As a request, a document that is an object has an estimate, a part of it has none, and white space counts nothing.
///
/// Caught: a state that is lost between two pieces; text that is skipped beyond its line; the latest of two numbers that counts.
pub fn usage(data: &[u8]) {
    let whole = read(UsageReader::new(), [data]);
    check_pieces(data, &whole);
    check_event(data, &whole);
    check_cached(data, &whole);
    check_document(data, &whole);
    check_next_event(data);
    check_request(data);
}

/// The same bytes as the body of a request.
fn check_request(data: &[u8]) {
    let estimate = Usage::estimate_from_json;
    let (least, most) = (estimate(data, 0), estimate(data, u64::MAX));
    assert_eq!(least.map(|usage| usage.input), most.map(|usage| usage.input));
    assert!(least.map(|usage| usage.output) <= most.map(|usage| usage.output));
    let Ok(text) = str::from_utf8(data) else { return };
    if serde_json::from_str::<Value>(text).is_ok_and(|document| document.is_object()) {
        let usage = least.expect("an object has an estimate");
        assert!(usage.input <= estimate_tokens(text));
        let document = text.trim_ascii();
        assert_eq!(estimate(format!(" {document}\n").as_bytes(), 0), least);
        assert_eq!(estimate(&document.as_bytes()[..document.len() - 1], 0), None);
    }
}

fn check_pieces(data: &[u8], whole: &Said) {
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(read(UsageReader::new(), data.chunks(size)), *whole, "in pieces of {size}");
    }
    for cut in (0..data.len()).step_by(5) {
        let (first, second) = data.split_at(cut);
        assert_eq!(read(UsageReader::new(), [first, second]), *whole, "cut at {cut}");
    }
}

fn check_cached(data: &[u8], whole: &Said) {
    let counted = read(UsageReader::new().count_cached(true), [data]);
    let left_out = read(UsageReader::new().count_cached(false), [data]);
    assert!(input(&left_out) <= input(whole) && input(whole) <= input(&counted));
    assert_eq!((output(&left_out), output(&counted)), (output(whole), output(whole)));
}

/// What a reader says in the end.
type Said = (Option<Usage>, Option<Feedback>);

fn read<'a>(mut reader: UsageReader, pieces: impl IntoIterator<Item = &'a [u8]>) -> Said {
    let mut said: Said = (None, None);
    for piece in pieces {
        reader.feed(piece);
        let (usage, feedback) = (reader.usage(), reader.feedback().cloned());
        if let Some(before) = said.0 {
            assert_eq!(usage.map(|usage| usage.or_more(before)), usage, "less than before");
        }
        assert!(said.1.is_none() || said.1 == feedback, "another error");
        said = (usage, feedback);
    }
    if let Some(feedback) = &said.1 {
        let is_stop = matches!(feedback.signal(), Signal::Stop(_));
        let most = if is_stop { MONTH } else { CAP };
        assert!(feedback.retry_after().is_none_or(|wait| wait <= most), "{feedback:?}");
        assert!(feedback.signal() != Signal::Proceed || !feedback.quotas().is_empty());
    }
    said
}

fn check_event(data: &[u8], whole: &Said) {
    let is_one_line = !data.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    if is_one_line && data.starts_with(b"{") {
        let event = [b"data: ", data, b"\n\n"].concat();
        assert_eq!(read(UsageReader::new(), [&*event]), *whole, "in an event");
    }
}

/// What a parser of whole documents finds.
fn check_document(data: &[u8], whole: &Said) {
    // Names are not read with such escapes in them.
    let has_escapes = data.windows(2).any(|two| two == b"\\u");
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    for place in ["/usage", "/message/usage", "/response/usage", "/x_groq/usage"] {
        let usage = document.pointer(place).filter(|_| !has_escapes);
        let told = usage.and_then(|usage| usage.get("output_tokens")?.as_u64());
        assert!(told <= output(whole), "{told:?} was told");
    }
}

/// Whatever an event was, the next one is read.
fn check_next_event(data: &[u8]) {
    let is_mark = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
    let first = data.iter().find(|byte| !is_mark(byte));
    if first.is_some_and(|byte| !b"{[".contains(byte)) {
        let next = b"\n\ndata: {\"usage\": {\"output_tokens\": 18446744073709551615}}\n\n";
        let said = read(UsageReader::new(), [data, next]);
        assert_eq!(output(&said), Some(u64::MAX), "the next event");
    }
}

fn input(said: &Said) -> Option<u64> {
    said.0.map(|usage| usage.input)
}

fn output(said: &Said) -> Option<u64> {
    said.0.map(|usage| usage.output)
}
