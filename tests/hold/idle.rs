//! Answers that stand still.

use crate::common::Wakes;
use crate::scene::{
    AS_RESERVED, Broken, Ends, Item, SLOTS, Says, Waits, next, next_with, says, scene,
};
use futures_util::Stream;
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{Limiter, StalledError, Usage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::time::Duration;

const TEN: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn stalled(error: StalledError) -> Item {
    Err(Broken::Stalled(error))
}

/// When its time is over it is asked once more.
fn stalls<S: Stream<Item = Item> + Unpin>(held: &mut S) -> bool {
    next(held).is_pending() && matches!(next(held), Poll::Ready(Some(Err(Broken::Stalled(_)))))
}

/// Broken by: an error that comes before the slot is free; a stalled stream that is settled; an end that is not kept.
#[test]
fn a_stream_from_which_nothing_comes_ends_with_an_error() {
    let scene = scene();
    let (answer, seen) = scene.answer(&[Says(90, 20)]);
    let free = Arc::new(AtomicUsize::new(0));
    let (limiter, free_then) = (scene.limiter.clone(), Arc::clone(&free));
    let held = scene.permit().hold(answer).settle_with(|item| item.ok());
    let mut held = held.idle_timeout(TEN, move |error| {
        free_then.store(limiter.available_permits(), SeqCst);
        stalled(error)
    });
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    assert_eq!(held.size_hint(), (0, Some(2)));
    assert_eq!(next_with(&mut held, &waker), says(90, 20));
    assert_eq!(next_with(&mut held, &waker), Poll::Pending);
    scene.clock.advance(Duration::from_nanos(9_999_999_999));
    assert_eq!(next_with(&mut held, &waker), Poll::Pending);
    let before = wakes.count();
    scene.clock.advance(Duration::from_nanos(1));
    assert!(wakes.count() > before, "nobody is woken");
    let before = wakes.count();
    assert_eq!(next_with(&mut held, &waker), Poll::Pending);
    assert!(wakes.count() > before, "it is not asked once more");
    let Poll::Ready(Some(Err(Broken::Stalled(error)))) = next_with(&mut held, &waker) else {
        panic!("it goes on")
    };
    assert_eq!(error.timeout(), TEN);
    assert_eq!((free.load(SeqCst), seen.free_at_drop()), (SLOTS, Some(SLOTS - 1)));
    scene.assert_over(AS_RESERVED);
    assert_eq!((next(&mut held), held.size_hint()), (Poll::Ready(None), (0, Some(0))));
    scene.clock.advance(TEN);
    assert_eq!(next(&mut held), Poll::Ready(None));
}

/// Broken by: `progress` that is not told; an alarm that counts from the first wait; a reader's own time that counts.
#[test]
fn each_item_gives_it_the_whole_time_again() {
    let scene = scene();
    let script = [Waits, Says(1, 1), Waits, Waits, Says(2, 2), Says(3, 3), Waits, Waits];
    let mut held = scene.permit().hold(scene.answer(&script).0).idle_timeout(TEN, stalled);
    let wait = |seconds: u64| scene.clock.advance(Duration::from_secs(seconds));
    wait(100); // Before it is asked.
    assert_eq!(next(&mut held), Poll::Pending);
    wait(9);
    assert_eq!(next(&mut held), says(1, 1));
    wait(100); // Its reader is slow.
    assert_eq!(next(&mut held), Poll::Pending);
    wait(5);
    assert_eq!(next(&mut held), Poll::Pending);
    // In time, though it is asked too late.
    wait(100);
    assert_eq!(next(&mut held), says(2, 2));
    assert_eq!(next(&mut held), says(3, 3));
    assert_eq!(next(&mut held), Poll::Pending);
    wait(9);
    assert_eq!(next(&mut held), Poll::Pending);
    wait(1);
    assert!(stalls(&mut held));
}

/// An alarm that rings early for an item that has come meanwhile is set again. Broken by: `restart` that leaves the deadline.
#[test]
fn a_task_that_waits_is_woken_in_time_after_each_item() {
    let scene = scene();
    let script = [Waits, Says(1, 1), Waits, Waits, Waits, Waits];
    let mut held = scene.permit().hold(scene.answer(&script).0).idle_timeout(TEN, stalled);
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut seen = 0;
    let mut poll_if_woken = |seconds: u64| {
        for _ in 0..seconds {
            scene.clock.advance(SECOND);
        }
        let mut polled = Poll::Pending;
        while wakes.count() > seen {
            seen = wakes.count();
            polled = next_with(&mut held, &waker);
        }
        polled
    };
    waker.wake_by_ref();
    assert_eq!(poll_if_woken(0), Poll::Pending);
    waker.wake_by_ref();
    assert_eq!(poll_if_woken(6), says(1, 1));
    waker.wake_by_ref();
    assert_eq!(poll_if_woken(0), Poll::Pending);
    // By the alarm alone, four seconds too early and then in time.
    assert_eq!(poll_if_woken(9), Poll::Pending);
    assert!(matches!(poll_if_woken(1), Poll::Ready(Some(Err(Broken::Stalled(_))))));
}

/// Broken by: a sum that overflows; a timeout of zero that ends what has an item.
#[test]
fn any_length_will_do() {
    let scene = scene();
    let script = [Says(1, 1), Waits];
    let mut held = scene.permit().hold(scene.answer(&script).0);
    held = held.idle_timeout(Duration::ZERO, stalled);
    assert_eq!(next(&mut held), says(1, 1));
    assert!(stalls(&mut held));
    let mut held = scene.permit().hold(scene.answer(&script).0);
    held = held.idle_timeout(Duration::MAX, stalled);
    scene.clock.set(Timestamp::from_nanos(u64::MAX - 5));
    assert_eq!(next(&mut held), says(1, 1));
    assert_eq!(next(&mut held), Poll::Pending);
}

/// Broken by: a `restart` that keeps a deadline of before the jump.
#[test]
fn a_clock_that_jumps_back_gives_no_stream_more_than_its_time() {
    let scene = scene();
    scene.clock.advance(Duration::from_secs(1_000));
    let script = [Waits, Waits, Says(1, 1), Waits, Waits];
    let mut held = scene.permit().hold(scene.answer(&script).0).idle_timeout(TEN, stalled);
    assert_eq!(next(&mut held), Poll::Pending);
    scene.clock.set(Timestamp::ZERO);
    assert_eq!(next(&mut held), Poll::Pending);
    scene.clock.advance(TEN);
    assert_eq!(next(&mut held), says(1, 1));
    scene.clock.set(Timestamp::ZERO);
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    assert_eq!(next_with(&mut held, &waker), Poll::Pending);
    scene.clock.advance(TEN);
    assert!(wakes.count() > 0, "nobody is woken");
    assert!(stalls(&mut held));
}

/// A clock that tells what its last timer waits for.
#[derive(Debug, Clone)]
struct Watched {
    clock: ManualClock,
    timer: Arc<AtomicU64>,
}

impl Clock for Watched {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.timer.store(deadline.as_nanos(), SeqCst);
        self.clock.sleep_until(deadline)
    }
}

/// Broken by: a timer of before the jump that stays; a time seen before it that moves the new deadline.
#[test]
fn a_jump_back_between_two_items_sets_the_timer_anew() {
    let clock = Watched { clock: ManualClock::new(), timer: Arc::default() };
    clock.clock.advance(Duration::from_secs(1_000));
    let limiter = Limiter::builder().max_concurrent(SLOTS).clock(clock.clone()).build();
    let (answer, _) = scene().answer(&[Waits, Says(1, 1), Waits, Waits]);
    let mut held = limiter.try_acquire_owned().unwrap().hold(answer).idle_timeout(TEN, stalled);
    assert_eq!(next(&mut held), Poll::Pending);
    assert_eq!(clock.timer.load(SeqCst), 1_010_000_000_000);
    assert_eq!(next(&mut held), says(1, 1));
    clock.clock.set(Timestamp::ZERO);
    assert_eq!(next(&mut held), Poll::Pending);
    assert_eq!(clock.timer.load(SeqCst), 10_000_000_000);
    clock.clock.advance(TEN);
    assert!(stalls(&mut held));
}

/// Broken by: a stream that has ended in time and ends with an error as well.
#[test]
fn a_stream_that_has_ended_does_not_stall() {
    let scene = scene();
    let mut held = scene.permit().hold(scene.answer(&[Waits, Ends]).0);
    held = held.settle_with(|_| Some(Usage::default())).idle_timeout(TEN, stalled);
    assert_eq!(next(&mut held), Poll::Pending);
    scene.clock.advance(TEN);
    assert_eq!((next(&mut held), next(&mut held)), (Poll::Ready(None), Poll::Ready(None)));
}

/// By tokio's paused time. Broken by: another clock than the limiter's.
#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn it_goes_by_paused_time() {
    use futures_util::StreamExt;

    let limiter = Limiter::builder().max_concurrent(1).build();
    let permit = limiter.acquire_owned().await.unwrap();
    let pending = futures_util::stream::pending::<Result<(), StalledError>>();
    let mut held = permit.hold(pending).idle_timeout(Duration::from_secs(3_600), Err);
    let item = held.next().await;
    assert_eq!(item.unwrap().unwrap_err().timeout(), Duration::from_secs(3_600));
    assert_eq!(limiter.available_permits(), 1);
}
