//! Streams.

use crate::common::counting::allocations;
use crate::scene::{
    AS_RESERVED, Answer, Breaks, Broken, Ends, Item, Panics, SLOTS, Says, Step, Waits,
    has_panicked, next, panics, says, scene,
};
use futures_util::stream::FusedStream;
use futures_util::{Stream, StreamExt, stream};
use ringgate::{HeldStream, Semaphore, Usage};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

fn used(item: &Item) -> Option<Usage> {
    item.ok()
}

/// What a call counts as that follows the script and is read as far as it goes.
fn after(script: &[Step]) -> (u64, u64) {
    let scene = scene();
    let (answer, _) = scene.answer(script);
    let mut held = scene.permit().hold(answer).settle_with(used);
    let _ = has_panicked(|| while let Poll::Ready(Some(_)) = next(&mut held) {});
    drop(held);
    assert_eq!(scene.limiter.available_permits(), SLOTS);
    scene.used()
}

/// Broken by: an end that drops the call before the answer; one that leaves the answer where it is.
#[test]
fn at_its_end_the_stream_is_dropped_and_then_the_slot_is_free() {
    let scene = scene();
    let (answer, seen) = scene.answer(&[Says(1, 1), Waits, Ends, Says(2, 2)]);
    let mut held = scene.permit().hold(answer);
    assert_eq!(next(&mut held), says(1, 1));
    assert_eq!(next(&mut held), Poll::Pending);
    assert!(!held.is_terminated());
    assert_eq!((scene.limiter.available_permits(), seen.free_at_drop()), (SLOTS - 1, None));
    assert_eq!(next(&mut held), Poll::Ready(None));
    assert_eq!((scene.limiter.available_permits(), seen.free_at_drop()), (SLOTS, Some(SLOTS - 1)));
    // It stays ended.
    assert!(held.is_terminated());
    assert_eq!((next(&mut held), next(&mut held)), (Poll::Ready(None), Poll::Ready(None)));
    assert_eq!((seen.polls(), held.size_hint()), (3, (0, Some(0))));
    assert_eq!(format!("{held:?}"), "HeldStream { ended: true, .. }");
}

/// Broken by: `call` before `inner` in `Holding`.
#[test]
fn dropped_at_any_point_the_stream_goes_before_its_slot_is_free() {
    let script = [Says(1, 1), Waits, Breaks, Says(300, 2), Ends];
    for polls in 0..=script.len() {
        let scene = scene();
        let (answer, seen) = scene.answer(&script);
        let mut held = scene.permit().hold(answer).settle_with(used);
        for _ in 0..polls {
            let _ = next(&mut held);
        }
        drop(held);
        assert_eq!(seen.free_at_drop(), Some(SLOTS - 1), "after {polls} polls");
        // More input was said than expected, but not all of the output.
        let counts = [AS_RESERVED, (300, 50), (300, 2)][polls.saturating_sub(3)];
        scene.assert_over(counts);
    }
}

/// Broken by: a step without its guard; a guard that goes on.
#[test]
fn a_stream_that_panics_gives_its_slot_back_at_once_and_has_ended() {
    let scene = scene();
    let (answer, seen) = scene.answer(&[Says(1, 1), Panics, Says(2, 2)]);
    let mut held = scene.permit().hold(answer);
    assert_eq!(next(&mut held), says(1, 1));
    assert!(has_panicked(|| next(&mut held)));
    assert_eq!(seen.free_at_drop(), Some(SLOTS - 1));
    scene.assert_over(AS_RESERVED);
    assert_eq!((next(&mut held), seen.polls()), (Poll::Ready(None), 2));
}

/// Broken by: functions of the user's that run outside of the step.
#[test]
fn a_function_that_panics_ends_the_stream_too() {
    for which in 0..2 {
        let scene = scene();
        let (answer, seen) = scene.answer(&[Says(1, 1), Says(2, 2)]);
        let held = scene.permit().hold(answer);
        let mut held = match which {
            0 => held.settle_with(|_| panics()),
            _ => held.observe_with(|_| panics()),
        };
        assert!(has_panicked(|| next(&mut held)));
        assert_eq!(seen.free_at_drop(), Some(SLOTS - 1));
        scene.assert_over(AS_RESERVED);
        assert_eq!((next(&mut held), seen.polls()), (Poll::Ready(None), 1));
    }
}

/// Broken by: a `close` that drops the answer before it takes the call out.
#[test]
fn a_stream_whose_drop_panics_gives_its_slot_back_all_the_same() {
    for script in [&[Ends][..], &[Breaks][..]] {
        let scene = scene();
        let (mut answer, _) = scene.answer(script);
        answer.drop_panics = true;
        let mut held = scene.permit().hold(answer).end_at_error();
        assert!(has_panicked(|| next(&mut held)));
        scene.assert_over(AS_RESERVED);
        assert_eq!(next(&mut held), Poll::Ready(None));
    }
    let scene = scene();
    let (mut answer, _) = scene.answer(&[]);
    answer.drop_panics = true;
    let held = scene.permit().hold(answer);
    assert!(has_panicked(|| drop(held)));
    scene.assert_over(AS_RESERVED);
}

/// Broken by: `next` that takes each error for the end; one that never does.
#[test]
fn an_error_ends_the_stream_if_that_was_asked_for() {
    let script = [Says(1, 1), Breaks, Says(300, 2), Ends];
    let scene = scene();
    let mut goes_on = scene.permit().hold(scene.answer(&script).0);
    assert_eq!(goes_on.size_hint(), (4, Some(4)));
    assert_eq!(pin!(&mut goes_on).count().now_or_panic(), 3);
    scene.assert_over(AS_RESERVED);

    let (answer, seen) = scene.answer(&script);
    let mut ends = scene.permit().hold(answer).settle_with(used).end_at_error();
    assert_eq!(ends.size_hint(), (0, Some(4)));
    assert_eq!(next(&mut ends), says(1, 1));
    assert_eq!(next(&mut ends), Poll::Ready(Some(Err(Broken::Reset))));
    assert_eq!(scene.limiter.available_permits(), SLOTS);
    // What it has used is not known.
    assert_eq!(scene.used(), (AS_RESERVED.0 * 2, AS_RESERVED.1 * 2));
    assert_eq!((next(&mut ends), seen.polls()), (Poll::Ready(None), 2));
}

trait NowOrPanic: Future + Sized {
    fn now_or_panic(self) -> Self::Output {
        crate::common::at_once(self)
    }
}

impl<F: Future> NowOrPanic for F {}

/// Broken by: `end` that does not settle; `or_more` that keeps the latest.
#[test]
fn a_stream_that_has_ended_counts_as_was_said() {
    assert_eq!(after(&[Says(90, 20), Ends]), (90, 20));
    assert_eq!(after(&[Says(0, 0), Ends]), (0, 0));
    assert_eq!(after(&[Says(90, 1), Waits]), AS_RESERVED);
    assert_eq!(after(&[Says(90, 1), Says(0, 30), Says(80, 10), Ends]), (90, 30));
    assert_eq!(after(&[Says(300, 200), Ends]), (300, 200));
    assert_eq!(after(&[Says(300, 20), Panics]), (300, 50));
    assert_eq!(after(&[Ends]), AS_RESERVED);
    // Errors say nothing here.
    assert_eq!(after(&[Breaks, Says(90, 20), Ends]), (90, 20));
}

/// Broken by: a `LimiterPermit` that does not settle.
#[test]
fn a_borrowed_permit_goes_with_a_stream_as_well() {
    let scene = scene();
    let (answer, seen) = scene.answer(&[Says(90, 20), Ends]);
    let permit = scene.limiter.call().tokens(Usage::new(100, 50)).try_acquire().unwrap();
    let mut held = permit.hold(answer).settle_with(used);
    assert_eq!(next(&mut held), says(90, 20));
    assert_eq!(next(&mut held), Poll::Ready(None));
    assert_eq!(seen.free_at_drop(), Some(SLOTS - 1));
    scene.assert_over((90, 20));
    let permit = scene.limiter.call().tokens(Usage::new(100, 50)).try_acquire().unwrap();
    let mut held = permit.hold(scene.answer(&[Says(10, 400)]).0).settle_with(used);
    assert_eq!(next(&mut held), says(10, 400));
    drop(held);
    scene.assert_over((190, 420));
}

#[test]
fn the_permits_of_a_semaphore_go_with_a_stream_together() {
    let semaphore = Arc::new(Semaphore::new(3));
    let permits = Arc::clone(&semaphore).try_acquire_many_owned(2).unwrap();
    let mut held = permits.hold(stream::iter([1]));
    assert_eq!((next(&mut held), semaphore.available_permits()), (Poll::Ready(Some(1)), 1));
    assert_eq!((next(&mut held), semaphore.available_permits()), (Poll::Ready(None), 3));
}

/// A stream that may not move is polled where it is. Broken by: `Unpin` demanded.
#[test]
fn streams_that_may_not_move_are_held() {
    let scene = scene();
    let twice = stream::unfold(2, |left: u32| async move {
        std::future::ready(()).await;
        left.checked_sub(1).map(|rest| (left, rest))
    });
    let mut held = pin!(scene.permit().hold(twice));
    assert_eq!(held.as_mut().collect::<Vec<_>>().now_or_panic(), [2, 1]);
    scene.assert_over(AS_RESERVED);
}

/// Broken by: a box for the stream; a closure without captures that allocates.
#[test]
fn holding_allocates_nothing() {
    let scene = scene();
    let read = || {
        let held = scene.permit().hold(stream::iter([1, 2, 3]));
        held.settle_with(|n| Some(Usage::new(*n, 0))).observe_with(|_| None).count().now_or_panic()
    };
    read(); // The first call makes the windows.
    assert_eq!(allocations(read), 0);
}

/// It goes to other threads, and into types that ask for `Sync`.
#[test]
fn it_is_what_the_stream_is() {
    fn is<T: Send + Sync + Unpin>(_: &T) {}
    let scene = scene();
    let held: HeldStream<Answer> = scene.permit().hold(scene.answer(&[]).0);
    let not_sync = std::cell::Cell::new(0_u32);
    is(&held.settle_with(move |_| {
        not_sync.set(1);
        None
    }));
}
