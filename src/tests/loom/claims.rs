//! The semaphore's claims under loom: permits that go on if their waiter falls silent.
//!
//! Each scene ends by counting the permits: those that are free, those that somebody has, and none that is still to be
//! claimed.

use crate::Semaphore;
use crate::semaphore::Epoch;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{model, thread};
use crate::tests::claims::{Claimed, OwnedClaim, claim_lapsed};
use crate::tests::pairs::{Waiter, go_on};
use loom::cell::UnsafeCell;
use std::sync::Arc;

type Claim = Waiter<OwnedClaim>;

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits))
}

/// It waits in line.
fn waiting(semaphore: &Arc<Semaphore>) -> Claim {
    let claim = Waiter::new(0, OwnedClaim::new(Arc::clone(semaphore)));
    assert!(!claim.is_over());
    claim
}

/// It was granted a permit, and has not been polled since.
fn granted(semaphore: &Arc<Semaphore>) -> Claim {
    let claim = waiting(semaphore);
    semaphore.add_permits(1);
    assert!(claim.is_woken());
    claim
}

/// A look from before, so that the next one takes a permit that is unclaimed now.
fn looked(semaphore: &Arc<Semaphore>) -> Option<Epoch> {
    let mut seen = None;
    assert!(claim_lapsed(semaphore, &mut seen).is_none());
    seen
}

fn look(semaphore: &Arc<Semaphore>, mut seen: Option<Epoch>) -> Option<Claimed> {
    claim_lapsed(semaphore, &mut seen)
}

fn release(semaphore: &Arc<Semaphore>) -> thread::JoinHandle<()> {
    let semaphore = Arc::clone(semaphore);
    thread::spawn(move || semaphore.add_permits(1))
}

/// Runs both at the same time. Both threads begin with a write, so that loom lets either be first: it would not reorder
/// one that begins with a load.
fn race<A: 'static, B>(one: impl FnOnce() -> A + 'static, other: impl FnOnce() -> B) -> (A, B) {
    let whistle = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&whistle);
    let one = thread::spawn(move || {
        // ORDERING: Relaxed: it publishes nothing.
        theirs.fetch_add(1, Ordering::Relaxed);
        one()
    });
    // ORDERING: Relaxed, as above.
    whistle.fetch_add(1, Ordering::Relaxed);
    let other = other();
    (one.join().unwrap(), other)
}

/// Polls the claim if it was woken. Whether it has a permit; `None` if it waits.
fn went(claim: &mut Claim) -> Option<bool> {
    go_on([&mut *claim].into_iter());
    claim.output.as_ref().map(Option::is_some)
}

/// All have left, and `permits` are free.
fn assert_all_free(semaphore: &Semaphore, permits: usize) {
    assert!(!semaphore.has_unclaimed(), "a permit is still to be claimed");
    assert_eq!(semaphore.available_permits(), permits, "permits lost or made");
    assert_eq!(semaphore.nodes_in_use(), 0, "a node was not freed");
}

/// Caught: a count that comes after the grant; a claim before the grant was acquired; a grant that wakes nobody.
#[test]
fn model_release_against_the_poll_of_a_claim() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut claim = waiting(&semaphore);
        let there = Arc::clone(&semaphore);
        let owner = thread::spawn(move || {
            claim.poll_anew();
            claim
        });
        there.add_permits(1);
        let mut claim = owner.join().unwrap();
        assert_eq!(went(&mut claim), Some(true), "its permit is gone");
        assert_eq!((semaphore.available_permits(), semaphore.has_unclaimed()), (0, false));
        drop(claim);
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: `offer` that takes nothing back; `take_grant` that gives on without a claim.
#[test]
fn model_release_against_the_drop_of_a_claim() {
    model(3, || {
        let semaphore = semaphore(0);
        let claim = waiting(&semaphore);
        let releaser = release(&semaphore);
        drop(claim);
        releaser.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}

/// Both count their permit, and one grants: the other takes its count back. Caught: `offer` that takes nothing back.
#[test]
fn model_two_releases_against_one_claim() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut claim = waiting(&semaphore);
        let releaser = release(&semaphore);
        semaphore.add_permits(1);
        releaser.join().unwrap();
        assert_eq!(went(&mut claim), Some(true), "its permit is gone");
        assert_eq!(semaphore.available_permits(), 1, "permits lost or made");
        drop(claim);
        assert_all_free(&semaphore, 2);
    });
}

/// While they do, the owner claims one of the two permits that are counted. Caught: as above; `offer` that keeps its
/// permit if its count has been claimed.
#[test]
fn model_two_releases_against_the_poll_of_a_claim() {
    model(1, || {
        let semaphore = semaphore(0);
        let mut claim = waiting(&semaphore);
        let releasers = [(); 2].map(|()| release(&semaphore));
        claim.poll_anew();
        releasers.into_iter().for_each(|releaser| releaser.join().unwrap());
        assert_eq!(went(&mut claim), Some(true), "its permit is gone");
        assert_eq!(semaphore.available_permits(), 1, "permits lost or made");
        drop(claim);
        assert_all_free(&semaphore, 2);
    });
}

/// The permit lapses while it is counted and not granted yet: whoever takes it has it alone. Caught: `offer` that gives
/// on a permit that is claimed by now.
#[test]
fn model_release_and_a_cancel_against_two_looks() {
    model(1, || {
        let semaphore = semaphore(0);
        let claim = waiting(&semaphore);
        let releaser = release(&semaphore);
        let there = Arc::clone(&semaphore);
        let looker = thread::spawn(move || {
            let mut seen = None;
            (0..2).find_map(|_| claim_lapsed(&there, &mut seen))
        });
        drop(claim);
        releaser.join().unwrap();
        let lapsed = looker.join().unwrap();
        assert_all_free(&semaphore, usize::from(lapsed.is_none()));
        drop(lapsed);
        assert_all_free(&semaphore, 1);
    });
}

/// One of them has the permit. Caught: `take_grant` without the claim.
#[test]
fn model_a_look_against_the_owners_poll() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut claim = granted(&semaphore);
        let seen = looked(&semaphore);
        let poll = move || (went(&mut claim), claim);
        let ((went, claim), lapsed) = race(poll, || look(&semaphore, seen));
        assert_eq!(went, Some(lapsed.is_none()), "not exactly one has the permit");
        assert_eq!((semaphore.available_permits(), semaphore.has_unclaimed()), (0, false));
        drop((lapsed, claim));
        assert_all_free(&semaphore, 1);
    });
}

/// Caught: as above.
#[test]
fn model_a_look_against_the_owners_drop() {
    model(3, || {
        let semaphore = semaphore(0);
        let claim = granted(&semaphore);
        let seen = looked(&semaphore);
        let ((), lapsed) = race(move || drop(claim), || look(&semaphore, seen));
        assert_all_free(&semaphore, usize::from(lapsed.is_none()));
        drop(lapsed);
        assert_all_free(&semaphore, 1);
    });
}

/// The drop gives the permit on to the next in line, if it has it. Caught: as above.
#[test]
fn model_a_look_against_the_owners_drop_with_another_in_line() {
    model(3, || {
        let semaphore = semaphore(0);
        let claim = waiting(&semaphore);
        let mut behind = waiting(&semaphore);
        semaphore.add_permits(1);
        let seen = looked(&semaphore);
        let ((), lapsed) = race(move || drop(claim), || look(&semaphore, seen));
        let went_before = went(&mut behind).is_some();
        assert!(lapsed.is_some() != went_before, "not exactly one has the permit");
        drop(lapsed);
        assert_eq!(went(&mut behind), Some(true), "it waits though a permit is free");
        drop(behind);
        assert_all_free(&semaphore, 1);
    });
}

/// No permit is handed out after the close. Caught: `claim_lapsed` without a look at the close.
#[test]
fn model_a_look_against_close() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut claim = granted(&semaphore);
        let seen = looked(&semaphore);
        let there = Arc::clone(&semaphore);
        let close_and_look = move || {
            there.close();
            look(&there, seen).is_none()
        };
        let (none, lapsed) = race(close_and_look, || look(&semaphore, seen));
        assert!(none, "handed out after the close");
        assert_eq!(went(&mut claim), Some(false));
        drop((lapsed, claim));
        assert_all_free(&semaphore, 1);
    });
}

/// The debt is paid when the permit comes back, whoever had it.
#[test]
fn model_a_look_against_reduce_permits() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut claim = granted(&semaphore);
        let seen = looked(&semaphore);
        let there = Arc::clone(&semaphore);
        let reduce = move || there.reduce_permits(1);
        let (reduced, _) = race(reduce, || drop(look(&semaphore, seen)));
        assert!(reduced <= 1);
        assert_eq!(went(&mut claim), Some(false));
        drop(claim);
        assert_eq!(semaphore.permits_owed(), 0);
        assert_all_free(&semaphore, 0);
    });
}

/// Caught: `claim_lapsed` by a load and a store.
#[test]
fn model_two_looks_for_one_permit() {
    model(3, || {
        let semaphore = semaphore(0);
        let mut claim = granted(&semaphore);
        let seen = looked(&semaphore);
        let there = Arc::clone(&semaphore);
        let (theirs, lapsed) = race(move || look(&there, seen), || look(&semaphore, seen));
        assert!(lapsed.is_some() != theirs.is_some(), "not exactly one has the permit");
        assert_eq!(went(&mut claim), Some(false));
        drop((lapsed, theirs, claim));
        assert_all_free(&semaphore, 1);
    });
}

/// The permit of one that has claimed meanwhile does not lapse although another one came. Caught: a look that takes
/// any permit.
#[test]
fn model_a_look_against_a_claim_and_a_new_grant() {
    model(2, || {
        let semaphore = semaphore(0);
        let mut first = granted(&semaphore);
        let seen = looked(&semaphore);
        let mut second = waiting(&semaphore);
        let owner = thread::spawn(move || {
            assert_eq!(went(&mut first), Some(true), "nobody else looks before it");
            first
        });
        let releaser = release(&semaphore);
        let first = owner.join().unwrap();
        // The first one has claimed: what is left is newer than the look.
        assert!(look(&semaphore, seen).is_none(), "it was granted just now");
        releaser.join().unwrap();
        assert_eq!(went(&mut second), Some(true), "its permit is gone");
        drop((first, second));
        assert_all_free(&semaphore, 2);
    });
}

/// Whoever takes the permit of a silent waiter sees what the releaser did, though it has not met that waiter. Caught:
/// Relaxed in `Unclaimed::add` or in `change`.
#[test]
fn model_a_lapsed_permit_carries_memory() {
    model(3, || {
        let semaphore = semaphore(0);
        let claim = waiting(&semaphore);
        let shared = Arc::new(UnsafeCell::new(0));
        let (there, theirs) = (Arc::clone(&semaphore), Arc::clone(&shared));
        let releaser = thread::spawn(move || {
            // SAFETY: read only by the permit's holder.
            theirs.with_mut(|value| unsafe { *value = 1 });
            there.add_permits(1);
        });
        let mut seen = None;
        if let Some(lapsed) = (0..2).find_map(|_| claim_lapsed(&semaphore, &mut seen)) {
            // SAFETY: the only permit is held.
            assert_eq!(shared.with(|value| unsafe { *value }), 1);
            drop(lapsed);
        }
        releaser.join().unwrap();
        drop(claim);
        assert_all_free(&semaphore, 1);
    });
}

/// The same where the look from before is another thread's, and the taker has met nobody. Caught: as above.
#[test]
fn model_a_lapsed_permit_carries_memory_to_one_who_has_met_nobody() {
    model(2, || {
        let semaphore = semaphore(0);
        let claim = waiting(&semaphore);
        let shared = Arc::new(UnsafeCell::new(0));
        let (there, theirs) = (Arc::clone(&semaphore), Arc::clone(&shared));
        let taker = thread::spawn(move || {
            // The epoch that the other thread's look begins.
            let lapsed = look(&there, Some(Epoch::from_number(1)));
            // SAFETY: the only permit is held.
            lapsed.map(|_lapsed| theirs.with_mut(|value| unsafe { *value += 1 }))
        });
        // SAFETY: no permit is to be had yet.
        shared.with_mut(|value| unsafe { *value = 1 });
        semaphore.add_permits(1);
        assert!(look(&semaphore, None).is_none());
        let took = taker.join().unwrap();
        // SAFETY: the other thread has ended.
        assert_eq!(shared.with(|value| unsafe { *value }), 1 + u32::from(took.is_some()));
        drop(claim);
        assert_all_free(&semaphore, 1);
    });
}

/// The owner claims, works and releases: the next one sees it. Caught: Relaxed in `complete` or in `release_node`.
#[test]
fn model_a_claimed_permit_carries_memory() {
    model(3, || {
        let semaphore = semaphore(0);
        let claim = waiting(&semaphore);
        let shared = Arc::new(UnsafeCell::new(0));
        let (there, theirs) = (Arc::clone(&semaphore), Arc::clone(&shared));
        let owner = thread::spawn(move || {
            let mut claim = claim;
            claim.poll_anew();
            if claim.is_over() {
                // SAFETY: the only permit is held.
                theirs.with_mut(|value| unsafe { *value += 1 });
            }
            drop(claim);
            drop(there);
        });
        // SAFETY: no permit is to be had yet.
        shared.with_mut(|value| unsafe { *value = 1 });
        semaphore.add_permits(1);
        let next = semaphore.try_acquire();
        if next.is_ok() {
            // SAFETY: the only permit is held.
            assert!(shared.with(|value| unsafe { *value }) >= 1);
        }
        drop(next);
        owner.join().unwrap();
        assert_all_free(&semaphore, 1);
    });
}
