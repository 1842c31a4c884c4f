//! The operations of a window of tokens, and every two of them at once.
//!
//! A tick is one moment here, and three of them are in a window. The account compares what remains with what has been
//! counted by the stamps, at every moment until the window is empty: nothing is lost, and nothing is made.

use crate::raw::tokens::{Admission, RawTokens, Refusal};
use crate::tests::pairs::{Run, Start, every_pair};
use crate::time::Timestamp;
use core::time::Duration;
use std::sync::Arc;

every_pair! {
    starts of Scene: some_room full;
    operations:
        try_admit try_admit_later try_admit_a_lap_later
        settle_less settle_nothing settle_more
        set_a_lower_limit set_a_higher_limit set_a_longer_window set_a_shorter_window restart_time reset;
    onlookers: look_on snapshot;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    /// They take over a wheel.
    const LONG: &[&str] = &["set_a_longer_window", "set_a_shorter_window", "restart_time", "reset"];
    let long = pair.iter().filter(|operation| LONG.contains(operation)).count();
    match long {
        0 => (3, vec![some_room, full]),
        1 => (1, vec![full]),
        _ => (0, vec![some_room, full]),
    }
}

// ---- starts --------------------------------------------------------------------------------------

/// A tick, in ns.
pub(super) const TICK: u64 = if cfg!(ringgate_loom) { 1 } else { 1000 };
pub(super) const WINDOW: Duration = Duration::from_nanos(2 * TICK);
/// Ticks in which an admission counts.
pub(super) const TICKS: u64 = 3;
const LIMIT: u64 = 4;
const LOWER: u64 = 2;
const HIGHER: u64 = 6;
/// A multiple of the slots of a wheel, so that the tick that is in the slot of the first one.
pub(super) const LAP: u64 = 32;

pub(super) fn at(tick: u64) -> Timestamp {
    Timestamp::from_nanos(tick * TICK)
}

pub(super) fn tick_of(stamp: Timestamp) -> u64 {
    stamp.as_nanos() / TICK
}

pub(crate) struct Scene {
    tokens: Arc<RawTokens>,
    /// The tick in which the operations begin.
    now: u64,
    /// To be settled.
    open: Vec<Admission>,
    counted: Vec<Counted>,
}

/// What counts, and from when on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) tick: u64,
    pub(super) amount: u64,
    /// Nobody could refuse it.
    pub(super) is_more: bool,
}

impl Scene {
    fn new(weights: &[(u64, u64)]) -> Self {
        let tokens = Arc::new(RawTokens::new(LIMIT, WINDOW));
        let mut scene = Self { tokens, now: 1, open: Vec::new(), counted: Vec::new() };
        for &(tick, amount) in weights {
            scene.open.push(scene.tokens.try_admit(at(tick), amount).unwrap());
            scene.counted.push(Counted { tick, amount, is_more: false });
        }
        scene
    }
}

/// There is room for two.
fn some_room() -> Scene {
    Scene::new(&[(0, 1), (1, 1)])
}

/// The first has two, and leaves the window first.
fn full() -> Scene {
    Scene::new(&[(0, 2), (1, 2)])
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    counted: Vec<Counted>,
    /// An admission of the start, by its index, counts for less by so much.
    given_back: Vec<(usize, u64)>,
    /// When, and which weight.
    refused: Option<(u64, u64)>,
    limit: Option<u64>,
    /// The ticks have been numbered anew, and may be longer.
    is_anew: bool,
    is_longer: bool,
    /// A tick less may be in the window.
    is_shorter: bool,
    /// What was counted before is forgotten, and what was counted meanwhile may be.
    is_reset: bool,
    /// By so many ticks the clock is behind the account now.
    behind: u64,
    /// So many tokens are in the snapshot that it has taken.
    told: Option<u64>,
}

fn admit(scene: &Scene, tick: u64, amount: u64) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    Run::new(move || match tokens.try_admit(at(tick), amount) {
        Ok(admission) => {
            let tick = tick_of(admission.stamp());
            Left { counted: vec![Counted { tick, amount, is_more: false }], ..Left::default() }
        }
        Err(Refusal::Until(_)) => Left { refused: Some((tick, amount)), ..Left::default() },
        Err(refusal) => panic!("{refusal:?}"),
    })
}

fn try_admit(scene: &mut Scene) -> Run<Left> {
    admit(scene, scene.now, 2)
}

/// The first of the start has left the window.
fn try_admit_later(scene: &mut Scene) -> Run<Left> {
    admit(scene, TICKS, 2)
}

/// In the slot of the head.
fn try_admit_a_lap_later(scene: &mut Scene) -> Run<Left> {
    admit(scene, LAP + 1, 1)
}

fn settle(scene: &mut Scene, actual: impl Fn(u64) -> u64) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    let index = scene.counted.len() - scene.open.len();
    let (admission, now) = (scene.open.remove(0), scene.now);
    let (weight, actual) = (admission.weight(), actual(admission.weight()));
    Run::new(move || {
        let mut left = Left::default();
        if let Some(stamp) = tokens.settle(at(now), admission, actual) {
            let (tick, amount) = (tick_of(stamp), actual - weight);
            left.counted.push(Counted { tick, amount, is_more: true });
        } else {
            left.given_back.push((index, weight - actual));
        }
        left
    })
}

fn settle_less(scene: &mut Scene) -> Run<Left> {
    settle(scene, |weight| weight - 1)
}

fn settle_nothing(scene: &mut Scene) -> Run<Left> {
    settle(scene, |_| 0)
}

fn settle_more(scene: &mut Scene) -> Run<Left> {
    settle(scene, |weight| weight + 1)
}

fn set_limit(scene: &Scene, limit: u64) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    Run::new(move || {
        tokens.set(limit, None);
        Left { limit: Some(limit), ..Left::default() }
    })
}

fn set_a_lower_limit(scene: &mut Scene) -> Run<Left> {
    set_limit(scene, LOWER)
}

fn set_a_higher_limit(scene: &mut Scene) -> Run<Left> {
    set_limit(scene, HIGHER)
}

fn set_a_longer_window(scene: &mut Scene) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    Run::new(move || {
        tokens.set(LIMIT, Some(2 * WINDOW));
        Left { limit: Some(LIMIT), is_anew: true, is_longer: true, ..Left::default() }
    })
}

fn set_a_shorter_window(scene: &mut Scene) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    Run::new(move || {
        tokens.set(LIMIT, Some(WINDOW / 2));
        Left { limit: Some(LIMIT), is_anew: true, is_shorter: true, ..Left::default() }
    })
}

fn reset(scene: &mut Scene) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    Run::new(move || {
        tokens.reset();
        Left { is_anew: true, is_reset: true, ..Left::default() }
    })
}

/// The clock has jumped back to its beginning.
fn restart_time(scene: &mut Scene) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    Run::new(move || {
        tokens.restart_time(&tokens.latest(), at(0), Duration::ZERO);
        Left { is_anew: true, behind: LAP + TICKS, ..Left::default() }
    })
}

fn look_on(scene: &mut Scene) -> Run<Left> {
    let (tokens, now) = (Arc::clone(&scene.tokens), scene.now);
    Run::new(move || {
        assert!(tokens.remaining(at(now)) <= HIGHER);
        let _ = tokens.peek(at(now), 1);
        assert!([LOWER, LIMIT, HIGHER].contains(&tokens.limit()));
        assert!([WINDOW / 2, WINDOW, 2 * WINDOW].contains(&tokens.window()));
        assert!(tokens.era() <= 2 && tokens.unit() == 1);
        Left::default()
    })
}

fn snapshot(scene: &mut Scene) -> Run<Left> {
    let (tokens, now) = (Arc::clone(&scene.tokens), scene.now);
    Run::new(move || {
        let (_, entries) = tokens.entries(at(now), 0);
        let told = entries.iter().map(|entry| entry.amount).sum();
        Left { told: Some(told), ..Left::default() }
    })
}

// ---- the account ---------------------------------------------------------------------------------

impl Start for Scene {
    type Left = Left;

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, _: &mut Left, _: bool) {
        // Nobody waits; what others ask is answered, and what fits is admitted.
        let now = at(1000);
        let _ = (self.tokens.remaining(now), self.tokens.peek(now, 1));
        let admission = self.tokens.try_admit(now, 2).unwrap();
        self.tokens.settle(now, admission, 1);
        self.counted.push(Counted { tick: 1000, amount: 1, is_more: false });
    }

    fn settle(mut self, left: [Left; 2]) {
        self.assert_all_told(&left);
        self.assert_rightly_refused(&left);
        for &(index, less) in left.iter().flat_map(|left| &left.given_back) {
            self.counted[index].amount -= less;
        }
        self.counted.extend(left.iter().flat_map(|left| &left.counted));
        let limit = self.tokens.limit();
        let limits: Vec<_> = left.iter().filter_map(|left| left.limit).collect();
        assert!(if limits.is_empty() { limit == LIMIT } else { limits.contains(&limit) });
        let most = limits.iter().copied().max().unwrap_or(LIMIT).max(LIMIT);
        let latest = self.counted.iter().map(|counted| counted.tick).max().unwrap().max(self.now);
        let behind: u64 = left.iter().map(|left| left.behind).sum();
        let is_anew = left.iter().any(|left| left.is_anew);
        let is_reset = left.iter().any(|left| left.is_reset);
        let is_shorter = left.iter().any(|left| left.is_shorter);
        // Behind a longer window a shorter one begins at the end of a longer tick, and stamps no earlier.
        let is_longer = left.iter().any(|left| left.is_longer);
        let ticks = TICKS - u64::from(is_shorter) - u64::from(is_shorter && is_longer);
        // Stamps of before the jump are no longer comparable.
        if behind == 0 && !is_reset {
            self.assert_exact(most, ticks);
        }
        for tick in latest..=latest + TICKS {
            let used = self.used(tick, ticks);
            let remains = self.tokens.remaining(at(tick));
            if is_reset {
                assert!(remains <= limit);
                // Nothing is counted twice.
                let is_once = remains >= limit.saturating_sub(used);
                assert!(is_once || left.iter().any(|left| left.is_anew && !left.is_reset));
            } else if behind == 0 && !is_anew {
                assert_eq!(remains, limit.saturating_sub(used), "at {tick}: {:?}", self.counted);
            } else if behind == 0 {
                assert!(remains <= limit.saturating_sub(used), "at {tick}: {:?}", self.counted);
            }
        }
        if is_anew {
            // Time goes on from the latest tick.
            let is_empty = self.tokens.remaining(at(latest)) >= limit.max(1);
            assert!(behind > 0 || is_reset || !is_empty);
            let empty = latest + behind + 4 * TICKS;
            assert_eq!(self.tokens.remaining(at(empty)), limit);
        }
        let whole = self.tokens.try_admit(at(2 * latest + 6 * LAP), limit).unwrap();
        assert!(self.tokens.peek(whole.stamp(), 1).is_err());
    }
}

impl Scene {
    /// What counts in the window that ends with this tick.
    fn used(&self, tick: u64, ticks: u64) -> u64 {
        let inside = self.counted.iter().filter(|counted| counted.tick + ticks > tick);
        inside.map(|counted| counted.amount).sum()
    }

    /// A snapshot has all that was counted before and not given back, and nothing that was not counted.
    fn assert_all_told(&self, left: &[Left; 2]) {
        let sum = |counted: &[Counted]| counted.iter().map(|counted| counted.amount).sum::<u64>();
        let before = sum(&self.counted);
        let beside: u64 = left.iter().map(|left| sum(&left.counted)).sum();
        let given_back = left.iter().flat_map(|left| &left.given_back);
        let given_back: u64 = given_back.map(|(_, less)| less).sum();
        // By a later time, another one, or a shorter window, what was counted before has left the window; or it is forgotten.
        let mut all = left.iter().flat_map(|left| &left.counted).chain(&self.counted);
        let is_later = all.any(|counted| counted.tick >= TICKS);
        let ends = |left: &Left| left.behind > 0 || left.is_shorter || left.is_reset;
        let ends = is_later || left.iter().any(ends);
        for told in left.iter().filter_map(|left| left.told) {
            assert!(ends || told >= before - given_back, "{told} of {before} - {given_back}");
            assert!(told <= before + beside, "{told} of {before} + {beside}");
        }
    }

    /// No call is refused while there is room throughout.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let Some((tick, amount)) = one.refused else { continue };
            let taken: u64 = other.counted.iter().map(|counted| counted.amount).sum();
            let limit = other.limit.unwrap_or(LIMIT).min(LIMIT);
            let is_full = self.used(tick, TICKS) + taken + amount > limit;
            // Another window or another time may hold it back for longer.
            assert!(is_full || other.is_anew, "refused while there is room");
        }
    }

    /// Never more than the limit in any window, but for what nobody could refuse.
    fn assert_exact(&self, limit: u64, ticks: u64) {
        for last in &self.counted {
            let inside = self.counted.iter().filter(|counted| {
                !counted.is_more && counted.tick <= last.tick && counted.tick + ticks > last.tick
            });
            let sum: u64 = inside.map(|counted| counted.amount).sum();
            assert!(sum <= limit, "{sum} in the window that ends at {}", last.tick);
        }
    }
}
