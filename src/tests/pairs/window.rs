//! The operations of the window, and every two of them at once.
//!
//! Time moves by whole windows, so every stamp is a multiple of one. The account needs to know only how
//! many stamps there are at the latest time.
//!
//! Caught, each by the pairs named and by the frozen thread: `set_rate` wakes no call in line (most with
//! `set_a_higher_rate`); `promote_successor` publishes a larger log before it is filled (all with
//! `set_a_higher_rate` that look at the log).

use crate::Rate;
use crate::SlidingWindow;
use crate::error::Refused;
#[cfg(ringgate_loom)]
use crate::tests::loom::is_long;
use crate::tests::pairs::{NEWCOMER, Run, Start, Waiter, assert_in_order, every_pair, go_on};
use crate::time::{Clock, ManualClock, Timestamp};
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

every_pair! {
    starts of Scene: a_cell_free a_line_of_two;
    operations:
        try_acquire try_acquire_at acquire acquire_timeout ask_for_the_place_and_leave
        cancel_the_front cancel_behind poll_again
        set_a_lower_rate set_a_higher_rate reset time_passes;
    onlookers: look_on;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    if let Some(short) = short(pair).filter(|_| !is_long()) {
        return short;
    }
    /// Operations of few steps that do not touch the queue.
    const SHORT: &[&str] = &["try_acquire", "set_a_lower_rate", "time_passes", "look_on"];
    // If both walk the queue or let the log grow, their interleavings multiply: minutes at 2. (The `loom`
    // models have growth at 2.)
    let bound = match pair {
        // Every step of a growing log is one of copying.
        ["set_a_higher_rate", "set_a_higher_rate" | "reset"] | ["reset", "reset"] => 0,
        pair if pair.iter().any(|operation| SHORT.contains(operation)) => 2,
        _ => 1,
    };
    /// Each walks all lanes.
    const IN_LINE: &[&str] = &[
        "acquire",
        "acquire_timeout",
        "ask_for_the_place_and_leave",
        "cancel_the_front",
        "cancel_behind",
        "poll_again",
    ];
    let walks = |operation: &str| IN_LINE.contains(&operation);
    match pair {
        // The limiter's pairs run these in a line, without a rate.
        [one, "close" | "reset" | "set_a_higher_rate"] if walks(one) => (1, vec![a_cell_free]),
        // At 1 these take minutes; the limiter's pairs run them without a rate.
        [
            "ask_for_the_place_and_leave",
            "ask_for_the_place_and_leave" | "cancel_behind" | "cancel_the_front",
        ] => (0, vec![a_cell_free, a_line_of_two]),
        ["ask_for_the_place_and_leave", "set_a_lower_rate"]
        | ["try_acquire", "close" | "reset" | "set_a_higher_rate"]
        | ["set_a_lower_rate", "set_a_lower_rate"] => (1, vec![a_cell_free, a_line_of_two]),
        ["set_a_lower_rate", "reset"] => (1, vec![a_cell_free, a_line_of_two]),
        ["set_a_lower_rate", "set_a_higher_rate"] => (1, vec![a_cell_free]),
        _ => (bound, vec![a_cell_free, a_line_of_two]),
    }
}

/// The short form of what takes long.
#[cfg(ringgate_loom)]
fn short(pair: [&str; 2]) -> Option<(usize, Vec<fn() -> Scene>)> {
    Some(match pair {
        // With one switch less.
        [
            "acquire_timeout" | "poll_again" | "cancel_the_front" | "cancel_behind",
            "set_a_lower_rate",
        ]
        | ["reset" | "set_a_higher_rate", "look_on"] => (1, vec![a_cell_free, a_line_of_two]),
        // Those that leave have one in line from any start; what they leave for the second one the limiter's pairs have.
        ["acquire_timeout", "cancel_the_front" | "cancel_behind"]
        | ["acquire" | "acquire_timeout", "ask_for_the_place_and_leave"]
        | ["ask_for_the_place_and_leave", "set_a_lower_rate"]
        | ["try_acquire_at", "set_a_higher_rate"] => (1, vec![a_cell_free]),
        _ => return None,
    })
}

// ---- starts --------------------------------------------------------------------------------------

const WINDOW: Duration = Duration::from_nanos(10);
const LIMIT: u32 = 2;
const LOWER: u32 = 1;
const HIGHER: u32 = 4;
/// A window's.
const GRACE: Duration = Duration::from_secs(1);
/// Steps in which time passes for those that a stalled call is before. There is room for two in each: the third
/// one looks three times, and every look is late by up to a step.
#[cfg(ringgate_freeze)]
const STEPS_OF_GRACE: u32 = 16;

type Waiting = Waiter<Pin<Box<dyn Future<Output = Result<(), Refused>> + Send>>>;

pub(crate) struct Scene {
    window: Arc<SlidingWindow>,
    clock: ManualClock,
    line: Vec<Waiting>,
    admitted: u32,
    /// Time has moved while an operation was stalled.
    time_went_on: bool,
}

impl Scene {
    fn new(admitted: u32) -> Self {
        let clock = ManualClock::new();
        let window = Arc::new(SlidingWindow::with_clock(Rate::new(LIMIT, WINDOW), clock.clone()));
        for _ in 0..admitted {
            window.try_acquire().unwrap();
        }
        Self { window, clock, line: Vec::new(), admitted, time_went_on: false }
    }

    fn line_up(&mut self) {
        let place = u8::try_from(self.line.len()).unwrap();
        self.line.push(waiting(place, &self.window, None));
        // As in the semaphore's pairs.
        self.window.core().sweep_at(2);
    }
}

fn waiting(place: u8, window: &Arc<SlidingWindow>, timeout: Option<Duration>) -> Waiting {
    let window = Arc::clone(window);
    Waiter::new(
        place,
        Box::pin(async move {
            match timeout {
                None => window.acquire().await,
                Some(timeout) => window.acquire_timeout(timeout).await,
            }
        }),
    )
}

/// One call has left the window, and there is room for another.
fn a_cell_free() -> Scene {
    Scene::new(1)
}

/// The window is full, and two wait.
fn a_line_of_two() -> Scene {
    let mut scene = Scene::new(LIMIT);
    scene.line_up();
    scene.line_up();
    scene
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    /// Calls that were admitted at once, before all waiters.
    admitted: u32,
    /// Calls that were admitted at a given time, one window later.
    ahead_of_time: u32,
    refused: bool,
    refused_ahead_of_time: bool,
    waiting: Vec<Waiting>,
    /// Its timeout may have expired.
    is_impatient: bool,
    /// It has set this limit.
    limit: Option<u32>,
    /// Earlier admissions no longer count.
    forgets: bool,
    /// The most it may have kept from others.
    taken: u32,
}

fn on(scene: &Scene, work: impl FnOnce(&Arc<SlidingWindow>) -> Left + Send + 'static) -> Run<Left> {
    let window = Arc::clone(&scene.window);
    Run::new(move || work(&window))
}

fn try_acquire(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| match window.try_acquire() {
        Ok(()) => Left { admitted: 1, taken: 1, ..Left::default() },
        Err(refused) => {
            assert!(!refused.is_permanent());
            Left { refused: true, ..Left::default() }
        }
    })
}

/// There is room at that time, whatever another operation does.
fn try_acquire_at(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| match window.try_acquire_at(Timestamp::from_epoch(WINDOW)) {
        Ok(()) => Left { ahead_of_time: 1, taken: 1, ..Left::default() },
        Err(_) => Left { refused_ahead_of_time: true, ..Left::default() },
    })
}

fn acquire(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| Left {
        taken: 1,
        waiting: vec![waiting(NEWCOMER, window, None)],
        ..Left::default()
    })
}

fn acquire_timeout(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| {
        let waiting = vec![waiting(NEWCOMER, window, Some(2 * WINDOW))];
        Left { taken: 1, waiting, is_impatient: true, ..Left::default() }
    })
}

fn ask_for_the_place_and_leave(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| {
        let mut own = pin!(window.acquire());
        let polled = own.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(own.position().is_some(), polled.is_pending());
        assert!(own.position().is_none_or(|ahead| ahead <= 8));
        // Time moves on by the grace if the thread stalls in between.
        assert!(own.estimated_wait().is_none_or(|wait| wait <= 4 * WINDOW + GRACE));
        Left { admitted: matches!(polled, Poll::Ready(Ok(_))).into(), taken: 1, ..Left::default() }
    })
}

/// The head; if the other operation has taken that, the second.
fn take_the_front(scene: &mut Scene) -> Waiting {
    if scene.line.is_empty() {
        fill(scene);
        scene.line_up();
    }
    scene.line.remove(0)
}

/// Calls queue only if the window is full.
fn fill(scene: &mut Scene) {
    while scene.window.try_acquire().is_ok() {
        scene.admitted += 1;
    }
}

fn cancel_the_front(scene: &mut Scene) -> Run<Left> {
    let front = take_the_front(scene);
    on(scene, |_| {
        drop(front);
        Left::default()
    })
}

/// Joins at the end of the line, or in the middle if the other operation does the same.
fn cancel_behind(scene: &mut Scene) -> Run<Left> {
    fill(scene);
    scene.line_up();
    let last = scene.line.pop().unwrap();
    on(scene, |_| {
        drop(last);
        Left::default()
    })
}

fn poll_again(scene: &mut Scene) -> Run<Left> {
    let mut front = take_the_front(scene);
    on(scene, |_| {
        front.poll_anew();
        Left { waiting: vec![front], ..Left::default() }
    })
}

fn set_a_lower_rate(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| {
        window.set_rate(Rate::new(LOWER, WINDOW));
        Left { limit: Some(LOWER), taken: LIMIT - LOWER, ..Left::default() }
    })
}

/// More than there are cells, so the log grows.
fn set_a_higher_rate(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| {
        window.set_rate(Rate::new(HIGHER, WINDOW));
        Left { limit: Some(HIGHER), ..Left::default() }
    })
}

fn reset(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| {
        window.reset();
        Left { forgets: true, ..Left::default() }
    })
}

fn time_passes(scene: &mut Scene) -> Run<Left> {
    let clock = scene.clock.clone();
    let run = on(scene, move |_| {
        clock.advance(WINDOW);
        Left::default()
    });
    Run { holds_the_sleepers: true, ..run }
}

fn look_on(scene: &mut Scene) -> Run<Left> {
    on(scene, |window| {
        assert!(window.remaining() <= HIGHER);
        assert!([LOWER, LIMIT, HIGHER].contains(&window.limit()));
        assert!(
            window.rates().eq([Rate::new(window.limit(), WINDOW)]) || window.window() == WINDOW
        );
        assert_eq!(window.granularity(), 1);
        assert!(window.waiters() <= 4);
        Left::default()
    })
}

// ---- the account ---------------------------------------------------------------------------------

impl Start for Scene {
    type Left = Left;

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Left, has_sleepers: bool) {
        // The answer does not matter.
        let _ = (self.window.remaining(), self.window.waiters());
        self.time_went_on = true;
        let mut others: Vec<_> = self.line.iter_mut().chain(&mut left.waiting).collect();
        for _ in 0..STEPS_OF_GRACE {
            self.clock.advance(GRACE / STEPS_OF_GRACE);
            if has_sleepers {
                others.iter_mut().for_each(|waiter| waiter.poll_unwoken());
            }
            go_on(others.iter_mut().map(|waiter| &mut **waiter));
        }
        assert!(others.iter().all(|waiter| waiter.is_over()), "the other waiters are not served");
    }

    fn settle(mut self, mut left: [Left; 2]) {
        self.assert_rightly_refused(&left);
        go_on(all(&mut self.line, &mut left));
        self.assert_exact(&mut left);
        self.assert_nobody_waits_in_vain(&mut left);
        // Silent calls are overtaken.
        if !self.time_went_on {
            let a_newcomer_went = left.iter().any(|left| left.admitted > 0);
            assert_in_order(all(&mut self.line, &mut left).map(|waiter| &*waiter), a_newcomer_went);
        }

        // Every waiter is admitted, and never too many at a time.
        for _ in 0..all(&mut self.line, &mut left).count() + 1 {
            let before = admitted(&mut self.line, &mut left);
            self.clock.advance(WINDOW);
            go_on(all(&mut self.line, &mut left));
            let now = admitted(&mut self.line, &mut left) - before;
            assert!(now <= self.window.limit(), "{now} are admitted");
            self.assert_nobody_waits_in_vain(&mut left);
        }
        assert!(all(&mut self.line, &mut left).all(|waiter| waiter.is_over()), "not served");
        let refused = all(&mut self.line, &mut left).any(|waiter| waiter.output != Some(Ok(())));
        assert!(!refused || left.iter().any(|left| left.is_impatient), "refused");
        self.clock.advance(WINDOW);
        assert_eq!((self.window.waiters(), self.window.remaining()), (0, self.window.limit()));
        drop((left, self.line));
        assert_eq!(self.window.core().nodes_in_use(), 0, "a node was not recycled");
    }
}

/// All waiters of the scene and of both operations.
fn all<'a>(
    line: &'a mut [Waiting],
    left: &'a mut [Left; 2],
) -> impl Iterator<Item = &'a mut Waiting> {
    line.iter_mut().chain(left.iter_mut().flat_map(|left| &mut left.waiting))
}

/// How many of all waiters have been admitted.
fn admitted(line: &mut [Waiting], left: &mut [Left; 2]) -> u32 {
    all(line, left).map(|waiter| u32::from(waiter.output == Some(Ok(())))).sum()
}

impl Scene {
    fn now(&self) -> u64 {
        self.clock.now().as_nanos()
    }

    /// No call is refused while a cell is free throughout.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let room = LIMIT.saturating_sub(self.admitted + other.taken);
            assert!(!one.refused || room == 0, "refused while a cell is free");
            // Waiters that were served since used that time, too.
            assert!(
                !one.refused_ahead_of_time || self.time_went_on,
                "refused although that time has room"
            );
        }
    }

    /// No admission is lost, none counts twice, and none is too many.
    fn assert_exact(&mut self, left: &mut [Left; 2]) {
        let limit = self.window.limit();
        let set: Vec<_> = left.iter().filter_map(|left| left.limit).collect();
        assert!(if set.is_empty() { limit == LIMIT } else { set.contains(&limit) });
        let largest = set.iter().copied().max().unwrap_or(LIMIT).max(LIMIT);

        let ahead: u32 = left.iter().map(|left| left.ahead_of_time).sum();
        let at_once: u32 = left.iter().map(|left| left.admitted).sum();
        let in_all = self.admitted + at_once + ahead + admitted(&mut self.line, left);

        let ahead_until = if ahead > 0 { WINDOW } else { Duration::ZERO };
        let latest = self.now().max(Timestamp::from_epoch(ahead_until).as_nanos());
        let windows_before = u32::try_from(latest).unwrap() / 10;
        let room = self.window.core().rate().unwrap().remaining(latest);
        let mut before = windows_before * largest;
        if left.iter().any(|left| left.forgets) {
            // Everything that was admitted before the reset.
            before += (windows_before + 1) * largest;
        }
        assert!(in_all <= before + largest, "{in_all} admissions");
        if room > 0 {
            // `limit - room` stamps are in the last window, and no more than allowed came before.
            assert!(
                (limit - room..=limit - room + before).contains(&in_all),
                "{in_all} admissions"
            );
        } else {
            assert!(in_all >= limit, "{in_all} admissions fill a window of {limit}");
        }
    }

    fn assert_nobody_waits_in_vain(&mut self, left: &mut [Left; 2]) {
        let waits = all(&mut self.line, left).any(|waiter| !waiter.is_over());
        assert!(!waits || self.window.remaining() == 0, "a call waits though there is room");
    }
}
