//! What is refused, and what is counted.

mod common;

use common::{CHAT, MESSAGES, begin, call, chat, streamed, until};
use core::time::Duration;
use ringgate_mock_provider::{After, Counting, Fault, MockProvider, Terms};

const HOUR: Duration = Duration::from_secs(3600);

/// Broken by: a window that holds one call more, or no `retry-after-ms`.
#[tokio::test]
async fn calls_beyond_the_rate_are_refused_and_told_when_to_come_again() {
    let provider = MockProvider::builder().requests(2, HOUR).start().await.unwrap();
    let first = call(&provider, CHAT, &chat(10, 5)).await;
    assert_eq!((first.status, first.header("x-ratelimit-remaining-requests")), (200, "1"));
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
    let third = call(&provider, CHAT, &chat(10, 5)).await;
    assert_eq!(third.status, 429);
    assert_eq!(third.json()["error"]["code"], "rate_limit_exceeded");
    let millis: u128 = third.header("retry-after-ms").parse().unwrap();
    assert!((1..=HOUR.as_millis()).contains(&millis), "{millis}");
    assert_eq!(third.header("x-ratelimit-limit-requests"), "2");
    assert_eq!(third.header("x-ratelimit-remaining-requests"), "0");
    let counts = provider.counts();
    assert_eq!((counts.accepted, counts.beyond_requests, counts.refused()), (2, 1, 1));
}

/// Broken by: a window that is shorter than it says, or a refused call that counts.
#[tokio::test]
async fn a_place_is_free_one_window_after_it_was_taken_however_often_others_ask() {
    let window = Duration::from_millis(60);
    let provider = MockProvider::builder().requests(1, window).start().await.unwrap();
    while provider.counts().accepted < 3 {
        call(&provider, CHAT, &chat(10, 5)).await;
    }
    let arrivals = provider.log().arrivals;
    assert!(arrivals.windows(2).all(|two| two[1] - two[0] >= window), "{arrivals:?}");
}

/// Broken by: counting the prompt alone, or giving the rest back when the answer is shorter.
#[tokio::test]
async fn at_arrival_prompt_and_max_tokens_count_for_good() {
    let tokens = Counting::AtArrival { total: 1000 };
    let provider = MockProvider::builder().tokens(tokens).output_tokens(1).start().await.unwrap();
    // 401 bytes are 101 tokens.
    let first = call(&provider, CHAT, &chat(401, 500)).await;
    assert_eq!((first.status, first.header("x-ratelimit-remaining-tokens")), (200, "399"));
    assert_eq!(call(&provider, CHAT, &chat(4, 399)).await.status, 429);
    assert_eq!(call(&provider, CHAT, &chat(4, 398)).await.status, 200);
    let counts = provider.counts();
    assert_eq!((counts.beyond_tokens, counts.counted_at_arrival), (1, 1000));
    assert_eq!((counts.input_tokens, counts.output_tokens), (102, 2));
}

/// Broken by: counting `max_tokens`, or output before it is sent.
#[tokio::test]
async fn as_sent_output_counts_while_it_streams() {
    let tokens = Counting::AsSent { input: 1000, output: 50 };
    let provider = MockProvider::builder().tokens(tokens).output_tokens(48).start().await.unwrap();
    // Three events come before the text, in twelve pieces.
    provider.fail_next(1, Fault::Stall(After::Frames(5)));
    let mut first = begin(&provider, MESSAGES, streamed(chat(400, 900)).to_string()).await;
    assert_eq!(first.headers["anthropic-ratelimit-output-tokens-remaining"], "50");
    assert_eq!(first.headers["anthropic-ratelimit-input-tokens-remaining"], "900");
    until(&provider, |counts| counts.counted_as_sent == 8).await;
    first.next().await.unwrap().unwrap();
    drop(first);
    until(&provider, |counts| counts.hung_up == 1).await;
    // Not cut off: but it is beyond what is allowed, and so is who comes now.
    assert_eq!(call(&provider, MESSAGES, &streamed(chat(400, 900))).await.status, 200);
    let third = call(&provider, MESSAGES, &chat(4, 1)).await;
    assert_eq!((third.status, &third.json()["error"]["type"]), (429, &"rate_limit_error".into()));
    let counts = provider.counts();
    assert_eq!((counts.counted_at_arrival, counts.counted_as_sent, counts.overrun), (200, 56, 1));
}

/// Broken by: waiting for room for a call that is larger than the limit.
#[tokio::test]
async fn a_call_that_never_fits_is_not_told_to_wait() {
    let tokens = Counting::AtArrival { total: 10 };
    let provider = MockProvider::builder().tokens(tokens).start().await.unwrap();
    let answer = call(&provider, CHAT, &chat(4, 10)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, ""));
    assert!(answer.json()["error"]["message"].as_str().unwrap().starts_with("Request too large"));
}

/// Broken by: a place that is free when the answer begins.
#[tokio::test]
async fn a_call_is_in_flight_to_the_end_of_its_answer() {
    let provider = MockProvider::builder().max_in_flight(1).start().await.unwrap();
    provider.fail_next(1, Fault::Stall(After::Frames(2)));
    let mut first = begin(&provider, CHAT, streamed(chat(10, 100)).to_string()).await;
    first.next().await.unwrap().unwrap();
    let second = call(&provider, CHAT, &chat(10, 100)).await;
    assert_eq!((second.status, provider.counts().beyond_in_flight), (429, 1));
    drop(first);
    until(&provider, |counts| counts.in_flight == 0).await;
    // One after another, each as soon as the one before has been read.
    for _ in 0..50 {
        assert_eq!(call(&provider, CHAT, &streamed(chat(10, 100))).await.status, 200);
    }
    let counts = provider.counts();
    assert_eq!((counts.peak_in_flight, counts.answered, counts.hung_up), (1, 50, 1));
}

/// Broken by: refusing, or not counting, what is beyond.
#[tokio::test]
async fn a_lenient_provider_counts_what_is_beyond_and_answers_it() {
    let builder = MockProvider::builder().requests(1, HOUR).lenient(true);
    let provider = builder.start().await.unwrap();
    for _ in 0..3 {
        assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
    }
    assert_eq!((provider.counts().accepted, provider.counts().beyond()), (3, 2));
    provider.close_for(HOUR);
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 429);
}

/// Broken by: adding a window to an instant unchecked, or a sum of tokens in 64 bits.
#[tokio::test]
async fn terms_without_sense_are_kept_as_far_as_they_go() {
    let extremes = [Duration::ZERO, Duration::MAX];
    let countings = [
        Counting::AtArrival { total: u64::MAX },
        Counting::AtArrival { total: 0 },
        Counting::AsSent { input: 0, output: u64::MAX },
    ];
    for (window, tokens) in extremes.into_iter().flat_map(|w| countings.map(|c| (w, c))) {
        for requests in [0, u32::MAX] {
            let terms = Terms { requests: Some(requests), window, tokens, max_in_flight: Some(0) };
            let builder = MockProvider::builder().terms(terms).lenient(true);
            let provider = builder.output_tokens(3).start().await.unwrap();
            provider.close_for(Duration::MAX);
            assert_eq!(call(&provider, CHAT, &chat(10, u64::MAX)).await.status, 429);
            provider.resume();
            for _ in 0..2 {
                assert_eq!(call(&provider, CHAT, &chat(10, u64::MAX)).await.status, 200);
            }
            assert!(provider.in_window().requests <= 2);
        }
    }
}

/// Broken by: forgetting what was counted, or a limit that is read once.
#[tokio::test]
async fn other_terms_hold_from_the_next_call_on() {
    let provider = MockProvider::builder().requests(3, HOUR).start().await.unwrap();
    for _ in 0..2 {
        assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
    }
    provider.set_terms(Terms { requests: Some(1), ..provider.terms() });
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 429);
    provider.set_terms(Terms { requests: Some(3), ..provider.terms() });
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 429);
}
