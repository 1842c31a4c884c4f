//! Wakers of the user's that panic: the driver calls them, and goes on.

use crate::process::Plan;
use crate::scene::{PLAN, SECOND, Scene};
use crate::tasks::is_polling;
use ringgate::{Limiter, LimiterBuilder, Rate, Usage};
use ringgate_redis::script::StoreError;
use ringgate_redis::{SharedLimiterBuilder, StoreState, WhileAway};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// How often it has panicked.
#[derive(Default)]
struct Brittle(AtomicU64);

impl Wake for Brittle {
    fn wake(self: Arc<Self>) {
        // Not if it is a timer.
        if is_polling() {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("a waker of the user's");
        }
    }
}

impl Brittle {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn tokens(tokens: u64) -> Plan {
    Plan { tokens: Usage::new(tokens, 0), used: Usage::new(tokens, 0), ..PLAN }
}

fn scene(limits: &LimiterBuilder) -> Scene {
    let build = |builder: SharedLimiterBuilder| builder.while_away(WhileAway::Wait).assume_unused();
    Scene::new(2, limits, Vec::new(), None, build)
}

/// A future of the first process that is woken by a panic.
fn polled<F: Future + 'static>(future: F) -> (Arc<Brittle>, Pin<Box<F>>) {
    let waker = Arc::<Brittle>::default();
    let mut future = Box::pin(future);
    let polled = future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&waker))));
    assert!(polled.is_pending());
    (waker, future)
}

/// The grant ended with it: calls waited for good, and what was granted was not given back.
#[test]
fn a_waker_that_panicked_at_a_grant_ended_the_driver() {
    let mut scene = scene(&Limiter::builder().tokens(100, seconds(600)));
    let call = scene.limiter(0).call().input_tokens(100).acquire_owned();
    let (waker, call) = polled(call);
    scene.pass(SECOND / 10);
    assert_eq!(waker.count(), 1);
    drop(call);
    scene.call(1, tokens(60));
    scene.call(0, tokens(40));
    scene.pass(60 * SECOND);
    assert_eq!((scene.open(0), scene.open(1)), (0, 0));
}

#[test]
fn a_waker_that_panicked_at_a_slot_ended_the_driver() {
    let limits = Limiter::builder().rate(Rate::per_second(1_000)).max_concurrent(1);
    let mut scene = scene(&limits);
    scene.call(1, Plan { takes: seconds(3), ..PLAN });
    scene.pass(SECOND);
    let (waker, call) = polled(scene.limiter(0).acquire_owned());
    scene.pass(4 * SECOND);
    assert!(waker.count() > 0);
    drop(call);
    scene.call(1, PLAN);
    scene.call(0, PLAN);
    scene.pass(10 * SECOND);
    assert_eq!((scene.open(0), scene.open(1)), (0, 0));
}

#[test]
fn a_waker_that_panicked_at_the_end_of_a_pause_ended_the_driver() {
    let mut scene = scene(&Limiter::builder().rate(Rate::per_second(1_000)).max_concurrent(9));
    (0..2).for_each(|n| scene.call(n, Plan { takes: seconds(600), ..PLAN }));
    scene.pass(SECOND);
    scene.limiter(1).pause(seconds(600));
    scene.pass(SECOND);
    let (waker, call) = polled(scene.limiter(0).acquire_owned());
    scene.limiter(1).resume();
    scene.pass(SECOND);
    assert!(waker.count() > 0);
    drop(call);
    scene.call(0, PLAN);
    scene.pass(SECOND);
    assert_eq!(scene.open(0), 1);
}

#[test]
fn a_waker_that_panicked_at_a_refusal_ended_the_driver() {
    let mut scene = scene(&Limiter::builder().rate(Rate::per_second(1_000)).max_concurrent(9));
    scene.network.borrow_mut().fails = Some(|| StoreError::Foreign);
    let (waker, call) = polled(scene.limiter(0).acquire_owned());
    scene.pass(SECOND);
    assert!(waker.count() > 0);
    assert!(matches!(scene.limiter(0).status().store, StoreState::Failed(_)));
    drop(call);
    scene.network.borrow_mut().fails = None;
    scene.pass(10 * SECOND);
    scene.call(0, PLAN);
    scene.pass(SECOND);
    assert_eq!(scene.open(0), 0);
}

#[test]
fn a_waker_that_panicked_at_a_grant_from_the_share_ended_the_driver() {
    let share = WhileAway::Share { after: Duration::ZERO, lasts: seconds(600) };
    let build = |builder: SharedLimiterBuilder| builder.while_away(share).assume_unused();
    let limits = Limiter::builder().rate(Rate::new(100, seconds(10)));
    let mut scene = Scene::new(1, &limits, Vec::new(), None, build);
    scene.call(0, PLAN);
    scene.pass(2 * SECOND);
    scene.network.borrow_mut().down_until = u64::MAX;
    let (waker, call) = polled(scene.limiter(0).acquire_owned());
    scene.pass(60 * SECOND);
    assert!(waker.count() > 0);
    drop(call);
    scene.call(0, PLAN);
    scene.pass(SECOND);
    assert_eq!(scene.open(0), 0);
}

#[test]
fn a_waker_that_panicked_at_a_new_status_ended_the_driver() {
    let mut scene = scene(&Limiter::builder().rate(Rate::per_second(1_000)));
    let mut limiter = scene.limiter(0).clone();
    let _ = limiter.status();
    scene.pass(SECOND);
    let (waker, _changed) = polled(async move { limiter.status_changed().await });
    scene.call(0, PLAN);
    scene.pass(SECOND);
    assert_eq!((waker.count(), scene.open(0)), (1, 0));
}
