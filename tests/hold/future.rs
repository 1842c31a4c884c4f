//! Futures.

use crate::common::poll_once;
use crate::scene::{
    AS_RESERVED, Breaks, Panics, SLOTS, Says, Step, Waits, has_panicked, panics, says, scene,
};
use futures_util::future::FusedFuture;
use ringgate::{Semaphore, Usage};
use std::future::ready;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// Broken by: a future that stays when it has completed; one that is polled again.
#[test]
fn when_it_completes_the_future_is_dropped_and_then_the_slot_is_free() {
    let scene = scene();
    let (answer, seen) = scene.answer(&[Waits, Says(90, 20), Says(1, 1)]);
    let mut held = scene.permit().hold_future(answer);
    assert_eq!(poll_once(Pin::new(&mut held)), Poll::Pending);
    assert_eq!(scene.limiter.available_permits(), SLOTS - 1);
    assert_eq!(poll_once(Pin::new(&mut held)), says(90, 20));
    assert_eq!((seen.free_at_drop(), held.is_terminated()), (Some(SLOTS - 1), true));
    scene.assert_over(AS_RESERVED);
    assert_eq!((poll_once(Pin::new(&mut held)), seen.polls()), (Poll::Pending, 2));
    assert_eq!(format!("{held:?}"), "HeldFuture { ended: true, .. }");
}

/// Broken by: a closure that is not asked; a drop or a panic that settles.
#[test]
fn a_future_is_settled_at_what_its_output_says() {
    let after = |script: &[Step]| {
        let scene = scene();
        let held = scene.permit().hold_future(scene.answer(script).0);
        let mut held = held.settle_with(|item| item.and_then(Result::ok));
        let _ = has_panicked(|| poll_once(Pin::new(&mut held)));
        drop(held);
        assert_eq!(scene.limiter.available_permits(), SLOTS);
        scene.used()
    };
    assert_eq!(after(&[Says(90, 20)]), (90, 20));
    assert_eq!(after(&[Breaks]), AS_RESERVED);
    assert_eq!(after(&[Waits]), AS_RESERVED);
    assert_eq!(after(&[Panics]), AS_RESERVED);
}

/// Broken by: a poll outside of the step.
#[test]
fn a_future_that_panics_gives_its_slot_back_at_once() {
    let scene = scene();
    let (answer, seen) = scene.answer(&[Panics]);
    let mut held = scene.permit().hold_future(answer);
    assert!(has_panicked(|| poll_once(Pin::new(&mut held))));
    assert_eq!(seen.free_at_drop(), Some(SLOTS - 1));
    scene.assert_over(AS_RESERVED);
    assert_eq!((poll_once(Pin::new(&mut held)), seen.polls()), (Poll::Pending, 1));

    let (answer, _) = scene.answer(&[Says(1, 1)]);
    let mut held = scene.permit().hold_future(answer).settle_with(|_| panics());
    assert!(has_panicked(|| poll_once(Pin::new(&mut held))));
    assert_eq!(scene.limiter.available_permits(), SLOTS);
}

#[test]
fn borrowed_permits_and_those_of_a_semaphore_go_with_a_future_as_well() {
    let scene = scene();
    let permit = scene.limiter.call().tokens(Usage::new(100, 50)).try_acquire().unwrap();
    let held = permit.hold_future(ready(7)).settle_with(|n| Some(Usage::new(*n, 0)));
    assert_eq!(poll_once(pin!(held)), Poll::Ready(7));
    scene.assert_over((7, 0));

    let semaphore = Arc::new(Semaphore::new(1));
    let permit = Arc::clone(&semaphore).try_acquire_owned().unwrap();
    let mut held = pin!(permit.hold_future(ready(7)));
    assert_eq!(semaphore.available_permits(), 0);
    assert_eq!(poll_once(held.as_mut()), Poll::Ready(7));
    assert_eq!(semaphore.available_permits(), 1);
}
