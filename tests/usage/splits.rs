//! Random answers: however they are cut, they say what a parser of whole documents reads in them.

use crate::answers::{Said, read_parts};
use crate::common::random::cases;
use proptest::prelude::*;
use proptest::sample::Index;
use ringgate::{Feedback, Usage, UsageReader};
use serde_json::{Map, Value};

fn select(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

/// JSON out of the words that the reader knows, and of text that looks like JSON.
fn json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        select(&["error", "overloaded_error", "rate_limit_exceeded", "try again in 5s", "usage"]),
        select(&["\"usage\":{", "\\", "\\\\\"", "}", "]}", "\n\ndata: {", "event: error\r\n"]),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        3 => (0_u64..3_000).prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        2 => text.prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
    ];
    let name = || {
        prop_oneof![
            4 => select(&["usage", "usage", "message", "response", "x_groq", "error", "type", "code"]),
            4 => select(&["input_tokens", "output_tokens", "prompt_tokens", "completion_tokens"]),
            2 => select(&["cache_creation_input_tokens", "cache_read_input_tokens"]),
            2 => select(&["prompt_tokens_details", "input_tokens_details", "cached_tokens"]),
            1 => select(&["choices", "object", "status", "", "usages"]),
            1 => "[a-z\"\\\\{}:é]{0,10}",
        ]
    };
    let object = move |value: BoxedStrategy<Value>| {
        prop::collection::vec((name(), value), 0..5)
            .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
    };
    let tree = leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => object(inner.boxed()),
        ]
    });
    object(tree.boxed())
}

/// What a document says, read as a whole.
fn told(document: &Value) -> Said {
    let number = |usage: &Value, name: &str| usage.get(name).and_then(Value::as_u64);
    let read = |usage: &Value| {
        let input = number(usage, "input_tokens").max(number(usage, "prompt_tokens"));
        let output = number(usage, "output_tokens").max(number(usage, "completion_tokens"));
        let written = number(usage, "cache_creation_input_tokens");
        let is_told = input.is_some()
            || output.is_some()
            || written.is_some()
            || number(usage, "cache_read_input_tokens").is_some();
        let input = input.unwrap_or(0).saturating_add(written.unwrap_or(0));
        is_told.then(|| Usage::new(input, output.unwrap_or(0)))
    };
    let place = |pointer: &str| document.pointer(pointer).and_then(read);
    let usages = ["/usage", "/message/usage", "/response/usage", "/x_groq/usage"].map(place);
    let usage = usages.into_iter().flatten().reduce(Usage::or_more);
    // Names are not read with escapes in them, and what stands elsewhere is none of an error's.
    let mut error = document.clone();
    error.as_object_mut().unwrap().retain(|name, _| !name.ends_with("Exception"));
    let feedback = Feedback::from_stream_event(error.to_string().as_bytes());
    let says = feedback.signal() != ringgate::Signal::Proceed || !feedback.quotas().is_empty();
    (usage, says.then_some(feedback))
}

fn all_told(documents: &[Value]) -> Said {
    let add = |(usage, feedback): Said, document: &Value| {
        let (more, error) = told(document);
        let usage = [usage, more].into_iter().flatten().reduce(Usage::or_more);
        (usage, feedback.or(error))
    };
    documents.iter().fold((None, None), add)
}

/// Cuts the bytes at the places.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

fn places() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..12)
}

/// An event whose data is the document, pretty or not, with other lines around it.
fn event(document: &Value, pretty: bool, noise: u8, end: &str) -> String {
    let text =
        if pretty { serde_json::to_string_pretty(document).unwrap() } else { document.to_string() };
    let colon = if noise & 1 == 0 { "data: " } else { "data:" };
    let lines = text.lines().map(|line| format!("{colon}{line}{end}"));
    let before = match noise >> 1 & 3 {
        0 => format!("event: message{end}id: 7{end}"),
        1 => format!(": data: {{\"usage\":{{\"input_tokens\":9999}}}}{end}"),
        2 => format!("data{end}retry: 10{end}"),
        _ => end.to_owned(),
    };
    before + &lines.collect::<String>() + end
}

proptest! {
    #![proptest_config(cases(400))]

    /// Broken by: a state that is lost between two pieces; text that is skipped too far; a null that takes the member before it.
    #[test]
    fn a_body_says_what_a_parser_reads_in_it(
        document in json(),
        pretty in any::<bool>(),
        places in places(),
    ) {
        let text =
            if pretty { serde_json::to_string_pretty(&document).unwrap() } else { document.to_string() };
        let expected = told(&document);
        prop_assert_eq!(&read_parts(UsageReader::new(), [text.as_bytes()]), &expected, "{}", text);
        let parts = cut(text.as_bytes(), &places);
        prop_assert_eq!(&read_parts(UsageReader::new(), parts), &expected, "{}", text);
        let bytes = text.as_bytes().chunks(1);
        prop_assert_eq!(&read_parts(UsageReader::new(), bytes), &expected, "{}", text);
    }

    /// Broken by: an event that runs into the next; lines that end in one way only.
    #[test]
    fn a_stream_says_what_a_parser_reads_in_its_events(
        events in prop::collection::vec((json(), any::<bool>(), any::<u8>()), 1..5),
        end in select(&["\n", "\r\n", "\r"]),
        places in places(),
    ) {
        let documents: Vec<_> = events.iter().map(|(document, ..)| document.clone()).collect();
        let text: String =
            events.iter().map(|(document, pretty, noise)| event(document, *pretty, *noise, &end)).collect();
        let text = format!(":{end}{text}");
        let expected = all_told(&documents);
        prop_assert_eq!(&read_parts(UsageReader::new(), [text.as_bytes()]), &expected, "{}", text);
        let parts = cut(text.as_bytes(), &places);
        prop_assert_eq!(&read_parts(UsageReader::new(), parts), &expected, "{}", text);
    }

    /// Broken by: a step that depends on what else is in its piece.
    #[test]
    fn any_bytes_say_the_same_however_they_are_cut(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            "([{}\\[\\]\",:\\\\ \r\n]|usage|error|data: |event: error|message|1|null|input_tokens){0,60}"
                .prop_map(String::into_bytes),
        ],
        places in places(),
    ) {
        let whole = read_parts(UsageReader::new(), [&*bytes]);
        prop_assert_eq!(&read_parts(UsageReader::new(), cut(&bytes, &places)), &whole);
        prop_assert_eq!(&read_parts(UsageReader::new(), bytes.chunks(1)), &whole);
    }
}
