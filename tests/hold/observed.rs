//! What an answer says for all calls.

use crate::scene::{Breaks, Ends, Item, Panics, Says, Scene, Step, has_panicked, next, scene};
use ringgate::{Feedback, Usage};
use std::task::Poll;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// One token of output asks for a pause, two for a longer one.
fn feedback(item: &Item) -> Option<Feedback> {
    match item.as_ref().ok()? {
        Usage { output: 1, .. } => Some(Feedback::cool_down(Duration::from_secs(5))),
        Usage { output: 2, .. } => Some(Feedback::cool_down(LONG)),
        _ => None,
    }
}

fn read(scene: &Scene, script: &[Step]) {
    let mut held = scene.permit().hold(scene.answer(script).0).observe_with(feedback);
    let _ = has_panicked(|| while let Poll::Ready(Some(_)) = next(&mut held) {});
}

/// Broken by: an error that is told at the end only; the last of two told.
#[test]
fn the_first_error_is_observed_at_once() {
    let scene = scene();
    let script = [Says(1, 0), Says(1, 1), Says(1, 2)];
    let mut held = scene.permit().hold(scene.answer(&script).0).observe_with(feedback);
    let mut paused = || {
        let _ = next(&mut held);
        scene.limiter.paused_for()
    };
    assert_eq!(paused(), None);
    assert_eq!(paused(), Some(Duration::from_secs(5)));
    assert_eq!(paused(), Some(Duration::from_secs(5)));
}

/// One success raises a limiter at its lowest. Broken by: a drop, a panic or an error that counts as a success; an end that does
/// not; a stream of which nobody knows that counts.
#[test]
fn an_answer_that_has_ended_without_an_error_is_a_success() {
    let level = |work: fn(&Scene)| {
        let scene = scene();
        scene.limiter.observe(&Feedback::overload());
        assert_eq!(scene.limiter.concurrency_limit(), 1);
        work(&scene);
        scene.limiter.concurrency_limit()
    };
    assert_eq!(level(|scene| read(scene, &[Says(1, 0), Ends])), 2);
    assert_eq!(level(|scene| read(scene, &[Says(1, 0)])), 1);
    assert_eq!(level(|scene| read(scene, &[Says(1, 0), Panics])), 1);
    let ends_at_error = |scene: &Scene| {
        let held = scene.permit().hold(scene.answer(&[Breaks, Ends]).0);
        let mut held = held.observe_with(feedback).end_at_error();
        while let Poll::Ready(Some(_)) = next(&mut held) {}
    };
    assert_eq!(level(ends_at_error), 1);
    let unknown = |scene: &Scene| {
        let mut held = scene.permit().hold(scene.answer(&[Ends]).0);
        assert_eq!(next(&mut held), Poll::Ready(None));
    };
    assert_eq!(level(unknown), 1);
}
