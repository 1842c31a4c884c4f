//! Answers that mean harm: nothing panics, and what is kept stays small.

use crate::answers::{read, read_parts, usage};
use crate::common::counting::{allocations, growth};
use ringgate::{Usage, UsageReader};

/// Feeds it and returns how many bytes it keeps.
fn kept(parts: &[&str], times: usize) -> (i128, Option<Usage>) {
    let mut reader = UsageReader::new();
    let kept = growth(|| {
        for _ in 0..times {
            for part in parts {
                reader.feed(part.as_bytes());
            }
        }
    });
    (kept, reader.usage())
}

/// Broken by: a document that is kept as a whole; a member that is copied without an end; names that add up.
#[test]
fn at_most_8_kib_are_kept_however_large_an_answer_is() {
    let starts = [
        "{\"usage\":\"",
        "{\"usage\":{",
        "{\"x\":\"",
        "{\"error\":[",
        "{\"message\":{\"usage\":\"",
        "{",
        "[",
        "data: {\"usage\":\"",
        "data: ",
        "event: ",
        "x",
        "",
    ];
    let fillers = [
        "aaaaaaaaaaaaaaaa",
        "[[[[[[[[",
        "]]]]]]]]",
        "{\"usage\":{",
        "\"usage\":{},",
        "\"message\":{},",
        "\"response\":{\"usage\":1},",
        "\"error\":0,\n",
        "\\\\\\",
        "\n\n",
        "data: {\"usage\":",
    ];
    for start in starts {
        for filler in fillers {
            let mut reader = UsageReader::new();
            reader.feed(start.as_bytes());
            let grown = growth(|| (0..5_000).for_each(|_| reader.feed(filler.as_bytes())));
            assert!(grown <= 16 * 1024, "{grown} bytes for {start} {filler}");
        }
    }
    let (small, said) = kept(&["data: {\"usage\":{\"input_tokens\":7}}\n\n"], 1_000);
    assert!(small <= 64, "{small} bytes");
    assert_eq!(said, Some(Usage::new(7, 0)));
}

/// Broken by: a document that is given up for one member; one whose rest is not skipped.
#[test]
fn a_member_without_room_is_skipped_and_the_next_one_is_read() {
    let long = "x".repeat(9_000);
    let answer = |name: &str, value: &str| {
        format!("{{\"id\":1,\"{name}\":{value},\"usage\":{{\"input_tokens\":7}},\"z\":0}}")
    };
    let tables = [
        answer("message", &format!("\"{long}\"")),
        answer("error", &format!("{{\"a\":[\"{long}\\\"}}]\"]}}")),
        answer("message", &format!("{{\"usage\":\"{long}\"}}")),
        answer("usage", &format!("{{\"output_tokens\":3,\"x\":\"{long}\"}}")),
        answer("choices", &format!("[{{\"{long}\":\"{long}\"}}]")),
        answer(&long, "1"),
    ];
    let whole = |text: &str| read_parts(UsageReader::new(), [text.as_bytes()]);
    for answer in &tables {
        let expected = (Some(Usage::new(7, 0)), None);
        assert_eq!(whole(answer), expected, "{answer:.30}");
        assert_eq!(whole(&format!("data: {answer}\n\n")), expected, "{answer:.30}");
        assert_eq!(read_parts(UsageReader::new(), answer.as_bytes().chunks(3)), expected);
    }
    // Up to the last byte that there is room for.
    let told = |filler: usize| {
        let usage = format!("{{\"input_tokens\":7,\"x\":\"{}\"}}", "x".repeat(filler));
        whole(&format!("{{\"usage\":{usage}}}")).0
    };
    let most = (0..9_000).rfind(|filler| told(*filler).is_some()).unwrap();
    assert!((8_100..8_192).contains(&most), "{most}");
    assert!((0..=most).step_by(97).all(|filler| told(filler).is_some()));
}

/// Broken by: a parser without a bound on its depth; depth that is not counted in text.
#[test]
fn deep_answers_are_read() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = format!("{{\"choices\":{deep},\"usage\":{{\"input_tokens\":7}}}}");
    assert_eq!(read_parts(UsageReader::new(), [answer.as_bytes()]).0, Some(Usage::new(7, 0)));
    // Deeper than the parser goes: it says nothing, and nothing else does.
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let answer = format!("{{\"usage\":{{\"input_tokens\":7,\"x\":{deep}}}}}");
    assert_eq!(usage(&answer), None);
}

/// Broken by: bytes taken for text unchecked.
#[test]
fn any_bytes_may_come() {
    for answer in ["\u{0}\u{1}", "{\"\u{0}\":\u{0}}", "data: \u{1f}\n\n", "\u{1f}\u{8b}\u{8}"] {
        assert_eq!(read(answer), (None, None));
    }
    let broken = [b"{\"usage\":{\"input_tokens\":7,\"x\":\"".as_slice(), &[0xFF, 0xC0], b"\"}}"];
    assert_eq!(read_parts(UsageReader::new(), broken), (None, None));
    let skipped = [b"{\"x\":\"".as_slice(), &[0xFF, 0xC0], b"\",\"usage\":{\"input_tokens\":7}}"];
    assert_eq!(read_parts(UsageReader::new(), skipped).0, Some(Usage::new(7, 0)));
}

/// Broken by: a parser that is asked about every event; what is kept of each one in a place of its own.
#[test]
fn events_that_tell_nothing_allocate_nothing() {
    let mut reader = UsageReader::new();
    let chunk = b"data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":null}\n\n";
    reader.feed(chunk);
    assert_eq!(allocations(|| (0..10).for_each(|_| reader.feed(chunk))), 0);
}
