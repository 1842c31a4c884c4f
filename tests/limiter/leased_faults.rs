//! What went wrong with leased limiters.

use crate::common::{Wakes, poll_once, poll_with};
use crate::leased::{Call, Scene, goes, rate, s, scene, tokens};
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{Feedback, Limit, Limiter, Priority, Rate, Semaphore, Usage};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

const QUARTER: Duration = Duration::from_millis(250);

impl Scene {
    fn first(&mut self, n: usize) -> u64 {
        self.lessee.demand(n).first
    }
}

// ---- who is the first in line ------------------------------------------------------------------------

/// The granter gave to a call that nobody polled, and the others went hungry.
#[test]
fn a_call_that_nobody_polls_was_the_first_for_ever() {
    for granted in [0, 3] {
        let mut scene = scene(tokens(1_000));
        let _silent = scene.waits(30);
        scene.clock.advance(QUARTER);
        let mut behind = scene.waits(5);
        assert_eq!(scene.first(0), 30);
        // If it is a part, the silent one has a turn.
        scene.grant(0, granted);
        for _ in 0..8 {
            scene.clock.advance(QUARTER);
            assert!(!goes(&mut behind));
        }
        assert_eq!((scene.first(0), scene.lessee.waited()), (5, Some(s(2))), "{granted}");
    }
}

/// The same where slots are what there is too little of.
#[test]
fn a_call_that_nobody_polls_was_the_first_for_a_slot_for_ever() {
    for slots in [0, 1] {
        let mut scene = scene(|builder| tokens(1_000)(builder).max_concurrent(4));
        scene.grant(0, 3);
        let _silent = scene.waits(30);
        let mut behind = scene.waits(5);
        assert_eq!(scene.first(0), 30);
        scene.lessee.set_slots(slots);
        for _ in 0..8 {
            scene.clock.advance(QUARTER);
            assert!(!goes(&mut behind));
        }
        assert_eq!(scene.first(0), 5, "{slots}");
    }
}

/// Others behind it told nothing until they were polled for another reason.
#[test]
fn nobody_was_the_first_once_the_first_had_gone() {
    for goes_itself in [false, true] {
        let mut scene = scene(|builder| tokens(1_000)(builder).max_concurrent(4));
        scene.grant(0, 100);
        let mut first = scene.waits(60);
        scene.clock.advance(Duration::from_millis(100));
        let (wakes, mut second) = (Wakes::new(), scene.waits(20));
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(poll_with(second.as_mut(), &waker).is_pending());
        let _third = scene.waits(10);
        scene.clock.advance(Duration::from_millis(100));
        let held = goes_itself.then(|| {
            scene.lessee.set_slots(1);
            poll_once(first.as_mut())
        });
        assert!(held.as_ref().is_none_or(Poll::is_ready));
        let before = if goes_itself { 0 } else { wakes.count() };
        drop(first);
        assert!(wakes.count() > before);
        assert!(poll_with(second.as_mut(), &waker).is_pending());
        assert_eq!(scene.first(0), 20);
        assert_eq!(scene.lessee.waited(), Some(Duration::from_millis(100)));
    }
}

/// It freed no slot as long as no more were granted, and nobody told that one would help.
#[test]
fn a_level_that_rose_did_not_tell_that_slots_were_lacking() {
    let mut scene = scene(|builder| tokens(1_000)(builder).max_concurrent(4));
    scene.grant(0, 100);
    scene.lessee.set_slots(4);
    let mut calls: Vec<_> = (0..4).map(|_| scene.limiter.try_acquire_owned().unwrap()).collect();
    scene.limiter.observe(&Feedback::overload());
    calls.truncate(2);
    scene.lessee.set_slots(2);
    assert_eq!((scene.limiter.concurrency_limit(), scene.lessee.in_flight()), (2, 2));
    let first = scene.waits(1);
    let (wakes, mut second) = (Wakes::new(), scene.waits(1));
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(poll_with(second.as_mut(), &waker).is_pending());
    drop(first);
    let before = wakes.count();
    scene.limiter.observe(&Feedback::new());
    assert_eq!((scene.limiter.concurrency_limit(), wakes.count()), (2, before));
    scene.limiter.observe(&Feedback::new());
    assert_eq!((scene.limiter.concurrency_limit(), wakes.count()), (3, before + 1));
}

/// In which order calls go, by a slot that is freed again and again.
fn order(limiter: &Limiter, classes: &[Priority]) -> Vec<usize> {
    let mut held = Some(limiter.try_acquire_owned().unwrap());
    let call = |class: &Priority| Box::pin(limiter.call().priority(*class).acquire_owned());
    let mut calls: Vec<(usize, Call)> = classes.iter().map(call).enumerate().collect();
    for (_, call) in &mut calls {
        assert!(poll_once(call.as_mut()).is_pending());
    }
    let mut order = Vec::new();
    while !calls.is_empty() {
        drop(held.take());
        let went = calls.iter_mut().enumerate().find_map(|(place, (_, call))| {
            match poll_once(call.as_mut()) {
                Poll::Ready(decided) => Some((place, decided.unwrap())),
                Poll::Pending => None,
            }
        });
        let (place, permit) = went.expect("nobody goes");
        held = Some(permit);
        order.push(calls.remove(place).0);
        for (_, call) in &mut calls {
            assert!(poll_once(call.as_mut()).is_pending());
        }
    }
    order
}

/// They stood in line for the leased slots, where all are alike.
#[test]
fn priorities_did_not_hold_while_calls_waited_for_leased_slots() {
    let mut scene = scene(|builder| builder.max_concurrent(100));
    scene.lessee.set_slots(1);
    let mut classes = vec![Priority::Low; 99];
    classes.push(Priority::High);
    let leased = order(&scene.limiter, &classes);
    // One has watched in front.
    assert_eq!(leased[..2], [0, 99]);
    let plain = Limiter::builder().max_concurrent(1).build();
    assert_eq!(leased, order(&plain, &classes));
}

// ---- what is asked for -------------------------------------------------------------------------------

/// It joined the line and left it in one poll, and nobody heard of it.
#[test]
fn a_call_whose_timeout_ended_at_once_was_never_asked_for() {
    let mut scene = scene(tokens(1_000));
    let call = scene.limiter.call().input_tokens(7).timeout(Duration::ZERO).acquire_owned();
    let Poll::Ready(Err(refused)) = poll_once(Box::pin(call).as_mut()) else { panic!("it waits") };
    assert_eq!(refused.limit(), Limit::Tokens);
    assert!(scene.has_changed());
    assert_eq!(scene.lessee.demand(0).tried, 7);
}

/// It was refused, and the granter heard that something was, but not what.
#[test]
fn a_try_that_lacked_a_slot_left_no_trace() {
    let mut scene = scene(|builder| tokens(100)(builder).max_concurrent(2));
    assert_eq!(scene.lessee.slots_tried(), 0);
    assert!(scene.takes(0).is_none() && scene.takes(0).is_none());
    let call = scene.limiter.acquire_timeout_owned(Duration::ZERO);
    assert!(matches!(poll_once(Box::pin(call).as_mut()), Poll::Ready(Err(_))));
    assert!(scene.has_changed());
    assert_eq!((scene.lessee.slots_tried(), scene.lessee.slots_tried()), (3, 0));
    // What they lack is a lease.
    assert!(scene.takes(5).is_none());
    assert_eq!((scene.lessee.slots_tried(), scene.lessee.demand(0).tried), (0, 5));
    // All that there are.
    scene.lessee.set_slots(2);
    let _held = [scene.takes(0).unwrap(), scene.takes(0).unwrap()];
    assert!(scene.takes(0).is_none());
    assert_eq!(scene.lessee.slots_tried(), 0);
}

/// The granter asked for all in line, of which none could go.
#[test]
fn leases_were_granted_for_calls_that_waited_for_something_else() {
    let shared = Arc::new(Semaphore::new(2));
    let mut scene = scene(|builder| rate(100)(builder).semaphore(Arc::clone(&shared)));
    assert_eq!(scene.lessee.may_go(), 2);
    let mut held = vec![shared.try_acquire().unwrap(), shared.try_acquire().unwrap()];
    assert_eq!(scene.lessee.may_go(), 0);
    scene.grant(0, 5);
    let mut calls = [scene.waits(0), scene.waits(0)];
    drop(held.pop());
    // Granted to a call that has yet to claim it.
    assert_eq!((shared.available_permits(), scene.lessee.may_go()), (0, 1));
    let Poll::Ready(Ok(permit)) = poll_once(calls[0].as_mut()) else { panic!("it waits") };
    assert_eq!(scene.lessee.may_go(), 0);
    drop((permit, held, calls));
    assert_eq!(scene.lessee.may_go(), 2);
    scene.limiter.resume_over(s(60));
    assert_eq!(scene.lessee.may_go(), 1);
    scene.clock.advance(s(60));
    assert_eq!(scene.lessee.may_go(), 2);
}

#[test]
fn in_a_slow_start_leases_were_granted_for_the_whole_line() {
    let scene = scene(rate(100));
    assert_eq!(scene.lessee.may_go(), usize::MAX);
    scene.limiter.pause_then_ramp(s(5), s(60));
    assert_eq!(scene.lessee.may_go(), 1);
    scene.clock.advance(s(64));
    assert_eq!(scene.lessee.may_go(), 1);
    scene.clock.advance(s(1));
    assert_eq!(scene.lessee.may_go(), usize::MAX);
}

// ---- time --------------------------------------------------------------------------------------------

/// Its end was a time of before the jump.
#[test]
fn a_lease_that_was_granted_just_after_a_jump_lasted_too_long() {
    let mut scene = scene(rate(10));
    let until = scene.after(s(10));
    scene.clock.set(Timestamp::ZERO);
    assert_eq!(scene.lessee.grant(0, 5, until), Some(1));
    assert!(!scene.tries());
    assert_eq!(scene.unused(0), [(1, 5)]);
    // The jump has been seen by now.
    scene.lessee.grant(0, 5, Timestamp::MAX);
    scene.clock.advance(s(3_599));
    assert!(scene.tries());
    scene.clock.advance(s(1));
    assert!(!scene.tries());
}

#[test]
fn small_steps_back_did_not_add_up_to_a_jump() {
    let mut scene = scene(rate(10));
    scene.grant(0, 5);
    let now = scene.clock.now();
    for (step, unused) in [(900, vec![]), (1_800, vec![(1, 5)])] {
        let back = now.as_nanos() - step * 1_000_000;
        scene.clock.set(Timestamp::from_nanos(back));
        assert_eq!(scene.unused(0), unused);
    }
}

#[test]
fn a_time_of_before_a_jump_was_told() {
    let mut scene = scene(rate(10));
    let at = scene.after(s(3));
    scene.lessee.not_before(0, Some(at));
    assert_eq!(scene.unused(0), []);
    scene.clock.set(Timestamp::ZERO);
    assert_eq!(scene.unused(0), []);
    assert_eq!(scene.limiter.try_acquire().unwrap_err().retry_after(), None);
}

/// It was told as a length, and added to a time that was read before: whoever stood still in between found a pause that was longer.
#[test]
fn the_end_of_a_pause_moved_with_each_look() {
    let mut scene = scene(rate(10));
    assert_eq!(scene.lessee.paused_until(), None);
    let until = scene.after(s(9));
    scene.limiter.pause_until(until);
    for _ in 0..9 {
        assert_eq!(scene.lessee.paused_until(), Some(until));
        scene.clock.advance(s(1));
    }
    assert_eq!(scene.lessee.paused_until(), None);
    // The steps of a slow start are no pause, and what is before them is.
    scene.limiter.pause_then_ramp(s(9), s(60));
    assert_eq!(scene.lessee.paused_until(), Some(scene.after(s(9))));
    scene.clock.advance(s(9));
    scene.limiter.pause_until(Timestamp::MAX);
    assert_eq!(scene.lessee.paused_until(), Some(Timestamp::MAX));
    scene.limiter.resume_over(s(60));
    scene.grant(0, 5);
    assert!(scene.tries());
    assert!(scene.limiter.paused_for().is_some());
    assert_eq!(scene.lessee.paused_until(), None);
}

// ---- what is told ------------------------------------------------------------------------------------

/// A call of a limiter that has no limits on tokens has reserved none.
#[test]
fn tokens_were_counted_without_a_limit_on_them() {
    let mut scene = scene(|builder| rate(10)(builder).max_concurrent(2));
    scene.lessee.set_slots(2);
    scene.grant(0, 5);
    let plain = Limiter::builder().rate(Rate::new(10, s(60))).max_concurrent(2).build();
    for limiter in [&plain, &scene.limiter] {
        let first = limiter.call().tokens(Usage::new(7, 8)).try_acquire().unwrap();
        assert_eq!(first.expected(), Usage::default());
        let _second = limiter.call().tokens(Usage::new(1, 2)).try_acquire().unwrap();
        first.settle(Usage::new(3, 4));
    }
    assert_eq!(scene.limiter.stats().tokens, plain.stats().tokens);
}

/// The lease's end is not known, and that was taken for later than any time.
#[test]
fn a_pause_hid_behind_a_lease_without_a_time() {
    let scene = scene(|builder| tokens(1_000)(rate(10)(builder)));
    scene.limiter.pause(s(5));
    let refused = scene.limiter.try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Paused, Some(s(5))));
    let mut call = Box::pin(scene.limiter.acquire_timeout(s(2)));
    let Poll::Ready(Err(refused)) = poll_once(call.as_mut()) else { panic!("it waits") };
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Paused, Some(s(5))));
    let mut call = scene.waits(0);
    assert!(!goes(&mut call));
    assert_eq!(call.estimated_wait(), Some(s(5)));
    scene.limiter.pause_until(Timestamp::MAX);
    assert_eq!(scene.limiter.try_acquire().unwrap_err().limit(), Limit::Paused);
}

// ---- what is lost ------------------------------------------------------------------------------------

/// It had its permit, and the pause had yet to be looked at.
#[test]
fn a_call_that_a_pause_held_back_took_of_the_leases() {
    let shared = Arc::new(Semaphore::new(1));
    let mut scene = scene(|builder| rate(10)(builder).semaphore(Arc::clone(&shared)));
    scene.grant(0, 5);
    let held = shared.try_acquire().unwrap();
    let mut call = scene.waits(0);
    scene.limiter.pause(s(5));
    drop(held);
    assert!(!goes(&mut call));
    assert_eq!((scene.lessee.left(0), scene.unused(0)), (5, vec![]));
    scene.clock.advance(s(5));
    assert!(goes(&mut call));
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("the granter's waker");
    }
}

/// The call never had its permit, and what it had taken counted as used.
#[test]
fn a_panic_of_the_granters_waker_used_up_what_the_call_had_taken() {
    for waits in [false, true] {
        let mut scene = scene(|builder| tokens(1_000)(rate(10)(builder)).max_concurrent(2));
        scene.lessee.set_slots(2);
        let mut call = waits.then(|| scene.waits(30));
        scene.grant(0, 5);
        scene.grant(1, 100);
        scene.lessee.set_mark(1, 80);
        while scene.has_changed() {}
        let limiter = scene.limiter.clone();
        let mut changed = Box::pin(scene.lessee.changed());
        assert!(poll_with(changed.as_mut(), &Waker::from(Arc::new(Panics))).is_pending());
        let went = catch_unwind(AssertUnwindSafe(|| match &mut call {
            Some(call) => poll_once(call.as_mut()).is_ready(),
            None => limiter.call().input_tokens(30).try_acquire().is_ok(),
        }));
        assert!(went.is_err());
        assert!(poll_once(changed.as_mut()).is_ready());
        drop(changed);
        drop(call);
        assert_eq!((scene.lessee.left(0), scene.lessee.left(1)), (4, 70));
        assert_eq!((scene.unused(0), scene.unused(1)), (vec![(1, 1)], vec![(1, 30)]));
        assert_eq!((scene.limiter.available_permits(), scene.lessee.in_flight()), (2, 0));
    }
}

/// It was lost with the panic, and nothing that came back of that lease could be told.
#[test]
fn a_panic_of_a_calls_waker_hid_the_number_of_the_lease() {
    let mut scene = scene(tokens(100));
    let mut call = scene.waits(30);
    assert!(poll_with(call.as_mut(), &Waker::from(Arc::new(Panics))).is_pending());
    assert_eq!(scene.lessee.newest_lease(0), None);
    let granted = catch_unwind(AssertUnwindSafe(|| scene.grant(0, 40)));
    assert!(granted.is_err());
    assert_eq!((scene.lessee.newest_lease(0), scene.lessee.left(0)), (Some(1), 40));
    assert!(goes(&mut call));
    assert_eq!(scene.lessee.reclaim(0, 10), 10);
    assert_eq!(scene.unused(0), [(1, 10)]);
    // None was granted.
    assert_eq!((scene.grant(0, 0), scene.lessee.newest_lease(0)), (None, Some(1)));
}

/// One that panics when it is told to.
#[derive(Debug, Clone)]
struct Brittle {
    clock: ManualClock,
    breaks: Arc<AtomicBool>,
}

impl Clock for Brittle {
    fn now(&self) -> Timestamp {
        assert!(!self.breaks.load(Ordering::Relaxed), "the clock");
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.clock.sleep_until(deadline)
    }
}

/// It had been taken, and nobody had looked at what has changed.
#[test]
fn a_panic_of_the_clock_lost_a_ring() {
    let clock = Brittle { clock: ManualClock::new(), breaks: Arc::default() };
    let builder = Limiter::builder().rate(Rate::per_minute(60)).clock(clock.clone());
    let (_, mut lessee) = builder.build_leased().unwrap();
    lessee.rouser().rouse();
    clock.breaks.store(true, Ordering::Relaxed);
    let mut changes = || poll_once(Box::pin(lessee.changed()).as_mut()).is_ready();
    assert!(catch_unwind(AssertUnwindSafe(&mut changes)).is_err());
    clock.breaks.store(false, Ordering::Relaxed);
    assert!(changes());
    assert!(!changes());
}
