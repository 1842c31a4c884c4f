//! Faults that were found in what holds a permit, and that must not come back.

use crate::common::poll_with;
use crate::scene::{AS_RESERVED, has_panicked, next, panics, scene};
use futures_util::{Stream, stream};
use ringgate::{Feedback, PoolStream, Usage};
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
