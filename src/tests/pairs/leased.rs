//! The operations of a limiter whose limits are leased, and every two of them at once. Those of the one who grants are a keeper's.
//!
//! There is one leased limit, on tokens, or slots as well. Where no operation has the lessee, its task waits in `changed`: it is woken
//! if a call has joined, or was refused for lack of a lease; if less is left than the mark; by a close, a pause and a rouse. The
//! account compares what was granted with what calls have, what is left and what has come back. The first in line may not wait for
//! what is there.

use crate::error::{Limit, Refused};
use crate::tests::pairs::{NEWCOMER, Run, Start, Waiter, assert_in_order, every_pair, go_on};
use crate::time::{Clock, ManualClock};
use crate::{Lessee, Limiter, OwnedLimiterPermit, TokenLimit, Usage};
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

every_pair! {
    starts of Scene: open_at_the_start a_line_for_a_lease a_held_line_for_a_lease a_line_for_a_slot;
    operations:
        try_small try_large acquire_small acquire_large
        settle_less cancel end_of_a_call
        cancel_the_front poll_again time_passes rouse pause close;
    keepers: grant reclaim take_back set_slots refuse_all hear;
    onlookers: look_on;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    // Minutes with one switch; the frozen thread has all of them from every start.
    let few: Vec<fn() -> Scene> = vec![open_at_the_start, one_waits_for_a_lease];
    let all: Vec<fn() -> Scene> = vec![
        open_at_the_start,
        one_waits_for_a_lease,
        a_line_for_a_lease,
        a_held_line_for_a_lease,
        one_waits_for_a_slot,
    ];
    match pair {
        // Two that join beside one another, and ring for one another, are a scene of the bell's.
        ["acquire_small" | "acquire_large", "acquire_small" | "acquire_large"] => (0, few),
        [
            "acquire_small" | "acquire_large",
            "cancel_the_front" | "poll_again" | "close" | "pause",
        ] => (0, [all.clone(), all, few].concat()),
        ["try_small" | "try_large", "close"] | ["close", "close"] => (0, [all, few].concat()),
        ["cancel_the_front", "cancel_the_front"] => (0, [few, vec![a_line_for_a_lease]].concat()),
        ["acquire_small" | "acquire_large", "grant" | "refuse_all" | "rouse"]
        | ["cancel_the_front" | "poll_again", "grant" | "refuse_all"] => {
            (1, vec![open_at_the_start])
        }
        // With a line it takes minutes.
        ["close", "grant" | "refuse_all"] => (1, vec![open_at_the_start; 2]),
        ["try_small" | "try_large", "acquire_small" | "acquire_large"] => {
            (1, vec![open_at_the_start])
        }
        ["close" | "pause" | "rouse" | "time_passes", "set_slots"] | ["set_slots", "look_on"] => {
            (1, [all, few].concat())
        }
        pair if pair.contains(&"set_slots") => (1, vec![one_waits_for_a_slot]),
        ["cancel_the_front" | "poll_again", "poll_again" | "close" | "pause"] => (1, few),
        pair if pair.iter().any(|one| ["pause", "close"].contains(one)) => {
            (1, [few, vec![one_waits_for_a_slot]].concat())
        }
        pair if pair.iter().any(|one| ["time_passes", "rouse", "look_on"].contains(one)) => {
            (1, all)
        }
        _ => (1, few),
    }
}

// ---- starts --------------------------------------------------------------------------------------

const WINDOW: Duration = Duration::from_nanos(if cfg!(ringgate_loom) { 10 } else { 10_000 });
/// What was granted at the start ends before.
const PASSES: Duration = WINDOW.saturating_mul(2);
const FOR_GOOD: Duration = Duration::from_secs(3600);
const LIMIT: u64 = 16;
const SMALL: u64 = 1;
const LARGE: u64 = 3;
/// What the calls of the start have of the lease: `SMALL` is left.
const RUNNING: [u64; 3] = [2, 2, 3];
const GRANTED: u64 = 8;
/// Less than this is to be told. It is left at the start.
const MARK: u64 = 1;
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

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A waiting call and, once it is admitted, its permit.
type Waiting = Waiter<Boxed<Result<Option<Call>, Refused>>>;

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

    /// Ends the call if it has been admitted and still runs. Returns what it had.
    fn hang_up(&mut self) -> Option<Call> {
        match &mut self.waiter.output {
            Some(Ok(call)) => call.take(),
            _ => None,
        }
    }
}

/// The lessee's task, which waits for a change. It has the lessee again once there is one.
type Hearing = Waiter<Boxed<Lessee>>;

fn hearing(mut lessee: Lessee) -> Hearing {
    let changed: Boxed<Lessee> = Box::pin(async move {
        lessee.changed().await;
        lessee
    });
    Waiter::new(0, changed)
}

pub(crate) struct Scene {
    limiter: Limiter,
    clock: ManualClock,
    /// One of the operations has it, or it waits for a change.
    lessee: Option<Lessee>,
    hearing: Option<Hearing>,
    /// Amounts count once they are settled.
    is_held: bool,
    running: Vec<Call>,
    line: Vec<InLine>,
    /// How many calls have joined the line.
    came: u8,
    granted: u64,
    /// What calls have used that are settled, and count for.
    used: u64,
    kept: u64,
    /// Other calls were made while an operation was stalled.
    went_on: bool,
}

impl Scene {
    /// With so many slots granted of four, if they are leased.
    fn new(limit: TokenLimit, slots: Option<usize>) -> Self {
        let clock = ManualClock::new();
        let builder = Limiter::builder().margin(Duration::ZERO).token_limit(limit).grace(GRACE);
        let builder = match slots {
            Some(_) => builder.max_concurrent(4),
            None => builder,
        };
        let (limiter, mut lessee) = builder.clock(clock.clone()).build_leased().unwrap();
        lessee.set_slots(slots.unwrap_or(0));
        let until = clock.now().saturating_add(PASSES);
        assert_eq!(lessee.grant(0, GRANTED, until), Some(1));
        let running = RUNNING.map(|weight| call(&limiter, weight).unwrap()).into();
        lessee.set_mark(0, MARK);
        Self {
            limiter,
            clock,
            lessee: Some(lessee),
            hearing: None,
            is_held: limit.counts_as_produced(),
            running,
            line: Vec::new(),
            came: 0,
            granted: GRANTED,
            used: 0,
            kept: 0,
            went_on: false,
        }
    }

    fn line_up(&mut self, weight: u64) {
        self.line.push(InLine::new(&self.limiter, self.came, weight));
        self.came += 1;
        // As in the semaphore's pairs.
        self.limiter.core().sweep_at(2);
    }

    fn left(&self) -> u64 {
        self.limiter.core().budgets().unwrap().remaining(|_| true)
    }

    fn has_free_slots(&self) -> bool {
        self.limiter.available_permits() > 0
    }
}

fn call(limiter: &Limiter, weight: u64) -> Result<Call, Refused> {
    let permit = limiter.call().output_tokens(weight).try_acquire_owned()?;
    Ok(Call { permit, weight })
}

/// There is as much as a small call needs.
fn open_at_the_start() -> Scene {
    quiet(Scene::new(TokenLimit::total(LIMIT, WINDOW), None))
}

/// A large call waits for a lease, and behind it a small one that would fit.
fn a_line_for_a_lease() -> Scene {
    let mut scene = Scene::new(TokenLimit::total(LIMIT, WINDOW), None);
    scene.line_up(LARGE);
    scene.line_up(SMALL);
    quiet(scene)
}

/// As before, but amounts are held until they are settled.
fn a_held_line_for_a_lease() -> Scene {
    let mut scene = Scene::new(TokenLimit::output(LIMIT, WINDOW), None);
    scene.line_up(LARGE);
    scene.line_up(SMALL);
    quiet(scene)
}

/// There is enough for a small call, and no slot.
#[cfg(ringgate_freeze)]
fn a_line_for_a_slot() -> Scene {
    let mut scene = Scene::new(TokenLimit::total(LIMIT, WINDOW), Some(3));
    scene.line_up(SMALL);
    scene.line_up(LARGE);
    quiet(scene)
}

#[cfg(ringgate_loom)]
fn one_waits_for_a_lease() -> Scene {
    let mut scene = Scene::new(TokenLimit::total(LIMIT, WINDOW), None);
    scene.line_up(LARGE);
    quiet(scene)
}

#[cfg(ringgate_loom)]
fn one_waits_for_a_slot() -> Scene {
    let mut scene = Scene::new(TokenLimit::total(LIMIT, WINDOW), Some(3));
    scene.line_up(SMALL);
    quiet(scene)
}

/// All that has changed was told.
fn quiet(mut scene: Scene) -> Scene {
    let mut lessee = scene.lessee.take().unwrap();
    assert_eq!(lessee.demand(0).in_line, scene.line.iter().map(|call| call.weight).sum::<u64>());
    // A change may be told once more than it was.
    for _ in 0..3 {
        lessee = {
            let mut changed = Box::pin(lessee.changed());
            let mut context = core::task::Context::from_waker(core::task::Waker::noop());
            if changed.as_mut().poll(&mut context).is_pending() {
                drop(changed);
                scene.lessee = Some(lessee);
                return scene;
            }
            drop(changed);
            lessee
        };
    }
    panic!("it is told of changes without end");
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    /// Its call was admitted at once, before all waiters.
    admitted: Option<Call>,
    refused: Option<Refused>,
    waiting: Vec<InLine>,
    /// What a call has used that is settled, and what it counts for.
    used: u64,
    kept: u64,
    granted: u64,
    back: u64,
    lessee: Option<Lessee>,
    hearing: Option<Hearing>,
    /// The lessee is to hear of it.
    is_told: bool,
    refuses: bool,
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

fn try_call(scene: &Scene, weight: u64) -> Run<Left> {
    on(scene, move |limiter| match call(limiter, weight) {
        Ok(call) => Left { admitted: Some(call), ..narrows() },
        Err(refused) => {
            let is_told = !refused.is_permanent() && refused.limit() != Limit::Paused;
            Left { refused: Some(refused), is_told, ..Left::default() }
        }
    })
}

fn try_small(scene: &mut Scene) -> Run<Left> {
    try_call(scene, SMALL)
}

fn try_large(scene: &mut Scene) -> Run<Left> {
    try_call(scene, LARGE)
}

fn acquire(scene: &Scene, weight: u64) -> Run<Left> {
    on(scene, move |limiter| {
        let call = InLine::new(limiter, NEWCOMER, weight);
        let is_told = !call.waiter.is_over();
        Left { waiting: vec![call], is_told, ..narrows() }
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
    used: impl Fn(u64) -> u64,
    end: impl FnOnce(OwnedLimiterPermit) + Send + 'static,
) -> Run<Left> {
    let Call { permit, weight } = scene.running.remove(0);
    let used = used(weight);
    on(scene, move |_| {
        end(permit);
        Left { used, kept: used, ..Left::default() }
    })
}

fn settle_less(scene: &mut Scene) -> Run<Left> {
    end(scene, |_| 1, |permit| permit.settle(Usage::new(0, 1)))
}

fn cancel(scene: &mut Scene) -> Run<Left> {
    end(scene, |_| 0, OwnedLimiterPermit::cancel)
}

/// All that it has reserved counts.
fn end_of_a_call(scene: &mut Scene) -> Run<Left> {
    end(scene, |weight| weight, drop)
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

fn poll_again(scene: &mut Scene) -> Run<Left> {
    let mut front = take_the_front(scene);
    on(scene, |_| {
        front.waiter.poll_anew();
        Left { waiting: vec![front], ..Left::default() }
    })
}

/// The lease of the start runs out.
fn time_passes(scene: &mut Scene) -> Run<Left> {
    let clock = scene.clock.clone();
    let run = on(scene, move |_| {
        clock.advance(PASSES);
        narrows()
    });
    Run { holds_the_sleepers: true, ..run }
}

fn rouse(scene: &mut Scene) -> Run<Left> {
    let limiter = scene.limiter.clone();
    on(scene, move |_| {
        limiter.core().ring();
        Left { is_told: true, ..Left::default() }
    })
}

fn pause(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.pause(FOR_GOOD);
        Left { is_told: true, ..narrows() }
    })
}

fn close(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.close();
        Left { closed: true, is_told: true, ..narrows() }
    })
}

/// There is one who may; if the other operation has the lessee, this one does nothing.
fn keep(scene: &mut Scene, work: impl FnOnce(&mut Lessee) -> Left + Send + 'static) -> Run<Left> {
    let lessee = scene.lessee.take();
    on(scene, move |_| {
        let Some(mut lessee) = lessee else { return Left::default() };
        let left = work(&mut lessee);
        Left { lessee: Some(lessee), ..left }
    })
}

/// With what is left it is enough for a large call.
fn grant(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee| {
        let until = lessee.now().saturating_add(FOR_GOOD);
        assert!(lessee.grant(0, LARGE, until).is_some());
        Left { granted: LARGE, ..Left::default() }
    })
}

fn reclaim(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee| {
        lessee.reclaim(0, LARGE);
        narrows()
    })
}

fn take_back(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee| {
        let back = lessee.take_unused(0, 9).into_iter().map(|(_, amount)| amount).sum();
        Left { back, ..Left::default() }
    })
}

/// One more.
fn set_slots(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee| {
        lessee.set_slots(4);
        Left::default()
    })
}

fn refuse_all(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee| {
        lessee.refuse_all(true);
        Left { refuses: true, ..narrows() }
    })
}

/// The lessee's task begins to wait for a change meanwhile.
fn hear(scene: &mut Scene) -> Run<Left> {
    let lessee = scene.lessee.take();
    on(scene, move |_| Left { hearing: lessee.map(hearing), ..Left::default() })
}

fn look_on(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        let left = limiter.core().budgets().unwrap().remaining(|_| true);
        assert!(left <= GRANTED + LARGE + 2 * LIMIT);
        assert!(limiter.waiters() <= 4);
        Left::default()
    })
}

// ---- the account ---------------------------------------------------------------------------------

impl Start for Scene {
    type Left = Left;

    /// If no operation has the lessee, its task waits.
    fn begin(&mut self) {
        while let Some(lessee) = self.lessee.take() {
            let mut hearing = hearing(lessee);
            // It is told of a call that has joined for an operation.
            self.lessee = hearing.output.take();
            self.hearing = self.lessee.is_none().then_some(hearing);
        }
    }

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Left, has_sleepers: bool) {
        self.went_on = true;
        // The answer does not matter.
        if let Ok(call) = call(&self.limiter, SMALL) {
            self.running.push(call);
        }
        let lessee = self.hear_what_is_told(left);
        let calls = std::mem::take(&mut self.running).into_iter().chain(left.admitted.take());
        for call in calls {
            self.count(&call);
        }
        let Some(mut lessee) = lessee else { return };
        lessee.refuse_all(false);
        lessee.set_slots(4);
        let mut granted = 0;
        for _ in 0..2 {
            let until = lessee.now().saturating_add(FOR_GOOD);
            assert!(lessee.grant(0, LIMIT, until).is_some());
            granted += LIMIT;
        }
        // What the stalled thread may hold leaves enough for each of them.
        let mut served = Vec::new();
        for _ in 0..STEPS_OF_GRACE {
            self.clock.advance(GRACE / STEPS_OF_GRACE);
            let mut others: Vec<_> = self.line.iter_mut().chain(&mut left.waiting).collect();
            loop {
                if has_sleepers {
                    others.iter_mut().for_each(|call| call.waiter.poll_unwoken());
                }
                go_on(others.iter_mut().map(|call| &mut call.waiter));
                let before = served.len();
                served.extend(others.iter_mut().filter_map(|call| call.hang_up()));
                if served.len() == before {
                    break;
                }
            }
        }
        self.granted += granted;
        served.iter().for_each(|call| self.count(call));
        drop(served);
        let mut others = self.line.iter().chain(&left.waiting);
        let is_paused = self.limiter.paused_for().is_some();
        assert!(is_paused || others.all(|call| call.waiter.is_over()), "others are not served");
        self.lessee = Some(lessee);
    }

    fn settle(mut self, mut left: [Left; 2]) {
        self.assert_rightly_refused(&left);
        go_on(waiters(&mut self.line, &mut left));
        let mut lessee = self.assert_told(&mut left);
        self.assert_accounted_for(&mut lessee, &mut left);
        // Silent calls are overtaken.
        if !self.went_on {
            let a_newcomer_went = left.iter().any(|left| left.admitted.is_some());
            let waiters = waiters(&mut self.line, &mut left);
            assert_in_order(waiters.map(|waiter| &*waiter), a_newcomer_went);
        }

        // All calls end, and enough is granted. Every waiter is admitted.
        let refuses = left.iter().any(|left| left.refuses || left.closed);
        lessee.refuse_all(false);
        self.limiter.resume();
        lessee.set_slots(4);
        for _ in 0..=2 * all(&mut self.line, &mut left).count() {
            let mut ended = std::mem::take(&mut self.running);
            ended.extend(left.iter_mut().filter_map(|left| left.admitted.take()));
            ended.extend(all(&mut self.line, &mut left).filter_map(InLine::hang_up));
            ended.iter().for_each(|call| self.count(call));
            drop(ended);
            let until = lessee.now().saturating_add(FOR_GOOD);
            assert!(lessee.grant(0, LARGE, until).is_some());
            self.granted += LARGE;
            go_on(waiters(&mut self.line, &mut left));
            self.assert_accounted_for(&mut lessee, &mut left);
        }
        for waiter in waiters(&mut self.line, &mut left) {
            let over = waiter.output.as_ref();
            assert!(over.is_some_and(|call| call.is_ok() || refuses), "not served");
        }
        let closed = left.iter().any(|left| left.closed);
        drop((left, self.line.drain(..)));
        assert_eq!((self.limiter.waiters(), lessee.demand(0).in_line), (0, 0));
        assert_eq!(lessee.waited(), None);
        assert_eq!(call(&self.limiter, self.left().min(LIMIT)).is_ok(), !closed);
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

impl Scene {
    /// It is settled in full.
    fn count(&mut self, call: &Call) {
        let _ = &call.permit;
        self.used += call.weight;
        self.kept += call.weight;
    }

    /// The other operation has stalled. What this one has to tell was told.
    #[cfg(ringgate_freeze)]
    fn hear_what_is_told(&mut self, left: &mut Left) -> Option<Lessee> {
        if let Some(lessee) = self.lessee.take().or_else(|| left.lessee.take()) {
            return Some(lessee);
        }
        let mut hearing = self.hearing.take().or_else(|| left.hearing.take())?;
        go_on([&mut hearing].into_iter());
        if left.is_told && !hearing.is_over() {
            // A wake that the stalled thread has in its hands is late.
            hearing.poll_unwoken();
            assert!(hearing.is_over(), "the lessee is not told");
        }
        if !hearing.is_over() {
            self.limiter.core().ring();
            hearing.poll_unwoken();
        }
        hearing.output
    }

    /// The lessee's task was woken if there is a reason. Returns the lessee.
    fn assert_told(&mut self, left: &mut [Left; 2]) -> Lessee {
        let lessee = left.iter_mut().find_map(|left| left.lessee.take());
        if let Some(lessee) = self.lessee.take().or(lessee) {
            return lessee;
        }
        let hearing = left.iter_mut().find_map(|left| left.hearing.take());
        let mut hearing = self.hearing.take().or(hearing).unwrap();
        go_on([&mut hearing].into_iter());
        let joined = all(&mut self.line, left)
            .any(|call| call.waiter.place == NEWCOMER && !call.waiter.is_over());
        let is_told = joined || left.iter().any(|left| left.is_told);
        let is_low = self.clock.now() < crate::time::Timestamp::ZERO.saturating_add(PASSES)
            && self.left() < MARK;
        assert!(hearing.is_over() || !is_told && !is_low, "the lessee is not told: {is_low}");
        if !hearing.is_over() {
            self.limiter.core().ring();
            go_on([&mut hearing].into_iter());
        }
        hearing.output.expect("it is roused")
    }

    /// No call is refused while there is as much throughout.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let Some(refused) = &one.refused else { continue };
            let came = self.came > 0 || self.went_on;
            let is_large = one.waiting.is_empty() && one.is_told;
            assert!(came || other.narrows || is_large, "refused though there is as much");
            assert!(!refused.is_permanent() || other.closed || other.refuses);
        }
    }

    /// All that was granted is somewhere, once, and no call waits in vain.
    fn assert_accounted_for(&mut self, lessee: &mut Lessee, left: &mut [Left; 2]) {
        for left in left.iter_mut() {
            self.used += core::mem::take(&mut left.used);
            self.kept += core::mem::take(&mut left.kept) + core::mem::take(&mut left.back);
            self.granted += core::mem::take(&mut left.granted);
        }
        let runs = |call: &Option<Call>| call.as_ref().map_or(0, |call| call.weight);
        let after_waiting = all(&mut self.line, left).map(|call| match &call.waiter.output {
            Some(Ok(call)) => runs(call),
            _ => 0,
        });
        let mut open = after_waiting.sum::<u64>();
        open += left.iter().map(|left| runs(&left.admitted)).sum::<u64>();
        open += self.running.iter().map(|call| call.weight).sum::<u64>();
        let remains = self.left();
        if self.is_held {
            assert_eq!((lessee.held(0), lessee.used(0)), (open + remains, self.used));
            assert_eq!(lessee.take_unused(0, 9), []);
        } else {
            let told = lessee.take_unused(0, 9).into_iter().map(|(_, amount)| amount);
            self.kept += told.sum::<u64>();
            assert_eq!(open + self.kept + remains, self.granted, "{open} open, {remains} remain");
            assert_eq!(lessee.used(0), 0);
        }

        let closed = self.limiter.is_closed();
        let slots = self.has_free_slots();
        let waiting = || self.line.iter().chain(left.iter().flat_map(|left| &left.waiting));
        let waiting = || waiting().filter(|call| !call.waiter.is_over());
        let refuses = closed || left.iter().any(|left| left.refuses) && !self.went_on;
        assert!(!closed || waiting().count() == 0, "a waiter missed the close");
        let needs: u64 = waiting().map(|call| call.weight).sum();
        assert_eq!(lessee.demand(0).in_line, needs);
        assert_eq!(lessee.waited().is_some(), waiting().count() > 0);
        // Of two that came at the same time anyone is the first.
        let first = waiting().map(|call| call.waiter.place).min();
        let first = || waiting().filter(|call| Some(call.waiter.place) == first);
        let is_shown =
            first().count() == 0 || first().any(|call| lessee.demand(0).first == call.weight);
        // Those that stand for a shared slot show themselves when they are polled.
        let is_hint = self.went_on || lessee.slots().is_some();
        assert!(is_shown || is_hint, "not what the first needs is told");
        let waits = slots && !refuses && first().count() > 0;
        let waits = waits && first().all(|call| call.weight <= remains);
        let waits = waits && self.limiter.paused_for().is_none();
        assert!(!waits, "the first in line waits though there is as much");
    }
}
