//! Both limits together: the order of calls, what a waiting call holds, what a refusal says. Programs of
//! all operations are in `oracle.rs`, days of simulated traffic in `server_log.rs`.
#![cfg(feature = "tokio")]
#![expect(
    clippy::disallowed_methods,
    reason = "time that has passed is told by tokio's paused clock"
)]

use crate::common::{Calls, Wakes, at_once, poll_once, poll_with};
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{Limit, Limiter, LimiterPermit, Rate, Refused, Semaphore, SlidingWindow};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, sleep};

const NANO: Duration = Duration::from_nanos(1);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<LimiterPermit<'a>, Refused>> + 'a>>;

/// A limiter on a manual clock, and calls that the test polls.
struct Scene {
    clock: ManualClock,
    limiter: Limiter,
}

impl Scene {
    fn new(limit: u32, window: Duration, max_concurrent: usize) -> Self {
        let clock = ManualClock::new();
        let builder = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::new(limit, window))
            .max_concurrent(max_concurrent);
        Self { limiter: builder.clock(clock.clone()).build(), clock }
    }

    fn set(&self, now: Duration) {
        self.clock.set(Timestamp::from_epoch(now));
    }

    /// A call that has been polled once, and waits.
    #[track_caller]
    fn queued(&self) -> Call<'_> {
        self.checked(Box::pin(self.limiter.acquire()))
    }

    #[track_caller]
    fn queued_within(&self, timeout: Duration) -> Call<'_> {
        self.checked(Box::pin(self.limiter.acquire_timeout(timeout)))
    }

    #[track_caller]
    fn checked<'a>(&self, mut call: Call<'a>) -> Call<'a> {
        let waiting = self.limiter.waiters();
        assert!(poll_once(call.as_mut()).is_pending(), "it did not have to wait");
        assert_eq!(self.limiter.waiters(), waiting + 1);
        call
    }

    #[track_caller]
    fn admit(&self) {
        drop(self.limiter.try_acquire().unwrap());
    }

    #[track_caller]
    fn refusal(&self) -> Refused {
        self.limiter.try_acquire().unwrap_err()
    }
}

#[track_caller]
fn admitted<'a>(call: &mut Call<'a>) -> LimiterPermit<'a> {
    match poll_once(call.as_mut()) {
        Poll::Ready(permit) => permit.unwrap(),
        Poll::Pending => panic!("it still waits"),
    }
}

/// Polls the calls, last first, until none is admitted any more. Drops their permits.
fn go(calls: &mut Vec<(usize, Call<'_>)>) -> Vec<usize> {
    let mut gone = Vec::new();
    loop {
        let before = calls.len();
        for i in (0..calls.len()).rev() {
            if poll_once(calls[i].1.as_mut()).is_ready() {
                gone.push(calls.remove(i).0);
            }
        }
        if calls.len() == before {
            return gone;
        }
    }
}

// ---- what is held, and when the stamp is taken ---------------------------------------------------

/// Broken by: `Queued::go` taking the slot before it looks at the rate, and keeping it.
#[test]
fn a_call_that_waits_for_its_rate_holds_no_slot() {
    let scene = Scene::new(1, s(60), 1);
    scene.admit();
    let _waiting = scene.queued();
    assert_eq!(scene.limiter.available_permits(), 1);
}

/// Broken by: `Queued::advance` stamping before it has the slot.
#[test]
fn a_call_is_counted_from_when_it_has_its_slot_not_from_when_its_rate_was_open() {
    let scene = Scene::new(1, s(10), 1);
    let first = scene.limiter.try_acquire().unwrap();
    let mut second = scene.queued();
    scene.set(s(10));
    assert!(poll_once(second.as_mut()).is_pending(), "two in flight");
    assert_eq!(scene.limiter.remaining(), 1, "counted before it goes");
    scene.set(s(25));
    drop(first);
    drop(admitted(&mut second));
    assert_eq!(scene.refusal().retry_after(), Some(s(10)));
    scene.set(s(35));
    scene.admit();
}

/// Broken by: `Queued::stamp` returning `Ok` although the stamp was refused.
#[test]
fn a_call_whose_rate_was_taken_while_it_waited_for_a_slot_gives_the_slot_back() {
    let (clock, slots) = (ManualClock::new(), Arc::new(Semaphore::new(1)));
    let builder = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(1, s(10)))
        .semaphore(Arc::clone(&slots));
    let limiter = builder.clock(clock.clone()).build();
    drop(limiter.try_acquire().unwrap());
    let mut call = pin!(limiter.acquire());
    assert!(poll_once(call.as_mut()).is_pending());
    // The rate opens while another limiter has the slot; then time steps back.
    let elsewhere = slots.try_acquire().unwrap();
    clock.advance(s(10));
    assert!(poll_once(call.as_mut()).is_pending());
    clock.set(Timestamp::from_epoch(s(9)));
    drop(elsewhere);
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!(slots.available_permits(), 1);
    clock.advance(s(1));
    assert!(poll_once(call.as_mut()).is_ready());
}

/// Broken by: `try_admit_with_slot` forgetting the slot before it stamps.
#[test]
fn a_refusal_by_the_rate_takes_no_slot() {
    let scene = Scene::new(1, s(60), 2);
    scene.admit();
    for _ in 0..5 {
        assert_eq!(scene.refusal().limit(), Limit::Rate);
    }
    assert_eq!(scene.limiter.available_permits(), 2);
}

/// Broken by: `try_admit_with_slot` stamping before it has the slot.
#[test]
fn a_refusal_by_the_slots_counts_nothing() {
    let scene = Scene::new(5, s(60), 1);
    let _held = scene.limiter.try_acquire().unwrap();
    for _ in 0..5 {
        assert_eq!(scene.refusal().limit(), Limit::Concurrency);
    }
    assert_eq!(scene.limiter.remaining(), 4);
}

/// Broken by: `Core::release` called twice, or not at all.
#[test]
fn an_owned_permit_gives_its_slot_back_after_the_limiter_is_gone() {
    let slots = Arc::new(Semaphore::new(1));
    let limiter = Limiter::builder().semaphore(Arc::clone(&slots)).build();
    let permit = at_once(limiter.acquire_owned()).unwrap();
    drop(limiter);
    assert_eq!(slots.available_permits(), 0);
    drop(permit);
    assert_eq!(slots.available_permits(), 1);
}

// ---- order ---------------------------------------------------------------------------------------

/// Broken by: each call waiting for the rate by itself (no `line.wait` in `Queued::new`).
#[tokio::test(start_paused = true)]
async fn tasks_are_admitted_in_the_order_in_which_they_came() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_second(3))
        .max_concurrent(2)
        .build();
    let (log, mut order) = unbounded_channel();
    for i in 0..40_u64 {
        let (limiter, log) = (limiter.clone(), log.clone());
        tokio::spawn(async move {
            let permit = limiter.acquire().await.unwrap();
            log.send(i).unwrap();
            sleep(ms(i * 37 % 900)).await;
            drop(permit);
        });
        tokio::task::yield_now().await;
    }
    drop(log);
    for i in 0..40 {
        assert_eq!(order.recv().await, Some(i));
    }
}

/// Broken by: `try_admit` not checking the line.
#[test]
fn a_newcomer_does_not_overtake_those_who_wait_for_the_rate() {
    let scene = Scene::new(1, s(10), 5);
    scene.admit();
    let mut first = scene.queued();
    scene.set(s(10));
    assert!(scene.limiter.try_acquire().is_err());
    let mut late = scene.queued();
    let _permit = admitted(&mut first);
    assert!(poll_once(late.as_mut()).is_pending());
}

/// Broken by: `try_admit` not checking the line.
#[test]
fn a_newcomer_does_not_overtake_those_who_wait_for_a_slot() {
    let scene = Scene::new(10, s(10), 1);
    let held = scene.limiter.try_acquire().unwrap();
    let mut first = scene.queued();
    drop(held);
    assert!(scene.limiter.try_acquire().is_err());
    drop(admitted(&mut first));
    scene.admit();
}

/// Broken by: the same for `SlidingWindow`.
#[test]
fn a_newcomer_does_not_overtake_those_who_wait_at_a_window() {
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(Rate::new(2, s(10)), clock.clone());
    window.try_acquire().unwrap();
    window.try_acquire().unwrap();
    let mut waiting = pin!(window.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    clock.advance(s(10));
    // There is room for two, and one waits.
    assert!(window.try_acquire().is_ok());
    assert!(window.try_acquire().is_err());
    assert!(poll_once(waiting.as_mut()).is_ready());
    assert!(window.try_acquire().is_err());
}

/// As leaky-bucket #39, where a dropped call blocked it permanently. Broken by: `Counted` not counting
/// down on drop; a cancelled head keeping the line's permit.
#[test]
fn anyone_may_leave_the_line_at_no_cost_to_the_others() {
    for leavers in 0..32_u32 {
        let scene = Scene::new(2, s(10), 1);
        scene.admit();
        scene.admit();
        let all = (0..5).map(|i| (i, scene.queued())).collect::<Vec<_>>();
        let leaves = |i: usize| leavers >> i & 1 == 1;
        let (left, mut stay): (Vec<_>, Vec<_>) = all.into_iter().partition(|(i, _)| leaves(*i));
        drop(left);
        let expected: Vec<usize> = (0..5).filter(|i| !leaves(*i)).collect();
        assert_eq!(scene.limiter.waiters(), expected.len());
        let mut order = Vec::new();
        for window in 1..=3 {
            scene.set((s(10) * window).saturating_sub(ms(1)));
            assert!(go(&mut stay).is_empty(), "too early");
            scene.set(s(10) * window);
            order.extend(go(&mut stay));
            assert_eq!(order.len(), expected.len().min(2 * window as usize));
        }
        assert_eq!(order, expected);
        assert_eq!((scene.limiter.available_permits(), scene.limiter.waiters()), (1, 0));
    }
}

/// Broken by: `Queued::advance` forgetting the slot if it is dropped between slot and stamp.
#[test]
fn a_head_that_leaves_while_it_waits_for_a_slot_costs_nobody() {
    let scene = Scene::new(5, s(10), 1);
    let in_flight = scene.limiter.try_acquire().unwrap();
    let head = scene.queued();
    let mut next = scene.queued();
    // Granted to the head, which is not polled any more.
    drop(in_flight);
    drop(head);
    drop(admitted(&mut next));
    assert_eq!((scene.limiter.available_permits(), scene.limiter.remaining()), (1, 3));
}

// ---- what a refusal says -------------------------------------------------------------------------

/// Broken by: `refusal` not counting those ahead; no `laps` in `Ring::free_at_plain`.
#[test]
fn a_refusal_tells_the_exact_wait_behind_any_number_of_others() {
    let turns = [10, 13, 20, 23, 30, 33].map(s);
    let scene = Scene::new(2, s(10), 1);
    scene.admit();
    scene.set(s(3));
    scene.admit();
    scene.set(s(4));
    let mut line = Vec::new();
    for (i, turn) in turns.into_iter().enumerate() {
        let refused = scene.refusal();
        assert_eq!(
            (refused.limit(), refused.retry_after()),
            (Limit::Rate, Some(turn.saturating_sub(s(4))))
        );
        line.push((i, scene.queued()));
    }
    for (i, turn) in turns.into_iter().enumerate() {
        scene.set(turn.saturating_sub(NANO));
        assert!(go(&mut line).is_empty(), "earlier than told");
        scene.set(turn);
        assert_eq!(go(&mut line), [i]);
    }
}

/// Those ahead begin their lap now, not when their cells became free. Broken by: `Ring::free_at_plain`
/// counting laps from the old stamps.
#[test]
fn a_wait_behind_a_whole_lap_of_others_is_not_told_too_short() {
    let scene = Scene::new(2, s(60), 1);
    scene.admit();
    scene.set(s(50));
    let _in_flight = scene.limiter.try_acquire().unwrap();
    scene.set(s(100));
    let _first = scene.queued();
    let _second = scene.queued();
    let refused = scene.refusal();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Rate, Some(s(60))));
    let too_late = at_once(scene.limiter.acquire_timeout(s(60).saturating_sub(NANO)));
    assert_eq!(too_late.unwrap_err().limit(), Limit::Rate);
}

/// A waker asks while the admitted call gives up its turn. Broken by: `Queued::stamp` counting that call as
/// waiting until it returns.
#[test]
fn a_call_that_has_been_admitted_is_not_counted_as_waiting_too() {
    let scene = Scene::new(1, s(60), 1);
    scene.admit();
    let mut first = scene.queued();
    let (told, asked) = std::sync::mpsc::channel();
    let limiter = scene.limiter.clone();
    let asks = Calls::waker(move || {
        let refused = limiter.try_acquire().map(drop).unwrap_err();
        told.send(refused.retry_after()).unwrap();
    });
    let mut second = pin!(scene.limiter.acquire());
    assert!(poll_with(second.as_mut(), &asks).is_pending());
    // The clock wakes everybody who sleeps by it.
    scene.set(s(60));
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [Some(s(120))]);
    drop(admitted(&mut first));
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [Some(s(120))]);
}

/// Broken by: `no_slot` reporting a time; `refusal` not checking the slots while others wait.
#[test]
fn a_refusal_by_the_slots_tells_no_time() {
    let scene = Scene::new(5, s(10), 1);
    let _held = scene.limiter.try_acquire().unwrap();
    let alone = scene.refusal();
    let _head = scene.queued();
    for refused in [alone, scene.refusal()] {
        assert_eq!((refused.limit(), refused.retry_after()), (Limit::Concurrency, None));
        assert!(!refused.is_permanent());
    }
}

/// Those in line may be about to go, both limits being open. Broken by: `refusal` blaming the slots while some
/// are free.
#[test]
fn a_refusal_while_a_slot_is_free_does_not_blame_the_slots() {
    let scene = Scene::new(2, s(10), 3);
    scene.admit();
    scene.admit();
    let _line = [scene.queued(), scene.queued()];
    scene.set(s(10));
    assert_eq!(scene.limiter.available_permits(), 3);
    assert_eq!(scene.refusal().limit(), Limit::Rate);
}

/// Broken by: `Admission::join` queueing the call whatever its turn.
#[test]
fn a_call_whose_turn_comes_too_late_is_refused_at_once() {
    let scene = Scene::new(1, s(10), 5);
    scene.admit();
    let _ahead = scene.queued();
    let late = at_once(scene.limiter.acquire_timeout(s(20).saturating_sub(NANO)));
    assert_eq!(late.unwrap_err().retry_after(), Some(s(20)));
    let mut in_time = scene.queued_within(s(20));
    let _behind = scene.queued_within(s(30));
    assert!(at_once(scene.limiter.acquire_timeout(s(39))).is_err());
    assert!(poll_once(in_time.as_mut()).is_pending());
}

/// Moves on by ten with every reading; its timers never fire.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.fetch_add(10, Ordering::SeqCst))
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(std::future::pending())
    }
}

/// Broken by: `Admission::start` adding the timeout to a later reading of the clock.
#[test]
fn a_turn_just_before_the_deadline_is_waited_for_although_time_goes_on() {
    let limit =
        Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, Duration::from_micros(1)));
    let limiter = limit.clock(Ticking::default()).build();
    drop(limiter.try_acquire().unwrap());
    // Free at 1000 ns; the deadline is 10 + 991.
    let mut call = pin!(limiter.acquire_timeout(Duration::from_nanos(991)));
    assert!(poll_once(call.as_mut()).is_pending());
}

/// Its first sleep never ends; the second (the alarm) ends at once.
#[derive(Debug, Clone, Default)]
struct SlowTimer(ManualClock, Arc<AtomicU64>);

impl Clock for SlowTimer {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            Sleep::new(std::future::pending())
        } else {
            self.0.sleep_until(deadline)
        }
    }
}

/// Broken by: `Queued::poll` refusing when the alarm fires, without another look.
#[test]
fn a_turn_that_has_come_is_not_missed_for_a_slow_timer() {
    let clock = SlowTimer::default();
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(1, s(10)))
        .clock(clock.clone())
        .build();
    drop(limiter.try_acquire().unwrap());
    let mut call = pin!(limiter.acquire_timeout(s(10)));
    assert!(poll_once(call.as_mut()).is_pending());
    clock.0.advance(s(10));
    assert!(matches!(poll_once(call), Poll::Ready(Ok(_))));
}

/// Broken by: `Queued::poll` polling the alarm first.
#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_at_its_deadline_is_admitted() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(1, s(10)))
        .max_concurrent(5)
        .build();
    drop(limiter.acquire().await.unwrap());
    let start = Instant::now();
    let (first, second) =
        tokio::join!(limiter.acquire_timeout(s(10)), limiter.acquire_timeout(s(20)));
    drop((first.unwrap(), second.unwrap()));
    assert_eq!(start.elapsed(), s(20));
}

/// Broken by: `Queued::new` without the alarm.
#[tokio::test(start_paused = true)]
async fn a_call_that_gets_no_slot_in_time_is_refused_then_and_leaves_the_line() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(5, s(10)))
        .max_concurrent(1)
        .build();
    let held = limiter.acquire().await.unwrap();
    let start = Instant::now();
    let refused = limiter.acquire_timeout(s(7)).await.unwrap_err();
    assert_eq!((start.elapsed(), refused.limit()), (s(7), Limit::Concurrency));
    assert_eq!(limiter.waiters(), 0);
    drop(held);
    assert!(limiter.acquire_timeout(Duration::ZERO).await.is_ok());
}

/// Broken by: `sleep_until` not looking at the clock again.
#[test]
fn a_call_waits_until_a_clock_that_stepped_back_a_little_has_caught_up() {
    let scene = Scene::new(1, s(10), 1);
    scene.set(s(100));
    scene.admit();
    let mut call = scene.queued();
    for now in [105, 103, 109, 99] {
        scene.set(s(now));
        assert!(poll_once(call.as_mut()).is_pending());
    }
    scene.set(s(110));
    drop(admitted(&mut call));
}

// ---- a shared semaphore --------------------------------------------------------------------------

fn two_sharing(slots: &Arc<Semaphore>, clock: &ManualClock) -> [Limiter; 2] {
    [5, 3].map(|limit| {
        let builder = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::new(limit, s(10)))
            .semaphore(Arc::clone(slots));
        builder.clock(clock.clone()).build()
    })
}

/// Broken by: `LimiterBuilder::semaphore` making a new one.
#[test]
fn two_limiters_share_their_slots_and_nothing_else() {
    let (slots, clock) = (Arc::new(Semaphore::new(2)), ManualClock::new());
    let [large, small] = two_sharing(&slots, &clock);
    let held = [large.try_acquire().unwrap(), large.try_acquire().unwrap()];
    assert_eq!(small.try_acquire().unwrap_err().limit(), Limit::Concurrency);
    assert_eq!((large.remaining(), small.remaining()), (3, 3));
    let mut waiting = pin!(small.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    drop(held);
    assert!(matches!(poll_once(waiting.as_mut()), Poll::Ready(Ok(_))));
    assert_eq!((slots.available_permits(), small.remaining()), (2, 2));
}

/// Broken by: the same with a shared slot.
#[test]
fn one_limiters_wait_for_its_rate_does_not_block_the_other() {
    let (slots, clock) = (Arc::new(Semaphore::new(1)), ManualClock::new());
    let [large, small] = two_sharing(&slots, &clock);
    for _ in 0..3 {
        drop(small.try_acquire().unwrap());
    }
    let mut waiting = pin!(small.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    for _ in 0..5 {
        drop(large.try_acquire().unwrap());
    }
    assert!(poll_once(waiting.as_mut()).is_pending());
}

/// Broken by: `permanent_refusal` not checking whether the semaphore is closed.
#[test]
fn closing_a_shared_semaphore_refuses_for_good() {
    let (slots, clock) = (Arc::new(Semaphore::new(1)), ManualClock::new());
    let [large, small] = two_sharing(&slots, &clock);
    let held = large.try_acquire().unwrap();
    let mut waiting = pin!(small.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    slots.close();
    let Poll::Ready(Err(refused)) = poll_once(waiting) else { panic!("not refused") };
    assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Closed, true));
    assert!(large.try_acquire().unwrap_err().is_permanent());
    assert!(at_once(large.acquire()).unwrap_err().is_permanent());
    assert!(at_once(large.acquire_timeout(s(1))).unwrap_err().is_permanent());
    drop(held);
    assert_eq!((slots.available_permits(), small.remaining()), (1, 3));
}

/// Broken by: `Place` not watching for the close.
#[test]
fn closing_a_shared_semaphore_wakes_those_who_wait_for_the_rate() {
    let (slots, clock) = (Arc::new(Semaphore::new(1)), ManualClock::new());
    let [_, small] = two_sharing(&slots, &clock);
    for _ in 0..3 {
        drop(small.try_acquire().unwrap());
    }
    let wakes = [Wakes::new(), Wakes::new()];
    let mut calls = [Box::pin(small.acquire()), Box::pin(small.acquire())];
    for (call, wakes) in calls.iter_mut().zip(&wakes) {
        assert!(poll_with(call.as_mut(), &Waker::from(Arc::clone(wakes))).is_pending());
    }
    slots.close();
    for (call, wakes) in calls.iter_mut().zip(&wakes) {
        assert!(wakes.count() > 0, "not woken");
        let Poll::Ready(Err(refused)) = poll_once(call.as_mut()) else { panic!("not refused") };
        assert!(refused.is_permanent());
    }
    assert_eq!(small.waiters(), 0);
}

/// Broken by: `Queued::stamp` keeping the slot before it gives up its turn.
#[test]
fn a_panicking_waker_of_the_next_in_line_costs_no_slot() {
    let scene = Scene::new(1, s(60), 1);
    scene.admit();
    let mut first = scene.queued();
    let is_armed = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&is_armed);
    let panics = Calls::waker(move || assert!(!armed.load(Ordering::Relaxed), "the waker panics"));
    let mut second = Box::pin(scene.limiter.acquire());
    assert!(poll_with(second.as_mut(), &panics).is_pending());
    // The clock wakes everybody who sleeps by it.
    scene.set(s(60));
    is_armed.store(true, Ordering::Relaxed);
    let poll = catch_unwind(AssertUnwindSafe(|| poll_once(first.as_mut()).is_ready()));
    assert!(poll.is_err());
    drop((first, second));
    assert_eq!((scene.limiter.available_permits(), scene.limiter.waiters()), (1, 0));
}

/// Broken by: `escalate_if_permanent` looking at no semaphore.
#[test]
fn a_closed_semaphore_refuses_for_good_even_while_the_rate_is_used_up() {
    let (slots, clock) = (Arc::new(Semaphore::new(1)), ManualClock::new());
    let [_, small] = two_sharing(&slots, &clock);
    for _ in 0..3 {
        drop(small.try_acquire().unwrap());
    }
    slots.close();
    assert!(small.try_acquire().unwrap_err().is_permanent());
    assert!(at_once(small.acquire()).unwrap_err().is_permanent());
}

/// Broken by: `Core::check_satisfiable` checking only the rate.
#[test]
fn a_newcomer_hears_of_the_close_although_those_in_line_have_not_been_polled_since() {
    let (slots, clock) = (Arc::new(Semaphore::new(1)), ManualClock::new());
    let [_, small] = two_sharing(&slots, &clock);
    for _ in 0..3 {
        drop(small.try_acquire().unwrap());
    }
    let mut first = pin!(small.acquire());
    assert!(poll_once(first.as_mut()).is_pending());
    slots.close();
    assert!(small.try_acquire().unwrap_err().is_permanent());
    assert!(at_once(small.acquire()).unwrap_err().is_permanent());
    assert!(matches!(poll_once(first), Poll::Ready(Err(refused)) if refused.is_permanent()));
}

/// Clones are the same limiter. Broken by: `Clone` making a new core.
#[test]
fn clones_are_the_same_limiter() {
    let scene = Scene::new(2, s(10), 5);
    let other = scene.limiter.clone();
    let _held = other.try_acquire().unwrap();
    assert_eq!((scene.limiter.remaining(), scene.limiter.available_permits()), (1, 4));
    assert_eq!(scene.clock.now(), Timestamp::ZERO);
}
