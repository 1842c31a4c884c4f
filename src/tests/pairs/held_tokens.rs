//! The operations of a window of tokens that are held until they are settled, and every two of them at once.
//!
//! Ticks are those of `tokens`. The account compares what remains with what is held and with what has been settled by the
//! stamps, at every moment until the window is empty. Then all that is still held is settled, too.
//!
//! Caught by the frozen thread: `swap` that stores instead of comparing.

use crate::raw::tokens::{HeldTokens, Refusal, Reservation};
use crate::tests::pairs::tokens::{Counted, LAP, TICKS, WINDOW, at, tick_of};
use crate::tests::pairs::{Run, Start, every_pair};
use core::mem;
use core::time::Duration;
use std::sync::Arc;

every_pair! {
    starts of Scene: some_room full;
    operations:
        reserve reserve_later
        settle_in_full settle_less settle_more give_back
        set_a_lower_limit set_a_higher_limit set_a_longer_window restart_time;
    onlookers: look_on;
}

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    /// They take over a wheel.
    const LONG: &[&str] = &["set_a_longer_window", "restart_time"];
    let long = pair.iter().filter(|operation| LONG.contains(operation)).count();
    match long {
        0 => (3, vec![some_room, full]),
        // It does not touch the wheel: there is little to interleave.
        1 if pair[0] == "give_back" => (1, vec![some_room, full]),
        1 => (1, vec![full]),
        _ => (0, vec![some_room, full]),
    }
}

// ---- starts --------------------------------------------------------------------------------------

const LIMIT: u64 = 6;
const LOWER: u64 = 5;
const HIGHER: u64 = 8;
/// What each of the two reservations of the start holds.
const HELD: u64 = 2;

pub(crate) struct Scene {
    tokens: Arc<HeldTokens>,
    /// The tick in which the operations begin.
    now: u64,
    /// To be settled.
    open: Vec<Reservation>,
    counted: Vec<Counted>,
}

impl Scene {
    /// So many tokens were settled in the first tick after the clock's beginning.
    fn new(used: u64) -> Self {
        let tokens = Arc::new(HeldTokens::new(LIMIT, WINDOW));
        let first = tokens.reserve(at(1), used).unwrap();
        let counted = settle(&tokens, 1, first, used);
        let open = [1, 2].map(|tick| tokens.reserve(at(tick), HELD).unwrap()).into();
        Self { tokens, now: 2, open, counted }
    }
}

/// For one.
fn some_room() -> Scene {
    Scene::new(LIMIT - 2 * HELD - 1)
}

/// What was settled leaves the window first.
fn full() -> Scene {
    Scene::new(LIMIT - 2 * HELD)
}

// ---- operations ----------------------------------------------------------------------------------

/// What an operation leaves.
#[derive(Default)]
pub(crate) struct Left {
    /// With its tick.
    held: Option<(u64, Reservation)>,
    counted: Vec<Counted>,
    /// When, and which weight.
    refused: Option<(u64, u64)>,
    limit: Option<u64>,
    /// The ticks have been numbered anew, and may be longer.
    is_anew: bool,
    /// By so many ticks the clock is behind the account now.
    behind: u64,
}

fn on(scene: &Scene, work: impl FnOnce(&HeldTokens) -> Left + Send + 'static) -> Run<Left> {
    let tokens = Arc::clone(&scene.tokens);
    Run::new(move || work(&tokens))
}

fn reserve_at(scene: &Scene, tick: u64) -> Run<Left> {
    on(scene, move |tokens| match tokens.reserve(at(tick), 1) {
        Ok(reservation) => Left { held: Some((tick, reservation)), ..Left::default() },
        Err(Refusal::Until(_) | Refusal::Held) => {
            Left { refused: Some((tick, 1)), ..Left::default() }
        }
        Err(refusal @ Refusal::TooLarge { .. }) => panic!("{refusal:?}"),
    })
}

fn reserve(scene: &mut Scene) -> Run<Left> {
    reserve_at(scene, scene.now)
}

/// What was settled at the start has left the window.
fn reserve_later(scene: &mut Scene) -> Run<Left> {
    reserve_at(scene, TICKS + 1)
}

/// Settles one of the start.
fn settle_at(scene: &mut Scene, tick: u64, actual: u64) -> Run<Left> {
    let reservation = scene.open.remove(0);
    on(scene, move |tokens| Left {
        counted: settle(tokens, tick, reservation, actual),
        ..Left::default()
    })
}

/// What it has used beyond its reservation is apart.
fn settle(tokens: &HeldTokens, tick: u64, reservation: Reservation, actual: u64) -> Vec<Counted> {
    let (weight, earliest) = (reservation.weight(), at(tick));
    let stamp = tokens.settle_held(earliest, reservation, actual);
    assert!(stamp >= earliest);
    let counted = |amount, is_more| Counted { tick: tick_of(stamp), amount, is_more };
    vec![counted(actual.min(weight), false), counted(actual.saturating_sub(weight), true)]
}

fn settle_in_full(scene: &mut Scene) -> Run<Left> {
    settle_at(scene, scene.now + 1, HELD)
}

fn settle_less(scene: &mut Scene) -> Run<Left> {
    settle_at(scene, scene.now, HELD - 1)
}

fn settle_more(scene: &mut Scene) -> Run<Left> {
    settle_at(scene, scene.now, HELD + 1)
}

fn give_back(scene: &mut Scene) -> Run<Left> {
    settle_at(scene, scene.now, 0)
}

fn set_limit(scene: &Scene, limit: u64) -> Run<Left> {
    on(scene, move |tokens| {
        tokens.settled().set(limit, None);
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
    on(scene, |tokens| {
        tokens.settled().set(LIMIT, Some(2 * WINDOW));
        Left { limit: Some(LIMIT), is_anew: true, ..Left::default() }
    })
}

/// The clock has jumped back to its beginning.
fn restart_time(scene: &mut Scene) -> Run<Left> {
    on(scene, |tokens| {
        let settled = tokens.settled();
        settled.restart_time(&settled.latest(), at(0), Duration::ZERO);
        Left { is_anew: true, behind: 2 * TICKS, ..Left::default() }
    })
}

fn look_on(scene: &mut Scene) -> Run<Left> {
    let now = scene.now;
    on(scene, move |tokens| {
        assert!(tokens.remaining(at(now)) <= HIGHER);
        assert!(tokens.held() <= HIGHER);
        Left::default()
    })
}

// ---- the account ---------------------------------------------------------------------------------

impl Start for Scene {
    type Left = Left;

    #[cfg(ringgate_freeze)]
    fn serve_the_others(&mut self, left: &mut Left, _: bool) {
        // All end that have not stalled, and have used nothing. Then there is room, whatever the stalled one has.
        let held = left.held.take().map(|(_, reservation)| reservation);
        for reservation in self.open.drain(..).chain(held) {
            self.tokens.settle_held(at(1000), reservation, 0);
        }
        let reservation = self.tokens.reserve(at(1000), 1).unwrap();
        self.counted.extend(settle(&self.tokens, 1000, reservation, 1));
    }

    fn settle(mut self, mut left: [Left; 2]) {
        self.assert_rightly_refused(&left);
        self.counted.extend(left.iter_mut().flat_map(|left| left.counted.drain(..)));
        let limit = self.tokens.settled().limit();
        let limits: Vec<_> = left.iter().filter_map(|left| left.limit).collect();
        assert!(if limits.is_empty() { limit == LIMIT } else { limits.contains(&limit) });
        let most = limits.iter().copied().max().unwrap_or(LIMIT).max(LIMIT);
        let behind: u64 = left.iter().map(|left| left.behind).sum();
        let is_anew = left.iter().any(|left| left.is_anew);

        let reserved = left.iter().filter_map(|left| Some(left.held.as_ref()?.0)).max();
        let latest = self.counted.iter().map(|counted| counted.tick).chain(reserved).max();
        let latest = latest.unwrap().max(self.now);
        let open =
            || self.open.iter().chain(left.iter().filter_map(|left| Some(&left.held.as_ref()?.1)));
        let held: u64 = open().map(Reservation::weight).sum();
        assert_eq!(self.tokens.held(), held);
        // Stamps of before the jump are no longer comparable.
        if behind == 0 {
            assert!(held + self.used(latest, false) <= most, "over the limit");
            self.assert_remains(latest, is_anew, limit, held);
        }

        for (_, reservation) in left.iter_mut().filter_map(|left| left.held.take()) {
            self.open.push(reservation);
        }
        for reservation in mem::take(&mut self.open) {
            let weight = reservation.weight();
            self.counted.extend(settle(&self.tokens, latest, reservation, weight));
        }
        assert_eq!(self.tokens.held(), 0);
        if behind == 0 {
            self.assert_remains(latest, is_anew, limit, 0);
        }
        if is_anew {
            assert_eq!(self.tokens.remaining(at(latest + behind + 4 * TICKS)), limit);
        }
        let far = at(2 * latest + 6 * LAP);
        let whole = self.tokens.reserve(far, limit).unwrap();
        assert!(self.tokens.peek(far, 1).is_err());
        self.tokens.settle_held(far, whole, 0);
        assert_eq!(self.tokens.remaining(far), limit);
    }
}

impl Scene {
    /// What was settled and counts in the window that ends with this tick.
    fn used(&self, tick: u64, with_more: bool) -> u64 {
        let inside = self.counted.iter().filter(|counted| counted.tick + TICKS > tick);
        inside.filter(|counted| with_more || !counted.is_more).map(|counted| counted.amount).sum()
    }

    fn assert_remains(&self, latest: u64, at_most: bool, limit: u64, held: u64) {
        for tick in latest..=latest + TICKS {
            let remaining = self.tokens.remaining(at(tick));
            let expected = limit.saturating_sub(held + self.used(tick, true));
            let is_right = remaining == expected || at_most && remaining < expected;
            assert!(is_right, "{remaining} of {expected} at {tick}: {:?}", self.counted);
        }
    }

    /// No call is refused while there is room throughout. What another one settles may count twice for a moment.
    fn assert_rightly_refused(&self, left: &[Left; 2]) {
        for (one, other) in [(&left[0], &left[1]), (&left[1], &left[0])] {
            let Some((tick, amount)) = one.refused else { continue };
            let reserved = other.held.as_ref().map_or(0, |(_, reservation)| reservation.weight());
            let counted: u64 = other.counted.iter().map(|counted| counted.amount).sum();
            let limit = other.limit.unwrap_or(LIMIT).min(LIMIT);
            let taken = 2 * HELD + self.used(tick, true) + reserved + counted;
            // Another window or another time may hold it back for longer.
            assert!(taken + amount > limit || other.is_anew, "refused while there is room");
        }
    }
}
