//! Longer programs, of tasks: some ten at once, with some ten steps each. A task may be aborted in the
//! middle of any wait, and may have several futures. Tasks pass permits to each other, and wakers call
//! back.
//!
//! A lost wake is a deadlock, which shuttle reports: a task that is not aborted has to finish.

use super::{AtomicUsize, Ordering, poll_once, with_two_wakers};
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{
    Limiter, LimiterAcquireOwned, OwnedLimiterPermit, OwnedSemaphorePermit, Rate, Refused,
    Semaphore,
};
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Waker};
use core::time::Duration;
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use shuttle::future::{AbortHandle, JoinHandle, block_on, spawn, yield_now};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Wake;

const TASKS: u32 = 8;
pub(super) const STEPS: u32 = 10;
const ABORTERS: u32 = 2;

// ---- tasks -----------------------------------------------------------------------------------

/// Tasks that each run all their steps, and others that abort some of them.
pub(super) fn spawn_all<F>(task: impl Fn() -> F) -> Vec<JoinHandle<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks: Vec<_> = (0..TASKS).map(|_| spawn(task())).collect();
    for _ in 0..ABORTERS {
        let aborts = tasks[..TASKS as usize].iter().map(JoinHandle::abort_handle).collect();
        tasks.push(spawn(abort_some(aborts)));
    }
    tasks
}

async fn abort_some(tasks: Vec<AbortHandle>) {
    for _ in 0..below(4) {
        for _ in 0..below(30) {
            yield_now().await;
        }
        tasks[below(TASKS) as usize].abort();
    }
}

/// Counts the permits in use and the guards alive. Guards may outlive the last task.
#[derive(Default)]
pub(super) struct Guards {
    in_use: AtomicUsize,
    alive: AtomicUsize,
}

impl Guards {
    pub(super) fn begin(&self, permits: usize) -> usize {
        self.alive.fetch_add(1, Ordering::SeqCst);
        self.in_use.fetch_add(permits, Ordering::SeqCst) + permits
    }

    /// Releases in between: no longer in use, but still alive.
    pub(super) fn end<P>(&self, permits: usize, permit: P) {
        self.in_use.fetch_sub(permits, Ordering::SeqCst);
        drop(permit);
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn wait_for_all(&self) {
        while self.alive.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
    }
}

// ---- the semaphore ---------------------------------------------------------------------------

struct Scene {
    semaphore: Arc<Semaphore>,
    permits: usize,
    guards: Guards,
}

/// A counted permit: there are never more than the semaphore has.
struct Held(Arc<Scene>, Option<OwnedSemaphorePermit>);

impl Held {
    fn new(scene: &Arc<Scene>, permit: OwnedSemaphorePermit) -> Self {
        let in_use = scene.guards.begin(permit.num_permits());
        assert!(in_use <= scene.permits, "{in_use} in use");
        Self(Arc::clone(scene), Some(permit))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.1.take() {
            self.0.guards.end(permit.num_permits(), permit);
        }
    }
}

/// Permits that are always returned.
struct Missing<'a>(&'a Semaphore, usize);

impl Drop for Missing<'_> {
    fn drop(&mut self) {
        self.0.add_permits(self.1);
    }
}

/// A waker that calls back before it wakes.
struct CallsBack {
    semaphore: Arc<Semaphore>,
    inner: Waker,
}

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        match below(3) {
            0 => drop(self.semaphore.try_acquire()),
            1 => drop(poll_once(self.semaphore.acquire_many(2))),
            _ => {
                let forgotten = self.semaphore.forget_permits(1);
                self.semaphore.add_permits(forgotten);
            }
        }
        self.inner.wake_by_ref();
    }
}

impl Scene {
    async fn acquire(self: &Arc<Self>) -> Option<Held> {
        let asked = 1 + below(u32::try_from(self.permits).unwrap());
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(asked).await;
        Some(Held::new(self, permit.ok()?))
    }

    async fn acquire_with_a_waker_that_calls_back(self: &Arc<Self>) {
        let mut future = pin!(self.acquire());
        let held = poll_fn(|cx| {
            let (semaphore, inner) = (Arc::clone(&self.semaphore), cx.waker().clone());
            let waker = Waker::from(Arc::new(CallsBack { semaphore, inner }));
            future.as_mut().poll(&mut Context::from_waker(&waker))
        });
        drop(held.await);
    }

    async fn step(self: &Arc<Self>) {
        match below(12) {
            0 => drop(with_two_wakers(self.acquire()).await),
            1 => drop(poll_once(self.acquire())),
            2 => {
                let held = self.acquire().await;
                drop(spawn(async {
                    yield_now().await;
                    drop(held);
                }));
            }
            3 => {
                let waits: FuturesUnordered<_> = (0..3).map(|_| self.acquire()).collect();
                waits.for_each(|held| async { drop(held) }).await;
            }
            4 => match select(pin!(self.acquire()), pin!(self.acquire())).await {
                Either::Left((held, _)) | Either::Right((held, _)) => drop(held),
            },
            5 | 6 => self.acquire_with_a_waker_that_calls_back().await,
            7 => {
                let missing = Missing(&self.semaphore, self.semaphore.forget_permits(2));
                yield_now().await;
                drop(missing);
            }
            8 => {
                self.semaphore.reduce_permits(1);
                let missing = Missing(&self.semaphore, 1);
                yield_now().await;
                drop(missing);
            }
            9 => {
                let tried = Arc::clone(&self.semaphore).try_acquire_many_owned(2);
                let held = tried.map(|mut permit| {
                    let half = permit.split(1).unwrap();
                    permit.merge(half);
                    Held::new(self, permit)
                });
                yield_now().await;
                drop(held);
            }
            _ => {
                let held = self.acquire().await;
                yield_now().await;
                drop(held);
            }
        }
    }
}

fn semaphore_program(closes: bool) {
    let permits = 1 + below(3) as usize;
    let semaphore = Arc::new(Semaphore::new(permits));
    let scene = Arc::new(Scene { semaphore, permits, guards: Guards::default() });
    let tasks = spawn_all(|| {
        let scene = Arc::clone(&scene);
        async move {
            for _ in 0..STEPS {
                scene.step().await;
                if closes && below(40) == 0 {
                    scene.semaphore.close();
                }
            }
        }
    });
    // An error says that it was aborted.
    tasks.into_iter().for_each(|task| block_on(task).unwrap_or(()));
    scene.guards.wait_for_all();
    let semaphore = &scene.semaphore;
    let left = (semaphore.available_permits(), semaphore.permits_owed(), semaphore.waiters());
    assert_eq!(left, (permits, 0, 0));
}

/// Broken by: a grant that wakes no waiter, or an old waker; a cancelled waiter that keeps what it
/// collected or was granted.
#[test]
fn shuttle_tasks_aborted_while_they_wait_lose_no_permit_and_no_turn() {
    check(5_000, || semaphore_program(false));
}

/// Broken by: as above; a waiter granted before the close keeping its permits.
#[test]
fn shuttle_tasks_are_told_of_a_close_and_give_all_back() {
    check(5_000, || semaphore_program(true));
}

// ---- the limiter -----------------------------------------------------------------------------

const WINDOW: Duration = Duration::from_nanos(10);
/// The shortest that shared slots have.
const GRACE: Duration = Duration::from_millis(100);

/// What the program of the limiter does besides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    Nothing,
    /// Closes the shared slots.
    Closes,
    /// Makes calls that are never polled again.
    FallsSilent,
}

struct Calls {
    limiter: Limiter,
    slots: Arc<Semaphore>,
    most: usize,
    clock: ManualClock,
    guards: Guards,
    /// The largest limit so far.
    largest: AtomicUsize,
    is_closed: AtomicUsize,
    /// Calls in line that nobody polls.
    silent: Mutex<Vec<Pin<Box<LimiterAcquireOwned>>>>,
    /// When the poll that was admitted began and ended.
    admitted: Sender<(Timestamp, Timestamp)>,
}

/// A call in flight.
struct InFlight<P>(Arc<Calls>, Option<P>);

impl<P> Drop for InFlight<P> {
    fn drop(&mut self) {
        self.0.guards.end(1, self.1.take());
    }
}

impl Calls {
    /// Polls until it is admitted, and records the interval of that poll.
    async fn admit<P>(
        self: &Arc<Self>,
        call: impl Future<Output = Result<P, Refused>>,
    ) -> Option<InFlight<P>> {
        let mut call = pin!(call);
        poll_fn(|cx| {
            let begun = self.clock.now();
            let polled = call.as_mut().poll(cx);
            polled.map(|call| Some(self.in_flight(begun, call.ok()?)))
        })
        .await
    }

    fn in_flight<P>(self: &Arc<Self>, begun: Timestamp, permit: P) -> InFlight<P> {
        self.admitted.send((begun, self.clock.now())).unwrap();
        let in_flight = self.guards.begin(1);
        let call = InFlight(Arc::clone(self), Some(permit));
        assert!(in_flight <= self.most, "{in_flight} in flight");
        call
    }

    async fn acquire_owned(self: &Arc<Self>) -> Option<InFlight<OwnedLimiterPermit>> {
        self.admit(self.limiter.acquire_owned()).await
    }

    async fn step(self: &Arc<Self>) {
        let timeout = Duration::from_nanos(u64::from(below(40)));
        match below(12) {
            0 => drop(with_two_wakers(self.acquire_owned()).await),
            1 => drop(poll_once(self.acquire_owned())),
            2 => {
                let call = self.acquire_owned().await;
                drop(spawn(async {
                    yield_now().await;
                    drop(call);
                }));
            }
            3 => {
                let calls: FuturesUnordered<_> = (0..2).map(|_| self.acquire_owned()).collect();
                calls.for_each(|call| async { drop(call) }).await;
            }
            4 => match select(pin!(self.acquire_owned()), pin!(self.acquire_owned())).await {
                Either::Left((call, _)) | Either::Right((call, _)) => drop(call),
            },
            5 => drop(self.admit(self.limiter.acquire_timeout(timeout)).await),
            6 => drop(self.admit(self.limiter.acquire_timeout_owned(timeout)).await),
            7 => {
                let begun = self.clock.now();
                let tried = self.limiter.try_acquire();
                drop(tried.map(|permit| self.in_flight(begun, permit)));
            }
            8 => self.change_rate(),
            9 => self.look_on(),
            _ => {
                let call = self.acquire_owned().await;
                yield_now().await;
                drop(call);
            }
        }
    }

    /// Joins the line, and falls silent there.
    fn fall_silent(&self) {
        let mut call = Box::pin(self.limiter.acquire_owned());
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.silent.lock().unwrap().push(call);
        }
    }

    fn change_rate(&self) {
        let limit = 1 + below(3);
        self.largest.fetch_max(limit as usize, Ordering::SeqCst);
        self.limiter.set_rate(Rate::new(limit, WINDOW * (1 + below(2)))).unwrap();
    }

    fn look_on(&self) {
        let mut call = pin!(self.limiter.acquire());
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // The waiter ahead may have left since.
        assert!(polled.is_pending() || call.position().is_none());
        let _ = (call.estimated_wait(), self.limiter.remaining());
    }

    /// At the end all slots and places are free.
    fn assert_whole(&self) {
        assert_eq!(self.limiter.waiters(), 0);
        if self.is_closed.load(Ordering::SeqCst) > 0 {
            return;
        }
        self.clock.advance(2 * WINDOW);
        assert_eq!(self.limiter.available_permits(), self.most);
        let limit = self.limiter.remaining();
        assert!((1..=3).contains(&limit));
        assert!((0..limit).all(|_| self.limiter.try_acquire().is_ok()));
        assert!(self.limiter.try_acquire().is_err());
    }
}

/// If the polls of more calls than the largest limit all lie inside a window, so do their stamps.
fn assert_exact(admitted: &[(Timestamp, Timestamp)], largest: usize) {
    for (start, _) in admitted {
        let end = start.saturating_add(WINDOW);
        let inside = admitted.iter().filter(|(begun, ended)| begun >= start && *ended < end);
        assert!(inside.count() <= largest, "more than {largest} from {start:?} on: {admitted:?}");
    }
}

fn limiter_program(extra: Extra) {
    let (limit, most) = (1 + below(3), 1 + below(2) as usize);
    let (clock, slots) = (ManualClock::new(), Arc::new(Semaphore::new(most)));
    let mut builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(limit, WINDOW));
    if below(2) == 0 {
        builder = builder.rate(Rate::new(3, 2 * WINDOW));
    }
    let builder = match extra {
        Extra::FallsSilent if below(2) == 0 => builder.max_concurrent(most).grace(GRACE),
        _ => builder.semaphore(Arc::clone(&slots)).grace(GRACE),
    };
    let limiter = builder.clock(clock.clone()).build();
    let (admitted, admissions) = channel();
    let (guards, largest) = (Guards::default(), AtomicUsize::new(limit as usize));
    let is_closed = AtomicUsize::new(0);
    let silent = Mutex::default();
    let calls = Calls { limiter, slots, most, clock, guards, largest, is_closed, silent, admitted };
    let calls = Arc::new(calls);
    let tasks = spawn_all(|| {
        let calls = Arc::clone(&calls);
        async move {
            for _ in 0..STEPS {
                calls.step().await;
                if extra == Extra::FallsSilent && below(10) == 0 {
                    calls.fall_silent();
                }
                if extra == Extra::Closes && below(40) == 0 {
                    calls.is_closed.store(1, Ordering::SeqCst);
                    calls.slots.close();
                }
            }
        }
    });
    let mut moments = 0;
    while !tasks.iter().all(JoinHandle::is_finished) {
        let passes = Duration::from_nanos(u64::from(below(8)));
        let is_long = extra == Extra::FallsSilent && below(4) == 0;
        calls.clock.advance(if is_long { GRACE / 8 } else { passes });
        thread::yield_now();
        moments += 1;
        assert!(moments < 20_000, "a waiter was not woken");
    }
    calls.guards.wait_for_all();
    calls.silent.lock().unwrap().clear();
    let admitted: Vec<_> = admissions.try_iter().collect();
    assert_exact(&admitted, calls.largest.load(Ordering::SeqCst));
    calls.assert_whole();
}

/// Broken by: a grant that wakes no waiter, or an old waker; a cancelled waiter that keeps what it was
/// granted.
#[test]
fn shuttle_tasks_come_through_both_limits_whoever_is_aborted() {
    check(3_000, || limiter_program(Extra::Nothing));
}

/// Broken by: as above.
#[test]
fn shuttle_tasks_are_told_when_the_slots_are_closed() {
    check(3_000, || limiter_program(Extra::Closes));
}

/// Every task comes through although calls before it are never polled again. Broken by: turns that count for
/// ever; `look_past_silent` handing out no turn.
#[test]
fn shuttle_tasks_come_through_past_calls_that_fall_silent() {
    check(1_000, || limiter_program(Extra::FallsSilent));
}
