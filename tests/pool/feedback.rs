//! What a pool's limiter learns from errors and events.

use crate::common::{Calls, at_once, poll_once, poll_with};
use crate::scripted::{
    Ends, Error, Event, Fails, FailsLater, MINUTE, SECOND, Scene, request, scene,
};
use futures_util::{StreamExt, stream};
use ringgate::{
    Feedback, Limiter, PoolStream, Provider, ProviderPool, Quota, QuotaKind, QuotaWindow, Rate,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

fn cools(seconds: u32) -> Feedback {
    Feedback::cool_down(seconds * SECOND)
}

fn roomy() -> Scene {
    scene(|limits| limits.max_concurrent(3).rate(Rate::per_minute(100)).tokens(1_000, MINUTE))
}

fn paused_for(limiter: &Limiter) -> u64 {
    limiter.paused_for().unwrap_or_default().as_secs()
}

/// A slot that is freed first would go to the next call, at the provider that has just refused one. Broken by: a permit that is
/// dropped before its limiter observes the error.
#[test]
fn the_pause_begins_before_the_slot_of_the_failed_call_is_free() {
    let scene = scene(|limits| limits.max_concurrent(1));
    let mut call = scene.calls(request(1, &[FailsLater(Error::Says(cools(5)))]));
    let (limiter, early) = (scene.pool.limiter().clone(), Arc::new(AtomicBool::new(false)));
    let is_early = Arc::clone(&early);
    let waker = Calls::waker(move || {
        is_early.fetch_or(limiter.paused_for().is_none(), SeqCst);
    });
    let mut next = Box::pin(scene.pool.stream(request(2, &[Ends(vec![])])));
    assert!(poll_with(next.as_mut(), &waker).is_pending());
    scene.let_go();
    call.poll();
    assert_eq!(call.error(), Error::Says(cools(5)));
    assert!(!early.load(SeqCst), "it was told before the pause");
    assert!(poll_with(next.as_mut(), &waker).is_pending());
    assert_eq!((scene.arrived(), scene.books().0), (vec![1], 1));
    scene.clock.advance(5 * SECOND);
    assert!(poll_once(next.as_mut()).is_ready());
}

/// Broken by: an error that says nothing as a pause; one that ends a pause.
#[test]
fn an_error_that_says_nothing_changes_nothing() {
    for error in [Error::Plain, Error::Says(Feedback::new())] {
        let scene = roomy();
        assert_eq!(scene.calls(request(1, &[Fails(error.clone())])).error(), error);
        assert_eq!(paused_for(scene.pool.limiter()), 0);
        let mut call = scene.calls(request(2, &[FailsLater(error.clone())]));
        scene.pool.limiter().pause(SECOND);
        scene.let_go();
        call.poll();
        assert_eq!((call.error(), paused_for(scene.pool.limiter())), (error, 1));
    }
}

/// Broken by: `note` without the feedback; one that is passed on at the end of the stream.
#[test]
fn an_error_in_a_stream_pauses_everybody_at_once() {
    let scene = roomy();
    let events = vec![Event::Text, Event::Says(cools(5)), Event::Text];
    let mut answer = scene.calls(request(1, &[Ends(events)])).answer().unwrap();
    assert_eq!(at_once(answer.next()), Some(Event::Text));
    assert_eq!(paused_for(scene.pool.limiter()), 0);
    assert_eq!(at_once(answer.next()), Some(Event::Says(cools(5))));
    assert_eq!((paused_for(scene.pool.limiter()), scene.books().0), (5, 2));
    assert_eq!(at_once(answer.count()), 1);
    assert_eq!((paused_for(scene.pool.limiter()), scene.books()), (5, (3, 0, 900)));
}

/// Broken by: `Call::observe` that passes on each.
#[test]
fn the_first_error_of_a_stream_counts_and_those_after_it_do_not() {
    let quota = Quota::new(QuotaKind::Requests, QuotaWindow::Minute).with_remaining(90);
    let goes_on = Event::Says(Feedback::new().with_quota(quota));
    let scene = roomy();
    let events = vec![goes_on.clone(), Event::Says(cools(5)), goes_on, Event::Says(cools(9))];
    let mut answer = scene.calls(request(1, &[Ends(events)])).answer().unwrap();
    let limiter = scene.pool.limiter();
    assert!(at_once(answer.next()).is_some());
    assert_eq!(paused_for(limiter), 0);
    assert!(at_once(answer.next()).is_some());
    assert_eq!(paused_for(limiter), 5);
    limiter.resume();
    assert_eq!(at_once(answer.count()), 2);
    assert_eq!(paused_for(limiter), 0);
}

/// Broken by: `looks_for_errors` that is always true does not show here; `with_feedback` that forgets the usage, or its function.
#[test]
fn a_stream_of_ones_own_may_tell_feedback_and_usage() {
    let limiter = Limiter::builder().max_concurrent(1).tokens(1_000, MINUTE).build();
    let permit = limiter.call().input_tokens(500).try_acquire_owned().unwrap();
    let usage = |event: &u64| Some(ringgate::Usage::new(*event, 0));
    let feedback = |event: &u64| (*event > 90).then(|| cools(50));
    let events = Box::pin(stream::iter([90, 600]));
    let mut answer = PoolStream::with_usage(events, permit, usage).with_feedback(feedback);
    assert_eq!(at_once(answer.next()), Some(90));
    assert_eq!(limiter.paused_for(), None);
    assert_eq!(at_once(answer.next()), Some(600));
    assert!(limiter.paused_for() > Some(Duration::from_secs(40)));
    assert_eq!((at_once(answer.next()), limiter.remaining_tokens()), (None, 400));
}

/// Broken by: a stream that keeps its call before it asks.
#[test]
fn an_event_feedback_that_panics_takes_nothing() {
    let scene = roomy();
    let events = vec![Event::Text, Event::Breaks, Event::Text];
    let mut answer = scene.calls(request(1, &[Ends(events)])).answer().unwrap();
    assert_eq!(at_once(answer.next()), Some(Event::Text));
    assert!(catch_unwind(AssertUnwindSafe(|| at_once(answer.next()))).is_err());
    assert_eq!(scene.books(), (3, 0, 900));
    assert_eq!(poll_once(Pin::new(&mut answer.next())), Poll::Ready(None), "it is over");
}

/// Broken by: the pool's own `Provider` without `feedback`, or without `event_feedback`.
#[test]
fn a_pool_in_a_pool_passes_on_what_is_said() {
    let scene = roomy();
    let (error, event) = (Error::Says(cools(5)), Event::Says(cools(7)));
    assert_eq!(Provider::feedback(&scene.pool, &error), Some(cools(5)));
    assert_eq!(Provider::event_feedback(&scene.pool, &event), Some(cools(7)));
    let inner = scene.pool.limiter().clone();
    let outer =
        ProviderPool::with_limiter(Arc::new(scene.pool), Limiter::builder().build(), "outer");
    let refused = at_once(outer.stream(request(1, &[Fails(error.clone())])));
    assert_eq!(refused.map(drop), Err(error));
    assert!(paused_for(&inner) == 5 && outer.limiter().paused_for().is_some());
}
