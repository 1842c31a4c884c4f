//! Calls in line that wait for something that no store has: a permit of a semaphore of their process, or their turn in a slow start.

use crate::process::Plan;
use crate::scene::{PLAN, SECOND, Scene};
use ringgate::{Limiter, LimiterBuilder, Rate, Semaphore};
use ringgate_redis::{SharedLimiterBuilder, WhileAway};
use std::sync::Arc;
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn long(takes: u64) -> Plan {
    Plan { takes: seconds(takes), ..PLAN }
}

/// Thirty in 10 s, and leases of 200 ms.
fn limits() -> LimiterBuilder {
    Limiter::builder().rate(Rate::new(30, seconds(10)))
}

fn scene(each: Vec<LimiterBuilder>) -> Scene {
    let build = |builder: SharedLimiterBuilder| builder.while_away(WhileAway::Wait).assume_unused();
    Scene::of(each, Vec::new(), None, build)
}

/// It asked for all that were in line, of which none could go, again and again, and before all others.
#[test]
fn a_full_semaphore_of_one_process_kept_the_limit_from_the_others() {
    let shared = Arc::new(Semaphore::new(2));
    let mut scene = scene(vec![limits().semaphore(Arc::clone(&shared)), limits()]);
    scene.call(0, long(600));
    scene.call(0, long(12));
    scene.pass(SECOND);
    (0..45).for_each(|_| scene.call(0, long(600)));
    scene.pass(SECOND);
    (0..20).for_each(|_| scene.call(1, PLAN));
    scene.pass(2 * SECOND);
    assert_eq!((scene.open(0), scene.open(1)), (47, 0));
    let before = scene.trips();
    scene.pass(8 * SECOND);
    // One for each lease, and heartbeats.
    assert!(scene.trips() - before < 60, "{}", scene.trips() - before);
    // The next one goes as soon as there is a permit.
    scene.pass(SECOND + SECOND / 10);
    assert_eq!((scene.open(0), shared.available_permits()), (46, 0));
    assert_eq!(scene.admitted(), 20 + 3);
}

/// It would have lined up at the semaphore only by its leases, and had none.
#[test]
fn a_call_never_lined_up_at_a_semaphore_that_others_kept_full() {
    let shared = Arc::new(Semaphore::new(2));
    let each = vec![limits().semaphore(Arc::clone(&shared)), limits().semaphore(shared)];
    let mut scene = scene(each);
    let takes = seconds(1);
    (0..20).for_each(|_| scene.call(0, Plan { takes, ..PLAN }));
    scene.pass(SECOND / 2);
    scene.call(1, PLAN);
    for _ in 0..150 {
        scene.pass(SECOND / 10);
        while scene.open(0) < 20 {
            scene.call(0, Plan { takes, ..PLAN });
        }
    }
    assert_eq!(scene.open(1), 0);
}

#[test]
fn a_slow_start_of_one_process_kept_the_limit_from_the_others() {
    let mut scene = scene(vec![limits(), limits()]);
    scene.limiter(0).resume_over(seconds(100));
    (0..40).for_each(|_| scene.call(0, PLAN));
    scene.pass(SECOND);
    (0..20).for_each(|_| scene.call(1, PLAN));
    let before = scene.trips();
    scene.pass(2 * SECOND);
    assert_eq!(scene.open(1), 0);
    // The first has gone, and the next one's turn is 8.2 s after that.
    scene.pass(4 * SECOND);
    assert!(scene.trips() - before < 20, "{}", scene.trips() - before);
    assert_eq!(scene.open(0), 39);
    scene.pass(2 * SECOND);
    assert_eq!(scene.open(0), 38);
}

/// It granted itself what they needed, and nobody used it.
#[test]
fn a_share_was_used_up_by_calls_that_could_not_go() {
    let shared = Arc::new(Semaphore::new(1));
    let share = WhileAway::Share { after: Duration::ZERO, lasts: seconds(600) };
    let build = |builder: SharedLimiterBuilder| builder.while_away(share).assume_unused();
    let each = vec![limits().semaphore(Arc::clone(&shared))];
    let mut scene = Scene::of(each, Vec::new(), None, build);
    scene.call(0, PLAN);
    scene.pass(SECOND / 10);
    let held = shared.try_acquire_many(1).unwrap();
    (0..9).for_each(|_| scene.call(0, PLAN));
    scene.pass(SECOND);
    scene.network.borrow_mut().down_until = u64::MAX;
    scene.pass(50 * SECOND);
    assert!(scene.limiter(0).status().is_share);
    drop(held);
    scene.pass(SECOND);
    assert_eq!(scene.open(0), 0);
}
