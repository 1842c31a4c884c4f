//! What a request expects to use, read from its body.

use crate::common::counting::allocations;
use crate::common::random::cases;
use proptest::prelude::*;
use ringgate::{Usage, estimate_tokens};
use serde_json::{Value, json};

fn estimate(body: &Value) -> Usage {
    Usage::estimate_from_json(body.to_string().as_bytes(), 1_000).expect("an object")
}

fn output(body: &str) -> Option<u64> {
    Usage::estimate_from_json(body.as_bytes(), 1_000).map(|usage| usage.output)
}

/// Broken by: a name that is not asked for; one that counts at another depth; a member that is read as a string.
#[test]
fn the_output_is_what_bounds_the_answer() {
    for (body, expected) in [
        (r#"{"max_tokens":7}"#, 7),
        (r#"{"max_completion_tokens":7}"#, 7),
        (r#"{"max_output_tokens":7}"#, 7),
        (" {\n \"max_tokens\" : 7 , \"x\" : 1 }\r\n", 7),
        (r#"{"x":{"y":[1,{}]},"max_tokens":7}"#, 7),
        (r#"{"max_tokens":7,"max_completion_tokens":9}"#, 9),
        (r#"{"max_tokens":9,"max_tokens":7}"#, 9),
        (r#"{"generationConfig":{"maxOutputTokens":7}}"#, 7),
        (r#"{"generation_config":{"max_output_tokens":7}}"#, 7),
        (r#"{"inferenceConfig":{"stopSequences":["a"],"maxTokens":7}}"#, 7),
        (r#"{"generationConfig":{"maxOutputTokens":7,"candidateCount":3}}"#, 21),
        (r#"{"candidateCount":3,"max_tokens":7}"#, 7),
        (r#"{"max_tokens":7,"n":3}"#, 21),
        (r#"{"best_of":4,"n":3,"max_tokens":7}"#, 28),
        (r#"{"n":3}"#, 3_000),
        (r#"{"max_tokens":0}"#, 0),
        (r#"{"max_tokens":7,"n":0}"#, 7),
        (r"{}", 1_000),
        (r#"{"max_tokens":null}"#, 1_000),
        (r#"{"max_tokens":"7"}"#, 1_000),
        (r#"{"max_tokens":-7}"#, 1_000),
        (r#"{"max_tokens":7.5}"#, 1_000),
        (r#"{"max_tokens":[7]}"#, 1_000),
        (r#"{"max_tokens":{"n":7}}"#, 1_000),
        (r#"{"tools":{"max_tokens":7,"n":3}}"#, 1_000),
        (r#"{"tools":[{"generationConfig":{"maxOutputTokens":7}}]}"#, 1_000),
        (r#"{"generationConfig":[{"maxOutputTokens":7}]}"#, 1_000),
        (r#"{"generationConfig":{"x":{"maxOutputTokens":7}}}"#, 1_000),
        (r#"{"generationConfig":{},"x":{"maxOutputTokens":7}}"#, 1_000),
        (r#"{"x":{"generationConfig":{},"maxOutputTokens":7}}"#, 1_000),
        (r#"{"maxOutputTokens":7}"#, 1_000),
        (r#"{"x":"\"max_tokens\":7"}"#, 1_000),
        (r#"{"x":"\\","max_tokens":7}"#, 7),
        (r#"{"x":"max_tokens","y":7}"#, 1_000),
    ] {
        assert_eq!(output(body), Some(expected), "{body}");
    }
}

/// Broken by: a product that overflows; a number that is cut off.
#[test]
fn large_numbers_stay_at_the_largest() {
    let largest = u64::MAX;
    assert_eq!(output(&format!(r#"{{"max_tokens":{largest},"n":{largest}}}"#)), Some(largest));
    assert_eq!(output(&format!(r#"{{"max_tokens":{largest}0}}"#)), Some(1_000));
    let usage = Usage::estimate_from_json(br#"{"n":2}"#, largest).expect("an object");
    assert_eq!(usage.total(), largest);
}

/// Broken by: whatever is no object being read as one; an end that is not looked for.
#[test]
fn what_is_no_object_says_nothing() {
    for body in [
        "",
        " ",
        "x",
        "7",
        "[]",
        "[{}]",
        "\"{}\"",
        "{",
        "}",
        "{}}",
        "{}{}",
        "{} x",
        "}{",
        "{\"",
        "{\"x",
        "{\"x\\\"}",
        "{\"max_tokens\":7",
        "{\"x\":[}",
        "--boundary\r\n\r\n{}",
        "\u{feff}{}",
    ] {
        assert_eq!(Usage::estimate_from_json(body.as_bytes(), 1_000), None, "{body}");
    }
}

/// Broken by: a part that is not counted, or twice.
#[test]
fn the_input_is_all_of_the_body_but_the_space_in_it() {
    let body = json!({
        "model": "m", "stream": true, "temperature": 0.25, "stop": null,
        "messages": [{"role": "user", "content": "Is \"你好\" in Ελλάδα 2026?\n"}],
    });
    let text = body.to_string();
    assert_eq!(estimate(&body).input, estimate_tokens(&text));
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    assert!(pretty.len() > text.len());
    let told = Usage::estimate_from_json(pretty.as_bytes(), 1_000);
    assert_eq!(told, Some(estimate(&body)));
}

fn in_lines(base64: &str, length: usize) -> String {
    let lines = base64.as_bytes().chunks(length).map(|line| str::from_utf8(line).unwrap());
    lines.flat_map(|line| [line, "\r\n"]).collect()
}

/// Broken by: any lines of letters and digits being taken for Base64.
#[test]
fn words_and_numbers_in_lines_are_no_picture() {
    for line in ["12345\n", "src/limiter_core\n", "apple\r\n", "a_long-name/and/another\n\n"] {
        let text = line.repeat(10_000);
        let expected = estimate_tokens(&json!({ "content": text }).to_string());
        assert_eq!(estimate(&json!({ "content": text })).input, expected, "{line:?}");
    }
}

/// Broken by: an array of prompts that counts as one, though each is answered; one of tokens that counts as many.
#[test]
fn each_prompt_has_an_answer() {
    for (body, expected) in [
        (r#"{"prompt":["a","b","c"],"max_tokens":7}"#, 21),
        (r#"{"n":2,"prompt":["a","b","c"],"max_tokens":7}"#, 42),
        (r#"{"prompt":[[1,2],[3],[4,[5]]],"max_tokens":7}"#, 21),
        (r#"{"prompt":[1,2,3],"max_tokens":7}"#, 7),
        (r#"{"prompt":"a","max_tokens":7}"#, 7),
        (r#"{"prompt":[],"max_tokens":7}"#, 7),
        (r#"{"prompt":["a"],"stop":["b","c"],"max_tokens":7}"#, 7),
        (r#"{"x":{"prompt":["a","b"]},"max_tokens":7}"#, 7),
        (r#"{"prompt":{"x":["a","b"]},"max_tokens":7}"#, 7),
    ] {
        assert_eq!(output(body), Some(expected), "{body}");
    }
}

/// Broken by: a default for what writes nothing; a path that is compared by its beginning.
#[test]
fn what_writes_nothing_expects_no_output() {
    let of = |path, body: &str| Usage::estimate_from_request(path, body.as_bytes(), 50);
    for (path, expected) in [
        ("/v1/embeddings", 0),
        ("/openai/deployments/m/embeddings", 0),
        ("/v1/moderations", 0),
        ("/v1/responses/input_tokens", 0),
        ("/v1/messages/count_tokens", 0),
        ("/v1beta/models/m:embedContent", 0),
        ("/v1beta/models/m:batchEmbedContents", 0),
        ("/v1beta/models/m:countTokens", 0),
        ("/v1beta/models/m:generateContent", 50),
        ("/v1/messages", 50),
        ("/embeddings/chat", 50),
        ("", 50),
    ] {
        assert_eq!(of(path, "{}").map(|usage| usage.output), Some(expected), "{path}");
        assert_eq!(of(path, "[]"), None);
    }
    assert_eq!(of("/v1/embeddings", r#"{"max_tokens":7}"#).map(|usage| usage.output), Some(7));
}

/// Broken by: Base64 that counts as text (a picture would exceed any limit), text that counts as Base64.
#[test]
fn a_picture_counts_as_one_however_large_it_is() {
    let of = |content: &str| estimate(&json!({ "content": content })).input;
    let empty = of("");
    let base64 = "iVBORw0KGgo+/AbC".repeat(64 * 1024);
    let mark = "data:image/png;base64,";
    for picture in [
        base64.clone(),
        format!("{base64}=="),
        format!("{mark}{base64}"),
        in_lines(&base64, 76),
        in_lines(&base64, 64),
        base64.replace('/', "_").replace('+', "-"),
    ] {
        assert!(of(&picture) <= empty + 1_600, "{}", &picture[..40]);
        assert!(of(&picture) >= empty + 1_599, "{}", &picture[..40]);
    }
    let escaped = format!(r#"{{"content":"{}"}}"#, base64.replace('/', r"\/"));
    assert!(Usage::estimate_from_json(escaped.as_bytes(), 0).unwrap().input <= empty + 1_600);
    for text in [
        format!("{base64} "),
        format!("see {mark}{base64}"),
        format!("data:{}{mark}{base64}", "x".repeat(200)),
        format!("{mark}{base64}\""),
        format!("data:text/plain,{base64}"),
        "é".repeat(100_000),
    ] {
        assert_eq!(of(&text), estimate_tokens(&json!({ "content": text }).to_string()));
    }
    // Not more than text, where it is short.
    let short = &base64[..1_024];
    assert_eq!(of(short), estimate_tokens(&json!({ "content": short }).to_string()));
}

/// Broken by: anything that is kept; brackets that are counted by calls of a function.
#[test]
fn a_body_that_means_harm_takes_no_memory() {
    for filler in ["[", "{\"n\":", "{\"max_tokens\":", "]", "\"\\", "\"\",", "\\", "\0", "7", "ÿ"]
    {
        let body = format!("{{\"x\":{}", filler.repeat(200_000));
        let allocated = allocations(|| {
            let _ = Usage::estimate_from_json(body.as_bytes(), u64::MAX);
        });
        assert_eq!(allocated, 0, "{filler}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("max_tokens".to_owned()),
        Just("n".to_owned()),
        Just("generationConfig".to_owned()),
        Just("maxOutputTokens".to_owned()),
        ".{0,6}"
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same, by a parser.
fn parsed(body: &Value) -> Option<Usage> {
    let number = |at: &Value, name: &str| at.get(name)?.as_u64();
    body.as_object()?;
    let inner = body.get("generationConfig").and_then(|at| number(at, "maxOutputTokens"));
    let bound = number(body, "max_tokens").max(inner).unwrap_or(1_000);
    let answers = number(body, "n").unwrap_or(1).max(1);
    Some(Usage::new(estimate_tokens(&body.to_string()), bound.saturating_mul(answers)))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn it_says_what_a_parser_says(body in any_json()) {
        let text = body.to_string();
        prop_assert_eq!(Usage::estimate_from_json(text.as_bytes(), 1_000), parsed(&body));
        let pretty = serde_json::to_string_pretty(&body).unwrap();
        prop_assert_eq!(Usage::estimate_from_json(pretty.as_bytes(), 1_000), parsed(&body));
    }

    #[test]
    fn any_bytes_can_be_read(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\n 7".to_vec())], 0..200),
        at in any::<prop::sample::Index>(),
    ) {
        let _ = Usage::estimate_from_json(&bytes, u64::MAX);
        let mut body = br#"{"n":2,"max_tokens":70,"generationConfig":{"maxOutputTokens":8}}"#.to_vec();
        let at = at.index(body.len());
        body.splice(at..at, bytes);
        let _ = Usage::estimate_from_json(&body, u64::MAX);
    }
}
