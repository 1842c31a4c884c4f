//! What happens to the provider, and how its refusals read. ringgate's own reader is the second opinion.

mod common;

use common::{CHAT, MESSAGES, Whole, begin, call, chat, eventually, streamed, until};
use core::time::Duration;
use hyper::StatusCode;
use ringgate::{Feedback, QuotaKind, Signal, StopReason};
use ringgate_mock_provider::{
    After, Counting, Event, Fault, MockProvider, Reason, Script, Stop, Surprise, Terms,
};

const HOUR: Duration = Duration::from_secs(3600);

/// No more than the reader believes.
const LONG: Duration = Duration::from_secs(100);

fn heard(answer: &Whole) -> Feedback {
    let status = StatusCode::from_u16(answer.status).unwrap();
    Feedback::from_response(status, &answer.headers, Some(&answer.bytes))
}

/// Broken by: another code, type or sentence than the providers'.
#[tokio::test]
async fn stops_read_as_stops() {
    let provider = MockProvider::builder().start().await.unwrap();
    let stops = [
        (Stop::QuotaExhausted, 429, StopReason::QuotaExhausted, 400, StopReason::PaymentRequired),
        (Stop::SpendLimit, 429, StopReason::SpendLimit, 400, StopReason::SpendLimit),
        (Stop::PaymentRequired, 429, StopReason::PaymentRequired, 402, StopReason::PaymentRequired),
    ];
    for (stop, openai, openai_reason, anthropic, anthropic_reason) in stops {
        provider.stop_with(stop);
        let answer = call(&provider, CHAT, &chat(10, 5)).await;
        let signal = heard(&answer).signal();
        assert_eq!((answer.status, signal), (openai, Signal::Stop(openai_reason)), "{stop:?}");
        assert_eq!(answer.header("retry-after"), "");
        let answer = call(&provider, MESSAGES, &chat(10, 5)).await;
        let signal = heard(&answer).signal();
        assert_eq!(
            (answer.status, signal),
            (anthropic, Signal::Stop(anthropic_reason)),
            "{stop:?}"
        );
    }
    provider.stop_with(Stop::Deactivated);
    let answer = call(&provider, CHAT, &chat(10, 5)).await;
    let signal = heard(&answer).signal();
    assert_eq!((answer.status, signal), (401, Signal::Stop(StopReason::Other)));
    assert_eq!(call(&provider, MESSAGES, &chat(10, 5)).await.status, 403);
    provider.resume();
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
    assert_eq!((provider.counts().stopped, provider.counts().accepted), (8, 1));
}

/// Broken by: an overload that is a 429, or that ends by itself.
#[tokio::test]
async fn overloads_read_as_overloads() {
    let provider = MockProvider::builder().max_in_flight(9).start().await.unwrap();
    provider.overload(1);
    provider.fail_next(1, Fault::Stall(After::Frames(1)));
    let mut first = begin(&provider, CHAT, streamed(chat(10, 5)).to_string()).await;
    first.next().await.unwrap().unwrap();
    for (path, status) in [(CHAT, 503), (MESSAGES, 529)] {
        let answer = call(&provider, path, &chat(10, 5)).await;
        assert_eq!((answer.status, heard(&answer).signal()), (status, Signal::Overload));
        assert_eq!(heard(&answer).retry_after(), None);
    }
    provider.set_terms(Terms { max_in_flight: Some(9), ..provider.terms() });
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
    let counts = provider.counts();
    assert_eq!((counts.overloaded, counts.beyond(), counts.in_flight), (2, 0, 1));
}

/// Broken by: a resume that leaves the overload, or brings back the terms of a first overload instead of those before it.
#[tokio::test]
async fn an_overload_ends_with_a_resume_and_leaves_the_terms_as_they_were() {
    let provider =
        MockProvider::builder().requests(100, HOUR).max_in_flight(9).start().await.unwrap();
    let terms = provider.terms();
    provider.overload(2);
    provider.overload(0);
    assert_eq!(provider.terms(), Terms { max_in_flight: Some(0), ..terms });
    assert_eq!(call(&provider, MESSAGES, &chat(10, 5)).await.status, 529);
    provider.resume();
    assert_eq!(provider.terms(), terms);
    assert_eq!(call(&provider, MESSAGES, &chat(10, 5)).await.status, 200);

    provider.overload(0);
    provider.set_terms(Terms { max_in_flight: Some(0), ..terms });
    provider.resume();
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 429, "these terms are new");
}

/// Broken by: a pause that begins when it is told, or that ends with another call.
#[tokio::test]
async fn a_closed_provider_refuses_from_the_next_call_on_and_says_for_how_long() {
    let provider = MockProvider::builder().requests(100, HOUR).start().await.unwrap();
    for path in [CHAT, MESSAGES] {
        provider.close_for(LONG);
        for _ in 0..2 {
            let answer = call(&provider, path, &chat(10, 5)).await;
            assert_eq!((answer.status, heard(&answer).signal()), (429, Signal::CoolDown));
            let wait = heard(&answer).retry_after().unwrap();
            assert!(wait <= LONG && wait > LONG / 2, "{wait:?}");
        }
        provider.slow_down_for(LONG);
        let answer = call(&provider, path, &chat(10, 5)).await;
        assert_eq!(heard(&answer).signal(), Signal::Ramp);
        assert!(heard(&answer).retry_after().is_some());
    }
    provider.close_for(Duration::ZERO);
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
    let counts = provider.counts();
    assert_eq!((counts.closed, counts.beyond(), counts.accepted), (6, 0, 1));
    let log = provider.log();
    let begun = log.events.iter().filter(|(_, event)| matches!(event, Event::Closed { .. }));
    assert_eq!(begun.count(), 5);
}

/// Broken by: headers of the wrong dialect, or what was left before the call.
#[tokio::test]
async fn what_is_left_reads_as_what_is_left() {
    let as_sent = Counting::AsSent { input: 7000, output: 9000 };
    let openai = [(QuotaKind::Requests, 5, 4), (QuotaKind::Tokens, 8000, 7890)];
    let anthropic = [
        (QuotaKind::Requests, 5, 4),
        (QuotaKind::InputTokens, 7000, 6990),
        (QuotaKind::OutputTokens, 9000, 9000),
    ];
    let cases = [
        (CHAT, Counting::AtArrival { total: 8000 }, &openai[..]),
        (MESSAGES, as_sent, &anthropic[..]),
    ];
    for (path, tokens, expected) in cases {
        let builder = MockProvider::builder().requests(5, HOUR).tokens(tokens);
        let provider = builder.start().await.unwrap();
        let answer = call(&provider, path, &chat(40, 100)).await;
        let feedback = heard(&answer);
        for (kind, limit, remaining) in expected {
            let quota = feedback.quotas().iter().find(|quota| quota.kind() == *kind);
            let quota = quota.unwrap_or_else(|| panic!("{kind:?} is not told"));
            assert_eq!((quota.limit(), quota.remaining()), (Some(*limit), Some(*remaining)));
        }
        assert_eq!(feedback.quotas().len(), expected.len());
    }
}

/// Broken by: steps in the order in which they were told.
#[tokio::test]
async fn a_script_plays_its_steps_by_their_times() {
    let step =
        |requests| Surprise::SetTerms(Terms { requests: Some(requests), ..Terms::default() });
    let script = Script::new()
        .at(Duration::MAX, step(4))
        .at(Duration::from_millis(2), step(3))
        .at(Duration::ZERO, step(1))
        .at(Duration::from_millis(1), step(2));
    let provider = MockProvider::builder().script(script).start().await.unwrap();
    eventually(|| provider.terms().requests == Some(3)).await;
    let log = provider.log();
    let told = log.events.iter().filter_map(|(_, event)| match event {
        Event::TermsSet { terms, .. } => Some(terms.requests),
        _ => None,
    });
    assert!(told.eq([None, Some(1), Some(2), Some(3)]));
    let later = Script::new().at(Duration::ZERO, step(7));
    let playing = provider.play(later);
    eventually(|| provider.terms().requests == Some(7)).await;
    drop(playing);
}

/// Broken by: a script that goes on without the one who holds it.
#[tokio::test]
async fn a_script_that_is_dropped_stops() {
    let provider = MockProvider::builder().start().await.unwrap();
    let stop = Surprise::StopWith(Stop::SpendLimit);
    let dropped = provider.play(Script::new().at(Duration::from_millis(2), stop));
    // Its timer would go off before this one's.
    let later = Surprise::SetTerms(Terms { requests: Some(7), ..Terms::default() });
    let _playing = provider.play(Script::new().at(Duration::from_millis(20), later));
    drop(dropped);
    eventually(|| provider.terms().requests == Some(7)).await;
    assert_eq!(call(&provider, CHAT, &chat(10, 5)).await.status, 200);
}

/// Broken by: one dialect's name for users only, or refused calls without one.
#[tokio::test]
async fn the_log_tells_who_has_sent_what() {
    let provider = MockProvider::builder().requests(2, HOUR).start().await.unwrap();
    let mut body = chat(40, 5);
    body["user"] = "one".into();
    call(&provider, CHAT, &body).await;
    let mut body = chat(40, 5);
    body["metadata"] = serde_json::json!({ "user_id": "two" });
    call(&provider, MESSAGES, &body).await;
    call(&provider, MESSAGES, &body).await;
    let counts = until(&provider, |counts| counts.in_flight == 0).await;
    assert_eq!(counts.answered, 2);
    let told: Vec<_> = (provider.log().events.into_iter())
        .filter_map(|(_, event)| match event {
            Event::Accepted { number, user, .. } => Some((user, Ok(number))),
            Event::Refused { user, reason, .. } => Some((user, Err(reason))),
            _ => None,
        })
        .collect();
    let [one, two] = ["one", "two"].map(|name| Some(name.into()));
    assert_eq!(told, [(one, Ok(1)), (two.clone(), Ok(2)), (two, Err(Reason::Requests))]);
}
