//! What went wrong once, each by the name of that.

use crate::process::Plan;
use crate::scene::{PLAN, SECOND, Scene};
use ringgate::{Limiter, LimiterBuilder, Rate, StopReason, Usage};
use ringgate_redis::script::StoreError;
use ringgate_redis::{SharedLimiterBuilder, StoreState, WhileAway};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn waits(builder: SharedLimiterBuilder) -> SharedLimiterBuilder {
    builder.while_away(WhileAway::Wait).assume_unused()
}

fn scene(processes: u64, limits: &LimiterBuilder) -> Scene {
    Scene::new(processes, limits, Vec::new(), None, waits)
}

fn slots(slots: usize) -> LimiterBuilder {
    Limiter::builder().rate(Rate::per_second(1_000)).max_concurrent(slots)
}

fn long(takes: u64) -> Plan {
    Plan { takes: seconds(takes), ..PLAN }
}

fn tokens(tokens: u64) -> Plan {
    Plan { tokens: Usage::new(tokens, 0), used: Usage::new(tokens, 0), ..PLAN }
}

#[test]
fn an_endless_stop_made_trips_for_ever_and_could_not_be_ended() {
    let mut scene = scene(2, &slots(4));
    (0..2).for_each(|n| scene.call(n, long(600)));
    scene.pass(SECOND);
    scene.limiter(0).stop(StopReason::Other, None);
    scene.pass(SECOND);
    assert!(scene.limiter(1).paused_for() > Some(seconds(1 << 30)));
    let before = scene.trips();
    scene.pass(30 * SECOND);
    assert!(scene.trips() < before + 30, "{}", scene.trips() - before);
    scene.limiter(1).resume();
    scene.pass(SECOND);
    assert_eq!((scene.limiter(0).paused_for(), scene.limiter(1).paused_for()), (None, None));
}

#[test]
fn a_slow_start_of_one_process_paused_the_others_step_by_step() {
    let mut scene = scene(2, &slots(4));
    (0..2).for_each(|n| scene.call(n, long(600)));
    scene.pass(SECOND);
    scene.limiter(0).pause_then_ramp(seconds(1), seconds(60));
    for _ in 0..3 {
        scene.call(0, long(600));
    }
    scene.pass(SECOND / 2);
    assert!(scene.limiter(1).paused_for().is_some());
    scene.pass(SECOND);
    for _ in 0..20 {
        assert_eq!(scene.limiter(1).paused_for(), None);
        scene.pass(SECOND / 2);
    }
}

#[test]
fn a_closed_limiter_made_trips_for_as_long_as_calls_held_output_tokens() {
    let mut scene = scene(1, &Limiter::builder().output_tokens(100, seconds(60)));
    let used = Usage::new(0, 10);
    scene.call(0, Plan { tokens: used, used, ..long(20) });
    scene.pass(SECOND);
    scene.limiter(0).close();
    let before = scene.trips();
    scene.pass(10 * SECOND);
    assert!((1..9).contains(&(scene.trips() - before)), "{}", scene.trips() - before);
    scene.pass(10 * SECOND);
    assert!(scene.limiter(0).status().has_left);
}

#[test]
fn a_store_that_refuses_while_a_share_could_begin_was_looked_at_without_end() {
    let share = WhileAway::Share { after: Duration::ZERO, lasts: seconds(60) };
    let build = |builder: SharedLimiterBuilder| builder.while_away(share).assume_unused();
    let mut scene = Scene::new(1, &slots(4), Vec::new(), None, build);
    scene.call(0, long(600));
    scene.pass(SECOND);
    scene.network.borrow_mut().fails = Some(|| StoreError::Foreign);
    scene.pass(22 * SECOND);
    assert!(matches!(scene.limiter(0).status().store, StoreState::Failed(_)));
    let sleeps = |scene: &Scene| scene.processes[0].sleeps.load(Ordering::Relaxed);
    let before = sleeps(&scene);
    scene.pass(5 * SECOND);
    assert!(sleeps(&scene) < before + 50, "{}", sleeps(&scene) - before);
}

#[test]
fn what_a_long_call_gave_back_was_lost_if_nobody_counts_calls() {
    let mut scene = scene(2, &Limiter::builder().tokens(10, seconds(60)));
    scene.call(0, Plan { used: Usage::new(1, 0), takes: seconds(15), ..tokens(10) });
    scene.pass(14 * SECOND);
    scene.call(1, tokens(9));
    scene.pass(SECOND / 2);
    assert_eq!(scene.open(1), 1);
    scene.pass(5 * SECOND);
    assert_eq!(scene.open(1), 0);
}

#[test]
fn room_was_kept_for_a_line_that_had_gone() {
    let mut scene = scene(2, &Limiter::builder().tokens(100, seconds(60)));
    scene.call(0, tokens(90));
    scene.pass(SECOND);
    let patience = Some(Duration::from_millis(300));
    scene.call(0, Plan { patience, ..tokens(50) });
    scene.pass(SECOND / 10);
    scene.call(1, tokens(5));
    scene.pass(SECOND / 10);
    assert_eq!(scene.open(1), 1);
    scene.pass(SECOND / 2);
    assert_eq!((scene.open(0), scene.open(1)), (0, 0));
}

#[test]
fn trips_that_take_longer_than_a_lease_were_made_one_after_another() {
    let mut scene = scene(1, &slots(4));
    scene.network.borrow_mut().delay = 400_000;
    scene.call(0, PLAN);
    let mut late = false;
    for _ in 0..300 {
        scene.pass(SECOND / 10);
        late |= matches!(scene.limiter(0).status().store, StoreState::Late);
    }
    assert!(late);
    assert!(scene.trips() < 40, "{}", scene.trips());
    scene.network.borrow_mut().delay = 400;
    scene.call(0, PLAN);
    scene.pass(5 * SECOND);
    assert_eq!(scene.open(0), 0);
    assert!(scene.limiter(0).status().is_connected());
}

#[test]
fn calls_that_do_not_wait_never_had_a_slot() {
    let mut scene = scene(2, &slots(3));
    scene.call(1, long(600));
    scene.pass(SECOND);
    // More often than a lease ends.
    for _ in 0..20 {
        scene.call(0, Plan { is_try: true, ..long(600) });
        scene.pass(8_000);
    }
    assert_eq!(scene.open(0), 2);
}

/// They were refused until the next answer, which did not come.
#[test]
fn calls_were_refused_after_the_cause_of_it_had_gone() {
    let share = WhileAway::Share { after: Duration::ZERO, lasts: seconds(600) };
    for while_away in [WhileAway::Wait, share] {
        let build = |builder: SharedLimiterBuilder| builder.while_away(while_away).assume_unused();
        let mut scene = Scene::new(1, &slots(4), Vec::new(), None, build);
        scene.call(0, long(600));
        scene.pass(SECOND);
        scene.network.borrow_mut().fails = Some(|| StoreError::Foreign);
        scene.pass(10 * SECOND);
        assert!(matches!(scene.limiter(0).status().store, StoreState::Failed(_)));
        scene.network.borrow_mut().down_until = u64::MAX;
        scene.pass(60 * SECOND);
        assert!(matches!(scene.limiter(0).status().store, StoreState::Away(_)));
        scene.call(0, PLAN);
        scene.pass(SECOND);
        let waits = u64::from(while_away == WhileAway::Wait);
        assert_eq!((scene.open(0), scene.counts[0].refused.get()), (1 + waits, 0));
    }
}
