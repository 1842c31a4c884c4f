//! Faults that reviewers found in the semaphore, each as the test that failed.

use crate::common::{Calls, Wakes, at_once, poll_once, poll_with};
use ringgate::{Acquire, Semaphore, SemaphorePermit};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

fn in_line<'a>(
    semaphore: &'a Semaphore,
    permits: u32,
    wakes: &Arc<Wakes>,
) -> Pin<Box<Acquire<'a>>> {
    let mut waiting = Box::pin(semaphore.acquire_many(permits));
    let waker = Waker::from(Arc::clone(wakes));
    assert!(poll_with(waiting.as_mut(), &waker).is_pending());
    waiting
}

/// Each waiter was woken twice: the close met it again at the front. Broken by: `end_visit` takes no waker.
#[test]
fn a_close_wakes_each_waiter_once() {
    let semaphore = Semaphore::new(0);
    let wakes = Wakes::new();
    let _line: Vec<_> = (0..100).map(|_| in_line(&semaphore, 1, &wakes)).collect();
    semaphore.close();
    assert_eq!(wakes.count(), 100);
    assert_eq!(Arc::strong_count(&wakes), 1, "wakers are kept");
}

/// The waker stayed until its future was polled or dropped. Broken by: `end_visit` takes no waker.
#[test]
fn a_waker_that_holds_a_permit_goes_when_it_has_been_woken() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = Arc::clone(&semaphore).try_acquire_owned().unwrap();
    let waker = Calls::waker(move || assert_eq!(held.num_permits(), 1));
    let mut waiting = Box::pin(semaphore.acquire());
    assert!(poll_with(waiting.as_mut(), &waker).is_pending());
    drop(waker);
    assert_eq!(semaphore.available_permits(), 0);
    semaphore.close();
    assert_eq!(semaphore.available_permits(), 1, "the waker is kept, and with it the permit");
    assert!(poll_once(waiting.as_mut()).is_ready());
}

/// The same for a grant: the woken task is not kept alive until the next poll.
#[test]
fn the_waker_of_a_granted_waiter_is_not_kept() {
    let semaphore = Semaphore::new(0);
    let wakes = Wakes::new();
    let waiting = in_line(&semaphore, 2, &wakes);
    semaphore.add_permits(1);
    assert_eq!((wakes.count(), Arc::strong_count(&wakes)), (0, 2));
    semaphore.add_permits(1);
    assert_eq!((wakes.count(), Arc::strong_count(&wakes)), (1, 1));
    drop(waiting);
    assert_eq!(semaphore.available_permits(), 2);
}

/// Ten held the two permits of a bounded semaphore. Broken by: `add` without the bound.
#[test]
fn a_bounded_semaphore_never_has_more_in_use_than_its_bound() {
    let semaphore = Semaphore::with_max_permits(2);
    let wakes = Wakes::new();
    let held: Vec<_> = (0..2).map(|_| semaphore.try_acquire().unwrap()).collect();
    let mut line: Vec<_> = (0..10).map(|_| in_line(&semaphore, 1, &wakes)).collect();
    semaphore.add_permits(100);
    assert_eq!(wakes.count(), 0);
    let [first, second]: [SemaphorePermit<'_>; 2] = held.try_into().unwrap();
    first.forget();
    semaphore.add_permits(100);
    assert_eq!(wakes.count(), 1, "one was missing");
    drop(second);
    let served = line.iter_mut().filter_map(|waiting| match poll_once(waiting.as_mut()) {
        std::task::Poll::Ready(permit) => permit.ok(),
        std::task::Poll::Pending => None,
    });
    assert_eq!(served.collect::<Vec<_>>().len(), 2);
}

/// A request for four blocked all later ones permanently. Broken by: no check of the bound in
/// `assign_permits`; none in `reduce`; none after a grant.
#[test]
fn a_request_that_can_never_be_met_any_more_is_refused_and_wedges_nobody() {
    for ahead in [false, true] {
        let semaphore = Semaphore::with_max_permits(4);
        let (wakes, told) = (Wakes::new(), Wakes::new());
        let held = semaphore.try_acquire_many(3).unwrap();
        let first = ahead.then(|| in_line(&semaphore, 2, &wakes));
        let big = in_line(&semaphore, 4, &told);
        let small = in_line(&semaphore, 1, &wakes);
        assert_eq!(semaphore.reduce_permits(2), 0);
        assert_eq!(told.count(), usize::from(!ahead), "told as soon as it is the front");
        drop(held);
        assert_eq!(told.count(), 1);
        let refused = at_once(big);
        assert!(refused.unwrap_err().is_unsatisfiable());
        drop(first.map(|first| at_once(first).unwrap()));
        drop(at_once(small).unwrap());
        assert_eq!((semaphore.available_permits(), semaphore.permits_owed()), (2, 0));
    }
}
