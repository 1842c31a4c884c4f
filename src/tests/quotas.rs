//! Answers to calls whose admission is known, from a server that counts exactly. All is played on one thread by a manual clock.

mod server;

use crate::time::{Clock, ManualClock, Timestamp};
use crate::{
    Feedback, Limiter, LimiterBuilder, OwnedLimiterPermit, Quota, QuotaKind, QuotaWindow, Rate,
    Usage,
};
use core::time::Duration;
use server::{KINDS, Kind, MINUTE, SECOND, Server};
use std::collections::BTreeMap;

const LIMIT: u64 = 40;
const WINDOW: Duration = Duration::from_secs(60);
/// Of tokens. Above a thousand, because what is left of them may be rounded to that.
const TOKENS: u64 = 40_000;
/// The default one for a minute.
const MARGIN: u64 = 250;

/// A source of numbers that repeats itself.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// When calls are tried: in ms, and how many each time.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// One each so often.
    Steady(u64),
    /// As many as go, each so often.
    Bursts(u64),
}

const LOADS: [Load; 5] = [
    Load::Steady(1_600),
    Load::Steady(100),
    Load::Bursts(10 * SECOND),
    Load::Bursts(47 * SECOND),
    Load::Bursts(3 * MINUTE),
];

/// What happens next.
enum Event {
    Arrives { sent: u64, permit: OwnedLimiterPermit, weight: u64 },
    Answers { sent: u64, remaining: u64, limit: u64, retry_after: Option<u64> },
    Ends { permit: OwnedLimiterPermit, used: u64 },
    Corrects { at: u64, weight: u64, used: u64 },
    Other { weight: u64 },
}

/// A limiter, its provider, and what is on the way between them.
struct World {
    limiter: Limiter,
    clock: ManualClock,
    server: Server,
    kind: QuotaKind,
    dice: Dice,
    events: BTreeMap<(u64, u64), Event>,
    order: u64,
    admitted: Vec<(u64, u64)>,
    refused: u64,
    refused_others: u64,
    /// The most calls at a time that have been sent and not answered.
    in_flight: u64,
    most_in_flight: u64,
    /// Of the part that is expected, what a call uses in the end; others use all of it.
    is_settled: bool,
}

impl World {
    fn new(kind: QuotaKind, server: Server, limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> Self {
        let clock = ManualClock::new();
        let limiter = limits(Limiter::builder()).clock(clock.clone()).build();
        Self {
            limiter,
            clock,
            server,
            kind,
            dice: Dice(1),
            events: BTreeMap::new(),
            order: 0,
            admitted: Vec::new(),
            refused: 0,
            refused_others: 0,
            in_flight: 0,
            most_in_flight: 0,
            is_settled: false,
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().as_nanos() / 1_000_000
    }

    fn later(&mut self, after: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now() + after, self.order), event);
    }

    /// Plays all that happens up to this time.
    fn play_until(&mut self, end: u64) {
        while let Some(next) = self.events.first_entry() {
            let (at, _) = *next.key();
            if at > end {
                break;
            }
            let event = next.remove();
            self.clock.set(Timestamp::from_nanos(at * 1_000_000));
            self.happens(event);
        }
        self.clock.set(Timestamp::from_nanos(end * 1_000_000));
    }

    fn happens(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Arrives { sent, permit, weight } => {
                let retry_after =
                    (!self.server.takes(now, weight)).then(|| self.server.frees_after(now));
                self.refused += u64::from(retry_after.is_some());
                let remaining = self.server.remaining(now);
                let back = 20 + self.dice.below(400);
                let limit = self.server.limit;
                self.later(back, Event::Answers { sent, remaining, limit, retry_after });
                let ends = self.dice.below(5 * SECOND);
                let used = if self.is_settled { self.dice.below(weight + 1) } else { weight };
                // The provider knows it a little earlier.
                self.later(back + ends, Event::Corrects { at: now, weight, used });
                self.later(back + ends + 1, Event::Ends { permit, used });
            }
            Event::Corrects { at, weight, used } => self.server.corrects(at, weight, used),
            Event::Answers { sent, remaining, limit, retry_after } => {
                self.in_flight -= 1;
                let feedback = retry_after.map_or_else(Feedback::new, |after| {
                    Feedback::cool_down(Duration::from_millis(after))
                });
                let quota = Quota::new(self.kind, QuotaWindow::Unknown);
                let quota = quota.with_limit(limit).with_remaining(remaining);
                let sent = Timestamp::from_nanos(sent * 1_000_000);
                self.limiter.core().observe(&feedback.with_quota(quota), Some(sent));
            }
            Event::Ends { permit, used } => permit.settle(self.tokens(used)),
            Event::Other { weight } => {
                self.refused_others += u64::from(!self.server.takes(now, weight));
            }
        }
    }

    /// Sends a call if the limiter lets it go.
    fn tries(&mut self, weight: u64) -> bool {
        let Ok(permit) = self.limiter.call().tokens(self.tokens(weight)).try_acquire_owned() else {
            return false;
        };
        let sent = self.now();
        self.admitted.push((sent, weight));
        self.in_flight += 1;
        self.most_in_flight = self.most_in_flight.max(self.in_flight);
        // All of them take about as long, up to the margin.
        let latency = 50 + self.dice.below(MARGIN - 1);
        let weight = if self.kind == QuotaKind::Requests { 1 } else { weight };
        self.later(latency, Event::Arrives { sent, permit, weight });
        true
    }

    fn plays(&mut self, load: Load, end: u64, mut each: impl FnMut(&mut Self)) {
        let (pace, most) = match load {
            Load::Steady(pace) => (pace, 1),
            Load::Bursts(pace) => (pace, u64::MAX),
        };
        let mut at = self.now();
        while at < end {
            let mut sent = 0;
            while sent < most {
                let weight = 1 + self.dice.below(self.server.limit / 12);
                if !self.tries(weight) {
                    break;
                }
                sent += 1;
            }
            each(self);
            at += pace;
            self.play_until(at);
            each(self);
        }
    }

    fn tokens(&self, weight: u64) -> Usage {
        match self.kind {
            QuotaKind::Requests => Usage::default(),
            QuotaKind::OutputTokens => Usage::new(0, weight),
            _ => Usage::new(weight, 0),
        }
    }

    fn left(&self) -> u64 {
        match self.kind {
            QuotaKind::Requests => self.limiter.remaining().into(),
            QuotaKind::Tokens => self.limiter.remaining_tokens(),
            QuotaKind::InputTokens => self.limiter.remaining_input_tokens(),
            QuotaKind::OutputTokens => self.limiter.remaining_output_tokens(),
        }
    }
}

fn requests(kind: Kind) -> World {
    let rate = Rate::per_minute(u32::try_from(LIMIT).unwrap());
    World::new(QuotaKind::Requests, Server::new(kind, LIMIT), |builder| builder.rate(rate))
}

fn tokens(kind: Kind, limits: impl FnOnce(LimiterBuilder) -> LimiterBuilder) -> World {
    World::new(QuotaKind::Tokens, Server::new(kind, TOKENS), limits)
}

// ---- nobody else ------------------------------------------------------------------------------------

/// Broken by: `sent` taken for now; `since` without the age, or without the window.
#[test]
fn of_requests_nothing_of_our_own_is_counted_again() {
    for kind in KINDS {
        for load in LOADS {
            let mut world = requests(kind);
            world.plays(load, 40 * MINUTE, |world| {
                let (now, kept) = (world.now(), MINUTE + MARGIN);
                let counts = world.admitted.iter().filter(|(at, _)| at + kept > now).count();
                assert_eq!(world.left(), LIMIT - counts as u64, "{kind:?} {load:?} at {now}");
            });
            assert_eq!(world.refused, 0);
            assert!(world.admitted.len() > 100);
        }
    }
}

/// What is left cannot be less than what the calls' own weights leave of it.
fn assert_ours_alone(world: &World, ours: impl Fn(u64, u64) -> u64) {
    let now = world.now();
    // Two ticks more.
    let kept = MINUTE + MARGIN + 2 * 61;
    let ours: u64 = world.admitted.iter().map(|&(at, weight)| ours(at + kept, weight)).sum();
    let left = world.left();
    assert!(left + ours >= TOKENS, "{:?} at {now}: {left} and {ours}", world.kind);
}

/// Broken by: a baseline that is later than `sent`; what was given back since the baseline taken off; one without the
/// head's sum.
#[test]
fn of_tokens_nothing_of_our_own_is_counted_again() {
    for (kind, load, is_settled) in kinds_and_loads() {
        let mut world = tokens(kind, |builder| builder.tokens(TOKENS, WINDOW));
        world.is_settled = is_settled;
        world.plays(load, 40 * MINUTE, |world| {
            let now = world.now();
            assert_ours_alone(world, |until, weight| if until > now { weight } else { 0 });
        });
        assert_eq!(world.refused, 0, "{kind:?} {load:?}");
        assert!(world.admitted.len() > 100);
    }
}

/// As many tokens as they are expected to be, which are held until the end. The provider counts them at the beginning. Broken by:
/// `held` that is no part of ours.
#[test]
fn of_tokens_that_are_held_nothing_is_counted_again() {
    for (kind, load, is_settled) in kinds_and_loads() {
        let mut world = tokens(kind, |builder| builder.output_tokens(TOKENS, WINDOW));
        (world.kind, world.is_settled) = (QuotaKind::OutputTokens, is_settled);
        world.plays(load, 40 * MINUTE, |world| {
            let now = world.now();
            // They end in six seconds at most.
            assert_ours_alone(world, |until, weight| {
                if until + 6 * SECOND > now { weight } else { 0 }
            });
        });
        assert_eq!(world.refused, 0, "{kind:?} {load:?}");
    }
}

fn kinds_and_loads() -> impl Iterator<Item = (Kind, Load, bool)> {
    let kinds = KINDS.into_iter().flat_map(|kind| LOADS.map(|load| (kind, load)));
    // A bucket does not take back what a full one never missed.
    kinds.flat_map(|(kind, load)| [false, true].map(|is_settled| (kind, load, is_settled)))
}

// ---- somebody else ----------------------------------------------------------------------------------

/// Answers to calls that were sent at times known only to the test: one at a time.
fn answer(limiter: &Limiter, kind: QuotaKind, limit: u64, remaining: u64, sent: u64) {
    let quota = Quota::new(kind, QuotaWindow::Unknown).with_limit(limit).with_remaining(remaining);
    let sent = Timestamp::from_nanos(sent * 1_000_000);
    limiter.core().observe(&Feedback::new().with_quota(quota), Some(sent));
}

/// Bursts of another client at random times. Broken by: nothing that is counted.
#[test]
fn a_second_client_costs_no_more_refusals_than_calls_are_in_flight() {
    for (kind, load, _) in kinds_and_loads() {
        let mut world = requests(kind);
        let minutes = 60;
        for minute in 0..minutes {
            let at = world.now();
            if minute % 3 == 0 {
                let after = world.dice.below(MINUTE);
                for _ in 0..1 + world.dice.below(LIMIT - 10) {
                    world.later(after, Event::Other { weight: 1 });
                }
            }
            let (refused, most) = (world.refused, world.most_in_flight);
            world.plays(load, at + MINUTE, |_| ());
            let refused = world.refused - refused;
            let most = world.most_in_flight.max(most);
            println!("{kind:?} {load:?} {minute}: {refused} of {most}");
            world.most_in_flight = world.in_flight;
        }
        println!("{kind:?} {load:?} refused {} of {}", world.refused, world.admitted.len());
    }
}
