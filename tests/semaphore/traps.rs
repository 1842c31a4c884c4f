//! Faults of other semaphores, one test each, with the numbers of their issues.
#![expect(clippy::disallowed_types, reason = "a waker that calls back in must be Sync itself")]

use crate::common::counting::growth;
use crate::common::{Calls, Dice, Wakes, at_once, poll_once, poll_with};
use ringgate::time::{ManualClock, Sleep, SystemClock, Timestamp};
use ringgate::{
    Acquire, AcquireError, AcquireOwned, Limit, Limiter, LimiterBuilder, LimiterPermit,
    OwnedLimiterPermit, OwnedSemaphorePermit, PoolStream, Provider, ProviderPool, Rate,
    RateLimitPolicy, Refused, Semaphore, SemaphorePermit, SlidingWindow, TryAcquireError,
};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

/// A future that has been polled once, and its waker.
struct Waiter<'a> {
    future: Acquire<'a>,
    waker: Arc<Wakes>,
}

impl<'a> Waiter<'a> {
    #[track_caller]
    fn queued(semaphore: &'a Semaphore, permits: u32) -> Self {
        let mut waiter = Self { future: semaphore.acquire_many(permits), waker: Arc::default() };
        assert!(waiter.poll().is_pending());
        waiter
    }

    fn poll(&mut self) -> Poll<Result<SemaphorePermit<'a>, AcquireError>> {
        poll_with(Pin::new(&mut self.future), &Waker::from(Arc::clone(&self.waker)))
    }

    fn is_woken(&self) -> bool {
        self.waker.count() > 0
    }

    #[track_caller]
    fn permit(&mut self) -> SemaphorePermit<'a> {
        assert!(self.is_woken(), "not woken");
        let Poll::Ready(Ok(permit)) = self.poll() else { panic!("woken, but no permit") };
        permit
    }
}

// ---- other people's issues -----------------------------------------------------------------------

/// Broken by: `unlink_or_defer` never sweeping.
#[test]
fn tokio_2237_waiters_cancelled_behind_a_patient_one_leave_no_memory_behind() {
    let semaphore = Semaphore::new(0);
    let patient = Waiter::queued(&semaphore, 1);
    let come_and_go = |waiters: usize| {
        for _ in 0..waiters / 50 {
            drop((0..50).map(|_| Waiter::queued(&semaphore, 1)).collect::<Vec<_>>());
        }
    };
    come_and_go(1000);
    assert_eq!(growth(|| come_and_go(100_000)), 0);
    drop(patient);
    semaphore.add_permits(1);
    assert_eq!(semaphore.available_permits(), 1);
}

/// Broken by: `cancel` giving nothing back for a queued claim (`back = 0`).
#[test]
fn tokio_2941_permits_collected_by_a_waiter_that_gives_up_are_there_for_others() {
    let semaphore = Semaphore::new(2);
    let big = Waiter::queued(&semaphore, 3);
    assert_eq!(semaphore.available_permits(), 0);
    drop(big);
    assert_eq!(semaphore.available_permits(), 2);
    assert!(semaphore.try_acquire_many(2).is_ok());
}

/// Broken by: `+` for the saturating sum in `RawSemaphore::release`.
#[test]
fn tokio_3188_3644_too_many_permits_saturate_before_anything_is_changed() {
    let semaphore = Semaphore::new(Semaphore::MAX_PERMITS - 1);
    for more in [1, 1, 7, usize::MAX, Semaphore::MAX_PERMITS] {
        semaphore.add_permits(more);
        assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
        assert!(!semaphore.is_closed());
    }
    // The most that a request can ask for, and that there can be.
    let big = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    let held = semaphore.try_acquire_many(big).unwrap();
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS - big as usize);
    drop(held);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
}

/// Broken by: `+` for the saturating sum in `RawSemaphore::assign_permits`.
#[test]
fn too_many_permits_for_those_who_wait_saturate_as_well() {
    let semaphore = Semaphore::new(0);
    let big = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    let mut waiter = Waiter::queued(&semaphore, big);
    semaphore.add_permits(usize::MAX);
    let held = waiter.permit();
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS - big as usize);
    semaphore.add_permits(usize::MAX);
    drop(held);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
}

/// event-listener #138 as well: a notification that its receiver drops must not be swallowed.
/// Broken by: `cancel` giving nothing back for a granted claim.
#[test]
fn tokio_6450_a_permit_granted_but_never_seen_goes_to_the_next() {
    let semaphore = Semaphore::new(0);
    let granted = Waiter::queued(&semaphore, 1);
    let mut next = Waiter::queued(&semaphore, 1);
    semaphore.add_permits(1);
    assert!(granted.is_woken() && !next.is_woken());
    drop(granted);
    drop(next.permit());
    assert_eq!(semaphore.available_permits(), 1);
}

/// Broken by: `State::with_permits` dropping the `CLOSED` bit.
#[test]
fn tokio_8020_forgetting_permits_does_not_reopen_a_closed_semaphore() {
    let semaphore = Semaphore::new(3);
    semaphore.close();
    assert_eq!(semaphore.forget_permits(2), 2);
    assert!(semaphore.is_closed());
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
    semaphore.add_permits(1);
    assert!(semaphore.is_closed());
    assert!(at_once(semaphore.acquire()).is_err());
}

/// Broken by: `cancel` adding to the free permits instead of serving the line.
#[test]
fn tokio_8260_permits_of_a_dropped_waiter_go_to_the_next_and_skip_nobody() {
    let semaphore = Semaphore::new(2);
    let collecting = Waiter::queued(&semaphore, 3);
    let mut second = Waiter::queued(&semaphore, 2);
    let mut third = Waiter::queued(&semaphore, 1);
    drop(collecting);
    assert!(!third.is_woken(), "the third overtook the second");
    assert!(semaphore.try_acquire().is_err(), "a newcomer overtook");
    let held = second.permit();
    drop(held);
    drop(third.permit());
    assert_eq!(semaphore.available_permits(), 2);
}

/// Broken by: `unlink_or_defer` not retiring a cancelled front.
#[test]
fn embassy_6964_a_cancelled_head_lets_the_next_go() {
    let semaphore = Semaphore::new(1);
    let head = Waiter::queued(&semaphore, 5);
    let mut next = Waiter::queued(&semaphore, 1);
    drop(head);
    drop(next.permit());
    assert_eq!(semaphore.available_permits(), 1);
}

/// Broken by: `assign_permits` returning after the first grant.
#[test]
fn async_lock_18_two_permits_given_back_wake_two() {
    let semaphore = Semaphore::new(2);
    let held = [semaphore.try_acquire().unwrap(), semaphore.try_acquire().unwrap()];
    let mut waiters = [Waiter::queued(&semaphore, 1), Waiter::queued(&semaphore, 1)];
    // Both come before any waiter is polled.
    drop(held);
    let _permits = waiters.each_mut().map(Waiter::permit);
    let mut more = [Waiter::queued(&semaphore, 1), Waiter::queued(&semaphore, 1)];
    semaphore.add_permits(2);
    let _permits = more.each_mut().map(Waiter::permit);
}

/// A waker that is dropped calls the semaphore, and adds the permit that is waited for.
struct GivesAtItsEnd(Arc<Semaphore>);

impl Wake for GivesAtItsEnd {
    fn wake(self: Arc<Self>) {}
}

impl Drop for GivesAtItsEnd {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Broken by: `change_waker` dropping the old waker before REGISTERING is cleared.
#[test]
fn tokio_5429_a_waker_that_is_dropped_may_call_back_in() {
    let semaphore = Arc::new(Semaphore::new(0));
    let gives = || Waker::from(Arc::new(GivesAtItsEnd(Arc::clone(&semaphore))));
    // Replaced by another waker: its permit goes to this waiter.
    let mut waiter = Waiter { future: semaphore.acquire(), waker: Arc::default() };
    assert!(poll_with(Pin::new(&mut waiter.future), &gives()).is_pending());
    assert!(waiter.poll().is_pending() && waiter.is_woken());
    let permit = waiter.permit();
    // Cancelled: its permit goes to the next waiter.
    let mut cancelled = semaphore.acquire();
    assert!(poll_with(Pin::new(&mut cancelled), &gives()).is_pending());
    let mut next = Waiter::queued(&semaphore, 1);
    drop(cancelled);
    drop((next.permit(), permit));
    assert_eq!(semaphore.available_permits(), 2);
}

/// One thread releases while another waits and gives up at once, granted or not. In the end there is one
/// permit for each release.
fn release_against_a_fickle_waiter(rounds: usize) {
    let semaphore = Semaphore::new(0);
    let barrier = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                barrier.wait();
                semaphore.add_permits(1);
                barrier.wait();
            }
        });
        let mut wrong = 0;
        for _ in 0..rounds {
            let mut fickle = semaphore.acquire();
            barrier.wait();
            drop(poll_once(Pin::new(&mut fickle)));
            drop(fickle);
            barrier.wait();
            wrong += usize::from(semaphore.forget_permits(2) != 1);
        }
        assert_eq!(wrong, 0, "permits lost or made");
    });
}

/// Also kotlinx #1477: a grant during a cancellation has exactly one owner.
/// Broken by: `cancel` giving nothing back for a granted claim.
#[test]
fn kotlinx_2380_a_waiter_that_gives_up_just_as_it_succeeds_loses_no_permit() {
    release_against_a_fickle_waiter(5_000);
}

/// As many permits as threads: each finds one. Broken by: `try_acquire` giving up when its exchange
/// fails.
#[test]
fn kotlinx_3745_a_try_does_not_fail_while_a_permit_is_free() {
    let semaphore = Semaphore::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    drop(semaphore.try_acquire().unwrap());
                }
            });
        }
    });
    assert_eq!(semaphore.available_permits(), 3);
}

/// Broken by: `release` making a permit free that a waiter needs.
#[test]
fn async_lock_23_newcomers_that_come_all_the_time_do_not_starve_a_waiter() {
    let semaphore = Semaphore::new(1);
    let mut held = semaphore.try_acquire().unwrap();
    for _ in 0..100 {
        let mut waiter = Waiter::queued(&semaphore, 1);
        drop(held);
        assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
        assert!(poll_once(Pin::new(&mut semaphore.acquire())).is_pending());
        held = waiter.permit();
    }
}

/// Broken by: a cancelled request that stays in the queue and blocks the waiters behind it permanently.
#[test]
fn zio_11187_a_request_for_more_than_there_are_can_be_cancelled_and_wedges_nobody() {
    let semaphore = Semaphore::new(2);
    let impossible = Waiter::queued(&semaphore, 3);
    let mut behind = [Waiter::queued(&semaphore, 1), Waiter::queued(&semaphore, 1)];
    drop(impossible);
    drop(behind.each_mut().map(Waiter::permit));
    assert_eq!(semaphore.available_permits(), 2);
}

// ---- order ---------------------------------------------------------------------------------------

/// zio #11187, where the semaphore can know. Broken by: `begin_wait` not checking the bound.
#[test]
fn a_request_for_more_than_a_bounded_semaphore_has_is_refused_at_once_and_distinctly() {
    let semaphore = Semaphore::with_max_permits(2);
    let held = semaphore.try_acquire().unwrap();
    let refused = at_once(semaphore.acquire_many(3)).unwrap_err();
    assert!(refused.is_unsatisfiable() && !refused.is_closed());
    assert_eq!(semaphore.try_acquire_many(3).unwrap_err(), TryAcquireError::NoPermits);
    let mut fits = semaphore.acquire_many(2);
    assert!(poll_once(Pin::new(&mut fits)).is_pending());
    assert_eq!(semaphore.waiters(), 1);
    drop(held);
    assert!(poll_once(Pin::new(&mut fits)).is_ready());
    semaphore.add_permits(5);
    assert_eq!(semaphore.available_permits(), 2);
    semaphore.close();
    assert!(at_once(semaphore.acquire_many(3)).unwrap_err().is_closed());
}

/// Broken by: `try_acquire_all` taking from a closed semaphore, or nothing.
#[test]
fn all_free_permits_can_be_taken_together() {
    let semaphore = Arc::new(Semaphore::new(usize::MAX));
    let all = semaphore.try_acquire_all().unwrap();
    assert_eq!(all.num_permits(), Semaphore::MAX_PERMITS);
    let none = Arc::clone(&semaphore).try_acquire_all_owned();
    assert_eq!(none.unwrap_err(), TryAcquireError::NoPermits);
    drop(all);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    semaphore.close();
    assert_eq!(semaphore.try_acquire_all().unwrap_err(), TryAcquireError::Closed);
}

/// Broken by: `+` for the saturating sum in `Debt::add`.
#[test]
fn a_debt_saturates_and_is_paid_before_anybody_is_served() {
    let semaphore = Semaphore::new(1);
    let mut waiter = Waiter::queued(&semaphore, 2);
    for _ in 0..20 {
        assert_eq!(semaphore.reduce_permits(usize::MAX), 0);
    }
    let most = usize::try_from(i64::MAX).unwrap_or(usize::MAX);
    assert_eq!(semaphore.permits_owed(), most);
    semaphore.add_permits(Semaphore::MAX_PERMITS);
    assert!(!waiter.is_woken());
    assert!(waiter.poll().is_pending());
}

/// Broken by: `Acquiring::new` joining the line.
#[test]
fn the_place_in_line_is_taken_by_the_first_poll() {
    let semaphore = Semaphore::new(0);
    let unpolled = semaphore.acquire();
    let mut polled = Waiter::queued(&semaphore, 1);
    semaphore.add_permits(1);
    drop(polled.permit());
    drop(unpolled);
    assert_eq!(semaphore.available_permits(), 1);
}

/// Broken by: `try_acquire` not checking for zero before the permits.
#[test]
fn a_request_for_none_is_granted_at_once_even_while_others_wait() {
    let semaphore = Semaphore::new(0);
    let waiter = Waiter::queued(&semaphore, 1);
    assert_eq!(at_once(semaphore.acquire_many(0)).unwrap().num_permits(), 0);
    assert!(semaphore.try_acquire_many(0).is_ok());
    assert!(!waiter.is_woken());
    semaphore.close();
    assert!(at_once(semaphore.acquire_many(0)).is_err());
}

#[test]
fn a_future_that_has_completed_stays_pending() {
    let semaphore = Semaphore::new(1);
    let mut future = semaphore.acquire();
    assert!(poll_once(Pin::new(&mut future)).is_ready());
    assert!(poll_once(Pin::new(&mut future)).is_pending());
    drop(future);
    assert_eq!(semaphore.available_permits(), 1);
}

/// Broken by: `split` not taking from what is held.
#[test]
fn permits_can_be_split_and_merged_and_go_back_once() {
    let semaphore = Semaphore::new(5);
    let mut held = semaphore.try_acquire_many(5).unwrap();
    assert!(held.split(6).is_none());
    let two = held.split(2).unwrap();
    assert_eq!((held.num_permits(), two.num_permits()), (3, 2));
    drop(two);
    assert_eq!(semaphore.available_permits(), 2);
    held.merge(semaphore.try_acquire().unwrap());
    assert_eq!(held.num_permits(), 4);
    drop(held);
    assert_eq!(semaphore.available_permits(), 5);
}

#[test]
fn permits_of_different_semaphores_do_not_merge_and_are_not_lost() {
    let (ours, theirs) = (Semaphore::new(1), Semaphore::new(1));
    let mut held = ours.try_acquire().unwrap();
    let other = theirs.try_acquire().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| held.merge(other))).is_err());
    drop(held);
    assert_eq!((ours.available_permits(), theirs.available_permits()), (1, 1));
}

// ---- wakers that misbehave -----------------------------------------------------------------------

fn panicking_waker() -> Waker {
    Calls::waker(|| panic!("a waker panics"))
}

/// Broken by: `WakeRunner::run` without `catch_unwind`.
#[test]
fn a_waker_that_panics_loses_no_permit_and_the_others_are_still_woken() {
    let semaphore = Semaphore::new(0);
    let mut bad = semaphore.acquire();
    assert!(poll_with(Pin::new(&mut bad), &panicking_waker()).is_pending());
    let mut others = [Waiter::queued(&semaphore, 1), Waiter::queued(&semaphore, 1)];
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(4))).is_err());
    let permits = others.each_mut().map(Waiter::permit);
    assert!(poll_once(Pin::new(&mut bad)).is_ready());
    drop(permits);
    assert_eq!(semaphore.available_permits(), 4);
}

/// A panic's payload that panics itself when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the payload panics");
    }
}

/// Broken by: `WakeRunner::run` dropping the second payload.
#[test]
fn a_panic_whose_payload_panics_too_breaks_nothing() {
    let semaphore = Semaphore::new(0);
    let bomb = Calls::waker(|| std::panic::panic_any(Bomb));
    let mut line = [semaphore.acquire(), semaphore.acquire()];
    for waiting in &mut line {
        assert!(poll_with(Pin::new(waiting), &bomb).is_pending());
    }
    let mut last = Waiter::queued(&semaphore, 1);
    let panic = catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(3))).unwrap_err();
    assert!(panic.is::<Bomb>());
    std::mem::forget(panic);
    drop(last.permit());
    drop(line);
    assert_eq!(semaphore.available_permits(), 3);
    // No wake is left over: a permit released now goes to the right waiter.
    let mut waiter = Waiter::queued(&semaphore, 4);
    semaphore.add_permits(1);
    assert_eq!(waiter.permit().num_permits(), 4);
}

/// Panics when it is dropped.
struct PanicsAtItsEnd;

impl Wake for PanicsAtItsEnd {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        panic!("the waker panics as it goes");
    }
}

/// Polls in its drop, as a scope guard might, and keeps the permit.
struct PollsAtItsEnd<'a, 'k>(Acquire<'a>, &'k Mutex<Option<SemaphorePermit<'a>>>);

impl Drop for PollsAtItsEnd<'_, '_> {
    fn drop(&mut self) {
        let Poll::Ready(permit) = poll_once(Pin::new(&mut self.0)) else { return };
        *self.1.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = permit.ok();
    }
}

/// Broken by: `finish_poll` giving back although no panic is resumed (the thread unwinds already).
#[test]
fn a_permit_taken_while_unwinding_is_not_given_back_as_well() {
    let semaphore = Semaphore::new(0);
    let kept = Mutex::new(None);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let mut waiting = PollsAtItsEnd(semaphore.acquire(), &kept);
        let waker = Waker::from(Arc::new(PanicsAtItsEnd));
        assert!(poll_with(Pin::new(&mut waiting.0), &waker).is_pending());
        semaphore.add_permits(1);
        drop(waker);
        panic!("the task panics");
    }));
    assert!(unwound.is_err());
    let kept = kept.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert_eq!((kept.is_some(), semaphore.available_permits()), (true, 0));
    drop(kept);
    assert_eq!(semaphore.available_permits(), 1);
}

/// A task that its waker polls at once. It keeps its permit until it is dropped.
struct Inline {
    future: Mutex<Option<AcquireOwned>>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let Some(mut future) = self.future.lock().unwrap().take() else { return };
        let Poll::Ready(permit) = poll_once(Pin::new(&mut future)) else { panic!("not served") };
        *self.permit.lock().unwrap() = permit.ok();
    }
}

/// The dropped waker is the task's last owner, so dropping it returns the permit. Broken by:
/// `wake` leaving the node when its note is gone.
#[test]
fn kotlinx_80_a_long_chain_of_tasks_that_end_as_they_are_woken_needs_no_deep_stack() {
    const TASKS: usize = 20_000;
    let chain = || {
        let semaphore = Arc::new(Semaphore::new(0));
        for _ in 0..TASKS {
            let mut future = Arc::clone(&semaphore).acquire_owned();
            let task = Arc::new(Inline { future: Mutex::new(None), permit: Mutex::new(None) });
            let waker = Waker::from(Arc::clone(&task));
            assert!(poll_with(Pin::new(&mut future), &waker).is_pending());
            *task.future.lock().unwrap() = Some(future);
        }
        semaphore.add_permits(1);
        assert_eq!((semaphore.available_permits(), semaphore.waiters()), (1, 0));
    };
    std::thread::Builder::new().stack_size(128 << 10).spawn(chain).unwrap().join().unwrap();
}

/// Broken by: `+` for the saturating sum in `merge`, or in `assign_permits` for what a close gives back.
#[test]
fn more_permits_than_can_be_counted_saturate_when_they_are_merged_or_given_back_by_a_close() {
    let semaphore = Semaphore::new(0);
    semaphore.add_permits(usize::MAX);
    let mut permit = semaphore.try_acquire_all().unwrap();
    for _ in 0..9 {
        semaphore.add_permits(usize::MAX);
        permit.merge(semaphore.try_acquire_all().unwrap());
    }
    assert_eq!(permit.num_permits(), usize::MAX);
    drop(permit);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);

    let semaphore = Arc::new(Semaphore::new(0));
    let inside = Arc::clone(&semaphore);
    let adds = Calls::waker(move || (0..9).for_each(|_| inside.add_permits(usize::MAX)));
    let mut line = [semaphore.acquire(), semaphore.acquire(), semaphore.acquire()];
    for waiting in &mut line {
        assert!(poll_with(Pin::new(waiting), &adds).is_pending());
    }
    semaphore.close();
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
}

/// Broken by: as above.
#[test]
fn a_waker_that_panics_does_not_keep_a_close_from_the_others() {
    let semaphore = Semaphore::new(0);
    let mut bad = semaphore.acquire();
    assert!(poll_with(Pin::new(&mut bad), &panicking_waker()).is_pending());
    let mut other = Waiter::queued(&semaphore, 1);
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.close())).is_err());
    assert!(other.is_woken());
    assert!(matches!(other.poll(), Poll::Ready(Err(_))));
    assert!(matches!(poll_once(Pin::new(&mut bad)), Poll::Ready(Err(_))));
}

/// Broken by: `WakeRunner::finish` not checking whether the thread is unwinding (a panic in a drop
/// during a panic ends the process).
#[test]
fn a_permit_dropped_by_a_panic_may_meet_a_waker_that_panics() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let mut bad = semaphore.acquire();
    assert!(poll_with(Pin::new(&mut bad), &panicking_waker()).is_pending());
    let unwinding = catch_unwind(AssertUnwindSafe(|| {
        let _held = held;
        panic!("the holder panics");
    }));
    assert!(unwinding.is_err());
    assert!(poll_once(Pin::new(&mut bad)).is_ready());
    assert_eq!(semaphore.available_permits(), 1);
}

/// A semaphore that a waker can reach, and futures it can drop.
struct Reentry {
    semaphore: Arc<Semaphore>,
    victim: Mutex<Option<AcquireOwned>>,
}

impl Reentry {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self { semaphore: Arc::new(Semaphore::new(permits)), victim: Mutex::default() })
    }

    fn queued(&self, waker: &Waker) -> AcquireOwned {
        let mut future = Arc::clone(&self.semaphore).acquire_owned();
        assert!(poll_with(Pin::new(&mut future), waker).is_pending());
        future
    }
}

#[track_caller]
fn take_permit(future: &mut AcquireOwned) -> OwnedSemaphorePermit {
    let Poll::Ready(Ok(permit)) = poll_once(Pin::new(future)) else { panic!("no permit") };
    permit
}

/// Broken by: `assign_permits` waking with an invariant open (a front granted but `permits` not yet less).
#[test]
fn a_waker_may_give_a_permit_back_from_inside() {
    let scene = Reentry::new(1);
    let held = Mutex::new(Some(Arc::clone(&scene.semaphore).try_acquire_owned().unwrap()));
    let mut first = scene.queued(&Calls::waker(move || {
        let held = held.lock().unwrap().take();
        drop(held);
    }));
    let second = Wakes::new();
    let mut behind = scene.queued(&Waker::from(Arc::clone(&second)));
    scene.semaphore.add_permits(1);
    assert!(second.count() > 0);
    drop((take_permit(&mut first), take_permit(&mut behind)));
    assert_eq!(scene.semaphore.available_permits(), 2);
}

/// Runs with a stack for a thousand nested calls, each several frames deep.
fn with_a_deep_stack(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(body).unwrap();
    thread.join().unwrap();
}

/// A waker that does the same at each call, with at most a thousand nested calls.
fn each_time(act: impl Fn() + Send + Sync + 'static) -> Waker {
    let depth = AtomicUsize::new(0);
    Calls::waker(move || {
        let inside = depth.fetch_add(1, Ordering::SeqCst);
        assert!(inside < 1000, "woken again and again from inside");
        act();
        depth.fetch_sub(1, Ordering::SeqCst);
    })
}

/// As kotlinx #80, where wakes and releases called one another until the stack was full. Broken by:
/// every operation waking a granted front once more, however many are at it.
#[test]
fn a_waker_that_releases_each_time_it_is_woken_comes_to_an_end() {
    with_a_deep_stack(|| {
        let scene = Reentry::new(0);
        let inside = Arc::clone(&scene);
        let mut first = scene.queued(&each_time(move || inside.semaphore.add_permits(1)));
        scene.semaphore.add_permits(1);
        drop(take_permit(&mut first));
    });
}

/// What a waker gives to another semaphore is that one's, at once. Broken by: `defer_to_outer` taking
/// any line for its own.
#[test]
fn a_waker_may_give_a_permit_to_another_semaphore_from_inside() {
    let (one, other) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut behind = Waiter::queued(&other, 1);
    let inside = Arc::clone(&other);
    let gives = Calls::waker(move || inside.add_permits(1));
    let mut first = one.acquire();
    assert!(poll_with(Pin::new(&mut first), &gives).is_pending());
    one.add_permits(1);
    drop(behind.permit());
    assert!(poll_once(Pin::new(&mut first)).is_ready());
    assert_eq!((one.available_permits(), other.available_permits()), (1, 1));
}

/// kotlinx #80 for many: each waiter's waker gives a permit back, which grants the next. Broken by:
/// `assign_permits` serving the line from inside a wake instead of leaving it to the outer operation.
#[test]
fn kotlinx_80_a_long_chain_of_wakers_that_release_needs_no_deep_stack() {
    const WAITERS: usize = 20_000;
    let chain = || {
        let semaphore = Arc::new(Semaphore::new(0));
        let inside = Arc::clone(&semaphore);
        let waker = Calls::waker(move || inside.add_permits(1));
        let mut line: Vec<_> = (0..WAITERS).map(|_| semaphore.acquire()).collect();
        for waiting in &mut line {
            assert!(poll_with(Pin::new(waiting), &waker).is_pending());
        }
        semaphore.add_permits(1);
        for waiting in &mut line {
            let Poll::Ready(permit) = poll_once(Pin::new(waiting)) else { panic!("not served") };
            permit.unwrap().forget();
        }
        assert_eq!(semaphore.available_permits(), 1);
    };
    std::thread::Builder::new().stack_size(128 << 10).spawn(chain).unwrap().join().unwrap();
}

/// Broken by: as above.
#[test]
fn a_waker_that_closes_or_cancels_each_time_it_is_woken_comes_to_an_end() {
    with_a_deep_stack(|| {
        let scene = Reentry::new(0);
        let inside = Arc::clone(&scene);
        let mut first = scene.queued(&each_time(move || {
            let _cancelled = poll_once(Pin::new(&mut inside.semaphore.acquire()));
            inside.semaphore.close();
        }));
        scene.semaphore.add_permits(1);
        assert!(matches!(poll_once(Pin::new(&mut first)), Poll::Ready(Err(_))));
        assert_eq!(scene.semaphore.available_permits(), 1);
    });
}

/// Broken by: `assign_permits` waking a front before its grant is final.
#[test]
fn a_waker_may_try_to_acquire_from_inside_and_overtakes_nobody() {
    let scene = Reentry::new(0);
    let inside = Arc::clone(&scene);
    let mut first = scene.queued(&Calls::waker(move || {
        assert!(inside.semaphore.try_acquire().is_err(), "overtook the one behind");
    }));
    let mut behind = scene.queued(Waker::noop());
    scene.semaphore.add_permits(2);
    drop((take_permit(&mut first), take_permit(&mut behind)));
    assert_eq!(scene.semaphore.available_permits(), 2);
}

/// Broken by: `assign_permits` keeping the next front from before the wake.
#[test]
fn a_waker_may_drop_another_waiter_from_inside() {
    let scene = Reentry::new(0);
    let inside = Arc::clone(&scene);
    let mut first = scene.queued(&Calls::waker(move || {
        let victim = inside.victim.lock().unwrap().take();
        drop(victim);
    }));
    *scene.victim.lock().unwrap() = Some(scene.queued(Waker::noop()));
    let mut last = scene.queued(Waker::noop());
    scene.semaphore.add_permits(2);
    drop((take_permit(&mut first), take_permit(&mut last)));
    assert_eq!(scene.semaphore.available_permits(), 2);
}

/// As an executor does that polls inline. Broken by: `retire` not finding the front gone.
#[test]
fn a_waker_may_poll_and_release_its_own_permit_from_inside() {
    let scene = Reentry::new(0);
    let inside = Arc::clone(&scene);
    let own = scene.queued(&Calls::waker(move || {
        let own = inside.victim.lock().unwrap().take();
        drop(own.map(|mut own| take_permit(&mut own)));
    }));
    *scene.victim.lock().unwrap() = Some(own);
    let mut behind = scene.queued(Waker::noop());
    scene.semaphore.add_permits(1);
    drop(take_permit(&mut behind));
    assert_eq!(scene.semaphore.available_permits(), 1);
}

// ---- several threads -----------------------------------------------------------------------------

async fn worker(semaphore: Arc<Semaphore>, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..300 {
        let permits = u32::try_from(dice.below(4)).unwrap();
        let mut wait = semaphore.acquire_many(permits);
        if dice.below(3) == 0 {
            // Given up after one poll, granted or not.
            drop(poll_once(Pin::new(&mut wait)));
            continue;
        }
        let permit = wait.await.unwrap();
        tokio::task::yield_now().await;
        drop(permit);
    }
}

/// Broken by: `cancel` giving back `asked` for a queued claim.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn tasks_on_several_threads_that_come_and_go_lose_no_permit() {
    let semaphore = Arc::new(Semaphore::new(3));
    let workers: Vec<_> =
        (0..16).map(|seed| tokio::spawn(worker(Arc::clone(&semaphore), seed))).collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(semaphore.available_permits(), 3);
}

// ---- types --------------------------------------------------------------------------

fn is_shared<T: Send + Sync + Unpin>() {}
fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
fn is_send<T: Send>(_: T) {}

type AnyProvider = dyn Provider<Request = String, Event = char, Error = Refused>;

/// Broken by: any field that is not, such as an `Rc`. A failure is a compile error.
#[test]
fn all_public_types_can_be_sent_shared_and_moved() {
    is_shared::<(Semaphore, SemaphorePermit<'_>, OwnedSemaphorePermit)>();
    is_shared::<(Acquire<'_>, AcquireOwned, AcquireError, TryAcquireError)>();
    is_shared::<(SlidingWindow, Refused, Limit, RateLimitPolicy)>();
    is_shared::<(Limiter, LimiterBuilder, LimiterPermit<'_>, OwnedLimiterPermit)>();
    is_shared::<(ProviderPool<AnyProvider>, ManualClock, SystemClock, Timestamp)>();
    is_unwind_safe::<(Semaphore, SemaphorePermit<'_>, OwnedSemaphorePermit)>();
    is_unwind_safe::<(AcquireError, TryAcquireError, Refused, RateLimitPolicy)>();
}

/// A provider's streams are only `Send`, and so are the pool's. Broken by: a future that
/// keeps something that is not `Send` across an await.
#[test]
fn all_futures_and_streams_can_be_sent() {
    let window = SlidingWindow::new(Rate::new(1, std::time::Duration::ZERO));
    let limiter = Limiter::builder().build();
    is_send(window.acquire());
    is_send((limiter.acquire(), limiter.acquire_owned()));
    is_send(limiter.acquire_timeout(std::time::Duration::ZERO));
    is_send(None::<(PoolStream<char>, Sleep)>);
}

#[cfg(feature = "tokio")]
#[test]
fn the_tokio_clock_can_be_sent_shared_and_moved() {
    is_shared::<ringgate::time::TokioClock>();
}

#[cfg(feature = "quanta")]
#[test]
fn the_fast_clock_can_be_sent_shared_and_moved() {
    is_shared::<ringgate::time::FastClock>();
}

/// Broken by: one more field.
#[test]
fn a_semaphore_is_three_words_and_a_permit_two() {
    assert!(size_of::<Semaphore>() <= 24);
    assert_eq!(size_of::<SemaphorePermit<'_>>(), 2 * size_of::<usize>());
}

/// Broken by: a field left out of `Debug`.
#[test]
fn debug_output_shows_permits_and_closing() {
    let semaphore = Semaphore::new(2);
    let shown = format!("{semaphore:?}");
    assert!(shown.contains("available_permits: 2") && shown.contains("closed: false"), "{shown}");
}
