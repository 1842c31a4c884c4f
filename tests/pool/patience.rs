//! How long a pool waits, in line and for an event.

use crate::scripted::{
    Ends, Error, Event, Fails, MINUTE, SECOND, Scene, Stalls, Task, request, scene,
};
use futures_util::{FutureExt, Stream, StreamExt};
use ringgate::{Feedback, Limit, PoolStream};
use std::task::Poll;

fn one_slot() -> Scene {
    scene(|limits| limits.max_concurrent(1).tokens(1_000, MINUTE))
}

fn over() -> Event {
    Event::Says(Feedback::overload())
}

fn stream_of(mut call: Task<'_>) -> PoolStream<Event> {
    call.answer().unwrap()
}

fn next(stream: &mut PoolStream<Event>) -> Poll<Option<Event>> {
    stream.next().now_or_never().map_or(Poll::Pending, Poll::Ready)
}

/// Broken by: a pool that does not tell its streams; a stream that is not asked for its time; one that goes on.
#[test]
fn a_stream_that_stalled_held_its_slot_for_ever() {
    let mut scene = one_slot();
    scene.pool = scene.pool.with_idle_timeout(10 * SECOND, |stalled| {
        assert_eq!(stalled.timeout(), 10 * SECOND);
        over()
    });
    let mut stream = stream_of(scene.calls(request(1, &[Stalls(vec![Event::Text])])));
    assert_eq!(stream.size_hint(), (0, Some(2)));
    assert_eq!(next(&mut stream), Poll::Ready(Some(Event::Text)));
    assert_eq!(next(&mut stream), Poll::Pending);
    scene.clock.advance(9 * SECOND);
    assert_eq!((next(&mut stream), scene.books()), (Poll::Pending, (0, 0, 900)));
    scene.clock.advance(SECOND);
    assert_eq!(next(&mut stream), Poll::Pending, "it is asked once more");
    assert_eq!((next(&mut stream), scene.books()), (Poll::Ready(Some(over())), (1, 0, 900)));
    assert_eq!((next(&mut stream), stream.size_hint()), (Poll::Ready(None), (0, Some(0))));
    let observed = scene.pool.limiter().stats().observed;
    assert_eq!(observed.overloads, 0, "the pool's own event is observed");
}

/// Broken by: a time that begins with the pool or with the stream, not where that has first nothing.
#[test]
fn each_stream_of_a_pool_has_its_own_time() {
    let mut scene = one_slot();
    scene.pool = scene.pool.with_idle_timeout(10 * SECOND, |_| over());
    for id in 1..=3 {
        let mut stream = stream_of(scene.calls(request(id, &[Stalls(vec![Event::Text])])));
        scene.clock.advance(9 * SECOND);
        assert_eq!(next(&mut stream), Poll::Ready(Some(Event::Text)));
        assert_eq!(next(&mut stream), Poll::Pending);
        scene.clock.advance(9 * SECOND);
        assert_eq!(next(&mut stream), Poll::Pending);
        assert_eq!(next(&mut stream), Poll::Pending);
    }
}

/// Broken by: a pool that waits for as long as it takes; a call that is sent after its refusal.
#[test]
fn a_call_waits_in_line_no_longer_than_the_pool_may() {
    let mut scene = one_slot();
    scene.pool = scene.pool.with_acquire_timeout(5 * SECOND);
    let first = stream_of(scene.calls(request(1, &[Stalls(vec![])])));
    let mut second = scene.calls(request(2, &[Ends(vec![])]));
    scene.clock.advance(4 * SECOND);
    second.run();
    assert!(second.waits());
    scene.clock.advance(SECOND);
    second.run();
    let Error::Refused(refused) = second.error() else { panic!("another error") };
    assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Concurrency, false));
    assert_eq!((scene.books(), scene.arrived()), ((0, 0, 900), vec![1]));
    drop(first);
    assert!(scene.calls(request(3, &[Ends(vec![])])).answer().is_ok());
}

/// Broken by: a time that bounds the wait after a 429, too.
#[test]
fn a_call_that_is_sent_again_waits_longer_than_newcomers_may() {
    let mut scene = one_slot().with_retries(1);
    scene.pool = scene.pool.with_acquire_timeout(5 * SECOND);
    let refusal = Error::Says(Feedback::cool_down(30 * SECOND));
    let mut call = scene.calls(request(1, &[Fails(refusal), Ends(vec![])]));
    scene.clock.advance(29 * SECOND);
    call.run();
    assert!(call.waits());
    scene.clock.advance(SECOND);
    call.run();
    assert!(call.answer().is_ok());
}
