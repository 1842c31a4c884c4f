//! Answers that mean harm: nothing panics, hangs, or pauses anybody for longer than the cap.

use crate::answers::{headers, noon, read, reader, secs};
use crate::common::random::cases;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use ringgate::{Dialect, Feedback, FeedbackReader, Signal};
use std::time::Duration;

const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// What holds of every answer.
fn check(feedback: &Feedback, max_pause: Duration) -> Result<(), TestCaseError> {
    let most = if matches!(feedback.signal(), Signal::Stop(_)) { MONTH } else { max_pause };
    prop_assert!(feedback.retry_after().is_none_or(|wait| wait <= most), "{feedback:?}");
    // Four kinds, six windows.
    prop_assert!(feedback.quotas().len() <= 24);
    for (at, quota) in feedback.quotas().iter().enumerate() {
        prop_assert!(quota.reset_after().is_none_or(|reset| reset <= MONTH), "{quota:?}");
        let is_same = |other: &ringgate::Quota| {
            (other.kind(), other.window()) == (quota.kind(), quota.window())
        };
        prop_assert!(!feedback.quotas()[..at].iter().any(is_same), "twice: {quota:?}");
    }
    if feedback.signal() == Signal::Proceed {
        prop_assert_eq!(feedback.retry_after(), None);
    }
    Ok(())
}

fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "date",
        "x-amzn-errortype",
        "x-ratelimit-limit",
        "x-ratelimit-reset",
        "x-groq-id",
        "openai-version",
        "anthropic-ratelimit-unified-reset",
    ]);
    let made = "(x-ratelimit|x-tokenlimit|ratelimitbysize|anthropic-ratelimit)(-(limit|remaining|reset|requests|project|input|tokens|day|month|minute|x)){0,4}";
    prop_oneof![known.prop_map(str::to_owned), made, "[a-z-]{1,20}"]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let number = "[+-]?[0-9]{0,40}([.][0-9]{0,40})?([eE][+-]?[0-9]{1,4})?";
    let span = "([0-9.]{0,30}(ns|us|µs|ms|s|m|h|d|min|y| ){1,2}){0,4}";
    let moment = "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{0,12})?(Z|[+-][0-9]{2}:[0-9]{2})?";
    let date = "(Mon|Sat|Sunday),? [0-9]{2}[ -](Jan|Feb|Nov)[ -]([0-9]{2}){1,2} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT";
    let words =
        prop::sample::select(vec!["NaN", "inf", "-inf", "true", "false", "", " ", "-0", "∞"]);
    prop_oneof![
        number.prop_map(String::into_bytes),
        span.prop_map(String::into_bytes),
        moment.prop_map(String::into_bytes),
        date.prop_map(String::into_bytes),
        words.prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..80),
    ]
}

fn some_headers() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((name(), value()), 0..24).prop_map(|list| {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&value)) {
                headers.append(name, value);
            }
        }
        headers
    })
}

/// Some JSON out of the words that the reader knows.
fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just("rate_limit_exceeded".to_owned()),
        Just("insufficient_quota".to_owned()),
        Just("slow_down".to_owned()),
        Just("overloaded_error".to_owned()),
        Just("GenerateRequestsPerDayPerProject".to_owned()),
        "(try again in|retry after|regain access on) [0-9.-]{0,30}[a-z]{0,3}( at [0-9:]{0,6})?",
        value().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    let leaf = prop_oneof![
        text.prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "error",
            "type",
            "code",
            "status",
            "message",
            "details",
            "error_code",
            "reason",
            "retryDelay",
            "violations",
            "quotaId",
            "quotaValue",
            "metadata",
            "headers",
            "response",
            "throttlingException",
        ])
        .prop_map(str::to_owned),
        name(),
    ];
    let tree = leaf.prop_recursive(6, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<serde_json::Value>()),
        ]
    });
    tree.prop_map(|tree| tree.to_string())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => json().prop_map(String::into_bytes),
        1 => (json(), any::<prop::sample::Index>()).prop_map(|(text, at)| {
            let mut bytes = text.into_bytes();
            bytes.truncate(at.index(bytes.len()));
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn dialect() -> impl Strategy<Value = Option<Dialect>> {
    prop::option::of(prop::sample::select(vec![
        Dialect::Anthropic,
        Dialect::Groq,
        Dialect::Azure,
        Dialect::OpenAi,
        Dialect::Bedrock,
        Dialect::Cerebras,
        Dialect::Mistral,
        Dialect::Together,
        Dialect::Gemini,
        Dialect::OpenRouter,
    ]))
}

proptest! {
    #![proptest_config(cases(300))]

    /// Broken by: a unit multiplied without saturation; a pause that is not capped; quotas with a window in common.
    #[test]
    fn no_answer_does_harm(
        status in prop_oneof![Just(429_u16), Just(200), Just(503), 100_u16..1000],
        headers in some_headers(),
        body in prop::option::of(body()),
        dialect in dialect(),
        max_pause in prop_oneof![Just(0), Just(120_000), 0_u64..1_000_000].prop_map(Duration::from_millis),
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let reader = FeedbackReader::new().now(noon()).max_pause(max_pause);
        let reader = dialect.map_or(reader, |dialect| reader.dialect(dialect));
        let feedback = reader.read(status, &headers, body.as_deref());
        check(&feedback, max_pause)?;
        // It depends on nothing else.
        prop_assert_eq!(reader.read(status, &headers, body.as_deref()), feedback);
        // By the server's clock, or the local one.
        let feedback = Feedback::from_response(status, &headers, body.as_deref());
        check(&feedback, secs(120))?;
        if let Some(body) = body {
            check(&reader.read_event(&body), max_pause)?;
        }
    }
}

/// Broken by: all of a body looked at; a body cut inside a character taken for no text.
#[test]
fn only_the_start_of_a_body_is_looked_at() {
    let body = |filler: usize| format!("{}try again in 5s", "µ".repeat(filler / 2));
    assert_eq!(read(429, &[], &body(60_000)), Feedback::cool_down(secs(5)));
    assert_eq!(read(429, &[], &body(65_530)), Feedback::cool_down(None));
    let cut = format!("x{}", body(65_540));
    assert_eq!(read(429, &[], &cut), Feedback::cool_down(None));
}

/// Broken by: values of any length read.
#[test]
fn long_values_are_not_read() {
    let zeros = "0".repeat(60);
    assert_eq!(
        read(429, &[("retry-after", &format!("{zeros}7"))], ""),
        Feedback::cool_down(secs(7))
    );
    let zeros = "0".repeat(5_000);
    assert_eq!(read(429, &[("retry-after", &format!("{zeros}7"))], ""), Feedback::cool_down(None));
}

/// Deep and wide bodies, and many headers. Broken by: a parser without a bound on its depth; a search through all of the
/// quotas' headers for each one.
#[test]
fn large_answers_are_read_in_one_pass() {
    for unit in
        ["[", "{\"error\":", "{\"details\":[", "try again in ", "try again in 1", "1s", "\"", "é"]
    {
        let body = unit.repeat(200_000 / unit.len());
        assert_eq!(read(429, &[], &body).signal(), Signal::CoolDown, "{unit}");
        let nested = serde_json::json!({ "error": { "message": body, "details": [body] } });
        assert_eq!(read(429, &[], &nested.to_string()).signal(), Signal::CoolDown, "{unit}");
        assert_eq!(reader().read_event(body.as_bytes()), Feedback::new(), "{unit}");
    }
    let list: Vec<_> = (0..5_000).map(|n| format!("x-ratelimit-remaining-requests-{n}")).collect();
    let same = std::iter::repeat_n("x-ratelimit-remaining-requests", 5_000);
    let many: Vec<_> =
        list.iter().map(|name| &**name).chain(same).map(|name| (name, "1")).collect();
    let found = reader().read(StatusCode::OK, &headers(&many), None);
    assert_eq!(found.quotas().len(), 1);
}
