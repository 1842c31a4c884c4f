//! Faults that were found in the reader of answers, and that must not come back.

use crate::answers::{read, read_by};
use crate::common::counting::allocations;
use ringgate::{Feedback, Usage, UsageReader};

/// As gateways tell it of Anthropic's models: all of the input stands in `prompt_tokens`.
#[test]
fn cached_input_was_counted_twice_beside_prompt_tokens() {
    let answer = br#"{"usage":{"prompt_tokens":2006,"completion_tokens":300,"prompt_tokens_details":{"cached_tokens":50},"cache_creation_input_tokens":1920,"cache_read_input_tokens":50}}"#;
    let input = |reader: UsageReader| read_by(&reader, answer).0;
    assert_eq!(input(UsageReader::new()), Some(Usage::new(2006, 300)));
    assert_eq!(input(UsageReader::new().count_cached(true)), Some(Usage::new(2006, 300)));
    assert_eq!(input(UsageReader::new().count_cached(false)), Some(Usage::new(1956, 300)));
    // With the members of both forms the larger one counts.
    let both =
        r#"{"usage":{"input_tokens":7,"prompt_tokens":100,"cache_creation_input_tokens":90}}"#;
    assert_eq!(read(both).0, Some(Usage::new(100, 0)));
}

#[test]
fn errors_of_bedrock_and_azure_were_not_read() {
    for event in [
        r#"{"type":"error","__type":"ThrottlingException","message":"x"}"#,
        r#"{"type":"error","statusCode":429,"message":"x"}"#,
        r#"{"type":"error","status_code":"429","message":"x"}"#,
    ] {
        assert_eq!(Feedback::from_stream_event(event.as_bytes()), Feedback::cool_down(None));
        assert_eq!(
            read(&format!("data: {event}\n\n")).1,
            Some(Feedback::cool_down(None)),
            "{event}"
        );
    }
}

#[test]
fn the_name_of_an_event_was_not_heard_after_its_data() {
    let error = "{\"code\":\"rate_limit_exceeded\"}";
    let said = |answer: &str| read(answer).1;
    let expected = Some(Feedback::cool_down(None));
    assert_eq!(said(&format!("data: {error}\nevent: error\n\n")), expected);
    assert_eq!(said(&format!("data: {error}\r\nid: 1\r\nevent: error\r\n\r\n")), expected);
    // Not that of another event, nor one that is not over, nor of a part.
    assert_eq!(said(&format!("data: {error}\n\nevent: error\n\n")), None);
    assert_eq!(said(&format!("data: {error}\nevent: error\n")), None);
    assert_eq!(said(&format!("data: {error}{{\"code\":1\nevent: error\n\n")), None);
}

/// Thousands of documents in one event took the parser's time for each: 300 times that of a byte of text.
#[test]
fn each_document_of_an_event_was_read_as_an_error() {
    for (start, document) in
        [("event: error\ndata: ", "{}"), ("data: ", "{\"error\":1}"), ("", "[{\"error\":1},")]
    {
        let mut reader = UsageReader::new();
        reader.feed(start.as_bytes());
        let text = document.repeat(4_000);
        let made = allocations(|| reader.feed(text.as_bytes()));
        assert!(made < 100, "{made} allocations for {document}");
    }
    // The next event's is.
    let next =
        "event: error\ndata: {}{\"code\":1}\n\nevent: error\ndata: {\"code\":\"slow_down\"}\n\n";
    assert!(read(next).1.is_some());
}
