//! A limiter whose limits are kept somewhere else: what its lessee is granted, what comes back, and what the lessee is told.

use crate::common::{Wakes, at_once, poll_once, poll_with};
use ringgate::time::{Clock, ManualClock, Timestamp};
use ringgate::{
    BuildLeasedError, Feedback, Lessee, Limit, Limiter, LimiterAcquireOwned, LimiterBuilder,
    NoSuchRateError, OverLimit, Priority, Rate, Semaphore, StopReason, Usage,
};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

pub(crate) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MINUTE: Duration = s(60);

pub(crate) struct Scene {
    pub(crate) limiter: Limiter,
    pub(crate) lessee: Lessee,
    pub(crate) clock: ManualClock,
}

/// By a clock that the test moves.
pub(crate) fn scene(limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> Scene {
    let clock = ManualClock::new();
    clock.advance(s(1_000));
    let builder = limits(Limiter::builder().margin(Duration::ZERO).clock(clock.clone()));
    let (limiter, lessee) = builder.build_leased().unwrap();
    Scene { limiter, lessee, clock }
}

pub(crate) fn rate(limit: u32) -> impl FnOnce(LimiterBuilder) -> LimiterBuilder {
    move |builder| builder.rate(Rate::new(limit, MINUTE))
}

pub(crate) fn tokens(limit: u64) -> impl FnOnce(LimiterBuilder) -> LimiterBuilder {
    move |builder| builder.tokens(limit, MINUTE)
}

fn output(limit: u64) -> impl FnOnce(LimiterBuilder) -> LimiterBuilder {
    move |builder| builder.output_tokens(limit, MINUTE)
}

pub(crate) type Call = Pin<Box<LimiterAcquireOwned>>;

impl Scene {
    pub(crate) fn after(&self, length: Duration) -> Timestamp {
        self.clock.now().saturating_add(length)
    }

    /// For ten seconds.
    pub(crate) fn grant(&mut self, n: usize, amount: u64) -> Option<u64> {
        let until = self.after(s(10));
        self.lessee.grant(n, amount, until)
    }

    pub(crate) fn tries(&self) -> bool {
        self.limiter.try_acquire().is_ok()
    }

    /// A call of so much input is admitted and goes on.
    pub(crate) fn takes(&self, input: u64) -> Option<ringgate::OwnedLimiterPermit> {
        self.limiter.call().input_tokens(input).try_acquire_owned().ok()
    }

    pub(crate) fn waits(&self, input: u64) -> Call {
        let mut call = Box::pin(self.limiter.call().input_tokens(input).acquire_owned());
        assert!(poll_once(call.as_mut()).is_pending());
        call
    }

    pub(crate) fn unused(&mut self, n: usize) -> Vec<(u64, u64)> {
        self.lessee.take_unused(n, usize::MAX)
    }

    /// Whether `changed` completes at once.
    pub(crate) fn has_changed(&mut self) -> bool {
        poll_once(Box::pin(self.lessee.changed()).as_mut()).is_ready()
    }
}

pub(crate) fn goes(call: &mut Call) -> bool {
    matches!(poll_once(call.as_mut()), Poll::Ready(Ok(_)))
}

// ---- leases ----------------------------------------------------------------------------------------

/// Broken by: `RawLeases::take` that does not compare with what is left; `grant` that adds nothing.
#[test]
fn a_grant_admits_exactly_so_much() {
    let mut scene = scene(rate(100));
    assert!(!scene.tries());
    assert_eq!(scene.grant(0, 3), Some(1));
    assert_eq!((scene.lessee.left(0), scene.limiter.remaining()), (3, 3));
    assert_eq!((0..5).filter(|_| scene.tries()).count(), 3);
    assert_eq!(scene.grant(0, 2), Some(2));
    assert_eq!((0..5).filter(|_| scene.tries()).count(), 2);
    assert_eq!(scene.lessee.left(0), 0);
}

/// Broken by: `Line::look` that does not look at `until`.
#[test]
fn a_lease_ends_at_its_time_although_nobody_polls_the_lessee() {
    let mut scene = scene(rate(100));
    scene.grant(0, 3);
    assert!(scene.tries());
    scene.clock.advance(Duration::from_nanos(9_999_999_999));
    assert!(scene.tries());
    scene.clock.advance(Duration::from_nanos(1));
    assert!(!scene.tries());
    assert_eq!(scene.lessee.left(0), 0);
    assert_eq!(scene.unused(0), [(1, 1)]);
    assert_eq!(scene.unused(0), []);
}

/// Broken by: a floor that is the cap of the oldest lease instead of the latest that has run out.
#[test]
fn each_lease_ends_at_its_own_time() {
    let mut scene = scene(tokens(1_000));
    for n in 1..=3 {
        let until = scene.after(s(n));
        assert_eq!(scene.lessee.grant(0, 10, until), Some(n));
    }
    assert!(scene.takes(4).is_some());
    assert_eq!(scene.lessee.left(0), 26);
    scene.clock.advance(s(1));
    assert_eq!(scene.lessee.left(0), 20);
    scene.clock.advance(s(1));
    assert_eq!(scene.lessee.left(0), 10);
    assert!(scene.takes(11).is_none());
    assert!(scene.takes(10).is_some());
    assert_eq!(scene.unused(0), [(1, 6), (2, 10)]);
}

/// Broken by: a look that skips the lease that has run out alone.
#[test]
fn an_earlier_end_holds_for_older_leases_too() {
    let mut scene = scene(rate(100));
    scene.grant(0, 3);
    let until = scene.after(s(2));
    scene.lessee.grant(0, 1, until);
    assert_eq!(scene.lessee.left(0), 4);
    scene.clock.advance(s(2));
    assert_eq!(scene.lessee.left(0), 0);
    assert_eq!(scene.unused(0), [(1, 3), (2, 1)]);
}

/// Broken by: `grant` without `pass_to`.
#[test]
fn an_eighth_lease_ends_the_oldest() {
    let mut scene = scene(rate(100));
    for n in 1..=7 {
        assert_eq!(scene.grant(0, 10), Some(n));
    }
    assert_eq!((scene.lessee.left(0), scene.unused(0)), (70, vec![]));
    assert!(scene.tries());
    assert_eq!(scene.grant(0, 10), Some(8));
    assert_eq!((scene.lessee.left(0), scene.unused(0)), (70, vec![(1, 9)]));
    assert_eq!((0..100).filter(|_| scene.tries()).count(), 70);
}

/// Broken by: `grant` that does not check its amount, or takes what is above the limit.
#[test]
fn what_cannot_be_granted_is_not() {
    let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)));
    assert_eq!(scene.grant(0, 0), None);
    assert_eq!(scene.grant(2, 5), None);
    assert_eq!(scene.grant(1, u64::MAX), Some(1));
    assert_eq!((scene.lessee.left(0), scene.lessee.left(1), scene.lessee.left(2)), (0, 1_000, 0));
    assert_eq!((scene.lessee.used(2), scene.lessee.held(2), scene.unused(2)), (0, 0, vec![]));
    // One that has ended comes back.
    let now = scene.clock.now();
    assert_eq!(scene.lessee.grant(0, 5, now), Some(1));
    assert!(!scene.tries());
    assert_eq!(scene.unused(0), [(1, 5)]);
}

/// Broken by: `reclaim` that takes no more than one lease, or gives nothing back.
#[test]
fn what_is_taken_back_is_of_the_oldest_and_comes_back() {
    let mut scene = scene(tokens(1_000));
    scene.grant(0, 10);
    scene.grant(0, 10);
    assert!(scene.takes(3).is_some());
    assert_eq!(scene.lessee.reclaim(0, 9), 9);
    assert_eq!((scene.lessee.left(0), scene.unused(0)), (8, vec![(1, 7), (2, 2)]));
    assert_eq!(scene.lessee.reclaim(0, 100), 8);
    assert_eq!((scene.lessee.left(0), scene.unused(0)), (0, vec![(2, 8)]));
    assert_eq!(scene.lessee.reclaim(0, 1), 0);
}

/// Broken by: `take_unused` that does not stop.
#[test]
fn no_more_pairs_are_told_than_asked_for() {
    let mut scene = scene(rate(100));
    for _ in 0..3 {
        let now = scene.clock.now();
        scene.lessee.grant(0, 5, now);
    }
    assert_eq!(scene.lessee.take_unused(0, 2), [(1, 5), (2, 5)]);
    assert_eq!(scene.lessee.take_unused(0, 2), [(3, 5)]);
    assert_eq!(scene.lessee.take_unused(0, 2), []);
}

/// Broken by: `Unused::add` that looks neither at the word's number nor at its age.
#[test]
fn what_comes_back_of_a_lease_too_old_is_dropped() {
    let mut scene = scene(tokens(1_000));
    scene.grant(0, 10);
    let early = scene.takes(10).unwrap();
    let now = scene.clock.now();
    for _ in 0..512 {
        scene.lessee.grant(0, 1, now);
    }
    let back = scene.unused(0);
    assert_eq!((back.len(), back[0]), (512, (2, 1)));
    early.cancel();
    assert_eq!(scene.unused(0), []);
}

// ---- settlements -----------------------------------------------------------------------------------

/// Broken by: `settle` that gives more to a lease than the call had of it.
#[test]
fn a_call_of_two_leases_gives_back_of_the_newer_first() {
    for (used, back) in [
        (15, vec![]),
        (13, vec![(2, 2)]),
        (10, vec![(2, 5)]),
        (7, vec![(1, 3), (2, 5)]),
        (0, vec![(1, 10), (2, 5)]),
    ] {
        let mut scene = scene(tokens(1_000));
        scene.grant(0, 10);
        scene.grant(0, 10);
        scene.takes(15).unwrap().settle(Usage::new(used, 0));
        assert_eq!(scene.unused(0), back, "{used}");
        assert_eq!((scene.lessee.left(0), scene.lessee.used(0)), (5, 0));
    }
}

/// Broken by: `mark_of` that counts all but the newest part to the lease before.
#[test]
fn a_call_of_three_leases_gives_nothing_back_to_the_third() {
    let mut scene = scene(tokens(1_000));
    for _ in 0..3 {
        scene.grant(0, 10);
    }
    assert!(scene.takes(4).is_some());
    scene.takes(23).unwrap().cancel();
    assert_eq!(scene.unused(0), [(2, 10), (3, 7)]);
}

/// Broken by: `RawLeases::settle` that adds nothing to what was used.
#[test]
fn what_is_used_beyond_what_was_reserved_is_told() {
    let mut scene = scene(tokens(1_000));
    scene.grant(0, 100);
    scene.takes(10).unwrap().settle(Usage::new(25, 0));
    scene.takes(10).unwrap().settle(Usage::new(10, 3));
    assert_eq!((scene.lessee.used(0), scene.lessee.left(0)), (18, 80));
    scene.takes(10).unwrap().settle(Usage::new(u64::MAX, 0));
    assert_eq!(scene.lessee.used(0), u64::MAX);
    assert_eq!((scene.lessee.held(0), scene.unused(0)), (0, vec![]));
}

/// Broken by: `Counts::Requests` that settles at tokens.
#[test]
fn a_request_is_used_whatever_its_tokens_are_and_comes_back_if_it_is_cancelled() {
    let mut scene = scene(rate(100));
    scene.grant(0, 10);
    scene.takes(0).unwrap().settle(Usage::new(50, 50));
    scene.takes(7).unwrap().settle(Usage::default());
    drop(scene.takes(0));
    assert_eq!((scene.unused(0), scene.lessee.used(0)), (vec![], 0));
    scene.takes(0).unwrap().cancel();
    assert_eq!((scene.unused(0), scene.lessee.used(0)), (vec![(1, 1)], 0));
}

/// Broken by: `held` that leaves out one of its terms; `has_held` that is not set.
#[test]
fn what_counts_as_produced_is_held_until_it_is_settled() {
    let mut scene = scene(output(1_000));
    let call =
        |scene: &Scene, n| scene.limiter.call().output_tokens(n).try_acquire_owned().unwrap();
    scene.grant(0, 100);
    assert_eq!((scene.lessee.held(0), scene.lessee.used(0)), (100, 0));
    let (first, second) = (call(&scene, 30), call(&scene, 20));
    assert_eq!((scene.lessee.held(0), scene.lessee.used(0)), (100, 0));
    first.settle(Usage::new(0, 12));
    assert_eq!((scene.lessee.held(0), scene.lessee.used(0)), (70, 12));
    assert_eq!(scene.lessee.reclaim(0, 10), 10);
    assert_eq!(scene.lessee.held(0), 60);
    scene.clock.advance(s(10));
    assert_eq!((scene.lessee.left(0), scene.lessee.held(0)), (0, 20));
    drop(second);
    assert_eq!((scene.lessee.held(0), scene.lessee.used(0)), (0, 32));
    assert_eq!(scene.unused(0), []);
}

/// Broken by: `Leasing::reserve` that keeps what it has taken when a later limit refuses.
#[test]
fn a_call_takes_of_all_limits_or_of_none() {
    let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)));
    scene.grant(0, 5);
    let refused = scene.limiter.call().input_tokens(5).try_acquire().unwrap_err();
    assert_eq!(refused.limit(), Limit::Tokens);
    scene.grant(1, 4);
    assert!(scene.takes(5).is_none());
    assert_eq!((scene.lessee.left(0), scene.lessee.left(1)), (5, 4));
    assert!(scene.takes(4).is_some());
    assert_eq!((scene.lessee.left(0), scene.lessee.left(1)), (4, 0));
    assert!(scene.takes(0).is_some());
}

// ---- refusals --------------------------------------------------------------------------------------

/// Broken by: `Leased::lack` that tells a time that has come; `grant` that does not forget it.
#[test]
fn a_refusal_tells_the_time_that_was_told_or_none() {
    let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)));
    let refused = |scene: &Scene| scene.limiter.try_acquire().unwrap_err();
    let first = refused(&scene);
    assert_eq!(
        (first.limit(), first.retry_after(), first.is_permanent()),
        (Limit::Rate, None, false)
    );
    assert_eq!(first.to_string(), "rate limit reached: retry when more is granted");
    let at = scene.after(s(3));
    scene.lessee.not_before(0, Some(at));
    assert_eq!(refused(&scene).retry_after(), Some(s(3)));
    scene.clock.advance(s(1));
    assert_eq!(refused(&scene).retry_after(), Some(s(2)));
    scene.clock.advance(s(2));
    assert_eq!(refused(&scene).retry_after(), None);
    let at = scene.after(s(3));
    scene.lessee.not_before(0, Some(at));
    scene.lessee.not_before(0, None);
    assert_eq!(refused(&scene).retry_after(), None);
    scene.lessee.not_before(0, Some(at));
    scene.grant(0, 1);
    assert!(scene.tries());
    assert_eq!(refused(&scene).retry_after(), None);
}

/// Broken by: `Leased::check` that lets everything through.
#[test]
fn a_call_above_the_limit_is_refused_for_good() {
    let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)));
    let mut call = Box::pin(scene.limiter.call().input_tokens(1_001).acquire_owned());
    let Poll::Ready(Err(refused)) = poll_once(call.as_mut()) else { panic!("it waits") };
    assert_eq!(refused.over_limit(), Some(OverLimit { asked: 1_001, limit: 1_000 }));
    assert!(refused.is_permanent() && refused.limit() == Limit::Tokens);
    assert_eq!(scene.lessee.demand(1).tried, 0);
    let none = scene_of_nothing();
    let refused = none.limiter.try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Rate, true));
}

fn scene_of_nothing() -> Scene {
    scene(rate(0))
}

/// Broken by: `is_over_by` that takes an unknown time for a late one.
#[test]
fn a_timeout_is_refused_early_by_a_known_time_alone() {
    let mut scene = scene(rate(10));
    let call = |scene: &Scene| Box::pin(scene.limiter.clone().acquire_timeout_owned(s(2)));
    let mut waits = call(&scene);
    assert!(poll_once(waits.as_mut()).is_pending());
    let at = scene.after(s(3));
    scene.lessee.not_before(0, Some(at));
    let mut late = call(&scene);
    let Poll::Ready(Err(refused)) = poll_once(late.as_mut()) else { panic!("it waits") };
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Rate, Some(s(3))));
    assert_eq!(scene.lessee.demand(0).tried, 1);
    scene.clock.advance(s(2));
    assert!(matches!(poll_once(waits.as_mut()), Poll::Ready(Err(_))));
}

/// Broken by: `refuse_all` that does not wake the line; a `room` without `refuses`.
#[test]
fn refuse_all_refuses_those_in_line_and_all_others() {
    for slots in [false, true] {
        let mut scene = scene(|builder| {
            let builder = rate(10)(builder);
            if slots { builder.max_concurrent(1) } else { builder }
        });
        scene.lessee.set_slots(1);
        scene.grant(0, 1);
        let held = scene.takes(0).unwrap();
        let wakes = Wakes::new();
        let mut calls: Vec<_> = (0..3).map(|_| scene.waits(0)).collect();
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(calls.iter_mut().all(|call| poll_with(call.as_mut(), &waker).is_pending()));
        scene.lessee.refuse_all(true);
        assert!(wakes.count() >= 3, "{}", wakes.count());
        for call in &mut calls {
            let Poll::Ready(Err(refused)) = poll_once(call.as_mut()) else { panic!("it waits") };
            assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Lease, true));
        }
        drop(held);
        scene.grant(0, 5);
        let refused = scene.limiter.try_acquire().unwrap_err();
        assert_eq!(refused.to_string(), "no leases are granted: all calls are refused");
        assert_eq!(scene.limiter.stats().refused.by(Limit::Lease), 4);
        scene.lessee.refuse_all(false);
        assert!(scene.tries());
    }
}

// ---- the line --------------------------------------------------------------------------------------

/// Broken by: `grant` that does not look for those in line.
#[test]
fn a_grant_wakes_those_in_line_for_whom_there_is_room() {
    let mut scene = scene(rate(100));
    let wakes: Vec<_> = (0..5).map(|_| Wakes::new()).collect();
    let mut calls: Vec<_> = wakes
        .iter()
        .map(|wakes| {
            let mut call = Box::pin(scene.limiter.acquire_owned());
            assert!(poll_with(call.as_mut(), &Waker::from(Arc::clone(wakes))).is_pending());
            call
        })
        .collect();
    scene.grant(0, 3);
    let woken: Vec<_> = wakes.iter().map(|wakes| wakes.count() > 0).collect();
    assert_eq!(woken, [true, true, true, false, false]);
    let went: Vec<_> = calls.iter_mut().map(goes).collect();
    assert_eq!(went, [true, true, true, false, false]);
    assert!(!scene.tries());
    scene.grant(0, 3);
    assert!(calls[3..].iter_mut().all(goes));
    assert!(scene.tries());
    assert!(!scene.tries());
}

/// Broken by: a newcomer that takes what the first waits for.
#[test]
fn a_large_call_is_not_passed() {
    let mut scene = scene(tokens(1_000));
    let (mut large, mut small) = (scene.waits(50), scene.waits(1));
    scene.grant(0, 49);
    assert!(!goes(&mut large) && !goes(&mut small) && scene.takes(1).is_none());
    scene.grant(0, 1);
    assert!(goes(&mut large) && !goes(&mut small));
    scene.grant(0, 1);
    assert!(goes(&mut small));
}

/// Broken by: a leased limiter with a line of its own.
#[test]
fn priorities_hold() {
    let mut scene = scene(rate(100));
    let mut front = scene.waits(0);
    let call = |scene: &Scene, priority| {
        let mut call = Box::pin(scene.limiter.call().priority(priority).acquire_owned());
        assert!(poll_once(call.as_mut()).is_pending());
        call
    };
    let mut low = call(&scene, Priority::Low);
    let mut high = call(&scene, Priority::High);
    scene.grant(0, 2);
    assert!(goes(&mut front));
    assert!(!goes(&mut low) && goes(&mut high));
}

/// Broken by: `InLine` that is not dropped with its call.
#[test]
fn demand_is_what_those_in_line_need() {
    let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)));
    let demand = |scene: &mut Scene, n| {
        let demand = scene.lessee.demand(n);
        (demand.first, demand.in_line, demand.tried)
    };
    assert_eq!((demand(&mut scene, 0), demand(&mut scene, 1)), ((0, 0, 0), (0, 0, 0)));
    assert_eq!(scene.lessee.waited(), None);
    let mut first = scene.waits(30);
    scene.clock.advance(s(2));
    let mut second = scene.waits(5);
    scene.clock.advance(s(1));
    assert!(!goes(&mut first));
    assert_eq!((demand(&mut scene, 0), demand(&mut scene, 1)), ((1, 2, 0), (30, 35, 0)));
    assert_eq!((scene.lessee.waited(), scene.lessee.waiters()), (Some(s(3)), 2));
    assert!(scene.takes(7).is_none());
    assert!(scene.takes(6).is_none());
    assert_eq!(demand(&mut scene, 1), (30, 35, 7));
    assert_eq!(demand(&mut scene, 1), (30, 35, 0));
    drop(first);
    assert!(!goes(&mut second));
    assert_eq!((demand(&mut scene, 0), demand(&mut scene, 1)), ((1, 1, 1), (5, 5, 0)));
    assert_eq!(scene.lessee.waited(), Some(s(1)));
    scene.grant(0, 1);
    scene.grant(1, 5);
    assert!(goes(&mut second));
    assert_eq!((demand(&mut scene, 1), scene.lessee.waited()), ((0, 0, 0), None));
    assert_eq!(demand(&mut scene, 2), (0, 0, 0));
}

/// Broken by: `Queued::advance_standing` that does not show the call.
#[test]
fn the_first_that_waits_for_a_slot_tells_what_it_needs() {
    let mut scene = scene(|builder| tokens(1_000)(builder).max_concurrent(4));
    scene.grant(0, 100);
    let (first, mut second) = (scene.waits(60), scene.waits(70));
    // Behind these it waits for tokens.
    let mut third = scene.waits(120);
    assert_eq!(scene.lessee.demand(0).first, 60);
    drop(first);
    assert!(!goes(&mut second) && !goes(&mut third));
    assert_eq!(scene.lessee.demand(0).first, 70);
    assert_eq!(scene.lessee.waited(), Some(Duration::ZERO));
}

/// Broken by: `Leasing::reserve` that counts what it has not taken.
#[test]
fn futures_that_are_dropped_take_nothing() {
    let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)).max_concurrent(2));
    scene.lessee.set_slots(2);
    let calls: Vec<_> = (0..4).map(|_| scene.waits(10)).collect();
    scene.grant(0, 3);
    scene.grant(1, 30);
    drop(calls);
    assert_eq!((scene.lessee.left(0), scene.lessee.left(1)), (3, 30));
    assert_eq!((scene.limiter.available_permits(), scene.lessee.in_flight()), (2, 0));
    assert_eq!((scene.unused(0), scene.unused(1)), (vec![], vec![]));
}

// ---- slots -----------------------------------------------------------------------------------------

/// Broken by: a call that keeps a slot while it has a turn and is not polled; counting what was granted, not what is owed.
#[test]
fn a_slot_is_owed_by_the_call_that_has_it_when_it_is_taken_away() {
    let mut scene = scene(|builder| builder.max_concurrent(4));
    assert_eq!(scene.lessee.slots_owed(), 0);
    let mut call = scene.waits(0);
    scene.lessee.set_slots(1);
    // It has been woken and not polled: it has none yet.
    scene.lessee.set_slots(0);
    assert_eq!((scene.lessee.in_flight(), scene.lessee.slots_owed()), (0, 0));
    assert!(poll_once(call.as_mut()).is_pending());
    scene.lessee.set_slots(1);
    let Poll::Ready(Ok(permit)) = poll_once(call.as_mut()) else { panic!("it waits") };
    scene.lessee.set_slots(0);
    assert_eq!((scene.lessee.in_flight(), scene.lessee.slots_owed()), (1, 1));
    drop(permit);
    assert_eq!((scene.lessee.in_flight(), scene.lessee.slots_owed()), (0, 0));
}

/// Broken by: `set_slots` that adds what there is already, or does not take away.
#[test]
fn slots_are_leased() {
    let mut scene = scene(|builder| builder.max_concurrent(4));
    assert_eq!((scene.lessee.slots(), scene.lessee.limits().len()), (Some(4), 0));
    let refused = scene.limiter.try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Concurrency, false));
    let mut call = scene.waits(0);
    scene.lessee.set_slots(2);
    let Poll::Ready(Ok(first)) = poll_once(call.as_mut()) else { panic!("it waits") };
    let second = scene.takes(0).unwrap();
    assert!(scene.takes(0).is_none());
    assert_eq!(scene.lessee.in_flight(), 2);
    // More than there are.
    scene.lessee.set_slots(100);
    let more = [scene.takes(0).unwrap(), scene.takes(0).unwrap()];
    assert!(scene.takes(0).is_none());
    scene.lessee.set_slots(1);
    drop((first, second));
    assert!(scene.takes(0).is_none());
    let [third, fourth] = more;
    drop(third);
    assert!(scene.takes(0).is_none());
    drop(fourth);
    let one = scene.takes(0).unwrap();
    assert!(scene.takes(0).is_none());
    // What is owed is paid by what is added.
    scene.lessee.set_slots(0);
    scene.lessee.set_slots(1);
    assert!(scene.takes(0).is_none());
    drop(one);
    assert!(scene.takes(0).is_some());
    let stats = scene.limiter.stats();
    assert_eq!((stats.limits[0].limit, stats.concurrency_limit), (4, Some(4)));
}

/// An overload lowers the calls in flight, whatever is granted; and what is granted holds, whatever an overload has left. Broken by: a level
/// that is forgotten when slots are taken away, or that rises with what is granted.
#[test]
fn leased_slots_and_the_level_hold_together() {
    let mut scene = scene(|builder| builder.max_concurrent(8));
    scene.lessee.set_slots(8);
    let mut calls: Vec<_> = (0..6).map(|_| scene.takes(0).unwrap()).collect();
    scene.limiter.observe(&Feedback::overload());
    assert_eq!(scene.limiter.concurrency_limit(), 4);
    assert_eq!((scene.lessee.in_flight(), scene.lessee.slots_owed()), (6, 0));
    scene.lessee.set_slots(2);
    assert_eq!((scene.limiter.concurrency_limit(), scene.lessee.slots_owed()), (4, 4));
    calls.truncate(1);
    calls.extend(scene.takes(0));
    assert_eq!((calls.len(), scene.takes(0).is_none()), (2, true));
    // The level is the lower one again.
    scene.lessee.set_slots(8);
    calls.extend(std::iter::from_fn(|| scene.takes(0)));
    assert_eq!((calls.len(), scene.limiter.concurrency_limit()), (4, 4));
    assert_eq!(scene.limiter.stats().shared_permits, Some(4));
    // So many successes as it is high.
    (0..4).for_each(|_| scene.limiter.observe(&Feedback::new()));
    assert_eq!(scene.limiter.concurrency_limit(), 5);
    assert!(scene.takes(0).is_some());
}

/// A word has no more bits for them. Broken by: a number that runs over into the level's.
#[test]
fn a_process_uses_no_more_than_32_767_leased_slots() {
    let mut scene = scene(|builder| builder.max_concurrent(100_000));
    assert_eq!(scene.lessee.slots(), Some(100_000));
    scene.lessee.set_slots(usize::MAX);
    assert_eq!(scene.limiter.available_permits(), 32_767);
    let calls: Vec<_> = std::iter::from_fn(|| scene.takes(0)).collect();
    assert_eq!((calls.len(), scene.lessee.in_flight()), (32_767, 32_767));
    scene.lessee.set_slots(32_766);
    assert_eq!(scene.lessee.slots_owed(), 1);
    drop(calls);
    assert_eq!((scene.lessee.slots_owed(), scene.limiter.available_permits()), (0, 32_766));
}

// ---- what the lessee is told -----------------------------------------------------------------------

/// Broken by: a `ring` that is left out, for each line here.
#[test]
fn changed_completes_once_for_each_change() {
    let mut scene = scene(|builder| rate(10)(builder).max_concurrent(2));
    assert!(!scene.has_changed());
    // A call has joined.
    let call = scene.waits(0);
    assert!(scene.has_changed() && !scene.has_changed());
    // It has left: nobody need know.
    drop(call);
    scene.has_changed();
    assert!(!scene.has_changed());
    // A try was refused.
    assert!(!scene.tries());
    assert!(scene.has_changed() && !scene.has_changed());
    // By the slots.
    scene.grant(0, 5);
    assert!(!scene.tries());
    assert!(scene.has_changed() && !scene.has_changed());
    let limiter = scene.limiter.clone();
    let changes: [(&str, &dyn Fn()); 8] = [
        ("pause", &|| limiter.pause(s(5))),
        ("pause_until", &|| limiter.pause_until(Timestamp::MAX)),
        ("resume", &|| limiter.resume()),
        ("pause_then_ramp", &|| limiter.pause_then_ramp(s(5), s(5))),
        ("resume_over", &|| limiter.resume_over(s(5))),
        ("stop", &|| limiter.stop(StopReason::Other, None)),
        ("rouse", &|| ()),
        ("close", &|| limiter.close()),
    ];
    let rouser = scene.lessee.rouser();
    for (name, change) in changes {
        change();
        if name == "rouse" {
            rouser.clone().rouse();
        }
        assert!(scene.has_changed(), "{name}");
        assert!(!scene.has_changed(), "{name}");
    }
}

/// Broken by: `Bell::ring` that does not release; `arm` that does not arm.
#[test]
fn changed_wakes_the_one_who_waits() {
    let mut scene = scene(rate(10));
    let rouser = scene.lessee.rouser();
    for _ in 0..3 {
        let wakes = Wakes::new();
        let waker = Waker::from(Arc::clone(&wakes));
        let mut changed = Box::pin(scene.lessee.changed());
        assert!(poll_with(changed.as_mut(), &waker).is_pending());
        rouser.rouse();
        rouser.rouse();
        assert_eq!(wakes.count(), 1);
        assert!(poll_with(changed.as_mut(), &waker).is_ready());
    }
    // A dropped one loses nothing.
    let mut changed = Box::pin(scene.lessee.changed());
    assert!(poll_once(changed.as_mut()).is_pending());
    rouser.rouse();
    drop(changed);
    at_once(scene.lessee.changed());
    assert!(!scene.has_changed());
}

/// Broken by: `take` that does not compare with the mark; `Held::new` that does not ring; `grant` that does not set the mark anew.
#[test]
fn a_mark_rings_once_until_the_next_grant() {
    let mut scene = scene(rate(100));
    scene.grant(0, 10);
    scene.lessee.set_mark(0, 8);
    assert!(!scene.has_changed());
    assert!(scene.tries() && scene.tries() && !scene.has_changed());
    let wakes = Wakes::new();
    let limiter = scene.limiter.clone();
    let mut changed = Box::pin(scene.lessee.changed());
    assert!(poll_with(changed.as_mut(), &Waker::from(Arc::clone(&wakes))).is_pending());
    drop(limiter.try_acquire());
    assert_eq!(wakes.count(), 1);
    assert!(poll_once(changed.as_mut()).is_ready());
    drop(changed);
    assert!(scene.tries() && !scene.has_changed());
    scene.grant(0, 1);
    assert!(scene.has_changed() && !scene.has_changed());
    scene.grant(0, 50);
    assert!(!scene.has_changed());
    // More than is left already.
    scene.lessee.set_mark(0, 1_000);
    assert!(scene.has_changed() && !scene.has_changed());
    // Through the line, too.
    scene.lessee.set_mark(0, 5);
    scene.lessee.reclaim(0, 95);
    scene.lessee.set_mark(0, 0);
    assert!(!scene.has_changed());
}

// ---- the rest --------------------------------------------------------------------------------------

#[test]
fn what_cannot_be_leased_is_an_error() {
    let shared = || Arc::new(Semaphore::new(1));
    let error = |builder: LimiterBuilder| builder.build_leased().unwrap_err();
    let builder = Limiter::builder;
    assert_eq!(
        error(builder().max_concurrent(3).semaphore(shared())),
        BuildLeasedError::SharedSlots
    );
    assert!(builder().semaphore(shared()).build_leased().is_ok());
    let snapshot = Limiter::builder().build().snapshot();
    assert_eq!(error(builder().restore(&snapshot)), BuildLeasedError::Snapshot);
    assert_eq!(error(builder().rate(Rate::new(0, Duration::ZERO))), BuildLeasedError::Nothing);
    let (limiter, lessee) = builder().rate(Rate::new(5, Duration::ZERO)).build_leased().unwrap();
    assert!(lessee.limits().is_empty() && limiter.try_acquire().is_ok());
}

/// Broken by: `budgets()` instead of `has_token_limits`; `remaining` that does not look at leases.
#[test]
fn what_is_about_limits_that_are_here_fails_or_does_nothing() {
    let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)));
    scene.grant(0, 5);
    scene.grant(1, 500);
    assert!(scene.takes(20).is_some());
    let limiter = &scene.limiter;
    assert_eq!(limiter.set_rate(Rate::per_minute(1)), Err(NoSuchRateError));
    assert_eq!(limiter.set_token_limit(0, 1), Err(NoSuchRateError));
    assert_eq!(limiter.set_token_window(0, 1, s(1)), Err(NoSuchRateError));
    limiter.reset();
    assert_eq!((limiter.remaining(), limiter.remaining_tokens()), (4, 480));
    assert!(limiter.has_token_limits());
    assert!(!scene_of_nothing().limiter.has_token_limits());
    scene.lessee.tell_used(1, 777);
    let stats = scene.limiter.stats();
    let limits: Vec<_> = stats.limits.iter().map(|l| (l.kind, l.limit, l.used, l.left)).collect();
    assert_eq!(limits, [(Limit::Rate, 10, 0, 4), (Limit::Tokens, 1_000, 777, 480)]);
    assert_eq!(limits.len(), scene.lessee.limits().len());
    let restored = Limiter::builder().rate(Rate::per_minute(7)).restore(&scene.limiter.snapshot());
    assert_eq!(restored.build().remaining(), 7);
}

/// Broken by: a limiter that needs its lessee.
#[test]
fn without_its_lessee_it_goes_on_with_what_it_has() {
    let mut scene = scene(rate(10));
    scene.grant(0, 2);
    let first = scene.takes(0).unwrap();
    drop(scene.lessee);
    first.cancel();
    let second = scene.limiter.try_acquire_owned().unwrap();
    assert!(scene.limiter.try_acquire().is_err());
    let mut call = Box::pin(scene.limiter.acquire_owned());
    assert!(poll_once(call.as_mut()).is_pending());
    drop(scene.limiter);
    drop(call);
    drop(second);
}

/// Broken by: `notice_jump` that does nothing.
#[test]
fn leases_end_if_the_clock_jumps_back() {
    let mut scene = scene(rate(10));
    scene.grant(0, 5);
    scene.clock.set(Timestamp::ZERO);
    assert_eq!(scene.unused(0), [(1, 5)]);
    assert!(!scene.tries());
    scene.grant(0, 1);
    assert!(scene.tries());
    scene.clock.advance(s(10));
    assert!(!scene.tries());
}

#[test]
fn a_lessee_sleeps_by_the_limiters_clock() {
    let scene = scene(rate(10));
    let mut sleep = Box::pin(scene.lessee.sleep(s(5)));
    drop(scene.lessee);
    assert!(poll_once(sleep.as_mut()).is_pending());
    scene.clock.advance(s(5));
    assert!(poll_once(sleep.as_mut()).is_ready());
}
