//! The operations of the limiter, and every two of them at once.
//!
//! Both limits together: the account finds a slot, a turn or a wake that no thread passes on.
//!
//! Caught, each by the pairs named and by the frozen thread: `set_rate` wakes no call in line (most with
//! `set_a_higher_rate`); `try_admit_with_slot` keeps the slot when the rate refuses (`try_acquire` against
//! itself); `Core::close` without the line (most with `close`); `Core::resume` that wakes no call in line (most with `resume`);
//! `Core::succeed` that wakes none (most with `success`); `Held::new` that does not count.

use crate::error::Refused;
#[cfg(ringgate_loom)]
use crate::tests::loom::is_long;
use crate::tests::pairs::{NEWCOMER, Run, Start, Waiter, assert_in_order, every_pair, go_on};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{
    Feedback, Limiter, LimiterBuilder, OwnedLimiterPermit, OwnedSemaphorePermit, Rate, Semaphore,
};
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

every_pair! {
    starts of Scene:
        both_open a_line_for_the_rate a_line_for_a_slot one_waits_for_a_slot a_paused_line;
    operations:
        try_acquire acquire acquire_timeout ask_for_the_place_and_leave
        end_of_a_call
        cancel_the_front cancel_behind poll_again
        set_a_lower_rate set_a_higher_rate reset time_passes pause resume overload success close;
    onlookers: look_on snapshot stats;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    if let Some(short) = short(pair).filter(|_| !is_long()) {
        return short;
    }
    match pair {
        // Every step of a growing log is one of copying.
        ["reset" | "set_a_lower_rate" | "set_a_higher_rate", "stats"] => {
            return (1, vec![a_line_for_a_slot]);
        }
        [_, "stats"] => return (2, vec![a_line_for_a_slot]),
        pair if pair.contains(&"overload") || pair.contains(&"success") => {
            // A minute or more at 2.
            const LONG: &[&str] =
                &["ask_for_the_place_and_leave", "set_a_higher_rate", "resume", "close"];
            let takes_long = pair.iter().any(|operation| LONG.contains(operation));
            let starts = vec![both_open, a_line_for_a_slot, one_waits_for_a_slot, a_paused_line];
            return (if takes_long && pair.contains(&"success") { 1 } else { 2 }, starts);
        }
        ["resume", "close"] => return (1, vec![one_waits_paused_alone]),
        // At 1 these have six executions.
        ["cancel_behind", "resume"] | ["resume", "look_on" | "snapshot"] => {
            return (2, vec![a_paused_line]);
        }
        pair if pair.contains(&"resume") => return (1, vec![a_paused_line]),
        pair if pair.contains(&"pause") => return (2, vec![both_open, a_line_for_a_slot]),
        _ => {}
    }
    /// Operations of few steps that do not touch the queue.
    const SHORT: &[&str] =
        &["try_acquire", "end_of_a_call", "set_a_lower_rate", "time_passes", "look_on", "snapshot"];
    // If both walk the queue or let the log grow, their interleavings multiply: minutes at 2. The pairs of
    // the semaphore and of the window cover those at 2.
    let bound = match pair {
        // Every step of a growing log is one of copying. The window's models run two at once.
        ["set_a_lower_rate" | "set_a_higher_rate", "set_a_higher_rate" | "reset"]
        | ["reset", "reset"] => 0,
        // The window's pairs run these at 2.
        pair if pair.contains(&"set_a_higher_rate") => 1,
        // A minute or more at 2.
        ["acquire" | "acquire_timeout" | "ask_for_the_place_and_leave", "set_a_lower_rate"]
        | ["try_acquire", "close" | "reset"] => 1,
        pair if pair.iter().any(|operation| SHORT.contains(operation)) => 2,
        _ => 1,
    };
    // Seven lanes and many calls: without a rate, or from one start.
    match pair {
        ["ask_for_the_place_and_leave", "close"] => return (1, vec![both_open]),
        ["cancel_the_front" | "cancel_behind" | "poll_again", "close"]
        | ["acquire" | "acquire_timeout" | "end_of_a_call", "close"] => {
            return (1, vec![one_waits_for_a_slot_alone]);
        }
        [
            "ask_for_the_place_and_leave",
            "ask_for_the_place_and_leave" | "cancel_behind" | "cancel_the_front",
        ] => {
            return (1, vec![a_line_for_a_slot_alone]);
        }
        ["acquire" | "acquire_timeout", "ask_for_the_place_and_leave"]
        | ["acquire_timeout", "cancel_the_front" | "cancel_behind"] => {
            return (1, vec![both_open, a_line_for_a_slot_alone]);
        }
        ["reset" | "set_a_lower_rate" | "set_a_higher_rate", "close"] => {
            return (1, vec![both_open, one_waits_for_a_slot]);
        }
        ["poll_again", "reset" | "set_a_higher_rate"] => return (1, vec![both_open]),
        // From three starts it has ten executions at most.
        ["set_a_higher_rate", "reset"] => {
            return (
                0,
                vec![both_open, a_line_for_the_rate, a_line_for_a_slot, one_waits_for_a_slot],
            );
        }
        ["end_of_a_call", "reset" | "set_a_higher_rate"] => {
            return (1, vec![both_open, one_waits_for_a_slot]);
        }
        ["cancel_the_front" | "set_a_lower_rate", "reset" | "set_a_higher_rate"] => {
            return (1, vec![both_open]);
        }
        [
            "acquire" | "acquire_timeout" | "ask_for_the_place_and_leave",
            "reset" | "set_a_higher_rate",
        ] => {
            // At 1 these take minutes; `loom::limiter` has smaller ones at 2.
            return (0, vec![both_open, a_line_for_the_rate, a_line_for_a_slot]);
        }
        _ => {}
    }
    // A call alone in line is another case for those that free a slot only.
    if pair.contains(&"end_of_a_call") {
        return (
            bound,
            vec![both_open, a_line_for_the_rate, a_line_for_a_slot, one_waits_for_a_slot],
        );
    }
    let starts: Vec<fn() -> Scene> = match pair {
        // Only in this start does it wait for a change of the rate.
        ["poll_again", "set_a_higher_rate"] => vec![a_line_for_the_rate],
        _ => vec![both_open, a_line_for_the_rate, a_line_for_a_slot],
    };
    (bound, starts)
}

/// The short form of what takes long.
#[cfg(ringgate_loom)]
fn short(pair: [&str; 2]) -> Option<(usize, Vec<fn() -> Scene>)> {
    Some(match pair {
        // With one switch less.
        [
            "try_acquire" | "poll_again" | "cancel_the_front" | "cancel_behind",
            "set_a_lower_rate",
        ]
        | ["set_a_lower_rate", "set_a_lower_rate"]
        | ["reset", "look_on"] => (1, vec![both_open, a_line_for_the_rate, a_line_for_a_slot]),
        ["end_of_a_call", "set_a_lower_rate" | "cancel_the_front" | "poll_again"]
        | ["acquire_timeout", "end_of_a_call"] => {
            (1, vec![both_open, a_line_for_the_rate, a_line_for_a_slot, one_waits_for_a_slot])
        }
        ["ask_for_the_place_and_leave", "end_of_a_call"] => {
            (1, vec![both_open, a_line_for_the_rate, one_waits_for_a_slot_alone])
        }
        // One call in line instead of two.
        ["ask_for_the_place_and_leave", "set_a_lower_rate"] => {
            (1, vec![both_open, one_waits_for_the_rate])
        }
        ["ask_for_the_place_and_leave", "cancel_the_front" | "cancel_behind"] => {
            (1, vec![one_waits_for_a_slot_alone])
        }
        ["try_acquire", "set_a_higher_rate"] => (1, vec![both_open, one_waits_for_the_rate]),
        ["try_acquire", "close"] => {
            (1, vec![both_open, one_waits_for_the_rate, one_waits_for_a_slot_alone])
        }
        ["set_a_higher_rate", "resume"] => (1, vec![one_waits_paused]),
        // It waits until a pause is over.
        ["end_of_a_call", "close"] => (1, vec![one_waits_paused_alone]),
        // The window has room for one of the two.
        ["acquire_timeout" | "ask_for_the_place_and_leave", "ask_for_the_place_and_leave"] => {
            (1, vec![both_open])
        }
        // A close meets a line beside the operations of the line.
        ["reset" | "set_a_lower_rate" | "set_a_higher_rate", "close"] => (3, vec![both_open]),
        ["success", "close"] => (2, vec![both_open, a_line_for_a_slot, one_waits_for_a_slot]),
        // It waits, or goes at once: the pairs of `acquire` have that.
        ["ask_for_the_place_and_leave", "success"] => {
            (1, vec![a_line_for_a_slot, one_waits_for_a_slot, a_paused_line])
        }
        _ => return None,
    })
}

// ---- starts --------------------------------------------------------------------------------------

const WINDOW: Duration = Duration::from_nanos(10);
const LIMIT: u32 = 3;
const LOWER: u32 = 2;
const HIGHER: u32 = 4;
/// The shortest.
const GRACE: Duration = Duration::from_millis(1);
/// Steps in which time passes for those that a stalled call is before.
#[cfg(ringgate_freeze)]
const STEPS_OF_GRACE: u32 = 8;

/// A waiting call and, once it is admitted, its permit.
type Waiting =
    Waiter<Pin<Box<dyn Future<Output = Result<Option<OwnedLimiterPermit>, Refused>> + Send>>>;

pub(crate) struct Scene {
    limiter: Limiter,
    /// Shared with code outside the limiter, instead of slots of its own.
    pub(super) shared: Option<Arc<Semaphore>>,
    in_all: usize,
    clock: ManualClock,
    running: Vec<OwnedLimiterPermit>,
    line: Vec<Waiting>,
    /// How many calls have joined the line.
    came: u8,
    /// How many calls have been admitted.
    admitted: u32,
    /// Other calls were made while an operation was stalled.
    went_on: bool,
}

impl Scene {
    /// With slots of the limiter's own.
    fn own(slots: usize) -> Self {
        let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(LIMIT, WINDOW));
        Self::new(slots, None, builder.max_concurrent(slots))
    }

    /// The same without a rate.
    #[cfg(ringgate_loom)]
    fn own_alone(slots: usize) -> Self {
        Self::new(slots, None, Limiter::builder().max_concurrent(slots))
    }

    /// With slots of a semaphore that others use as well.
    pub(super) fn shared(slots: usize) -> Self {
        let semaphore = Arc::new(Semaphore::new(slots));
        let shared = Some(Arc::clone(&semaphore));
        let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(LIMIT, WINDOW));
        Self::new(slots, shared, builder.semaphore(semaphore))
    }

    /// Two calls are running.
    fn new(slots: usize, shared: Option<Arc<Semaphore>>, builder: LimiterBuilder) -> Self {
        let clock = ManualClock::new();
        let limiter = builder.grace(GRACE).clock(clock.clone()).build();
        let running =
            vec![limiter.try_acquire_owned().unwrap(), limiter.try_acquire_owned().unwrap()];
        Self {
            limiter,
            shared,
            in_all: slots,
            clock,
            running,
            line: Vec::new(),
            came: 0,
            admitted: 2,
            went_on: false,
        }
    }

    /// Makes calls until one would have to wait.
    fn fill(&mut self) {
        while let Ok(call) = self.limiter.try_acquire_owned() {
            drop(call);
            self.admitted += 1;
        }
    }

    fn line_up(&mut self) {
        self.fill();
        self.line.push(waiting(self.came, self.limiter.acquire_owned()));
        self.came += 1;
        // As in the semaphore's pairs.
        self.limiter.core().sweep_at(2);
    }
}

impl Scene {
    fn succeed(&self, times: usize) {
        (0..times).for_each(|_| self.limiter.observe(&Feedback::new()));
    }

    /// How many may be in flight.
    fn level(&self) -> usize {
        if self.shared.is_some() { self.in_all } else { self.limiter.concurrency_limit() }
    }

    /// A call ends, and a look at what it has left is long ago.
    pub(super) fn end_a_call_and_look(&mut self) {
        drop(self.running.pop());
        self.admitted += u32::from(self.limiter.try_acquire().is_ok());
        self.clock.advance(GRACE / 4);
    }
}

fn waiting(
    place: u8,
    call: impl Future<Output = Result<OwnedLimiterPermit, Refused>> + Send + 'static,
) -> Waiting {
    Waiter::new(place, Box::pin(async move { call.await.map(Some) }))
}

/// The window has room for one call, and two slots are free.
fn both_open() -> Scene {
    Scene::own(4)
}

/// Slots are free, the window is full, and two wait.
fn a_line_for_the_rate() -> Scene {
    with_a_line(both_open(), 2)
}

/// The window has room, no slot is free, and two wait.
fn a_line_for_a_slot() -> Scene {
    with_a_line(Scene::own(2), 2)
}

/// As before, but only one waits: others are not woken beside it.
fn one_waits_for_a_slot() -> Scene {
    with_a_line(Scene::own(2), 1)
}

/// The window has room for one call, two slots are free, and two wait until a pause is over.
fn a_paused_line() -> Scene {
    paused_with_a_line(both_open(), 2)
}

pub(super) fn paused_with_a_line(scene: Scene, calls: usize) -> Scene {
    scene.limiter.pause(WINDOW);
    with_a_line(scene, calls)
}

/// Slots are free, the window is full, and one waits.
#[cfg(ringgate_loom)]
fn one_waits_for_the_rate() -> Scene {
    with_a_line(both_open(), 1)
}

/// As `a_paused_line`, but only one waits.
#[cfg(ringgate_loom)]
fn one_waits_paused() -> Scene {
    paused_with_a_line(both_open(), 1)
}

/// One call waits until a pause is over, without a rate.
#[cfg(ringgate_loom)]
fn one_waits_paused_alone() -> Scene {
    paused_with_a_line(Scene::own_alone(4), 1)
}

/// As `one_waits_for_a_slot`, but without a rate.
#[cfg(ringgate_loom)]
fn one_waits_for_a_slot_alone() -> Scene {
    with_a_line(Scene::own_alone(2), 1)
}

/// Two wait, without a rate.
#[cfg(ringgate_loom)]
fn a_line_for_a_slot_alone() -> Scene {
    with_a_line(Scene::own_alone(2), 2)
}

pub(super) fn with_a_line(mut scene: Scene, calls: usize) -> Scene {
    (0..calls).for_each(|_| scene.line_up());
    scene
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    /// How many of its calls were admitted at once, before all waiters.
    admitted: u32,
    /// Those of them that still run.
    running: Vec<OwnedLimiterPermit>,
    /// A slot that is held outside the limiter.
    pub(super) beside: Option<OwnedSemaphorePermit>,
    refused: Option<Refused>,
    waiting: Vec<Waiting>,
    /// Its timeout may have expired.
    is_impatient: bool,
    /// It has closed the limiter, or the slots.
    pub(super) closed: bool,
    /// It may have kept other calls from being admitted.
    narrows: bool,
    /// Earlier admissions no longer count.
    forgets: bool,
    /// So many admissions are in the snapshot that it has taken.
    told: Option<u64>,
}

impl Left {
    fn end(&mut self) {
        self.running.clear();
        self.beside = None;
    }
}

pub(super) fn on(scene: &Scene, work: impl FnOnce(&Limiter) -> Left + Send + 'static) -> Run<Left> {
    let limiter = scene.limiter.clone();
    Run::new(move || work(&limiter))
}

pub(super) fn narrows() -> Left {
    Left { narrows: true, ..Left::default() }
}

pub(super) fn try_acquire(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| match limiter.try_acquire_owned() {
        Ok(call) => Left { admitted: 1, running: vec![call], ..narrows() },
        Err(refused) => Left { refused: Some(refused), ..Left::default() },
    })
}

pub(super) fn acquire(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| Left {
        waiting: vec![waiting(NEWCOMER, limiter.acquire_owned())],
        ..narrows()
    })
}

fn acquire_timeout(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        let waiting = vec![waiting(NEWCOMER, limiter.acquire_timeout_owned(2 * WINDOW))];
        Left { waiting, is_impatient: true, ..narrows() }
    })
}

fn ask_for_the_place_and_leave(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        let mut own = pin!(limiter.acquire());
        let polled = own.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(own.position().is_some(), polled.is_pending());
        assert!(own.position().is_none_or(|ahead| ahead <= 8));
        // Time moves on by the grace if the thread stalls in between.
        assert!(own.estimated_wait().is_none_or(|wait| wait <= 4 * WINDOW + GRACE));
        Left { admitted: matches!(polled, Poll::Ready(Ok(_))).into(), ..narrows() }
    })
}

pub(super) fn end_of_a_call(scene: &mut Scene) -> Run<Left> {
    let call = scene.running.pop().unwrap();
    on(scene, |_| {
        drop(call);
        Left::default()
    })
}

/// The head; if the other operation has taken that, the second.
fn take_the_front(scene: &mut Scene) -> Waiting {
    if scene.line.is_empty() {
        scene.line_up();
    }
    scene.line.remove(0)
}

pub(super) fn cancel_the_front(scene: &mut Scene) -> Run<Left> {
    let front = take_the_front(scene);
    on(scene, |_| {
        drop(front);
        Left::default()
    })
}

/// Joins at the end of the line, or in the middle if the other operation does the same.
fn cancel_behind(scene: &mut Scene) -> Run<Left> {
    scene.line_up();
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
        Left { waiting: vec![front], ..Left::default() }
    })
}

fn set_a_lower_rate(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.set_rate(Rate::new(LOWER, WINDOW)).unwrap();
        narrows()
    })
}

/// More than there are cells, so the log grows.
fn set_a_higher_rate(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.set_rate(Rate::new(HIGHER, WINDOW)).unwrap();
        Left::default()
    })
}

fn reset(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.reset();
        Left { forgets: true, ..Left::default() }
    })
}

pub(super) fn time_passes(scene: &mut Scene) -> Run<Left> {
    let clock = scene.clock.clone();
    let run = on(scene, move |_| {
        clock.advance(WINDOW);
        Left::default()
    });
    Run { holds_the_sleepers: true, ..run }
}

pub(super) fn pause(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.pause(WINDOW);
        narrows()
    })
}

pub(super) fn resume(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.resume();
        Left::default()
    })
}

fn overload(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.observe(&Feedback::overload());
        narrows()
    })
}

/// The last one of as many as raise the level after an overload.
fn success(scene: &mut Scene) -> Run<Left> {
    scene.limiter.observe(&Feedback::overload());
    scene.succeed(scene.limiter.concurrency_limit() - 1);
    on(scene, |limiter| {
        limiter.observe(&Feedback::new());
        // The overload before it does.
        narrows()
    })
}

pub(super) fn close(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.close();
        Left { closed: true, ..narrows() }
    })
}

fn look_on(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        assert!(limiter.remaining() <= HIGHER);
        assert!(limiter.available_permits() <= 4);
        assert!(limiter.waiters() <= 4);
        Left::default()
    })
}

fn stats(scene: &mut Scene) -> Run<Left> {
    let before = u64::from(scene.admitted);
    on(scene, move |limiter| {
        let stats = limiter.stats();
        assert!(stats.admitted >= before, "admissions are missing");
        assert!(stats.waiting.total() <= 4);
        assert!(stats.limits.iter().all(|limit| limit.left <= limit.limit && limit.used <= 8));
        Left::default()
    })
}

fn snapshot(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        let told = limiter.core().admissions().iter().map(|entry| entry.amount).sum();
        Left { told: Some(told), ..Left::default() }
    })
}

// ---- the account ---------------------------------------------------------------------------------

impl Start for Scene {
    type Left = Left;

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Left, has_sleepers: bool) {
        // The answer does not matter.
        self.admitted += u32::from(self.limiter.try_acquire().is_ok());
        self.went_on = true;
        self.running.clear();
        left.end();
        // The stalled thread may hold the only slot that the level allows.
        self.succeed(10);
        let mut others: Vec<_> = self.line.iter_mut().chain(&mut left.waiting).collect();
        // There is room for all from the first step on.
        for _ in 0..STEPS_OF_GRACE {
            self.clock.advance(GRACE / STEPS_OF_GRACE);
            loop {
                if has_sleepers {
                    others.iter_mut().for_each(|waiter| waiter.poll_unwoken());
                }
                go_on(others.iter_mut().map(|waiter| &mut **waiter));
                if !others.iter_mut().any(|waiter| hang_up(waiter)) {
                    break;
                }
            }
        }
        assert!(others.iter().all(|waiter| waiter.is_over()), "the other waiters are not served");
    }

    fn settle(mut self, mut left: [Left; 2]) {
        self.assert_all_told(&left);
        self.assert_rightly_refused(&left);
        go_on(all(&mut self.line, &mut left));
        self.assert_accounted_for(&mut left);
        // Silent calls are overtaken. Those that are to have a shared slot go in the order of its line.
        if !self.went_on && self.shared.is_none() {
            let a_newcomer_went = left.iter().any(|left| left.admitted > 0);
            assert_in_order(all(&mut self.line, &mut left).map(|waiter| &*waiter), a_newcomer_went);
        }

        // All calls end. Every waiter is admitted, and never too many at a time.
        self.running.clear();
        left.iter_mut().for_each(Left::end);
        all(&mut self.line, &mut left).for_each(end);
        for _ in 0..=2 * all(&mut self.line, &mut left).count() {
            self.clock.advance(WINDOW);
            go_on(all(&mut self.line, &mut left));
            self.assert_accounted_for(&mut left);
            all(&mut self.line, &mut left).for_each(end);
        }
        let closed = left.iter().any(|left| left.closed);
        let may_be_refused = closed || left.iter().any(|left| left.is_impatient);
        for waiter in all(&mut self.line, &mut left) {
            let over = waiter.output.as_ref();
            assert!(over.is_some_and(|call| call.is_ok() || may_be_refused), "not served");
        }
        let level = self.level();
        assert!((1..=self.in_all).contains(&level));
        drop((left, self.line));
        self.clock.advance(WINDOW);
        assert_eq!((self.limiter.waiters(), self.limiter.available_permits()), (0, level));
        assert_eq!(self.limiter.try_acquire().is_ok(), !closed);
        assert_eq!(self.limiter.core().nodes_in_use(), 0, "a node was not recycled");
    }
}

/// All waiters of the scene and of both operations.
fn all<'a>(
    line: &'a mut [Waiting],
    left: &'a mut [Left; 2],
) -> impl Iterator<Item = &'a mut Waiting> {
    line.iter_mut().chain(left.iter_mut().flat_map(|left| &mut left.waiting))
}

fn end(waiter: &mut Waiting) {
    hang_up(waiter);
}

/// Ends the call if it has been admitted and still runs.
fn hang_up(waiter: &mut Waiting) -> bool {
    match &mut waiter.output {
        Some(Ok(call)) => call.take().is_some(),
        _ => false,
    }
}

impl Scene {
    /// All that was admitted before is in a snapshot, and nothing that was not admitted.
    fn assert_all_told(&self, left: &[Left; 2]) {
        let before = u64::from(self.admitted);
        let is_limited = self.limiter.core().rate().is_some();
        // While a thread stalls, calls leave the window.
        let all_count = is_limited && !self.went_on && !left.iter().any(|left| left.forgets);
        for told in left.iter().filter_map(|left| left.told) {
            assert!(!all_count || told >= before, "{told} of {before} are in the snapshot");
            assert!(self.went_on || told <= before + 4, "{told} in the snapshot, after {before}");
        }
    }

    /// No call is refused while both limits have room throughout.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let Some(refused) = &one.refused else { continue };
            let came = self.came > 0 || self.went_on;
            assert!(came || other.narrows, "refused though both limits have room");
            assert!(!refused.is_permanent() || other.closed);
        }
    }

    /// Every slot has an owner, no admission is lost or too many, and no call waits in vain.
    fn assert_accounted_for(&mut self, left: &mut [Left; 2]) {
        let free = self.limiter.available_permits();
        let beside = left.iter().filter(|left| left.beside.is_some()).count();
        let at_once: usize = left.iter().map(|left| left.running.len()).sum();
        let called = |call: &&mut Waiting| matches!(call.output, Some(Ok(Some(_))));
        let after_waiting = all(&mut self.line, left).filter(called).count();
        let in_use = self.running.len() + beside + at_once + after_waiting;
        assert_eq!(free, self.level().saturating_sub(in_use), "slots lost or made");

        let went = all(&mut self.line, left).filter(|call| matches!(call.output, Some(Ok(_))));
        let went = u32::try_from(went.count()).unwrap();
        let admitted = self.admitted + left.iter().map(|left| left.admitted).sum::<u32>() + went;
        let counted = self.limiter.core().counts().map(|counts| counts.admitted);
        assert_eq!(counted, Some(admitted.into()), "an admission is counted twice, or not at all");
        let rule = self.limiter.core().rate().map(|log| log.rule(0).unwrap());
        if let Some((limit, _)) = rule
            && self.clock.now() == Timestamp::ZERO
        {
            let (remaining, least) = (self.limiter.remaining(), limit.saturating_sub(admitted));
            let forgets = left.iter().any(|left| left.forgets);
            assert!(remaining == least || forgets && (least..=limit).contains(&remaining));
            assert!(admitted <= if forgets { 2 * HIGHER } else { HIGHER });
        }

        let closed =
            self.limiter.is_closed() || self.shared.as_ref().is_some_and(|slots| slots.is_closed());
        let waits = all(&mut self.line, left).any(|waiter| !waiter.is_over());
        assert!(!waits || !closed, "a waiter missed the close");
        assert!(
            !waits
                || free == 0
                || self.limiter.remaining() == 0
                || self.limiter.paused_for().is_some(),
            "a call waits though there is room"
        );
    }
}
