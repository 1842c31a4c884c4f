//! Faults that were found in what holds a permit, and that must not come back.

use crate::common::poll_with;
use crate::scene::{AS_RESERVED, has_panicked, next, panics, scene};
#[cfg(feature = "http")]
use futures_util::StreamExt;
use futures_util::{Stream, stream};
use ringgate::{Feedback, PoolStream, Usage};
#[cfg(feature = "tokio")]
use ringgate::{Limiter, StalledError};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

fn read(mut held: impl Stream + Unpin) {
    while let Poll::Ready(Some(_)) = next(&mut held) {}
}

/// What was said before an error is not all that was used.
#[test]
fn an_error_in_an_answer_was_taken_for_its_last_word() {
    let scene = scene();
    let items = || stream::iter([Some(Usage::new(90, 1)), None]);
    let is_error = |item: &Option<Usage>| item.is_none().then(Feedback::overload);
    let held = scene.permit().hold(items()).settle_with(|item| *item).observe_with(is_error);
    read(held);
    assert_eq!(scene.used(), AS_RESERVED);
    let pooled = crate::scene::scene();
    let held = PoolStream::with_usage(Box::pin(items()), pooled.permit(), |item| *item);
    read(held.with_feedback(is_error));
    assert_eq!(pooled.used(), AS_RESERVED);
}

/// Nothing but its type told that the connection broke.
#[test]
fn an_error_among_a_pools_events_was_an_event_as_any_other() {
    let scene = scene();
    scene.limiter.observe(&Feedback::overload());
    let events = stream::iter([Ok(Usage::new(90, 1)), Err("reset"), Ok(Usage::new(0, 7))]);
    let held = PoolStream::with_usage(Box::pin(events), scene.permit(), |event| event.ok());
    let mut held = held.with_feedback(|_| None).end_at_error();
    assert_eq!(held.size_hint(), (0, Some(3)));
    assert!(matches!(next(&mut held), Poll::Ready(Some(Ok(_)))));
    assert_eq!(next(&mut held), Poll::Ready(Some(Err("reset"))));
    assert_eq!((next(&mut held), held.size_hint()), (Poll::Ready(None), (0, Some(0))));
    assert_eq!((scene.used(), scene.limiter.concurrency_limit()), (AS_RESERVED, 1));
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panics()
    }
}

/// The success of an answer wakes who waits for a slot.
#[test]
fn a_waker_that_panicked_at_an_answers_end_left_it_unsettled() {
    let scene = scene();
    scene.limiter.observe(&Feedback::overload());
    let items = stream::iter([Usage::new(90, 20)]);
    let held = scene.permit().hold(items).settle_with(|used| Some(*used)).observe_with(|_| None);
    let mut waits = pin!(scene.limiter.acquire());
    assert!(poll_with(waits.as_mut(), &Waker::from(Arc::new(Panicking))).is_pending());
    assert!(has_panicked(|| read(held)));
    assert_eq!(scene.used(), (90, 20));
}

/// A stream of tokio's has nothing in a task whose budget is spent, though an item is there.
#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_stream_whose_item_was_there_ended_as_stalled_in_a_task_without_budget() {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::time::Duration;
    use tokio::task::coop::{has_budget_remaining, poll_proceed};

    let limiter = Limiter::builder().max_concurrent(1).build();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let items = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let held = limiter.try_acquire_owned().unwrap().hold(items);
    let mut held = held.idle_timeout(Duration::from_secs(10), |_: StalledError| "stalled");
    // Its reader is elsewhere while the item comes, and asks when the time is over.
    assert_eq!(next(&mut held), Poll::Pending);
    sender.send("in time").unwrap();
    tokio::time::advance(Duration::from_secs(11)).await;
    let mut spends = true;
    let item = poll_fn(|cx| {
        while spends && has_budget_remaining() {
            if let Poll::Ready(unit) = poll_proceed(cx) {
                unit.made_progress();
            }
        }
        spends = false;
        Pin::new(&mut held).poll_next(cx)
    });
    assert_eq!(item.await, Some("in time"));
}

/// What a function has to say besides is no reason not to hear an error in the bytes.
#[cfg(feature = "http")]
#[test]
fn a_function_that_said_something_hid_an_error_in_the_bytes() {
    let scene = scene();
    let bytes = "data: {\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let held = scene.permit().hold(stream::iter([Ok::<_, ()>(bytes)])).read_usage();
    read(held.observe_with(|_| Some(Feedback::new())));
    assert_eq!(scene.limiter.concurrency_limit(), 1);
}

/// The call's input and output that count after the text has been read to its end, or as far as it goes and dropped.
#[cfg(feature = "http")]
fn used_of(text: &str, to_the_end: bool) -> (u64, u64) {
    let scene = scene();
    scene.limiter.observe(&Feedback::overload());
    let items = stream::iter(text.as_bytes().chunks(5).map(Ok::<_, ()>));
    let items = items.chain(stream::pending().take(usize::from(!to_the_end)));
    read(scene.permit().hold(items).read_usage());
    let is_success = scene.limiter.concurrency_limit() == crate::scene::SLOTS;
    assert_eq!(is_success, scene.used() != AS_RESERVED, "{text}");
    scene.used()
}

/// An error that says nothing for other calls breaks an answer off as well.
#[cfg(feature = "http")]
#[test]
fn an_error_of_one_call_was_taken_for_a_success() {
    let start = "data: {\"usage\":{\"input_tokens\":90,\"output_tokens\":1}}\n\n";
    assert_eq!(used_of(start, true), (90, 1));
    for error in [
        "data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n",
        "event: error\ndata: {}\n\n",
        "data: Internal\nevent: error\n\n",
        "{\"error\":\"internal\"}\n\ndata: [DONE]\n\n",
    ] {
        assert_eq!(used_of(&[start, error].concat(), true), AS_RESERVED, "{error}");
    }
    let none = "data: {\"error\":null}\n\ndata: {\"error\":false}\n\ndata: {\"error\":\"\"}\n\n";
    assert_eq!(used_of(&[start, none].concat(), true), (90, 1));
}

/// Most clients read up to the word that ends it, and not up to the end of the connection.
#[cfg(feature = "http")]
#[test]
fn an_answer_dropped_after_its_last_event_counted_as_reserved() {
    let start = "data: {\"usage\":{\"input_tokens\":90,\"output_tokens\":20}}\n\n";
    assert_eq!(used_of(start, false), AS_RESERVED);
    for end in [
        "data: [DONE]\n\n",
        "data:[DONE]\r\n",
        "event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{}}",
        "data: {\"response\":{},\"type\":\"response.incomplete\"}\n\n",
    ] {
        assert_eq!(used_of(&[start, end].concat(), false), (90, 20), "{end}");
    }
    for other in [
        "data: [DONE",
        "data: \"[DONE]\"\n\n",
        "data: {\"text\":\"[DONE]\"}\n\n",
        "data: {\"text\":\"\\\"type\\\":\\\"message_stop\\\"\"}\n\n",
        "data: {\"delta\":{\"type\":\"message_stop\"}}\n\n",
        "event: error\ndata: {}\n\ndata: [DONE]\n\n",
    ] {
        assert_eq!(used_of(&[start, other].concat(), false), AS_RESERVED, "{other}");
    }
}
