//! The operations of a limiter whose limits are leased, and every two of them at once. Those of the one who grants are a keeper's.
//!
//! There is one leased limit, on tokens, or slots or a rate as well; or a rate alone and slots. Where no operation has the lessee, its task waits in `changed`: it is woken
//! if a call has joined, or was refused for lack of a lease; if less is left than the mark; by a close, a pause and a rouse. The
//! account compares what was granted with what calls have, what is left and what has come back. The first in line may not wait for
//! what is there.

use crate::error::{Limit, Refused};
use crate::tests::pairs::{NEWCOMER, Run, Start, Waiter, assert_in_order, every_pair, go_on};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::{Lessee, Limiter, OwnedLimiterPermit, Rate, TokenLimit, Usage};
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

every_pair! {
    starts of Scene: open_at_the_start open_by_a_rate a_line_for_a_lease a_held_line_for_a_lease a_line_for_a_slot a_line_for_two_leases;
    operations:
        try_small try_large acquire_small acquire_large
        settle_less cancel end_of_a_call
        cancel_the_front poll_again time_passes rouse pause resume close;
    keepers: grant reclaim take_back set_slots set_mark refuse_all hear;
    onlookers: look_on;
}

/// The preemption bound and the starts for two operations. With one switch, a line or a lessee that waits take minutes beside some
/// operations; the frozen thread has all of them from every start.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    const KEEPERS: &[&str] =
        &["grant", "reclaim", "take_back", "set_slots", "set_mark", "refuse_all", "hear"];
    let few: Vec<fn() -> Scene> =
        vec![open_at_the_start, open_by_a_rate, one_waits_for_a_lease, one_waits_for_a_request];
    // Beside a keeper nobody hears anyway.
    let nobody_hears: Vec<fn() -> Scene> = match pair {
        _ if pair.iter().any(|one| KEEPERS.contains(one)) => vec![one_waits_for_two_leases],
        _ => vec![open_and_nobody_hears, by_a_rate_and_nobody_hears, one_waits_and_nobody_hears],
    };
    // For those with ten executions at most from one start: there are few words that both use.
    let many: Vec<fn() -> Scene> =
        [few.clone(), vec![one_waits_for_a_slot], nobody_hears.clone()].concat();
    let open: Vec<fn() -> Scene> =
        vec![open_at_the_start, open_by_a_rate, open_as_produced, open_with_a_rate];
    let lines: Vec<fn() -> Scene> =
        vec![a_line_for_a_lease, a_held_line_for_a_lease, one_waits_for_two_leases];
    match pair {
        // Only the stale values that one may read after the other. The switches are in a scene beside a grant.
        ["acquire_small" | "acquire_large", "acquire_small" | "acquire_large"] => {
            (0, vec![one_waits_for_a_lease])
        }
        ["acquire_small" | "acquire_large", "close"] => (0, few),
        ["acquire_small" | "acquire_large", "cancel_the_front"] => {
            (1, vec![one_waits_for_the_end_of_a_pause])
        }
        ["acquire_small" | "acquire_large", "poll_again" | "pause"]
        | ["try_small" | "try_large", "acquire_small" | "acquire_large"]
        | ["close", "close"]
        | ["try_small" | "try_large" | "resume", "resume"]
        | ["cancel_the_front", "poll_again"] => (1, nobody_hears),
        ["acquire_small" | "acquire_large" | "poll_again", "grant"]
        | ["cancel_the_front" | "poll_again", "close"] => (1, vec![one_waits_and_nobody_hears]),
        ["acquire_small" | "acquire_large", "resume" | "refuse_all"] => {
            (1, vec![open_and_nobody_hears])
        }
        ["acquire_small" | "acquire_large", "rouse"] => (1, vec![open_at_the_start]),
        ["cancel_the_front", "cancel_the_front"] => (1, vec![one_waits_for_a_slot]),
        ["cancel_the_front", "grant"] => (1, vec![one_waits_for_a_lease, one_waits_for_two_leases]),
        ["cancel_the_front" | "poll_again", "refuse_all"] => (1, vec![one_waits_for_a_lease]),
        ["close", "set_slots"] | ["set_slots", "look_on"] => {
            (1, vec![no_slot_is_free, no_slot_is_free_as_produced])
        }
        ["pause" | "resume" | "rouse" | "time_passes", "set_slots"] => {
            (1, vec![one_waits_for_a_slot, no_slot_is_free])
        }
        pair if pair.contains(&"set_slots") => (1, vec![one_waits_for_a_slot]),
        // A close that meets a line beside them takes minutes.
        pair if pair.contains(&"close") => (1, open),
        ["try_small" | "try_large", "grant"] => (1, open),
        pair if pair.iter().any(|one| ["pause", "resume", "set_mark"].contains(one)) => (1, many),
        pair if pair.iter().any(|one| ["time_passes", "rouse", "look_on"].contains(one)) => {
            (1, [many, lines].concat())
        }
        ["settle_less" | "cancel" | "end_of_a_call", "grant" | "reclaim" | "take_back"] => {
            (1, [few, lines].concat())
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

/// Tokens, and requests.
type Amounts = [u64; 2];

fn add(sums: &mut Amounts, more: Amounts) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

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
    /// The lessee does not wait for a change while the operations run: it looks afterwards.
    looks_later: bool,
    /// There is a rate as well: limit 0. The one on tokens is the other one.
    has_rate: bool,
    /// There is no limit on tokens: limit 0 is a rate, and each call weighs one.
    is_one_rate: bool,
    running: Vec<Call>,
    line: Vec<InLine>,
    /// How many calls have joined the line.
    came: u8,
    /// Less than this is to be told. It is left.
    mark: u64,
    granted: Amounts,
    /// What calls have used that are settled, and count for.
    used: u64,
    kept: Amounts,
    /// Other calls were made while an operation was stalled.
    went_on: bool,
}

impl Scene {
    /// With so many slots granted of four, if they are leased.
    fn new(limit: TokenLimit, slots: Option<usize>) -> Self {
        Self::beside(Some(limit), slots, None)
    }

    /// A rate of which so many requests are left, and a free slot.
    fn by_a_rate(requests: u64) -> Self {
        Self::beside(None, Some(4), Some(requests))
    }

    /// Beside a rate of which so many requests are left, if there is one.
    fn beside(limit: Option<TokenLimit>, slots: Option<usize>, requests: Option<u64>) -> Self {
        let clock = ManualClock::new();
        let builder = Limiter::builder().margin(Duration::ZERO).grace(GRACE);
        let builder = match limit {
            Some(limit) => builder.token_limit(limit),
            None => builder,
        };
        let builder = match slots {
            Some(_) => builder.max_concurrent(4),
            None => builder,
        };
        let builder = match requests {
            Some(_) => builder.rate(Rate::new(LIMIT as u32, WINDOW)),
            None => builder,
        };
        let (limiter, mut lessee) = builder.clock(clock.clone()).build_leased().unwrap();
        lessee.set_slots(slots.unwrap_or(0));
        let until = clock.now().saturating_add(PASSES);
        let is_one_rate = limit.is_none();
        let has_rate = requests.is_some() && !is_one_rate;
        let tokens = usize::from(has_rate);
        let requests = requests.map_or(0, |requests| requests + RUNNING.len() as u64);
        let granted = if is_one_rate { [requests, 0] } else { [GRANTED, requests] };
        assert_eq!(lessee.grant(tokens, granted[0], until), Some(1));
        assert!(!has_rate || lessee.grant(0, requests, until).is_some());
        let weight = |weight| if is_one_rate { 1 } else { weight };
        let running = RUNNING.map(|amount| call(&limiter, weight(amount)).unwrap()).into();
        let mark = if is_one_rate { requests - RUNNING.len() as u64 } else { MARK };
        lessee.set_mark(tokens, mark);
        Self {
            limiter,
            clock,
            lessee: Some(lessee),
            hearing: None,
            is_held: limit.is_some_and(|limit| limit.counts_as_produced()),
            looks_later: false,
            has_rate,
            is_one_rate,
            running,
            line: Vec::new(),
            came: 0,
            mark,
            granted,
            used: 0,
            kept: [0; 2],
            went_on: false,
        }
    }

    /// What a call weighs that asks for so much.
    fn weigh(&self, asked: u64) -> u64 {
        if self.is_one_rate { 1 } else { asked }
    }

    fn line_up(&mut self, asked: u64) {
        let weight = self.weigh(asked);
        self.line.push(InLine::new(&self.limiter, self.came, weight));
        self.came += 1;
        // As in the semaphore's pairs.
        self.limiter.core().sweep_at(2);
    }

    fn left(&self) -> u64 {
        let budgets = self.limiter.core().budgets().unwrap();
        budgets.remaining(|limit| self.is_one_rate || limit.name() != Limit::Rate)
    }

    /// The limit on tokens.
    fn tokens(&self) -> usize {
        usize::from(self.has_rate)
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

/// A rate is all there is. There is a request for one call, and a slot.
fn open_by_a_rate() -> Scene {
    quiet(Scene::by_a_rate(1))
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

/// Two limits are leased. There is enough for a small call, and no request.
#[cfg(ringgate_freeze)]
fn a_line_for_two_leases() -> Scene {
    let mut scene = Scene::beside(Some(TokenLimit::total(LIMIT, WINDOW)), None, Some(0));
    scene.line_up(SMALL);
    scene.line_up(LARGE);
    quiet(scene)
}

#[cfg(ringgate_loom)]
fn one_waits_for_two_leases() -> Scene {
    let mut scene = Scene::beside(Some(TokenLimit::total(LIMIT, WINDOW)), None, Some(0));
    scene.line_up(SMALL);
    quiet(scene)
}

#[cfg(ringgate_loom)]
fn open_with_a_rate() -> Scene {
    quiet(Scene::beside(Some(TokenLimit::total(LIMIT, WINDOW)), None, Some(1)))
}

#[cfg(ringgate_loom)]
fn open_as_produced() -> Scene {
    quiet(Scene::new(TokenLimit::output(LIMIT, WINDOW), None))
}

#[cfg(ringgate_loom)]
fn no_slot_is_free() -> Scene {
    quiet(Scene::new(TokenLimit::total(LIMIT, WINDOW), Some(3)))
}

#[cfg(ringgate_loom)]
fn no_slot_is_free_as_produced() -> Scene {
    quiet(Scene::new(TokenLimit::output(LIMIT, WINDOW), Some(3)))
}

/// It looks at the time, and so does the next one.
#[cfg(ringgate_loom)]
fn one_waits_for_the_end_of_a_pause() -> Scene {
    let mut scene = Scene::new(TokenLimit::total(LIMIT, WINDOW), None);
    scene.limiter.pause(FOR_GOOD);
    scene.line_up(SMALL);
    Scene { looks_later: true, ..quiet(scene) }
}

#[cfg(ringgate_loom)]
fn one_waits_for_a_lease() -> Scene {
    let mut scene = Scene::new(TokenLimit::total(LIMIT, WINDOW), None);
    scene.line_up(LARGE);
    quiet(scene)
}

#[cfg(ringgate_loom)]
fn one_waits_for_a_request() -> Scene {
    let mut scene = Scene::by_a_rate(0);
    scene.line_up(SMALL);
    quiet(scene)
}

#[cfg(ringgate_loom)]
fn one_waits_for_a_slot() -> Scene {
    let mut scene = no_slot_is_free();
    scene.line_up(SMALL);
    quiet(scene)
}

#[cfg(ringgate_loom)]
fn open_and_nobody_hears() -> Scene {
    Scene { looks_later: true, ..open_at_the_start() }
}

#[cfg(ringgate_loom)]
fn by_a_rate_and_nobody_hears() -> Scene {
    Scene { looks_later: true, ..open_by_a_rate() }
}

#[cfg(ringgate_loom)]
fn one_waits_and_nobody_hears() -> Scene {
    Scene { looks_later: true, ..one_waits_for_a_lease() }
}

/// All that has changed was told.
fn quiet(mut scene: Scene) -> Scene {
    let mut lessee = scene.lessee.take().unwrap();
    let in_line = scene.line.iter().map(|call| call.weight).sum::<u64>();
    assert_eq!(lessee.demand(scene.tokens()).in_line, in_line);
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
    kept: Amounts,
    granted: Amounts,
    back: Amounts,
    lessee: Option<Lessee>,
    hearing: Option<Hearing>,
    /// The lessee is to hear of it.
    is_told: bool,
    /// A mark was set, and less was left, if no more was granted.
    is_low: bool,
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

fn try_call(scene: &Scene, asked: u64) -> Run<Left> {
    let weight = scene.weigh(asked);
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

fn acquire(scene: &Scene, asked: u64) -> Run<Left> {
    let weight = scene.weigh(asked);
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
        // A request counts unless the call is cancelled.
        Left { used, kept: [used, u64::from(used > 0)], ..Left::default() }
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
        // By a rate it needs no more than is left. The next one waits, and before the others begin it is told that none is left.
        if let Some(call) = scene.line[0].hang_up() {
            scene.mark = 0;
            scene.running.push(call);
            scene.line.clear();
            scene.line_up(LARGE);
        }
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

/// Whether it was paused or not.
fn resume(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.resume();
        Left::default()
    })
}

fn close(scene: &mut Scene) -> Run<Left> {
    on(scene, |limiter| {
        limiter.close();
        Left { closed: true, is_told: true, ..narrows() }
    })
}

/// There is one who may; if the other operation has the lessee, this one does nothing.
fn keep(
    scene: &mut Scene,
    work: impl FnOnce(&mut Lessee, usize) -> Left + Send + 'static,
) -> Run<Left> {
    let (lessee, tokens) = (scene.lessee.take(), scene.tokens());
    on(scene, move |_| {
        let Some(mut lessee) = lessee else { return Left::default() };
        let left = work(&mut lessee, tokens);
        Left { lessee: Some(lessee), ..left }
    })
}

/// What is enough for a large call, with what is left; and for a request.
fn grant_both(lessee: &mut Lessee, tokens: usize, until: Timestamp) -> Amounts {
    assert!(lessee.grant(tokens, LARGE, until).is_some());
    let requests = if tokens > 0 { 1 } else { 0 };
    assert_eq!(requests > 0, tokens > 0 && lessee.grant(0, requests, until).is_some());
    [LARGE, requests]
}

fn unused(lessee: &mut Lessee, n: usize) -> u64 {
    lessee.take_unused(n, 9).into_iter().map(|(_, amount)| amount).sum()
}

fn grant(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee, tokens| {
        let until = lessee.now().saturating_add(FOR_GOOD);
        Left { granted: grant_both(lessee, tokens, until), ..Left::default() }
    })
}

fn reclaim(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee, tokens| {
        lessee.reclaim(tokens, LARGE);
        narrows()
    })
}

fn take_back(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee, tokens| {
        let requests = if tokens > 0 { unused(lessee, 0) } else { 0 };
        Left { back: [unused(lessee, tokens), requests], ..Left::default() }
    })
}

/// What is left is less.
fn set_mark(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee, tokens| {
        lessee.set_mark(tokens, MARK + 1);
        Left { is_low: true, ..Left::default() }
    })
}

/// One more.
fn set_slots(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee, _| {
        lessee.set_slots(4);
        Left::default()
    })
}

fn refuse_all(scene: &mut Scene) -> Run<Left> {
    keep(scene, |lessee, _| {
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
        while let Some(lessee) = self.lessee.take_if(|_| !self.looks_later) {
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
        let mut granted = [0; 2];
        let limits = lessee.limits().len();
        for n in (0..2).flat_map(|_| 0..limits) {
            let until = lessee.now().saturating_add(FOR_GOOD);
            assert!(lessee.grant(n, LIMIT, until).is_some());
            let is_rate = limits > 1 && n == 0;
            granted[usize::from(is_rate)] += LIMIT;
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
        add(&mut self.granted, granted);
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
            let granted = grant_both(&mut lessee, self.tokens(), until);
            add(&mut self.granted, granted);
            go_on(waiters(&mut self.line, &mut left));
            self.assert_accounted_for(&mut lessee, &mut left);
        }
        for waiter in waiters(&mut self.line, &mut left) {
            let over = waiter.output.as_ref();
            assert!(over.is_some_and(|call| call.is_ok() || refuses), "not served");
        }
        let closed = left.iter().any(|left| left.closed);
        drop((left, self.line.drain(..)));
        let in_line = lessee.demand(self.tokens()).in_line;
        assert_eq!((self.limiter.waiters(), in_line), (0, 0));
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
        add(&mut self.kept, [call.weight, 1]);
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
        let lessee = self.lessee.take().or(lessee);
        if self.went_on
            && let Some(lessee) = lessee
        {
            return lessee;
        }
        // If it did not wait, it hears of it as soon as it does.
        let waits = left.iter_mut().find_map(|left| left.hearing.take());
        let waits = self.hearing.take().or(waits);
        let mut hearing = waits.unwrap_or_else(|| hearing(lessee.unwrap()));
        go_on([&mut hearing].into_iter());
        let joined = all(&mut self.line, left)
            .any(|call| call.waiter.place == NEWCOMER && !call.waiter.is_over());
        let is_told = joined || left.iter().any(|left| left.is_told);
        let is_marked = left.iter().any(|left| left.is_low);
        let mark = if is_marked { MARK + 1 } else { self.mark };
        let is_low =
            self.clock.now() < Timestamp::ZERO.saturating_add(PASSES) && self.left() < mark;
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
            add(&mut self.kept, core::mem::take(&mut left.kept));
            add(&mut self.kept, core::mem::take(&mut left.back));
            add(&mut self.granted, core::mem::take(&mut left.granted));
        }
        let mut runs = Vec::new();
        runs.extend(all(&mut self.line, left).filter_map(|call| match &call.waiter.output {
            Some(Ok(call)) => call.as_ref().map(|call| call.weight),
            _ => None,
        }));
        let admitted = left.iter().filter_map(|left| left.admitted.as_ref());
        runs.extend(self.running.iter().chain(admitted).map(|call| call.weight));
        let (open, calls) = (runs.iter().sum::<u64>(), runs.len() as u64);
        let (tokens, remains) = (self.tokens(), self.left());
        if self.is_held {
            assert_eq!((lessee.held(tokens), lessee.used(tokens)), (open + remains, self.used));
            assert_eq!(lessee.take_unused(tokens, 9), []);
        } else {
            self.kept[0] += unused(lessee, tokens);
            let [granted, kept] = [self.granted[0], self.kept[0]];
            assert_eq!(open + kept + remains, granted, "{open} open, {remains} remain");
            assert_eq!(lessee.used(tokens), 0);
        }
        let requests = self.has_rate.then(|| lessee.left(0));
        if let Some(requests) = requests {
            self.kept[1] += unused(lessee, 0);
            assert_eq!(calls + self.kept[1] + requests, self.granted[1], "requests");
        }

        let closed = self.limiter.is_closed();
        let slots = self.has_free_slots();
        let waiting = || self.line.iter().chain(left.iter().flat_map(|left| &left.waiting));
        let waiting = || waiting().filter(|call| !call.waiter.is_over());
        let refuses = closed || left.iter().any(|left| left.refuses) && !self.went_on;
        assert!(!closed || waiting().count() == 0, "a waiter missed the close");
        let needs: u64 = waiting().map(|call| call.weight).sum();
        assert_eq!(lessee.demand(tokens).in_line, needs);
        assert!(!self.has_rate || lessee.demand(0).in_line == waiting().count() as u64);
        assert_eq!(lessee.waited().is_some(), waiting().count() > 0);
        // Of two that came at the same time anyone is the first.
        let first = waiting().map(|call| call.waiter.place).min();
        let first = || waiting().filter(|call| Some(call.waiter.place) == first);
        let is_shown =
            first().count() == 0 || first().any(|call| lessee.demand(tokens).first == call.weight);
        // While a thread stood still, time went on.
        assert!(is_shown || self.went_on, "not what the first needs is told");
        let waits = slots && !refuses && first().count() > 0;
        let waits = waits && first().all(|call| call.weight <= remains) && requests != Some(0);
        let waits = waits && self.limiter.paused_for().is_none();
        assert!(!waits, "the first in line waits though there is as much");
    }
}
