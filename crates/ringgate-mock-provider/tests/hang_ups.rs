//! Clients that go, and answers that do not come to their end.

mod common;

use common::{CHAT, MESSAGES, RESPONSES, begin, call, chat, streamed, until};
use core::time::Duration;
use ringgate_mock_provider::{After, End, Event, Fault, MockProvider};
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(3600);

/// Broken by: a place that is held by a task of its own.
#[tokio::test]
async fn a_client_that_goes_before_the_answer_frees_its_place() {
    let provider = MockProvider::builder().answer_time(HOUR..=HOUR).start().await.unwrap();
    let body = chat(10, 5).to_string();
    tokio::select! {
        _ = begin(&provider, CHAT, body) => panic!("it takes an hour"),
        counts = until(&provider, |counts| counts.in_flight == 1) => assert_eq!(counts.accepted, 1),
    }
    let counts = until(&provider, |counts| counts.in_flight == 0).await;
    assert_eq!((counts.hung_up, counts.answered, counts.output_tokens), (1, 0, 0));
}

/// Broken by: counting the whole answer when it begins.
#[tokio::test]
async fn a_client_that_goes_half_way_is_counted_for_what_was_sent() {
    for frames in 1..12 {
        let provider = MockProvider::builder().output_tokens(12).start().await.unwrap();
        provider.fail_next(1, Fault::Stall(After::Frames(frames)));
        let mut answer = begin(&provider, CHAT, streamed(chat(10, 50)).to_string()).await;
        let sent = until(&provider, |counts| counts.output_tokens == frames as u64).await;
        assert_eq!(sent.in_flight, 1);
        answer.next().await.unwrap().unwrap();
        drop(answer);
        let counts = until(&provider, |counts| counts.in_flight == 0).await;
        assert_eq!((counts.hung_up, counts.output_tokens), (1, frames as u64));
    }
}

/// Broken by: a call that is answered and then counted as given up, because its connection is closed.
#[tokio::test]
async fn a_client_that_goes_after_the_end_has_not_hung_up() {
    let provider = MockProvider::builder().start().await.unwrap();
    for body in [chat(10, 50), streamed(chat(10, 50))] {
        drop(call(&provider, CHAT, &body).await);
    }
    assert_eq!((provider.counts().answered, provider.counts().hung_up), (2, 0));
    let log = provider.log();
    let ends = log.events.iter().filter_map(|(_, event)| match event {
        Event::Ended { how, .. } => Some(*how),
        _ => None,
    });
    assert!(ends.eq([End::Answered; 2]));
}

/// Broken by: buffers that are thrown away with the connection, or an end that looks like an ordinary one.
#[tokio::test]
async fn an_answer_that_breaks_off_has_sent_exactly_so_many_bytes() {
    let provider = MockProvider::builder().start().await.unwrap();
    let bodies = [chat(10, 50), streamed(chat(10, 50))];
    for body in bodies {
        // The numbers of the calls have as many digits.
        let whole = call(&provider, CHAT, &body).await.bytes;
        for bytes in [0, 1, 100, 200] {
            provider.fail_next(1, Fault::BreakOff(After::Bytes(bytes)));
            let (part, error) = begin(&provider, CHAT, body.to_string()).await.rest().await;
            assert_eq!(part.len(), bytes);
            assert!(error.is_some() && whole.len() > bytes);
        }
    }
    let counts = provider.counts();
    assert_eq!((counts.broken_off, counts.answered, counts.in_flight), (8, 2, 0));
}

/// Broken by: a fault that is never due ending the answer, or one that is due at the very end being left out.
#[tokio::test]
async fn a_fault_may_come_at_any_frame() {
    let provider = MockProvider::builder().output_tokens(12).start().await.unwrap();
    let body = streamed(chat(10, 50)).to_string();
    // Twelve pieces, the reason of its end, and the mark of it.
    for frames in 0..=14 {
        provider.fail_next(1, Fault::BreakOff(After::Frames(frames)));
        let (part, error) = begin(&provider, CHAT, body.clone()).await.rest().await;
        let text = core::str::from_utf8(&part).unwrap();
        assert_eq!((text.matches("data: ").count(), error.is_some()), (frames, true));
    }
    provider.fail_next(1, Fault::BreakOff(After::Frames(15)));
    assert_eq!(begin(&provider, CHAT, body).await.finish().await.status, 200);
    assert_eq!((provider.counts().broken_off, provider.counts().answered), (15, 1));
}

/// Broken by: a stream that goes on after the error.
#[tokio::test]
async fn an_error_can_take_the_place_of_the_rest() {
    let provider = MockProvider::builder().start().await.unwrap();
    let codes = [
        (CHAT, "/error/code", "server_is_overloaded"),
        (RESPONSES, "/code", "server_is_overloaded"),
        (MESSAGES, "/error/type", "overloaded_error"),
    ];
    for (path, place, code) in codes {
        provider.fail_next(1, Fault::ErrorEvent(After::Frames(5)));
        let mut body = streamed(chat(10, 50));
        body["input"] = "Hello".into();
        let events = begin(&provider, path, body.to_string()).await.finish().await.events();
        assert_eq!(events.len(), 6, "{path}");
        assert_eq!(events[5].1.pointer(place), Some(&Value::from(code)), "{path}");
    }
    // What is no stream has no place for it.
    provider.fail_next(1, Fault::ErrorEvent(After::Bytes(9)));
    let (part, error) = begin(&provider, CHAT, chat(10, 50).to_string()).await.rest().await;
    assert_eq!((part.len(), error.is_some()), (9, true));
    assert_eq!(provider.counts().broken_off, 4);
}

/// Broken by: a fault that all calls get, or refused calls that use one up.
#[tokio::test]
async fn faults_come_in_order_to_so_many_accepted_calls() {
    let provider = MockProvider::builder().start().await.unwrap();
    provider.fail_next(0, Fault::BreakOff(After::Bytes(5)));
    provider.fail_next(2, Fault::BreakOff(After::Bytes(1)));
    provider.fail_next(1, Fault::BreakOff(After::Bytes(2)));
    provider.close_for(HOUR);
    assert_eq!(call(&provider, CHAT, &chat(10, 50)).await.status, 429);
    provider.resume();
    for bytes in [1, 1, 2] {
        let (part, _) = begin(&provider, CHAT, chat(10, 50).to_string()).await.rest().await;
        assert_eq!(part.len(), bytes);
    }
    assert_eq!(call(&provider, CHAT, &chat(10, 50)).await.status, 200);
}

/// Broken by: connections that outlive it.
#[tokio::test]
async fn a_provider_that_is_dropped_closes_its_connections() {
    let provider = MockProvider::builder().start().await.unwrap();
    let address = provider.address();
    provider.fail_next(1, Fault::Stall(After::Frames(1)));
    let mut answer = begin(&provider, CHAT, streamed(chat(10, 50)).to_string()).await;
    answer.next().await.unwrap().unwrap();
    drop(provider);
    assert!(answer.next().await.unwrap().is_err());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
