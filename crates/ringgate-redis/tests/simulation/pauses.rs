//! What went wrong with pauses that all processes share.

use crate::process::Plan;
use crate::scene::{PLAN, SECOND, Scene};
use ringgate::time::{Clock, Timestamp};
use ringgate::{Limiter, LimiterBuilder, Rate, StopReason};
use ringgate_redis::WhileAway;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap()
}

/// Each has a call in flight, so that it makes its trips.
fn scene(processes: u64) -> Scene {
    let limits: LimiterBuilder = Limiter::builder().rate(Rate::per_second(1_000)).max_concurrent(9);
    let mut scene = Scene::new(processes, &limits, Vec::new(), None, |builder| {
        builder.while_away(WhileAway::Wait).assume_unused()
    });
    for n in 0..scene.processes.len() {
        scene.call(n, Plan { takes: seconds(600), ..PLAN });
    }
    scene.pass(SECOND);
    scene
}

/// When the pause of a process ends, by its own clock.
fn ends(scene: &Scene, n: usize) -> Option<Timestamp> {
    let left = scene.limiter(n).paused_for()?;
    Some(scene.processes[n].clock.now().saturating_add(left))
}

/// It read the clock, stood still, and read what is left of the pause: that pause was shorter.
#[test]
fn a_process_that_stood_still_ended_the_pause_of_all() {
    let mut scene = scene(2);
    scene.limiter(0).pause(seconds(60));
    scene.pass(SECOND);
    let until = ends(&scene, 1);
    assert!(until.is_some());
    let stalls = |scene: &Scene, nanos| {
        scene.processes[0].stalls.store(nanos, Ordering::Relaxed);
    };
    stalls(&scene, 5_000_000);
    scene.step(1_000);
    for _ in 0..10 {
        scene.pass(SECOND / 10);
        // It looks.
        scene.limiter(0).pause(Duration::from_nanos(1));
    }
    stalls(&scene, 0);
    scene.pass(SECOND);
    assert_eq!(ends(&scene, 1), until);
}

#[test]
fn a_store_that_lost_its_state_ended_the_pause_everywhere() {
    let mut scene = scene(3);
    scene.processes[2].cut_until.set(u64::MAX);
    scene.limiter(0).pause(seconds(60));
    scene.pass(SECOND);
    let until = [ends(&scene, 0), ends(&scene, 1)];
    assert!(until.iter().all(Option::is_some));
    scene.network.borrow_mut().restart();
    scene.pass(20 * SECOND);
    // What was told anew is later by the time that it was on its way.
    for (n, until) in until.into_iter().enumerate() {
        let latest = until.map(|until| until.saturating_add(Duration::from_millis(9)));
        assert!((until..=latest).contains(&ends(&scene, n)), "{n}");
    }
    // The store was told of it again.
    assert_eq!(ends(&scene, 2), None);
    scene.processes[2].cut_until.set(0);
    scene.pass(10 * SECOND);
    assert!(ends(&scene, 2).is_some());
    scene.limiter(1).resume();
    scene.pass(SECOND);
    assert_eq!([0, 1, 2].map(|n| ends(&scene, n)), [None; 3]);
}

/// Each answer told an end that was later by the time that it was on its way, and the longest was the news of the next trip.
#[test]
fn pauses_grew_by_the_time_that_trips_take() {
    let mut scene = scene(4);
    scene.network.borrow_mut().delay = 80_000;
    scene.limiter(0).pause(seconds(120));
    let over = scene.time.get() + 120 * SECOND;
    scene.pass(115 * SECOND);
    for n in 0..4 {
        let ends = scene.time.get() + micros(scene.limiter(n).paused_for().unwrap());
        // By the first trip alone, there and back.
        assert!((over..over + 163_000).contains(&ends), "{n}: {}", ends - over);
    }
    scene.pass(6 * SECOND);
    assert_eq!([0, 1, 2, 3].map(|n| ends(&scene, n)), [None; 4]);
}

/// It was told of a pause that is shorter than its own, and took its own for news.
#[test]
fn a_longer_pause_that_another_had_ended_came_back() {
    let mut scene = scene(2);
    scene.limiter(0).pause(seconds(60));
    scene.pass(SECOND);
    scene.processes[0].cut_until.set(u64::MAX);
    scene.limiter(1).resume();
    scene.pass(SECOND);
    scene.limiter(1).pause(seconds(20));
    scene.processes[0].cut_until.set(0);
    scene.pass(10 * SECOND);
    assert!(scene.limiter(1).paused_for() < Some(seconds(11)));
    scene.pass(20 * SECOND);
    assert_eq!((ends(&scene, 0), ends(&scene, 1)), (None, None));
}

/// It was taken for a step of the slow start, so there seemed to be none.
#[test]
fn an_endless_stop_was_ended_by_a_process_in_a_slow_start() {
    let mut scene = scene(2);
    scene.limiter(0).resume_over(seconds(60));
    scene.limiter(1).stop(StopReason::Other, None);
    scene.pass(10 * SECOND);
    assert!(scene.limiter(0).paused_for() > Some(seconds(1 << 30)));
    assert!(scene.limiter(1).paused_for() > Some(seconds(1 << 30)));
    scene.limiter(0).resume();
    scene.pass(SECOND);
    assert_eq!((ends(&scene, 0), ends(&scene, 1)), (None, None));
}
