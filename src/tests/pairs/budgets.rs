//! The operations of a limiter with a limit on tokens, and every two of them at once.
//!
//! There is no rate and no slot, which `limiter` has: a wheel and five lanes are enough for a model. The account compares
//! what remains with what every call counts for, so it finds tokens that a refused, cancelled or settled call has not given
//! back, or has given back twice. A call is polled only when it is woken: the first in line may not wait for tokens that
//! are there, and nobody goes before it.
//!
//! Caught, by the pairs named and by the frozen thread: `look_for_tokens_again` that does nothing (`cancel`,
//! `set_a_higher_limit`); `settle_each` that returns false (`settle_less`). By the frozen thread alone: `settle_each` that settles
//! nothing, or in full (not tried under loom); `Queued::go` without the look at those in front: a small call goes first.

use crate::error::Refused;
#[cfg(ringgate_loom)]
use crate::tests::loom::is_long;
use crate::tests::pairs::{NEWCOMER, Run, Start, Waiter, assert_in_order, every_pair, go_on};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{Limiter, OwnedLimiterPermit, TokenLimit, Usage};
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

every_pair! {
    starts of Scene: open_at_the_start a_line_for_tokens open_as_produced a_line_for_a_settlement;
    operations:
        try_acquire acquire_small acquire_large
        settle_less cancel end_of_a_call
        cancel_the_front cancel_behind poll_again
        set_a_lower_limit set_a_higher_limit time_passes close;
    onlookers: look_on;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    if let Some(short) = short(pair).filter(|_| !is_long()) {
        return short;
    }
    /// Operations of few steps.
    const SHORT: &[&str] = &["time_passes", "look_on"];
    // From other starts it takes many minutes; the frozen thread has those.
    if pair == ["acquire_small", "cancel_the_front"] {
        return (1, vec![a_line_for_tokens]);
    }
    // Wheels, and five lanes: from one start, and with one call in line.
    let starts: Vec<fn() -> Scene> = match pair {
        // From one start they have ten executions at most.
        pair if pair.iter().any(|operation| SHORT.contains(operation)) => vec![
            open_at_the_start,
            a_line_for_tokens,
            open_as_produced,
            a_line_for_a_settlement,
            one_waits_for_a_settlement,
        ],
        ["try_acquire" | "cancel_behind", "poll_again"] => {
            vec![open_at_the_start, one_waits_for_tokens, one_waits_for_a_settlement]
        }
        // A small one behind the large one, that must not pass it.
        ["settle_less" | "cancel" | "end_of_a_call" | "set_a_higher_limit", "cancel_behind"]
        | ["poll_again", "set_a_lower_limit"]
        | ["try_acquire", "try_acquire" | "acquire_small" | "acquire_large"] => {
            vec![a_line_for_tokens, one_waits_for_a_settlement]
        }
        _ => vec![one_waits_for_a_settlement],
    };
    (1, starts)
}

/// The short form of what takes long.
#[cfg(ringgate_loom)]
fn short(pair: [&str; 2]) -> Option<(usize, Vec<fn() -> Scene>)> {
    match pair {
        // A close meets a line beside the operations of the line.
        [
            "settle_less" | "cancel" | "end_of_a_call" | "set_a_lower_limit" | "set_a_higher_limit",
            "close",
        ] => Some((3, vec![open_at_the_start, open_as_produced])),
        // They come while it closes, and there is no line yet.
        ["acquire_small" | "acquire_large", "close"] => Some((1, vec![open_at_the_start])),
        _ => None,
    }
}

// ---- starts --------------------------------------------------------------------------------------

/// A window has ten ticks, under loom two.
const WINDOW: Duration = Duration::from_nanos(if cfg!(ringgate_loom) { 10 } else { 10_000 });
/// More than a window and two ticks.
const PASSES: Duration = WINDOW.saturating_mul(2);
const LIMIT: u64 = 8;
/// A stalled call has at most `LARGE`, and as much must fit beside it.
const LOWER: u64 = 6;
const HIGHER: u64 = 16;
const SMALL: u64 = 1;
const LARGE: u64 = 3;
/// What the calls of the start have reserved: `SMALL` remains. `LARGE` fits after two of them are settled with less, or one is
/// cancelled.
const RUNNING: [u64; 3] = [2, 2, 3];
/// The shortest.
const GRACE: Duration = Duration::from_millis(1);
/// Steps in which time passes for those that a stalled call is before.
#[cfg(ringgate_freeze)]
const STEPS_OF_GRACE: u32 = 8;

/// A call that has been admitted.
pub(crate) struct Call {
    permit: OwnedLimiterPermit,
    weight: u64,
}

/// A waiting call and, once it is admitted, its permit.
type Waiting = Waiter<Pin<Box<dyn Future<Output = Result<Option<Call>, Refused>> + Send>>>;

/// With what it waits for.
pub(crate) struct InLine {
    waiter: Waiting,
    weight: u64,
}

impl InLine {
    /// Polls once.
    fn new(limiter: &Limiter, place: u8, weight: u64) -> Self {
        let call = limiter.call().output_tokens(weight).acquire_owned();
        let call = async move { call.await.map(|permit| Some(Call { permit, weight })) };
        Self { waiter: Waiter::new(place, Box::pin(call)), weight }
    }

    fn is_admitted(&self) -> bool {
        matches!(self.waiter.output, Some(Ok(_)))
    }

    /// Ends the call if it has been admitted and still runs.
    fn hang_up(&mut self) -> bool {
        match &mut self.waiter.output {
            Some(Ok(call)) => call.take().is_some(),
            _ => false,
        }
    }
}

pub(crate) struct Scene {
    limiter: Limiter,
    clock: ManualClock,
    /// Tokens are held until they are settled.
    is_held: bool,
    running: Vec<Call>,
    line: Vec<InLine>,
    /// How many calls have joined the line.
    came: u8,
    /// What the calls count for that were admitted at once.
    used: u64,
    /// Other calls were made while an operation was stalled.
    went_on: bool,
}

impl Scene {
    fn new(limit: TokenLimit) -> Self {
        let (clock, is_held) = (ManualClock::new(), limit.counts_as_produced());
        let builder = Limiter::builder().margin(Duration::ZERO).token_limit(limit);
        let limiter = builder.grace(GRACE).clock(clock.clone()).build();
        let running = RUNNING.map(|weight| call(&limiter, weight).unwrap()).into();
        let used = RUNNING.iter().sum();
        let (line, came, went_on) = (Vec::new(), 0, false);
        Self { limiter, clock, is_held, running, line, came, used, went_on }
    }

    fn line_up(&mut self, weight: u64) {
        self.line.push(InLine::new(&self.limiter, self.came, weight));
        self.came += 1;
        // As in the semaphore's pairs.
        self.limiter.core().sweep_at(2);
    }

    fn remaining(&self) -> u64 {
        self.limiter.core().budgets().unwrap().remaining(|_| true)
    }
}

fn call(limiter: &Limiter, weight: u64) -> Result<Call, Refused> {
    let permit = limiter.call().output_tokens(weight).try_acquire_owned()?;
    Ok(Call { permit, weight })
}

/// There is room for a small call.
fn open_at_the_start() -> Scene {
    Scene::new(TokenLimit::total(LIMIT, WINDOW))
}

/// As before, but what a call has reserved does not leave the window.
fn open_as_produced() -> Scene {
    Scene::new(TokenLimit::output(LIMIT, WINDOW))
}

/// A large call waits for a time or for others, and behind it a small one that would fit.
fn a_line_for_tokens() -> Scene {
    with_a_line(open_at_the_start())
}

/// As before, but only a settlement can help.
fn a_line_for_a_settlement() -> Scene {
    with_a_line(open_as_produced())
}

/// As before, but the large call is alone.
#[cfg(ringgate_loom)]
fn one_waits_for_a_settlement() -> Scene {
    with_a_large_call(open_as_produced())
}

/// It waits for a time.
#[cfg(ringgate_loom)]
fn one_waits_for_tokens() -> Scene {
    with_a_large_call(open_at_the_start())
}

#[cfg(ringgate_loom)]
fn with_a_large_call(mut scene: Scene) -> Scene {
    scene.line_up(LARGE);
    scene
}

fn with_a_line(mut scene: Scene) -> Scene {
    scene.line_up(LARGE);
    scene.line_up(SMALL);
    scene
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    /// Its call was admitted at once, before all waiters.
    admitted: Option<Call>,
    /// What that one counts for.
    counts: u64,
    /// So much less counts of what the calls of the start had.
    given_back: u64,
    refused: Option<Refused>,
    waiting: Vec<InLine>,
    limit: Option<u64>,
    closed: bool,
    /// It may have kept other calls from being admitted.
    narrows: bool,
}

fn on(scene: &Scene, work: impl FnOnce(&Limiter) -> Left + Send + 'static) -> Run<Left> {
    let limiter = scene.limiter.clone();
    Run::new(move || work(&limiter))
}

fn narrows() -> Left {
    Left { narrows: true, ..Left::default() }
}

fn try_acquire(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| match call(limiter, SMALL) {
        Ok(call) => Left { admitted: Some(call), counts: SMALL, ..narrows() },
        Err(refused) => Left { refused: Some(refused), ..Left::default() },
    })
}

fn acquire(scene: &Scene, weight: u64) -> Run<Left> {
    on(scene, move |limiter| Left {
        waiting: vec![InLine::new(limiter, NEWCOMER, weight)],
        ..narrows()
    })
}

fn acquire_small(scene: &mut Scene) -> Run<Left> {
    acquire(scene, SMALL)
}

fn acquire_large(scene: &mut Scene) -> Run<Left> {
    acquire(scene, LARGE)
}

fn end(
    scene: &mut Scene,
    given_back: impl Fn(u64) -> u64,
    end: impl FnOnce(OwnedLimiterPermit) + Send + 'static,
) -> Run<Left> {
    let Call { permit, weight } = scene.running.remove(0);
    let given_back = given_back(weight);
    on(scene, move |_| {
        end(permit);
        Left { given_back, ..Left::default() }
    })
}

fn settle_less(scene: &mut Scene) -> Run<Left> {
    end(scene, |weight| weight - 1, |permit| permit.settle(Usage::new(0, 1)))
}

fn cancel(scene: &mut Scene) -> Run<Left> {
    end(scene, |weight| weight, OwnedLimiterPermit::cancel)
}

/// All that it has reserved counts. As produced it has an end from now on.
fn end_of_a_call(scene: &mut Scene) -> Run<Left> {
    end(scene, |_| 0, drop)
}

/// The head; if the other operation has taken that, the second.
fn take_the_front(scene: &mut Scene) -> InLine {
    if scene.line.is_empty() {
        scene.line_up(LARGE);
    }
    scene.line.remove(0)
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
    scene.line_up(LARGE);
    let last = scene.line.pop().unwrap();
    on(scene, |_| {
        drop(last);
        Left::default()
    })
}

fn poll_again(scene: &mut Scene) -> Run<Left> {
    let mut front = take_the_front(scene);
    on(scene, |_| {
        front.waiter.poll_anew();
        Left { waiting: vec![front], ..Left::default() }
    })
}

fn set_limit(scene: &Scene, limit: u64) -> Run<Left> {
    on(scene, move |limiter| {
        limiter.set_token_limit(0, limit).unwrap();
        Left { limit: Some(limit), narrows: limit < LIMIT, ..Left::default() }
    })
}

fn set_a_lower_limit(scene: &mut Scene) -> Run<Left> {
    set_limit(scene, LOWER)
}

fn set_a_higher_limit(scene: &mut Scene) -> Run<Left> {
    set_limit(scene, HIGHER)
}

fn time_passes(scene: &mut Scene) -> Run<Left> {
    let clock = scene.clock.clone();
    let run = on(scene, move |_| {
        clock.advance(PASSES);
        Left::default()
    });
    Run { holds_the_sleepers: true, ..run }
}

fn close(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.close();
        Left { closed: true, ..narrows() }
    })
}

fn look_on(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        assert!(limiter.core().budgets().unwrap().remaining(|_| true) <= HIGHER);
        assert!(limiter.waiters() <= 4);
        Left::default()
    })
}

// ---- the account ---------------------------------------------------------------------------------

impl Start for Scene {
    type Left = Left;

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Left, has_sleepers: bool) {
        // The answer does not matter.
        self.used += call(&self.limiter, SMALL).map_or(0, |call| call.weight);
        self.went_on = true;
        self.running.clear();
        left.admitted = None;
        let mut others: Vec<_> = self.line.iter_mut().chain(&mut left.waiting).collect();
        // What the stalled thread may hold leaves room for each of them.
        for _ in 0..STEPS_OF_GRACE {
            self.clock.advance(GRACE / STEPS_OF_GRACE);
            loop {
                if has_sleepers {
                    others.iter_mut().for_each(|call| call.waiter.poll_unwoken());
                }
                go_on(others.iter_mut().map(|call| &mut call.waiter));
                if !others.iter_mut().any(|call| call.hang_up()) {
                    break;
                }
                // What they have used counts for a window.
                self.clock.advance(PASSES);
            }
        }
        assert!(others.iter().all(|call| call.waiter.is_over()), "the others are not served");
    }

    fn settle(mut self, mut left: [Left; 2]) {
        self.assert_rightly_refused(&left);
        go_on(waiters(&mut self.line, &mut left));
        self.assert_accounted_for(&mut left);
        // Silent calls are overtaken.
        if !self.went_on {
            let a_newcomer_went = left.iter().any(|left| left.counts > 0);
            let waiters = waiters(&mut self.line, &mut left);
            assert_in_order(waiters.map(|waiter| &*waiter), a_newcomer_went);
        }

        // All calls end, and time passes. Every waiter is admitted.
        self.running.clear();
        left.iter_mut().for_each(|left| left.admitted = None);
        for _ in 0..=2 * all(&mut self.line, &mut left).count() {
            all(&mut self.line, &mut left).for_each(|call| _ = call.hang_up());
            self.clock.advance(PASSES);
            go_on(waiters(&mut self.line, &mut left));
            self.assert_accounted_for(&mut left);
        }
        let closed = left.iter().any(|left| left.closed);
        for waiter in waiters(&mut self.line, &mut left) {
            let over = waiter.output.as_ref();
            assert!(over.is_some_and(|call| call.is_ok() || closed), "not served");
        }
        let limits = limits(&left);
        drop((left, self.line.drain(..)));
        self.clock.advance(PASSES);
        assert_eq!(self.limiter.waiters(), 0);
        assert!(limits.contains(&self.remaining()), "tokens lost");
        assert_eq!(call(&self.limiter, self.remaining()).is_ok(), !closed);
        assert_eq!(self.limiter.core().nodes_in_use(), 0, "a node was not recycled");
    }
}

/// All calls that the scene and both operations have in line.
fn all<'a>(
    line: &'a mut [InLine],
    left: &'a mut [Left; 2],
) -> impl Iterator<Item = &'a mut InLine> {
    line.iter_mut().chain(left.iter_mut().flat_map(|left| &mut left.waiting))
}

fn waiters<'a>(
    line: &'a mut [InLine],
    left: &'a mut [Left; 2],
) -> impl Iterator<Item = &'a mut Waiting> {
    all(line, left).map(|call| &mut call.waiter)
}

/// One of these holds at the end.
fn limits(left: &[Left; 2]) -> Vec<u64> {
    let limits: Vec<_> = left.iter().filter_map(|left| left.limit).collect();
    if limits.is_empty() { vec![LIMIT] } else { limits }
}

impl Scene {
    /// No call is refused while there is room throughout.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let Some(refused) = &one.refused else { continue };
            let came = self.came > 0 || self.went_on;
            assert!(came || other.narrows, "refused though there is room");
            assert!(!refused.is_permanent() || other.closed);
        }
    }

    /// Every token counts for a call, and no call waits in vain.
    fn assert_accounted_for(&mut self, left: &mut [Left; 2]) {
        let limits = limits(left);
        let at_once: u64 = left.iter().map(|left| left.counts).sum();
        let given_back: u64 = left.iter().map(|left| left.given_back).sum();
        let went = all(&mut self.line, left).filter(|call| call.is_admitted());
        let used = self.used + at_once + went.map(|call| call.weight).sum::<u64>() - given_back;
        let runs = |call: &Option<Call>| call.as_ref().map_or(0, |call| call.weight);
        let run_after_waiting = all(&mut self.line, left).map(|call| match &call.waiter.output {
            Some(Ok(call)) => runs(call),
            _ => 0,
        });
        let mut held = run_after_waiting.sum::<u64>();
        held += left.iter().map(|left| runs(&left.admitted)).sum::<u64>();
        held += self.running.iter().map(|call| call.weight).sum::<u64>();

        let remaining = self.remaining();
        let remains_of = |used: u64| limits.iter().map(move |limit| limit.saturating_sub(used));
        if self.clock.now() == Timestamp::ZERO {
            assert!(remains_of(used).any(|left| left == remaining), "{remaining}, {used} used");
            assert!(used <= HIGHER);
        } else {
            // What has left the window since is not known here.
            let held = if self.is_held { held } else { 0 };
            let most = remains_of(held).max().unwrap();
            assert!(remaining <= most, "{remaining} remain, {held} are held");
        }

        let closed = self.limiter.is_closed();
        let waiting = || self.line.iter().chain(left.iter().flat_map(|left| &left.waiting));
        let waiting = || waiting().filter(|call| !call.waiter.is_over());
        assert!(!closed || waiting().count() == 0, "a waiter missed the close");
        // Of two that came at the same time anyone is the first.
        let first = waiting().map(|call| call.waiter.place).min();
        let mut first = waiting().filter(|call| Some(call.waiter.place) == first);
        let waits = first.next().is_some_and(|call| call.weight <= remaining);
        let waits = waits && first.all(|call| call.weight <= remaining);
        assert!(!waits, "the first in line waits though there is room");
    }
}
