//! The operations of the semaphore, and every two of them at once.
//!
//! Caught: `State::permits` is not zero with QUEUE set (`try_acquire` against `release`, and others);
//! `poll_closed` reads by a plain load (`close` against `closed`); `assign_permits` without `settle_late`
//! (`release` against `reduce_permits`); a waiter is not woken (nearly all). Caught by the frozen thread: a
//! granted front is woken after it was unlinked; a releaser waits until an owner clears REGISTERING.

use crate::error::TryAcquireError;
use crate::tests::claims::{Claimed, OwnedClaim};
#[cfg(ringgate_loom)]
use crate::tests::loom::is_long;
use crate::tests::pairs::{NEWCOMER, Run, Start, Waiter, assert_in_order, every_pair, go_on};
use crate::{AcquireOwned, OwnedSemaphorePermit, Semaphore};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

every_pair! {
    starts of Scene: permits_free a_debt_is_paid a_line_of_two;
    operations:
        try_acquire try_acquire_many try_acquire_all acquire acquire_many
        release add_permits forget_permits reduce_permits
        cancel_the_front cancel_behind poll_again see_the_grant drop_the_grant
        close closed;
    onlookers: look_on;
}

/// If both walk the whole queue, their interleavings multiply. With two waiters these pairs take minutes at
/// bound 2, so they start with one.
#[cfg(ringgate_loom)]
const SLOW: &[[&str; 2]] = &[
    ["add_permits", "add_permits"],
    ["add_permits", "cancel_behind"],
    ["add_permits", "cancel_the_front"],
    ["add_permits", "close"],
    ["cancel_behind", "drop_the_grant"],
    ["cancel_the_front", "close"],
    ["cancel_the_front", "look_on"],
    ["close", "close"],
    ["close", "look_on"],
    ["poll_again", "close"],
    ["release", "add_permits"],
    ["release", "close"],
];

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    if let Some(short) = short(pair).filter(|_| !is_long()) {
        return short;
    }
    match pair {
        // They queue waiters first, whatever the start.
        ["cancel_the_front" | "cancel_behind", "cancel_the_front" | "cancel_behind"] => {
            (2, vec![a_line_of_two])
        }
        // Takes minutes at bound 2 even with one waiter.
        ["cancel_behind", "close"] => (1, vec![permits_free, a_debt_is_paid, a_line_of_one]),
        pair if SLOW.contains(&pair) => (2, vec![permits_free, a_debt_is_paid, a_line_of_one]),
        _ => (2, vec![permits_free, a_debt_is_paid, a_line_of_two]),
    }
}

/// The short form of what takes long.
#[cfg(ringgate_loom)]
fn short(pair: [&str; 2]) -> Option<(usize, Vec<fn() -> Scene>)> {
    Some(match pair {
        // With one switch less.
        ["release", "cancel_the_front"] => (1, vec![permits_free, a_debt_is_paid, a_line_of_two]),
        ["add_permits", "cancel_behind" | "close" | "look_on"] => {
            (1, vec![permits_free, a_debt_is_paid, a_line_of_one])
        }
        ["cancel_the_front", "cancel_the_front" | "cancel_behind"] => (1, vec![a_line_of_two]),
        // The one that leaves is the only one in line.
        ["cancel_behind", "close"] => (2, vec![permits_free, a_debt_is_paid]),
        _ => return None,
    })
}

// ---- starts --------------------------------------------------------------------------------------

type Waiting = Waiter<Request>;

/// A future in line.
pub(super) enum Request {
    Acquire(AcquireOwned),
    Claim(OwnedClaim),
}

/// What it was served.
pub(super) enum Served {
    Permits(OwnedSemaphorePermit),
    Claimed(#[expect(dead_code, reason = "it is returned when it is dropped")] Claimed),
}

/// Refused: closed, or its permit has lapsed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Unserved {
    has_lapsed: bool,
}

impl Request {
    fn asked(&self) -> u32 {
        match self {
            Self::Acquire(acquire) => acquire.asked(),
            Self::Claim(_) => 1,
        }
    }

    fn position(&self) -> Option<usize> {
        match self {
            Self::Acquire(acquire) => acquire.position(),
            Self::Claim(_) => None,
        }
    }
}

impl Future for Request {
    type Output = Result<Served, Unserved>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Acquire(acquire) => Pin::new(acquire).poll(cx).map(|permits| {
                permits.map_or(Err(Unserved { has_lapsed: false }), |permits| {
                    Ok(Served::Permits(permits))
                })
            }),
            Self::Claim(claim) => Pin::new(claim)
                .poll(cx)
                .map(|claimed| claimed.map(Served::Claimed).ok_or(Unserved { has_lapsed: true })),
        }
    }
}

pub(crate) struct Scene {
    pub(super) semaphore: Arc<Semaphore>,
    /// Those in line must claim what they are granted.
    claims: bool,
    /// Permits in use, which an operation can release.
    in_use: Vec<OwnedSemaphorePermit>,
    line: Vec<Waiting>,
    /// How many waiters have joined the line.
    came: u8,
    /// How many permits there are.
    permits: i64,
    /// How many of them are free if there are no waiters.
    free: i64,
}

impl Scene {
    fn new(permits: usize) -> Self {
        let semaphore = Arc::new(Semaphore::new(permits));
        let one = || Arc::clone(&semaphore).try_acquire_owned().unwrap();
        let (in_use, permits) = (vec![one(), one()], i64::try_from(permits).unwrap());
        let (line, free) = (Vec::new(), permits - 2);
        Self { semaphore, claims: false, in_use, line, came: 0, permits, free }
    }

    /// No permit is free, and those that line up must claim what they are granted.
    pub(super) fn with_claims() -> Self {
        Self { claims: true, ..Self::new(2) }
    }

    /// One that needs not claim.
    pub(super) fn line_up_without_a_claim(&mut self) {
        self.claims = false;
        self.line_up(1);
        self.claims = true;
    }

    pub(super) fn line_up(&mut self, permits: u32) {
        let semaphore = Arc::clone(&self.semaphore);
        let request = if self.claims {
            Request::Claim(OwnedClaim::new(semaphore))
        } else {
            Request::Acquire(semaphore.acquire_many_owned(permits))
        };
        self.line.push(Waiter::new(self.came, request));
        self.came += 1;
        // The second waiter that leaves from the middle starts a sweep. (In the `loom` models each one
        // does.)
        self.semaphore.sweep_at(2);
    }
}

impl Scene {
    /// Its permit is granted, and it has not been polled since.
    pub(super) fn grant_the_front(&mut self) {
        let granted = take_the_granted(self);
        self.line.insert(0, granted);
    }

    fn grant(&mut self, waiter: &Waiting) {
        while !waiter.is_woken() {
            self.semaphore.add_permits(1);
            self.permits += 1;
        }
    }
}

/// Two free, two in use.
fn permits_free() -> Scene {
    Scene::new(4)
}

/// No permit is free, and no waiter queues. There was a debt, so releases take another path from now on.
fn a_debt_is_paid() -> Scene {
    let scene = Scene::new(2);
    assert_eq!(scene.semaphore.reduce_permits(1), 0);
    scene.semaphore.add_permits(1);
    scene
}

/// The waiter needs two and has collected one.
fn a_line_of_one() -> Scene {
    let mut scene = Scene::new(3);
    scene.line_up(2);
    scene
}

/// The same, with one waiter behind it.
fn a_line_of_two() -> Scene {
    let mut scene = a_line_of_one();
    scene.line_up(1);
    scene
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    held: Vec<OwnedSemaphorePermit>,
    /// Permits of silent waiters.
    lapsed: Vec<Claimed>,
    waiting: Vec<Waiting>,
    watching: Option<Waiter<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    /// The change in the number of permits.
    made: i64,
    /// The most permits it may have kept from others.
    taken: i64,
    /// The number of permits it asked for and did not get.
    refused: Option<(i64, TryAcquireError)>,
}

impl Left {
    fn tried(permits: i64, tried: Result<OwnedSemaphorePermit, TryAcquireError>) -> Self {
        match tried {
            Ok(permit) => Self { taken: number(&permit), held: vec![permit], ..Self::default() },
            Err(refused) => Self { refused: Some((permits, refused)), ..Self::default() },
        }
    }

    fn waiting(waiting: Waiting) -> Self {
        Self { waiting: vec![waiting], ..Self::default() }
    }

    /// It was served at once, or queues.
    pub(super) fn joined(taken: i64, request: Request) -> Self {
        Self { taken, ..Self::waiting(Waiter::new(NEWCOMER, request)) }
    }

    pub(super) fn lapsed(permit: Option<Claimed>) -> Self {
        Self { lapsed: permit.into_iter().collect(), ..Self::default() }
    }

    fn made(made: i64) -> Self {
        Self { made, taken: (-made).max(0), ..Self::default() }
    }
}

fn number(permit: &OwnedSemaphorePermit) -> i64 {
    i64::try_from(permit.num_permits()).unwrap()
}

/// An operation that needs only the semaphore.
pub(super) fn on(
    scene: &Scene,
    work: impl FnOnce(Arc<Semaphore>) -> Left + Send + 'static,
) -> Run<Left> {
    let semaphore = Arc::clone(&scene.semaphore);
    Run::new(move || work(semaphore))
}

pub(super) fn try_acquire(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| Left::tried(1, semaphore.try_acquire_owned()))
}

pub(super) fn try_acquire_many(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| Left::tried(2, semaphore.try_acquire_many_owned(2)))
}

pub(super) fn try_acquire_all(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| Left::tried(1, semaphore.try_acquire_all_owned()))
}

/// Is served at once, or queues.
pub(super) fn acquire(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| Left::joined(1, Request::Acquire(semaphore.acquire_owned())))
}

pub(super) fn acquire_many(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| Left::joined(2, Request::Acquire(semaphore.acquire_many_owned(2))))
}

pub(super) fn release(scene: &mut Scene) -> Run<Left> {
    let permit = scene.in_use.pop().unwrap();
    on(scene, move |_| {
        drop(permit);
        Left::default()
    })
}

/// Enough for both waiters.
pub(super) fn add_permits(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| {
        semaphore.add_permits(2);
        Left::made(2)
    })
}

pub(super) fn forget_permits(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| Left::made(-i64::try_from(semaphore.forget_permits(1)).unwrap()))
}

/// More than are free if the other operation also takes one.
pub(super) fn reduce_permits(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| {
        assert!(semaphore.reduce_permits(2) <= 2);
        Left::made(-2)
    })
}

/// The front waiter; if the other operation has taken that, the second.
fn take_the_front(scene: &mut Scene) -> Waiting {
    if scene.line.is_empty() {
        // More than there are.
        scene.line_up(3);
    }
    scene.line.remove(0)
}

/// The same, with its permits granted but not yet polled.
pub(super) fn take_the_granted(scene: &mut Scene) -> Waiting {
    let front = take_the_front(scene);
    scene.grant(&front);
    front
}

pub(super) fn cancel_the_front(scene: &mut Scene) -> Run<Left> {
    let front = take_the_front(scene);
    on(scene, |_| {
        drop(front);
        Left::default()
    })
}

/// Joins at the end of the line, or in the middle if the other operation does the same.
pub(super) fn cancel_behind(scene: &mut Scene) -> Run<Left> {
    scene.line_up(3);
    let last = scene.line.pop().unwrap();
    on(scene, |_| {
        drop(last);
        Left::default()
    })
}

pub(super) fn poll_again(scene: &mut Scene) -> Run<Left> {
    let mut front = take_the_front(scene);
    on(scene, |_| {
        front.poll_anew();
        Left::waiting(front)
    })
}

pub(super) fn see_the_grant(scene: &mut Scene) -> Run<Left> {
    let mut granted = take_the_granted(scene);
    on(scene, |_| {
        go_on([&mut granted].into_iter());
        assert!(granted.is_over());
        Left::waiting(granted)
    })
}

pub(super) fn drop_the_grant(scene: &mut Scene) -> Run<Left> {
    let granted = take_the_granted(scene);
    on(scene, |_| {
        drop(granted);
        Left::default()
    })
}

pub(super) fn close(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| {
        semaphore.close();
        Left::default()
    })
}

pub(super) fn closed(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| {
        let closed: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { semaphore.closed().await });
        Left { watching: Some(Waiter::new(NEWCOMER, closed)), ..Left::default() }
    })
}

/// Counts. The last waiter, if there is one, asks for its position.
pub(super) fn look_on(scene: &mut Scene) -> Run<Left> {
    let own = scene.line.pop();
    on(scene, |semaphore| {
        assert!(semaphore.waiters() <= 3);
        let position = own.as_ref().and_then(|own| own.future().position());
        assert!(position.is_none_or(|ahead| ahead <= 2));
        assert!(semaphore.available_permits() <= 8 + usize::from(PLENTY));
        assert!(semaphore.permits_owed() <= 2);
        let _ = semaphore.is_closed();
        Left { waiting: own.into_iter().collect(), ..Left::default() }
    })
}

// ---- the account ---------------------------------------------------------------------------------

/// Enough for every waiter, whatever was taken away before.
const PLENTY: u8 = 24;

impl Start for Scene {
    type Left = Left;

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Left, _: bool) {
        self.semaphore.add_permits(PLENTY.into());
        self.permits += i64::from(PLENTY);
        let others = self.line.iter_mut().chain(&mut left.waiting);
        let mut others: Vec<_> = others.collect();
        go_on(others.iter_mut().map(|waiter| &mut **waiter));
        assert!(others.iter().all(|waiter| waiter.is_over()), "the other waiters are not served");
    }

    fn settle(mut self, mut left: [Left; 2]) {
        self.assert_rightly_refused(&left);
        self.permits += left.iter().map(|left| left.made).sum::<i64>();
        go_on(all(&mut self.line, &mut left));
        self.assert_accounted_for(&mut left);
        self.assert_told_of_the_close(&mut left);

        // All holders release, and many permits are added.
        self.in_use.clear();
        for left in &mut left {
            left.held.clear();
            left.lapsed.clear();
        }
        self.semaphore.add_permits(PLENTY.into());
        self.permits += i64::from(PLENTY);
        go_on(all(&mut self.line, &mut left));
        assert!(all(&mut self.line, &mut left).all(|waiter| waiter.is_over()), "not served");
        drop(left);
        self.line.clear();
        assert_eq!(self.free_now() - self.owed(), self.permits, "permits lost or made");
        assert!(!self.semaphore.has_unclaimed(), "a permit is still to be claimed");
        assert_eq!(self.semaphore.nodes_in_use(), 0, "a node was not freed");
    }
}

/// All waiters of the scene and of both operations.
fn all<'a>(
    line: &'a mut [Waiting],
    left: &'a mut [Left; 2],
) -> impl Iterator<Item = &'a mut Waiting> {
    line.iter_mut().chain(left.iter_mut().flat_map(|left| &mut left.waiting))
}

fn asked(waiter: &Waiting) -> i64 {
    waiter.future().asked().into()
}

/// What it has been granted.
fn granted(waiter: &Waiting) -> i64 {
    match &waiter.output {
        Some(Ok(Served::Permits(permits))) => number(permits),
        Some(Ok(Served::Claimed(_))) => 1,
        _ => 0,
    }
}

fn has_lapsed(waiter: &Waiting) -> bool {
    matches!(&waiter.output, Some(Err(Unserved { has_lapsed: true })))
}

impl Scene {
    fn free_now(&self) -> i64 {
        i64::try_from(self.semaphore.available_permits()).unwrap()
    }

    fn owed(&self) -> i64 {
        i64::try_from(self.semaphore.permits_owed()).unwrap()
    }

    /// No request is refused for permits that are free throughout, and none overtakes the line.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            match one.refused {
                Some((_, TryAcquireError::Closed)) => assert!(self.semaphore.is_closed()),
                Some((asked, TryAcquireError::NoPermits)) if self.came == 0 => {
                    assert!(self.free - other.taken < asked, "refused while a permit is free");
                }
                _ => {}
            }
        }
    }

    /// Every permit has an owner, and the front does not wait for permits that are free.
    fn assert_accounted_for(&mut self, left: &mut [Left; 2]) {
        let (free, owed) = (self.free_now(), self.owed());
        assert!(owed == 0 || free == 0, "{free} permits are free, {owed} are owed");
        let tried = left.iter().flat_map(|left| &left.held);
        let a_newcomer_went = left.iter().any(|left| !left.held.is_empty());
        let held: i64 = self.in_use.iter().chain(tried).map(number).sum();
        let lapsed: usize = left.iter().map(|left| left.lapsed.len()).sum();
        // A lapsed permit pays a debt first.
        let removed = left.iter().map(|left| left.made.min(0).unsigned_abs());
        let removed = usize::try_from(removed.sum::<u64>()).unwrap();
        let is_closed = self.semaphore.is_closed();
        let waiters: Vec<_> = all(&mut self.line, left).map(|waiter| &*waiter).collect();
        let granted: i64 = waiters.iter().map(|waiter| granted(waiter)).sum();
        let collected =
            self.permits + owed - held - granted - free - i64::try_from(lapsed).unwrap();
        let unserved = waiters.iter().filter(|waiter| has_lapsed(waiter)).count();
        assert!(is_closed || unserved <= lapsed + removed, "a waiter's permit is gone");
        assert_in_order(waiters.iter().copied(), a_newcomer_went);

        let waiting = || waiters.iter().filter(|waiter| !waiter.is_over());
        let first = waiting().map(|waiter| waiter.place).min();
        let asks = waiting()
            .filter(|waiter| Some(waiter.place) == first)
            .map(|waiter| asked(waiter))
            .max();
        match asks {
            None => assert_eq!(collected, 0, "permits lost or made"),
            Some(asks) => {
                assert!(
                    (0..asks).contains(&collected),
                    "a waiter needs {asks} and has {collected}"
                );
                assert_eq!(free, 0, "a waiter waits although permits are free");
            }
        }
    }

    fn assert_told_of_the_close(&mut self, left: &mut [Left; 2]) {
        let closed = self.semaphore.is_closed();
        assert!(!closed || all(&mut self.line, left).all(|waiter| waiter.is_over()));
        for watcher in left.iter_mut().filter_map(|left| left.watching.as_mut()) {
            go_on([&mut *watcher].into_iter());
            assert_eq!(watcher.is_over(), closed);
        }
    }
}
