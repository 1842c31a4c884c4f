//! The semaphore with one stalled thread.

use super::harness::{Count, Scene, Waiter, at_every_step, every_pair, poll_once, scene};
use crate::tests::claims::{Claimed, OwnedClaim, claim_lapsed};
use crate::tests::pairs::{claims, semaphore as plain};
use crate::{AcquireOwned, OwnedSemaphorePermit, Semaphore};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Wake;

#[test]
fn freeze_every_operation_against_every_other() {
    every_pair("semaphore", plain::STARTS, plain::OPERATIONS);
}

#[test]
fn freeze_every_operation_against_every_other_with_claims() {
    every_pair("semaphore with claims", claims::STARTS, claims::OPERATIONS);
}

type Waiting = Waiter<AcquireOwned>;

fn waiting(semaphore: &Arc<Semaphore>, permits: u32) -> Waiting {
    Waiter::new(Arc::clone(semaphore).acquire_many_owned(permits))
}

#[track_caller]
fn served(waiters: impl IntoIterator<Item = Waiting>) -> Vec<OwnedSemaphorePermit> {
    waiters.into_iter().map(|waiter| waiter.ready().unwrap()).collect()
}

/// A scene on one semaphore, which has all its `permits` back at the end.
fn on_semaphore(
    semaphore: &Arc<Semaphore>,
    permits: usize,
    stops: impl FnOnce(&Arc<Semaphore>) + Send + 'static,
    others: impl FnOnce(&Arc<Semaphore>) + Send + 'static,
) -> Scene {
    let [first, second, third] = [(); 3].map(|()| Arc::clone(semaphore));
    scene(
        move || stops(&first),
        move || others(&second),
        move || {
            assert_eq!(third.available_permits(), permits, "permits lost or made");
            if !third.is_closed() {
                drop(third.try_acquire_many(u32::try_from(permits).unwrap()).unwrap());
            }
        },
    )
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits))
}

#[test]
fn freeze_try_acquire_and_release() {
    at_every_step("semaphore: try_acquire, release", || {
        let s = semaphore(2);
        let others = |s: &Arc<Semaphore>| drop(s.try_acquire().unwrap());
        on_semaphore(&s, 2, |s| drop(s.try_acquire()), others)
    });
}

#[test]
fn freeze_release_while_a_waiter_comes() {
    at_every_step("semaphore: release, with a newcomer", || {
        let s = semaphore(0);
        let others = |s: &Arc<Semaphore>| {
            let mut newcomer =
                Waiter { future: Box::pin(Arc::clone(s).acquire_owned()), wakes: Arc::default() };
            if newcomer.poll().is_pending() {
                s.add_permits(1);
                served([newcomer]);
            } else {
                s.add_permits(1);
            }
        };
        on_semaphore(&s, 2, |s| s.add_permits(1), others)
    });
}

/// The first waiter allocates the waitlist.
#[test]
fn freeze_the_first_waiter() {
    at_every_step("semaphore: first wait, cancel", || {
        let s = semaphore(0);
        let others = |s: &Arc<Semaphore>| {
            let line = [waiting(s, 1), waiting(s, 1)];
            s.add_permits(3);
            served(line);
        };
        on_semaphore(&s, 3, |s| drop(poll_once(s.acquire())), others)
    });
}

#[test]
fn freeze_a_waiter_that_joins_the_line() {
    at_every_step("semaphore: join, cancel", || {
        let s = semaphore(0);
        let head = waiting(&s, 1);
        let others = move |s: &Arc<Semaphore>| {
            let behind = waiting(s, 1);
            s.add_permits(3);
            served([head, behind]);
        };
        on_semaphore(&s, 3, |s| drop(poll_once(s.acquire())), others)
    });
}

#[test]
fn freeze_a_release_to_waiters() {
    at_every_step("semaphore: release to two waiters", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(2);
            served(line);
        };
        on_semaphore(&s, 4, |s| s.add_permits(2), others)
    });
}

/// A waker that adds permits to a semaphore.
struct Gives(Arc<Semaphore>, usize);

impl Wake for Gives {
    fn wake(self: Arc<Self>) {
        self.0.add_permits(self.1);
    }
}

/// The thread that finishes the stalled release is inside a wake of another semaphore.
#[test]
fn freeze_a_release_met_from_inside_a_wake() {
    at_every_step("semaphore: release, met from inside a wake", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            let other = semaphore(0);
            let mut asked = pin!(other.acquire());
            let gives = Waker::from(Arc::new(Gives(Arc::clone(s), 2)));
            assert!(asked.as_mut().poll(&mut Context::from_waker(&gives)).is_pending());
            other.add_permits(1);
            served(line);
        };
        on_semaphore(&s, 4, |s| s.add_permits(2), others)
    });
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("the waker panics");
    }
}

/// The newcomer finishes the stalled release. The other waiter's waker panics, and the newcomer gets that
/// panic. It leaves nothing behind.
#[test]
fn freeze_a_release_whose_waker_panics() {
    at_every_step("semaphore: release to a waker that panics", || {
        let s = semaphore(0);
        let mut front = Box::pin(Arc::clone(&s).acquire_owned());
        let panics = Waker::from(Arc::new(Panics));
        assert!(front.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
        let others = move |s: &Arc<Semaphore>| {
            let wakes = Arc::new(Count::default());
            let newcomer = Waiter { future: Box::pin(Arc::clone(s).acquire_owned()), wakes };
            let wakes = Arc::clone(&newcomer.wakes);
            let polled = catch_unwind(AssertUnwindSafe(move || {
                let mut newcomer = newcomer;
                drop(newcomer.poll());
            }));
            drop(polled);
            assert_eq!(Arc::strong_count(&wakes), 1, "its waker is still kept");
            drop(front);
        };
        let stops = |s: &Arc<Semaphore>| {
            let _ = catch_unwind(AssertUnwindSafe(|| s.add_permits(1)));
        };
        on_semaphore(&s, 1, stops, others)
    });
}

#[test]
fn freeze_a_release_in_part() {
    at_every_step("semaphore: release to a big head", || {
        let s = semaphore(0);
        let line = [waiting(&s, 3), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(4);
            served(line);
        };
        on_semaphore(&s, 6, |s| s.add_permits(2), others)
    });
}

#[test]
fn freeze_the_drop_of_a_big_head() {
    at_every_step("semaphore: cancel a part-paid head", || {
        let s = semaphore(1);
        let (head, behind) = (waiting(&s, 3), waiting(&s, 1));
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(3);
            served([behind]);
        };
        on_semaphore(&s, 4, move |_| drop(head), others)
    });
}

#[test]
fn freeze_a_drop_in_the_middle() {
    at_every_step("semaphore: cancel in the middle", || {
        let s = semaphore(0);
        let (first, middle, last) = (waiting(&s, 1), waiting(&s, 1), waiting(&s, 1));
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(3);
            served([first, last]);
        };
        on_semaphore(&s, 3, move |_| drop(middle), others)
    });
}

/// The front has been granted, and another waiter stands behind it.
fn with_a_granted_waiter(name: &str, stops: fn(Waiting)) {
    at_every_step(name, || {
        let s = semaphore(0);
        let (granted, behind) = (waiting(&s, 1), waiting(&s, 1));
        s.add_permits(1);
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(1);
            served([behind]);
        };
        on_semaphore(&s, 2, move |_| stops(granted), others)
    });
}

#[test]
fn freeze_a_drop_after_the_grant() {
    with_a_granted_waiter("semaphore: drop of a granted waiter", drop);
}

#[test]
fn freeze_a_waiter_that_takes_its_grant() {
    with_a_granted_waiter("semaphore: poll of a granted waiter, release", |granted| {
        drop(served([granted]));
    });
}

#[test]
fn freeze_a_change_of_waker() {
    at_every_step("semaphore: poll with another waker, cancel", || {
        let s = semaphore(0);
        let (mut head, behind) = (waiting(&s, 1), waiting(&s, 1));
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(2);
            served([behind]);
        };
        on_semaphore(&s, 2, move |_| drop(poll_once(head.future.as_mut())), others)
    });
}

#[test]
fn freeze_close() {
    at_every_step("semaphore: close", || {
        let s = semaphore(1);
        let line = [waiting(&s, 2), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.close();
            assert!(s.try_acquire().is_err());
            assert!(matches!(poll_once(s.acquire()), Poll::Ready(Err(_))));
            line.into_iter().for_each(|waiter| assert!(waiter.ready().is_err()));
        };
        on_semaphore(&s, 1, |s| s.close(), others)
    });
}

/// Any thread that finds the unfinished close finishes it. Here it is a release.
#[test]
fn freeze_close_against_release() {
    at_every_step("semaphore: close, met by a release", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(2);
            for waiter in line {
                drop(waiter.ready());
            }
        };
        on_semaphore(&s, 2, |s| s.close(), others)
    });
}

#[test]
fn freeze_a_sweep() {
    at_every_step("semaphore: cancel storm and sweep", || {
        const FICKLE: usize = 34;
        let s = semaphore(0);
        let first = waiting(&s, 1);
        let fickle: Vec<_> = (0..FICKLE).map(|_| waiting(&s, 1)).collect();
        let last = waiting(&s, 1);
        let others = move |s: &Arc<Semaphore>| {
            let newcomer = waiting(s, 1);
            s.add_permits(FICKLE + 3);
            served([first, last, newcomer]);
        };
        on_semaphore(&s, FICKLE + 3, move |_| drop(fickle), others)
    });
}

#[test]
fn freeze_forget() {
    at_every_step("semaphore: forget_permits", || {
        let s = semaphore(3);
        let others = |s: &Arc<Semaphore>| drop(s.try_acquire_many(2).unwrap());
        on_semaphore(&s, 2, |s| assert_eq!(s.forget_permits(1), 1), others)
    });
}

#[test]
fn freeze_reduce() {
    at_every_step("semaphore: reduce_permits below what is in use", || {
        let s = semaphore(1);
        let others = |s: &Arc<Semaphore>| {
            let waiter = waiting(s, 2);
            s.add_permits(3);
            drop(served([waiter]));
        };
        on_semaphore(&s, 2, |s| assert!(s.reduce_permits(2) <= 2), others)
    });
}

/// A stalled thread may have removed too few permits, never too many. What is released in addition stays.
#[test]
fn freeze_reduce_between_releases() {
    at_every_step("semaphore: a second reduce_permits, and a release", || {
        let s = semaphore(0);
        s.reduce_permits(1);
        s.add_permits(1);
        let others = |s: &Arc<Semaphore>| {
            s.add_permits(3);
            drop(s.try_acquire().unwrap());
        };
        let stops = |s: &Arc<Semaphore>| {
            s.add_permits(1);
            s.reduce_permits(2);
        };
        on_semaphore(&s, 2, stops, others)
    });
}

#[test]
fn freeze_those_who_count_the_line() {
    at_every_step("semaphore: waiters, position", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let own = Waiter::new(Arc::clone(&s).acquire_owned());
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(3);
            served(line);
        };
        let stops = move |s: &Arc<Semaphore>| {
            assert!(s.waiters() <= 3);
            assert!(own.future.position().is_none_or(|ahead| ahead <= 2));
        };
        on_semaphore(&s, 3, stops, others)
    });
}

#[test]
fn freeze_one_who_waits_for_the_close() {
    at_every_step("semaphore: wait for the close", || {
        let s = semaphore(1);
        let others = |s: &Arc<Semaphore>| {
            drop(s.try_acquire().unwrap());
            let watcher = Arc::clone(s);
            let watcher = Waiter::new(async move { watcher.closed().await });
            s.close();
            watcher.ready();
        };
        on_semaphore(
            &s,
            1,
            |s| assert!(poll_once(s.closed()).is_pending() || s.is_closed()),
            others,
        )
    });
}

// ---- claims --------------------------------------------------------------------------------------

type Claim = Waiter<OwnedClaim>;

fn claiming(semaphore: &Arc<Semaphore>) -> Claim {
    Waiter::new(OwnedClaim::new(Arc::clone(semaphore)))
}

/// A permit that was unclaimed at the look before.
fn lapsed(semaphore: &Arc<Semaphore>) -> Option<Claimed> {
    let mut seen = None;
    (0..2).find_map(|_| claim_lapsed(semaphore, &mut seen))
}

/// It was woken, and has a permit. If one that was silent has claimed that permit and given it on, it is free.
#[track_caller]
fn has_one(semaphore: &Arc<Semaphore>, claim: Claim) {
    if claim.ready().is_none() {
        drop(semaphore.try_acquire().expect("its permit is gone"));
    }
}

/// As [`on_semaphore`]; nothing is to be claimed at the end, and no node is kept.
fn on_claims(
    semaphore: &Arc<Semaphore>,
    permits: usize,
    stops: impl FnOnce(&Arc<Semaphore>) + Send + 'static,
    others: impl FnOnce(&Arc<Semaphore>) + Send + 'static,
) -> Scene {
    let last = Arc::clone(semaphore);
    let Scene { stops, others, after } = on_semaphore(semaphore, permits, stops, others);
    let after = move || {
        after();
        assert!(!last.has_unclaimed(), "a permit is still to be claimed");
        assert_eq!(last.nodes_in_use(), 0, "a node was not freed");
    };
    Scene { stops, others, after: Box::new(after) }
}

/// The stalled thread keeps one permit at most: the other one serves both, one after the other. Caught: a count that
/// comes after the grant.
#[test]
fn freeze_a_release_to_claims() {
    at_every_step("semaphore: release to claims", || {
        let s = semaphore(0);
        let [first, second] = [claiming(&s), claiming(&s)];
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(1);
            drop(first.ready().expect("its permit is gone"));
            drop(second.ready().expect("its permit is gone"));
        };
        on_claims(&s, 2, |s| s.add_permits(1), others)
    });
}

/// What the stalled thread has counted is there for others, granted or not.
#[test]
fn freeze_a_release_to_a_claim_whose_permit_lapses() {
    at_every_step("semaphore: release to a claim, two looks", || {
        let s = semaphore(0);
        let silent = claiming(&s);
        let others = move |s: &Arc<Semaphore>| {
            let is_counted = s.has_unclaimed();
            let lapsed = lapsed(s);
            assert_eq!(lapsed.is_some(), is_counted, "it is kept");
            let newcomer = claiming(s);
            s.add_permits(1);
            // The silent one is first, if it was not granted.
            drop(silent);
            has_one(s, newcomer);
            drop(lapsed);
        };
        on_claims(&s, 2, |s| s.add_permits(1), others)
    });
}

/// The owner of a granted claim stops. Another one behind it is served by one permit, and whoever looks has the
/// stalled one's, until that one has claimed it.
fn with_a_granted_claim(name: &str, stops: fn(Claim)) {
    at_every_step(name, || {
        let s = semaphore(0);
        let [granted, behind] = [claiming(&s), claiming(&s)];
        s.add_permits(1);
        let others = move |s: &Arc<Semaphore>| {
            let is_counted = s.has_unclaimed();
            let lapsed = lapsed(s);
            assert_eq!(lapsed.is_some(), is_counted, "it is kept");
            let newcomer = claiming(s);
            s.add_permits(1);
            has_one(s, behind);
            has_one(s, newcomer);
            drop(lapsed);
        };
        on_claims(&s, 2, move |_| stops(granted), others)
    });
}

#[test]
fn freeze_the_poll_of_a_granted_claim() {
    with_a_granted_claim("semaphore: poll of a granted claim", |granted| drop(granted.ready()));
}

#[test]
fn freeze_the_drop_of_a_granted_claim() {
    with_a_granted_claim("semaphore: drop of a granted claim", drop);
}

#[test]
fn freeze_the_drop_of_a_waiting_claim() {
    at_every_step("semaphore: drop of a waiting claim", || {
        let s = semaphore(0);
        let [first, second, third] = [claiming(&s), claiming(&s), claiming(&s)];
        let others = move |s: &Arc<Semaphore>| {
            // One of them may go to the stalled one before that is gone.
            s.add_permits(2);
            drop(second.ready().expect("its permit is gone"));
            drop(third.ready().expect("its permit is gone"));
        };
        on_claims(&s, 2, move |_| drop(first), others)
    });
}

/// The looker stops, perhaps with the permit. The silent one has it otherwise.
#[test]
fn freeze_a_look_for_a_lapsed_permit() {
    at_every_step("semaphore: look for a lapsed permit", || {
        let s = semaphore(0);
        let [silent, behind] = [claiming(&s), claiming(&s)];
        s.add_permits(1);
        let mut seen = None;
        assert!(claim_lapsed(&s, &mut seen).is_none());
        let others = move |s: &Arc<Semaphore>| {
            drop(silent.ready());
            s.add_permits(1);
            has_one(s, behind);
        };
        let stops = move |s: &Arc<Semaphore>| drop(claim_lapsed(s, &mut seen));
        on_claims(&s, 2, stops, others)
    });
}
