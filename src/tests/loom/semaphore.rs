//! The semaphore under loom: every interleaving of small scenes, up to a preemption bound.
//!
//! Each scene ends by counting the permits: none is lost, none is made. A lost wakeup shows as a deadlock.
//! A torn waker shows as a causality violation. A node that is freed twice or kept shows as a wrong count
//! or a leak. Each test names a change of the code that makes it fail.

use crate::error::TryAcquireError;
use crate::sync::{model, thread};
use crate::tests::loom::bound;
use crate::{AcquireOwned, Semaphore};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use loom::future::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

/// A waker that calls a closure.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync + 'static> Calls<F> {
    fn waker(call: F) -> Waker {
        Waker::from(Arc::new(Self(call)))
    }
}

impl<F: Fn() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        (self.0)();
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits))
}

/// Polls once, with a waker that does nothing.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn spawn(
    semaphore: &Arc<Semaphore>,
    body: impl FnOnce(&Semaphore) + 'static,
) -> thread::JoinHandle<()> {
    let semaphore = Arc::clone(semaphore);
    thread::spawn(move || body(&semaphore))
}

fn acquire_and_drop(semaphore: &Semaphore) {
    drop(block_on(semaphore.acquire()).unwrap());
}

fn assert_all_free(semaphore: &Semaphore, permits: usize) {
    assert_eq!(semaphore.available_permits(), permits);
    assert!(semaphore.try_acquire_many(u32::try_from(permits).unwrap()).is_ok());
    assert_eq!(semaphore.nodes_in_use(), 0, "a node was not freed");
}

/// Caught: `assign_permits` grants without waking (no `wake_if_responsible`).
#[test]
fn model_acquire_against_release() {
    model(3, || {
        let semaphore = semaphore(0);
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        acquire_and_drop(&semaphore);
        releaser.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `retire` reads the successor without marking first.
#[test]
fn model_two_acquirers_of_one_permit() {
    model(3, || {
        let semaphore = semaphore(1);
        let other = spawn(&semaphore, acquire_and_drop);
        acquire_and_drop(&semaphore);
        other.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `enqueue` takes the hint's node without checking its mark.
#[test]
fn model_join_behind_a_front_against_release() {
    model(bound(2, 3), || {
        let semaphore = semaphore(0);
        let mut front = semaphore.acquire();
        assert!(poll_once(&mut front).is_pending());
        let behind = spawn(&semaphore, acquire_and_drop);
        semaphore.add_permits(2);
        behind.join().unwrap();
        assert!(poll_once(&mut front).is_ready());
        assert_all_free(&semaphore, 2);
    });
}

/// The hint still names a node that is now prepared for another waiter, which does not queue in the end.
/// Caught: `enqueue` takes the hint's node without checking its generation.
#[test]
fn model_join_behind_a_node_of_another_life() {
    // It tries every stale hint: with a second permit it takes minutes.
    model(1, || {
        let semaphore = semaphore(0);
        let mut first = semaphore.acquire();
        let mut second = semaphore.acquire();
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut second).is_pending());
        semaphore.add_permits(2);
        // Recycled so that the first newcomer gets the node that the hint does not name.
        for waiter in [&mut second, &mut first] {
            let Poll::Ready(permit) = poll_once(waiter) else { panic!("not served") };
            permit.unwrap().forget();
        }

        let mut last = Arc::clone(&semaphore).acquire_owned();
        let there = Arc::clone(&semaphore);
        let other = thread::spawn(move || {
            let at_once = poll_once(&mut last).is_ready();
            there.add_permits(1);
            (at_once, last)
        });
        let mut front = semaphore.acquire();
        let front_has = poll_once(&mut front);
        let mut behind = semaphore.acquire();
        let behind_has = poll_once(&mut behind);
        let (at_once, mut last) = other.join().unwrap();
        drop((front_has, behind_has, front, behind));
        assert!(at_once || poll_once(&mut last).is_ready());
        drop(last);
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `cancel` gives nothing back for a granted claim (`back = 0`).
#[test]
fn model_drop_against_release() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut waiting = semaphore.acquire();
        assert!(poll_once(&mut waiting).is_pending());
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        drop(waiting);
        releaser.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `cancel` keeps what the head has collected (no `assign_permits`).
#[test]
fn model_drop_of_a_big_head_against_a_small_waiter() {
    model(bound(2, 3), || {
        let semaphore = semaphore(1);
        let owner = Arc::clone(&semaphore);
        let mut big = owner.acquire_many_owned(2);
        assert!(poll_once(&mut big).is_pending());
        let dropper = thread::spawn(move || drop(big));
        acquire_and_drop(&semaphore);
        dropper.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `complete_cancelled` does not read the need again when it has changed.
#[test]
fn model_drop_of_a_big_head_against_release_and_a_small_waiter() {
    model(bound(1, 2), || {
        let semaphore = semaphore(1);
        let mut big = Arc::clone(&semaphore).acquire_many_owned(3);
        let mut small = semaphore.acquire();
        assert!(poll_once(&mut big).is_pending());
        assert!(poll_once(&mut small).is_pending());
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        drop(big);
        drop(block_on(small).unwrap());
        releaser.join().unwrap();
        assert_all_free(&semaphore, 2);
    });
}

/// Caught: `change_waker` returns the word it read before the change.
#[test]
fn model_repoll_with_another_waker_against_grant() {
    model(3, || {
        let semaphore = semaphore(0);
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        let mut waiting = semaphore.acquire();
        let permit = block_on(poll_fn(|cx| match poll_once(&mut waiting) {
            Poll::Pending => pin!(&mut waiting).poll(cx),
            ready => ready,
        }));
        drop(permit.unwrap());
        releaser.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `completed` counts a visitor while the owner is REGISTERING.
#[test]
fn model_repoll_with_another_waker_against_close() {
    model(3, || {
        let semaphore = semaphore(0);
        let closer = spawn(&semaphore, Semaphore::close);
        let mut waiting = semaphore.acquire();
        let refused = block_on(poll_fn(|cx| match poll_once(&mut waiting) {
            Poll::Pending => pin!(&mut waiting).poll(cx),
            ready => ready,
        }));
        assert!(refused.is_err());
        closer.join().unwrap();
        assert_all_gone(&semaphore, 0);
    });
}

/// It is closed, no node is in use, and `permits` permits are free.
fn assert_all_gone(semaphore: &Semaphore, permits: usize) {
    assert!(semaphore.is_closed());
    assert_eq!(semaphore.available_permits(), permits);
    assert_eq!(semaphore.nodes_in_use(), 0, "a node was not freed");
}

/// Caught: `acquire_or_enqueue` ignores CLOSED.
#[test]
fn model_close_against_acquire() {
    model(3, || {
        let semaphore = semaphore(0);
        let closer = spawn(&semaphore, Semaphore::close);
        assert!(block_on(semaphore.acquire()).is_err());
        closer.join().unwrap();
        assert_all_gone(&semaphore, 0);
    });
}

/// Caught: `refuse_front` keeps what the front has collected.
#[test]
fn model_close_against_a_part_paid_waiter_and_release() {
    model(2, || {
        let semaphore = semaphore(1);
        let mut both = semaphore.acquire_many(2);
        assert!(poll_once(&mut both).is_pending());
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        semaphore.close();
        assert!(block_on(both).is_err());
        releaser.join().unwrap();
        assert_all_gone(&semaphore, 2);
    });
}

/// Caught: `close` completes only the front.
#[test]
fn model_close_against_drop_with_two_in_line() {
    model(bound(1, 2), || {
        let semaphore = semaphore(0);
        let mut first = Arc::clone(&semaphore).acquire_owned();
        let mut second = semaphore.acquire();
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut second).is_pending());
        let closer = spawn(&semaphore, Semaphore::close);
        drop(first);
        assert!(block_on(second).is_err());
        closer.join().unwrap();
        assert_all_gone(&semaphore, 0);
    });
}

/// Caught: `State::permits` is not zero with QUEUE set.
#[test]
fn model_try_acquire_against_enqueue() {
    model(2, || {
        let semaphore = semaphore(0);
        // So that no word is zero.
        drop(poll_once(&mut semaphore.acquire()));
        let acquirer = spawn(&semaphore, acquire_and_drop);
        let tryer = spawn(&semaphore, |s| drop(s.try_acquire()));
        semaphore.add_permits(1);
        acquirer.join().unwrap();
        tryer.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// A helper still reads an earlier life of a node that is recycled several times. Caught: `release_node`
/// does not raise the generation; `release_node` ignores visitors.
#[test]
fn model_reclamation() {
    model(2, || {
        let semaphore = semaphore(0);
        let mut waiting = semaphore.acquire();
        assert!(poll_once(&mut waiting).is_pending());
        // It reads the first life, and may stall there.
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        drop(waiting);
        // The same node is the front again.
        let mut again = semaphore.acquire_many(2);
        assert!(poll_once(&mut again).is_pending());
        drop(again);
        releaser.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Two releasers serve the same front. Caught: `assign_permits` loses what is left after a grant.
#[test]
fn model_two_releases_against_two_waiters() {
    model(2, || {
        let semaphore = semaphore(0);
        let woken = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let mut line: Vec<_> = (0..2)
            .map(|i| {
                let woken = Arc::clone(&woken);
                let waker = Calls::waker(move || {
                    woken[i].fetch_add(1, Relaxed);
                });
                let mut waiting = semaphore.acquire();
                let mut cx = Context::from_waker(&waker);
                assert!(pin!(&mut waiting).poll(&mut cx).is_pending());
                waiting
            })
            .collect();
        let other = spawn(&semaphore, |s| s.add_permits(1));
        semaphore.add_permits(1);
        other.join().unwrap();
        assert!(woken.iter().all(|count| count.load(Relaxed) > 0), "not woken");
        assert!(line.iter_mut().all(|waiting| poll_once(waiting).is_ready()));
        drop(line);
        assert_all_free(&semaphore, 2);
    });
}

/// Caught: `end_visit` does not free the node of an owner that has left.
#[test]
fn model_drop_against_two_releases() {
    model(2, || {
        let semaphore = semaphore(0);
        let mut waiting = semaphore.acquire();
        assert!(poll_once(&mut waiting).is_pending());
        let one = spawn(&semaphore, |s| s.add_permits(1));
        let two = spawn(&semaphore, |s| s.add_permits(1));
        drop(waiting);
        one.join().unwrap();
        two.join().unwrap();
        assert_all_free(&semaphore, 2);
    });
}

/// Both are the first waiter. Caught: `waitlist_or_new` keeps both waitlists.
#[test]
fn model_two_first_waiters() {
    model(2, || {
        let semaphore = semaphore(0);
        let other = spawn(&semaphore, |s| drop(poll_once(&mut s.acquire())));
        let mut waiting = semaphore.acquire();
        assert!(poll_once(&mut waiting).is_pending());
        other.join().unwrap();
        semaphore.add_permits(1);
        assert!(poll_once(&mut waiting).is_ready());
        assert_all_free(&semaphore, 1);
    });
}

/// A sweep in the middle runs while a newcomer joins at the end. Caught: `unlink_after` does not mark.
#[test]
fn model_sweep_against_enqueue() {
    model(2, || {
        let semaphore = semaphore(0);
        let mut patient = semaphore.acquire();
        let mut fickle = Arc::clone(&semaphore).acquire_owned();
        assert!(poll_once(&mut patient).is_pending());
        assert!(poll_once(&mut fickle).is_pending());
        let dropper = thread::spawn(move || drop(fickle));
        let mut late = semaphore.acquire();
        assert!(poll_once(&mut late).is_pending());
        dropper.join().unwrap();
        semaphore.add_permits(2);
        assert!(poll_once(&mut patient).is_ready());
        assert!(poll_once(&mut late).is_ready());
        assert_all_free(&semaphore, 2);
    });
}

/// Two neighbours cancel at once. Caught: `unlink_after` frees a node that it did not unlink.
#[test]
fn model_two_sweeps() {
    model(2, || {
        let semaphore = semaphore(0);
        let mut patient = semaphore.acquire();
        let mut one = Arc::clone(&semaphore).acquire_owned();
        let mut two = Arc::clone(&semaphore).acquire_owned();
        assert!(poll_once(&mut patient).is_pending());
        assert!(poll_once(&mut one).is_pending());
        assert!(poll_once(&mut two).is_pending());
        let dropper = thread::spawn(move || drop(one));
        drop(two);
        dropper.join().unwrap();
        semaphore.add_permits(1);
        assert!(poll_once(&mut patient).is_ready());
        assert_all_free(&semaphore, 1);
    });
}

/// One thread retires the front while another sweeps its successor. Caught: `mark_front` does not mark.
#[test]
fn model_sweep_against_release() {
    model(2, || {
        let semaphore = semaphore(0);
        let mut front = semaphore.acquire();
        let mut fickle = Arc::clone(&semaphore).acquire_owned();
        let mut last = semaphore.acquire();
        assert!(poll_once(&mut front).is_pending());
        assert!(poll_once(&mut fickle).is_pending());
        assert!(poll_once(&mut last).is_pending());
        let dropper = thread::spawn(move || drop(fickle));
        semaphore.add_permits(1);
        dropper.join().unwrap();
        assert!(poll_once(&mut front).is_ready());
        semaphore.add_permits(1);
        assert!(poll_once(&mut last).is_ready());
        drop((front, last));
        assert_all_free(&semaphore, 2);
    });
}

/// Caught: `forget` stores instead of comparing.
#[test]
fn model_forget_against_release_and_acquire() {
    model(3, || {
        let semaphore = semaphore(1);
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        let forgotten = semaphore.forget_permits(1);
        acquire_and_drop(&semaphore);
        releaser.join().unwrap();
        assert_all_free(&semaphore, 2 - forgotten);
    });
}

/// Caught: `reduce` sets DEBT before it adds the debt; `reduce` does not claim permits that were released
/// meanwhile.
#[test]
fn model_reduce_against_release() {
    model(3, || {
        let semaphore = semaphore(0);
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        semaphore.reduce_permits(1);
        releaser.join().unwrap();
        assert_eq!((semaphore.available_permits(), semaphore.permits_owed()), (0, 0));
        semaphore.add_permits(1);
        assert_all_free(&semaphore, 1);
    });
}

/// The second debt changes no bit of the state. Caught: `make_free` without
/// `take_back_for_debt`.
#[test]
fn model_a_second_reduce_against_release() {
    model(3, || {
        let semaphore = semaphore(0);
        semaphore.reduce_permits(1);
        semaphore.add_permits(1);
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        semaphore.reduce_permits(1);
        releaser.join().unwrap();
        assert_eq!((semaphore.available_permits(), semaphore.permits_owed()), (0, 0));
    });
}

/// There is one permit, and it is never two. Caught: a release that pays a late debt before it has taken its permit
/// back. (Shuttle found that one.)
#[test]
fn model_a_debt_that_is_paid_late_lets_no_second_permit_out() {
    model(3, || {
        let semaphore = semaphore(1);
        let held = semaphore.try_acquire().unwrap();
        // From here on DEBT is set.
        semaphore.reduce_permits(1);
        semaphore.add_permits(1);
        let reducer = spawn(&semaphore, |s| {
            s.reduce_permits(1);
            let early = s.try_acquire();
            s.add_permits(1);
            let late = s.try_acquire();
            assert!(early.is_err() || late.is_err(), "two permits of one");
        });
        drop(held);
        reducer.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `is_plain` checks only QUEUE in `release`.
#[test]
fn model_reduce_against_release_to_a_waiter() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut waiting = semaphore.acquire();
        assert!(poll_once(&mut waiting).is_pending());
        let releaser = spawn(&semaphore, |s| s.add_permits(2));
        semaphore.reduce_permits(1);
        releaser.join().unwrap();
        assert!(poll_once(&mut waiting).is_ready());
        assert_eq!((semaphore.available_permits() + semaphore.permits_owed()), 1);
        drop(waiting);
    });
}

/// A walk may stand on a node that has left. It must not follow the free list from there. Caught: `walk`
/// checks the node it stands on instead of the anchor.
#[test]
fn model_counting_against_those_who_are_served() {
    model(3, || {
        let semaphore = semaphore(0);
        // Four nodes, of which two are free again.
        let mut line: Vec<_> = (0..4).map(|_| Arc::clone(&semaphore).acquire_owned()).collect();
        assert!(line.iter_mut().all(|waiting| poll_once(waiting).is_pending()));
        line.truncate(2);
        let counter = spawn(&semaphore, |s| {
            let waiters = s.waiters();
            assert!(waiters <= 2, "{waiters}");
        });
        semaphore.add_permits(1);
        semaphore.add_permits(1);
        // The second waiter's node is free before the first waiter leaves.
        assert!(poll_once(&mut line[1]).is_ready());
        counter.join().unwrap();
        drop(line);
        assert_all_free(&semaphore, 2);
    });
}

/// Which thread acts next. Relaxed: it orders the threads for loom, but publishes nothing that they did.
#[derive(Clone, Default)]
struct Turn(Arc<loom::sync::atomic::AtomicUsize>);

impl Turn {
    /// Passes the turn on and returns whose turn it was. Even a look is an exchange, so it is never out of
    /// date.
    fn pass(&self, turns: usize) -> usize {
        self.0.fetch_add(turns, Relaxed)
    }

    /// Acts on another thread if that thread runs in this turn, otherwise gives the act back.
    fn act<R: 'static, F: FnOnce(&Arc<Semaphore>) -> R + 'static>(
        &self,
        turn: usize,
        semaphore: &Arc<Semaphore>,
        act: F,
    ) -> thread::JoinHandle<Result<R, F>> {
        let (this, semaphore) = (self.clone(), Arc::clone(semaphore));
        thread::spawn(move || {
            if this.pass(0) != turn {
                return Err(act);
            }
            let acted = act(&semaphore);
            this.pass(1);
            Ok(acted)
        })
    }
}

fn in_line<const N: usize>(semaphore: &Arc<Semaphore>) -> [AcquireOwned; N] {
    let mut line = [(); N].map(|()| Arc::clone(semaphore).acquire_owned());
    assert!(line.iter_mut().all(|waiting| poll_once(waiting).is_pending()));
    line
}

/// Cancels and joins again: the same node in its next life.
fn leaves_and_comes_again(semaphore: &Arc<Semaphore>, waiting: AcquireOwned) -> AcquireOwned {
    drop(waiting);
    let [again] = in_line(semaphore);
    again
}

/// A sweep may find a node behind a cancelled one whose new life it has not seen. Caught: `try_mark` reads
/// the successor of a cancelled node with Relaxed.
#[test]
fn model_sweep_after_one_who_leaves_and_comes_again() {
    model(1, || {
        let (semaphore, turn) = (semaphore(0), Turn::default());
        let [mut front, fickle, last] = in_line(&semaphore);
        let other = turn.act(0, &semaphore, move |there| leaves_and_comes_again(there, last));
        let sweeper = turn.act(1, &semaphore, |_| drop(fickle));
        let (other, sweeper) = (other.join().unwrap(), sweeper.join().unwrap());
        let (Ok(mut again), Ok(())) = (other, sweeper) else { return };
        semaphore.add_permits(2);
        assert!(poll_once(&mut front).is_ready());
        assert!(poll_once(&mut again).is_ready());
        drop((front, again));
        assert_all_free(&semaphore, 2);
    });
}

/// A thread promotes the second node. It knows that node's life only by the link, which a sweep has made.
/// Caught: `unlink_after` links without Release.
#[test]
fn model_release_after_a_sweep_up_to_one_who_came_again() {
    model(1, || {
        let (semaphore, turn) = (semaphore(0), Turn::default());
        let [mut front, fickle, last] = in_line(&semaphore);
        let other = turn.act(0, &semaphore, move |there| leaves_and_comes_again(there, last));
        let sweeper = turn.act(1, &semaphore, |_| drop(fickle));
        let releaser = turn.act(2, &semaphore, move |there| there.add_permits(1));
        let (other, sweeper) = (other.join().unwrap(), sweeper.join().unwrap());
        let (Ok(mut again), Ok(()), Ok(())) = (other, sweeper, releaser.join().unwrap()) else {
            return;
        };
        assert!(poll_once(&mut front).is_ready());
        semaphore.add_permits(1);
        assert!(poll_once(&mut again).is_ready());
        drop((front, again));
        assert_all_free(&semaphore, 2);
    });
}

/// A thread finds the front marked by another thread. It knows the second node's life only by the link.
/// Caught: `mark_front` reads the link with Relaxed.
#[test]
fn model_two_releases_after_one_who_leaves_and_comes_again() {
    model(1, || {
        let (semaphore, turn) = (semaphore(0), Turn::default());
        let [mut front, fickle] = in_line(&semaphore);
        let other = turn.act(0, &semaphore, move |there| leaves_and_comes_again(there, fickle));
        let inside = turn.clone();
        let releaser = turn.act(1, &semaphore, move |there| {
            inside.pass(1);
            there.add_permits(1);
        });
        let second = turn.act(2, &semaphore, move |there| there.add_permits(1));
        let (other, releaser) = (other.join().unwrap(), releaser.join().unwrap());
        let (Ok(mut again), Ok(()), Ok(())) = (other, releaser, second.join().unwrap()) else {
            return;
        };
        assert!(poll_once(&mut front).is_ready());
        assert!(poll_once(&mut again).is_ready());
        drop((front, again));
        assert_all_free(&semaphore, 2);
    });
}

/// The second node has moved to the end of the queue. An old link to it must not lead a walk there, past
/// the nodes in between. Caught: `generation` reads, or `bump_generation` and `alloc` write, with Relaxed.
#[test]
fn model_counting_after_one_who_leaves_and_comes_again() {
    model(0, || {
        let (semaphore, turn) = (semaphore(0), Turn::default());
        let [front, fickle, third, fourth] = in_line(&semaphore);
        let other = turn.act(0, &semaphore, move |there| leaves_and_comes_again(there, fickle));
        let counter = turn.act(1, &semaphore, move |there| there.waiters());
        let (again, waiters) = (other.join().unwrap(), counter.join().unwrap());
        // A waiter that joins again may be counted twice. A waiter that stays is never missed.
        assert!(waiters.is_err() || waiters.is_ok_and(|waiters| waiters >= 3));
        drop((again.ok(), front, third, fourth));
        assert_all_free(&semaphore, 0);
    });
}

/// Two neighbours went to the free list together. A walk that reached one of them by an old link must not
/// follow the free list. Caught: `free_later` links with Relaxed.
#[test]
fn model_counting_after_two_are_swept_together() {
    model(0, || {
        let (semaphore, turn) = (semaphore(0), Turn::default());
        let [front, one, two, last] = in_line(&semaphore);
        semaphore.sweep_at(2);
        let sweeper = turn.act(0, &semaphore, |_| drop((one, two)));
        let counter = turn.act(1, &semaphore, move |there| there.waiters());
        let (swept, waiters) = (sweeper.join().unwrap(), counter.join().unwrap());
        assert!(waiters.is_err() || waiters.is_ok_and(|waiters| (2..=4).contains(&waiters)));
        drop((swept.is_ok(), front, last));
        assert_all_free(&semaphore, 0);
    });
}

/// The hint names a node of a chunk that the newcomer has not seen. Caught: `tail_hint` or `move_tail_hint`
/// with Relaxed.
#[test]
fn model_join_behind_a_node_of_a_new_chunk() {
    model(1, || {
        let (semaphore, turn) = (semaphore(0), Turn::default());
        let mut line = Vec::from(in_line::<2>(&semaphore));
        let newcomers =
            [0, 1].map(|mine| turn.act(mine, &semaphore, move |there| in_line::<1>(there)));
        for newcomer in newcomers.map(|newcomer| newcomer.join().unwrap()) {
            line.extend(newcomer.ok().into_iter().flatten());
        }
        semaphore.add_permits(4);
        assert!(line.iter_mut().all(|waiting| poll_once(waiting).is_ready()));
        drop(line);
        assert_all_free(&semaphore, 4);
    });
}

/// Both take the one free node, and one returns it before the other has taken it. Caught: no Acquire on
/// failure of the exchange in `pop`; `push` without Release.
#[test]
fn model_two_who_take_and_return_the_same_node() {
    model(1, || {
        let (semaphore, turn) = (semaphore(0), Turn::default());
        let [_front, free] = in_line(&semaphore);
        drop(free);
        let inside = turn.clone();
        let taker = turn.act(0, &semaphore, move |there| {
            inside.pass(1);
            in_line::<1>(there)
        });
        let other = turn.act(1, &semaphore, move |there| drop(in_line::<1>(there)));
        let (other, taker) = (other.join().unwrap(), taker.join().unwrap());
        assert!(other.is_err() || taker.is_ok());
        assert_eq!(semaphore.available_permits(), 0);
    });
}

/// The second waiter sees its grant, but nothing else that the releaser did. Caught: a grant that is not
/// acquired before `release_node` reads the front.
#[test]
fn model_the_second_takes_its_grant_while_the_first_leaves() {
    model(bound(1, 2), || {
        let semaphore = semaphore(0);
        let mut first = Arc::clone(&semaphore).acquire_owned();
        let mut second = Arc::clone(&semaphore).acquire_owned();
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut second).is_pending());
        let looks = thread::spawn(move || drop((poll_once(&mut second), second)));
        semaphore.add_permits(2);
        looks.join().unwrap();
        drop(first);
        assert_all_free(&semaphore, 2);
    });
}

/// Caught: `ahead_of` does not start again if it did not reach its own node.
#[test]
fn model_position_against_those_who_leave() {
    model(2, || {
        let semaphore = semaphore(0);
        let mut first = Arc::clone(&semaphore).acquire_owned();
        let mut second = Arc::clone(&semaphore).acquire_owned();
        let mut third = semaphore.acquire();
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut second).is_pending());
        assert!(poll_once(&mut third).is_pending());
        let leaver = thread::spawn(move || drop(second));
        let ahead = third.position().unwrap();
        assert!((1..=2).contains(&ahead), "{ahead}");
        assert!((2..=3).contains(&semaphore.waiters()));
        leaver.join().unwrap();
        assert_eq!((first.position(), third.position()), (Some(0), Some(1)));
    });
}

/// Caught: `poll_closed` reads the state by a plain load, or without Acquire; `close` does not wake the
/// waiters for the close.
#[test]
fn model_close_against_one_who_waits_for_it() {
    model(3, || {
        let semaphore = semaphore(1);
        let shared = Arc::new(loom::cell::UnsafeCell::new(0));
        let theirs = Arc::clone(&shared);
        let closer = spawn(&semaphore, move |s| {
            // SAFETY: read only by those who have been told of the close.
            theirs.with_mut(|value| unsafe { *value = 1 });
            s.close();
        });
        block_on(semaphore.closed());
        // SAFETY: told.
        assert_eq!(shared.with(|value| unsafe { *value }), 1);
        closer.join().unwrap();
        assert_all_gone(&semaphore, 1);
    });
}

/// The next holder reads what the previous one wrote. Caught: Relaxed in `release` or in `try_acquire`.
#[test]
fn model_permit_carries_memory() {
    model(3, || {
        let semaphore = semaphore(1);
        let shared = Arc::new(loom::cell::UnsafeCell::new(0));
        let add = |semaphore: &Semaphore, shared: &loom::cell::UnsafeCell<u32>| {
            let _permit = block_on(semaphore.acquire()).unwrap();
            // SAFETY: the only permit is held: no other thread touches the cell.
            shared.with_mut(|value| unsafe { *value += 1 });
        };
        let theirs = Arc::clone(&shared);
        let other = spawn(&semaphore, move |s| add(s, &theirs));
        add(&semaphore, &shared);
        other.join().unwrap();
        // SAFETY: the other thread has ended.
        assert_eq!(shared.with(|value| unsafe { *value }), 2);
    });
}

/// A part payment publishes what its payer did. Caught: Relaxed in `complete`.
#[test]
fn model_part_payments_carry_memory() {
    model(bound(1, 2), || {
        let semaphore = semaphore(0);
        let shared = Arc::new([loom::cell::UnsafeCell::new(0), loom::cell::UnsafeCell::new(0)]);
        let payers: Vec<_> = (0..2)
            .map(|i| {
                let shared = Arc::clone(&shared);
                spawn(&semaphore, move |s| {
                    // SAFETY: each payer has a cell of its own, read only after its payment.
                    shared[i].with_mut(|value| unsafe { *value = 1 });
                    s.add_permits(1);
                })
            })
            .collect();
        let _both = block_on(semaphore.acquire_many(2)).unwrap();
        for cell in &*shared {
            // SAFETY: both payments have been made.
            assert_eq!(cell.with(|value| unsafe { *value }), 1);
        }
        for payer in payers {
            payer.join().unwrap();
        }
    });
}

/// What a cancelled waiter gives back publishes what its payers did. Caught: `complete_cancelled` without
/// Acquire.
#[test]
fn model_collected_permits_carry_memory_when_they_are_given_back() {
    model(bound(1, 3), || {
        let semaphore = semaphore(0);
        let mut both = semaphore.acquire_many(2);
        assert!(poll_once(&mut both).is_pending());
        let shared = Arc::new(loom::cell::UnsafeCell::new(0));
        let theirs = Arc::clone(&shared);
        let payer = spawn(&semaphore, move |s| {
            // SAFETY: read only by the permit's holder.
            theirs.with_mut(|value| unsafe { *value = 1 });
            s.add_permits(1);
        });
        drop(both);
        let _permit = block_on(semaphore.acquire()).unwrap();
        // SAFETY: the only permit is held.
        assert_eq!(shared.with(|value| unsafe { *value }), 1);
        payer.join().unwrap();
    });
}

/// A caller that sees the close sees what happened before it. Caught: Relaxed in `close`; no second read of
/// the state in `try_acquire`.
#[test]
fn model_a_close_carries_memory() {
    model(3, || {
        let semaphore = semaphore(0);
        let shared = Arc::new(loom::cell::UnsafeCell::new(0));
        let theirs = Arc::clone(&shared);
        let closer = spawn(&semaphore, move |s| {
            // SAFETY: read only by those who have been told of the close.
            theirs.with_mut(|value| unsafe { *value = 1 });
            s.close();
        });
        if let Err(TryAcquireError::NoPermits) = semaphore.try_acquire() {
            assert!(block_on(semaphore.acquire()).is_err());
        }
        // SAFETY: told.
        assert_eq!(shared.with(|value| unsafe { *value }), 1);
        closer.join().unwrap();
    });
}

/// Two releasers, one of which runs inside the other's wake. Caught: `assign_permits` drops what a waker
/// deferred (`defer_to_outer`).
#[test]
fn model_a_waker_that_releases_against_release() {
    model(2, || {
        let semaphore = semaphore(0);
        let inside = Arc::clone(&semaphore);
        let waker = Calls::waker(move || inside.add_permits(1));
        let mut first = semaphore.acquire();
        let mut second = semaphore.acquire();
        assert!(pin!(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(poll_once(&mut second).is_pending());
        let releaser = spawn(&semaphore, |s| s.add_permits(1));
        let second = block_on(second).unwrap();
        releaser.join().unwrap();
        drop((first, second, waker));
        assert!(semaphore.available_permits() >= 2);
    });
}

/// The waker is dropped after the wake, even if its owner polls at that moment. Caught: `end_visit` does
/// not take the waker; the owner reads the slot to compare wakers.
#[test]
fn model_a_woken_waker_goes_while_its_owner_looks() {
    model(3, || {
        let semaphore = semaphore(0);
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        let waker = Calls::waker(move || {
            count.fetch_add(1, Relaxed);
        });
        let mut waiting = Arc::clone(&semaphore).acquire_owned();
        assert!(pin!(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
        let looks = thread::spawn(move || {
            let first = pin!(&mut waiting).poll(&mut Context::from_waker(&waker));
            (first, waiting)
        });
        semaphore.add_permits(1);
        let (first, mut waiting) = looks.join().unwrap();
        assert_eq!(wakes.load(Relaxed), 1, "woken once");
        assert_eq!(Arc::strong_count(&wakes), 1, "the waker is kept");
        assert!(first.is_ready() || poll_once(&mut waiting).is_ready());
        drop((first, waiting));
        assert_all_free(&semaphore, 1);
    });
}

/// Two threads visit a granted front at once. The second cannot know whether the first has stalled, so the
/// last to leave takes the waker. Caught: `end_visit` takes it while another visitor is inside, or reads
/// and leaves in two steps.
#[test]
fn model_two_who_meet_a_granted_front_and_its_waker() {
    model(2, || {
        let semaphore = semaphore(0);
        let kept = Arc::new(());
        let theirs = Arc::clone(&kept);
        let mut first = Arc::clone(&semaphore).acquire_owned();
        let waker = Calls::waker(move || {
            let _ = &theirs;
        });
        assert!(pin!(&mut first).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        let releasers = [(); 2].map(|()| spawn(&semaphore, |s| s.add_permits(1)));
        releasers.into_iter().for_each(|releaser| releaser.join().unwrap());
        assert_eq!(Arc::strong_count(&kept), 1, "the waker is kept");
        assert!(poll_once(&mut first).is_ready());
        drop(first);
        assert_all_free(&semaphore, 2);
    });
}

/// Caught: two calls of `add` each add the one permit that the bound still allows.
#[test]
fn model_two_add_the_one_permit_that_is_missing() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::with_max_permits(1));
        semaphore.try_acquire().unwrap().forget();
        let others = [(); 2].map(|()| spawn(&semaphore, |s| s.add_permits(1)));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_all_free(&semaphore, 1);
    });
}

/// The request is refused, whichever comes first. Caught: `acquire_or_enqueue` does not check the bound;
/// `refuse_unsatisfiable` is left out, or reads by a plain load.
#[test]
fn model_a_bound_goes_down_while_a_request_lines_up() {
    model(2, || {
        let semaphore = Arc::new(Semaphore::with_max_permits(2));
        let held = Arc::clone(&semaphore).try_acquire_owned().unwrap();
        let reducer = spawn(&semaphore, |s| assert!(s.reduce_permits(1) <= 1));
        let refused = block_on(semaphore.acquire_many(2)).unwrap_err();
        assert!(refused.is_unsatisfiable());
        reducer.join().unwrap();
        drop(held);
        assert_all_free(&semaphore, 1);
    });
}

/// The second waiter becomes the front when the first has left, and can never be served. Caught: the thread
/// that retires a front does not check the next one against the bound.
#[test]
fn model_a_bound_goes_down_while_the_front_is_served() {
    model(1, || {
        let semaphore = Arc::new(Semaphore::with_max_permits(2));
        let held = Arc::clone(&semaphore).try_acquire_many_owned(2).unwrap();
        let mut small = Arc::clone(&semaphore).acquire_owned();
        let mut big = Arc::clone(&semaphore).acquire_many_owned(2);
        assert!(poll_once(&mut small).is_pending());
        assert!(poll_once(&mut big).is_pending());
        let releaser = thread::spawn(move || drop(held));
        semaphore.reduce_permits(1);
        releaser.join().unwrap();
        let Poll::Ready(Ok(permit)) = poll_once(&mut small) else { panic!("not served") };
        let Poll::Ready(Err(refused)) = poll_once(&mut big) else { panic!("not told") };
        assert!(refused.is_unsatisfiable());
        drop((permit, small, big));
        assert_all_free(&semaphore, 1);
    });
}

/// The bound still allows one, and it can be added. Caught: a debt that is cancelled for a permit that was forgotten.
#[test]
fn model_an_owed_permit_is_forgotten_while_one_is_added() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::with_max_permits(2));
        let first = Arc::clone(&semaphore).try_acquire_owned().unwrap();
        let second = Arc::clone(&semaphore).try_acquire_owned().unwrap();
        assert_eq!(semaphore.reduce_permits(1), 0);
        first.forget();
        let forgetful = spawn(&semaphore, |s| {
            second.forget();
            s.add_permits(1);
        });
        semaphore.add_permits(1);
        drop(semaphore.try_acquire());
        forgetful.join().unwrap();
        semaphore.add_permits(2);
        assert_eq!(semaphore.permits_owed(), 0);
        assert_all_free(&semaphore, 1);
    });
}

/// The same while the bound goes down once more: nothing is left to add, and nothing is owed.
#[test]
fn model_an_owed_permit_is_forgotten_while_the_bound_goes_down() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::with_max_permits(3));
        let held = Arc::clone(&semaphore).try_acquire_many_owned(2).unwrap();
        let third = Arc::clone(&semaphore).try_acquire_owned().unwrap();
        assert_eq!(semaphore.reduce_permits(1), 0);
        let other = spawn(&semaphore, |s| {
            held.forget();
            s.add_permits(1);
        });
        semaphore.reduce_permits(1);
        other.join().unwrap();
        drop(third);
        semaphore.add_permits(2);
        assert_eq!(semaphore.permits_owed(), 0);
        assert_all_free(&semaphore, 1);
    });
}

/// Both remove permits, and each permit goes once: the bound still allows one more. Caught: a debt that is
/// claimed before the bound is lowered.
#[test]
fn model_permits_are_forgotten_while_the_bound_goes_down() {
    model(3, || {
        let semaphore = Arc::new(Semaphore::with_max_permits(3));
        let held = Arc::clone(&semaphore).try_acquire_many_owned(2).unwrap();
        let forgetful = spawn(&semaphore, |s| {
            held.forget();
            drop(s.try_acquire());
        });
        assert!(semaphore.reduce_permits(2) <= 1);
        forgetful.join().unwrap();
        assert_eq!(semaphore.available_permits(), 0);
        semaphore.add_permits(2);
        assert_eq!(semaphore.permits_owed(), 0);
        assert_all_free(&semaphore, 1);
    });
}
