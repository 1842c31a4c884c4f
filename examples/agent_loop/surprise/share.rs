//! How far the agents use what the server allows them.
//!
//! At each instant the server's window holds some calls of the agents, and allowed to them is the limit of that instant
//! less the second client's calls in the window. The same holds for tokens. Of the calls in flight the server allows as many as
//! its capacity. The largest of these three shares counts, because a further call would be refused by that limit first. So under
//! the overload it is the capacity while that is full, and otherwise the rate.
//!
//! When a limit is lowered while the window holds more, it is used in full until the window holds less: nothing more is
//! allowed. The same goes for the time in which the server refuses all calls.
//!
//! The share of a time is the mean over it. Places that are taken again the moment they are free make 100 %. A limiter's
//! margin takes its part of that.

use super::second::SECOND;
use core::ops::Range;
use core::time::Duration;
use ringgate_mock_provider::{Counting, Event, Log, Terms};
use std::time::Instant;

/// The least share.
pub(crate) const GOAL: f64 = 0.95;

/// Who sends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// An agent.
    Agent,
    /// A second client with the same key.
    Second,
}

impl Caller {
    /// By the name that the request says.
    pub(crate) fn of(user: Option<&str>) -> Self {
        if user == Some(SECOND) { Self::Second } else { Self::Agent }
    }
}

/// The shares over time: each holds from its instant until the next one's.
#[derive(Debug)]
pub(crate) struct Shares(Vec<(Instant, f64)>);

/// What the window holds, and the terms.
#[derive(Debug, Default)]
struct State {
    terms: Option<Terms>,
    agents: Load,
    second: Load,
    in_flight: usize,
    closed: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Load {
    calls: u64,
    tokens: u64,
}

/// How the state changes.
#[derive(Debug, Clone, Copy)]
enum Step {
    Terms(Terms),
    Closed(bool),
    Begin(Caller, u64),
    End,
    /// A call leaves the window.
    Age(Caller, u64),
}

impl Shares {
    pub(crate) fn new(log: &Log, window: Duration) -> Self {
        let mut steps = Vec::new();
        for (at, event) in &log.events {
            match event {
                Event::TermsSet { terms, .. } => steps.push((*at, Step::Terms(*terms))),
                Event::Closed { until, .. } => {
                    steps.push((*at, Step::Closed(true)));
                    steps.push((*until, Step::Closed(false)));
                }
                Event::Ended { .. } => steps.push((*at, Step::End)),
                Event::Accepted { user, tokens, .. } => {
                    let (caller, tokens) = (Caller::of(user.as_deref()), *tokens);
                    steps.push((*at, Step::Begin(caller, tokens)));
                    steps.push((*at + window, Step::Age(caller, tokens)));
                }
                _ => {}
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        let mut state = State::default();
        let shares = steps.into_iter().map(|(at, step)| {
            state.take(step);
            (at, state.share())
        });
        Self(shares.collect())
    }

    /// The mean over a time.
    pub(crate) fn mean(&self, time: &Range<Instant>) -> f64 {
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([time.end]);
        let parts = self.0.iter().zip(ends).map(|((from, share), to)| {
            let overlap = to.min(time.end).saturating_duration_since((*from).max(time.start));
            overlap.as_secs_f64() * share
        });
        let length = time.end.saturating_duration_since(time.start);
        parts.sum::<f64>() / length.as_secs_f64()
    }

    /// After what time the mean over one window reaches the goal; `None` if it does in no whole window of the time.
    pub(crate) fn back_after(&self, time: &Range<Instant>, window: Duration) -> Option<Duration> {
        let starts = (0..)
            .map(|n| window * n / 50)
            .take_while(|after| time.start + *after + window <= time.end);
        starts.into_iter().find(|after| {
            let start = time.start + *after;
            self.mean(&(start..start + window)) >= GOAL
        })
    }
}

impl State {
    fn take(&mut self, step: Step) {
        match step {
            Step::Terms(terms) => self.terms = Some(terms),
            Step::Closed(closed) => self.closed = closed,
            Step::Begin(caller, tokens) => {
                self.in_flight += 1;
                let load = self.load(caller);
                load.calls += 1;
                load.tokens += tokens;
            }
            Step::End => self.in_flight -= 1,
            Step::Age(caller, tokens) => {
                let load = self.load(caller);
                load.calls -= 1;
                load.tokens -= tokens;
            }
        }
    }

    fn load(&mut self, caller: Caller) -> &mut Load {
        match caller {
            Caller::Agent => &mut self.agents,
            Caller::Second => &mut self.second,
        }
    }

    fn share(&self) -> f64 {
        let Some(terms) = self.terms else { return 0.0 };
        let (agents, second) = (self.agents, self.second);
        let calls = of(agents.calls, most(terms.requests).saturating_sub(second.calls));
        let in_flight =
            of(self.in_flight as u64, most(terms.max_in_flight.map(|calls| calls as u64)));
        let tokens = match terms.tokens {
            Counting::AtArrival { total } => of(agents.tokens, total.saturating_sub(second.tokens)),
            _ => 0.0,
        };
        if self.closed { 1.0 } else { calls.max(tokens).max(in_flight) }
    }
}

/// A limit; `None` is none.
fn most(limit: Option<impl Into<u64>>) -> u64 {
    limit.map_or(u64::MAX, Into::into)
}

/// At most 1: what was there before a limit was lowered is no more than all.
#[expect(clippy::cast_precision_loss, reason = "a share to read")]
fn of(used: u64, allowed: u64) -> f64 {
    if used >= allowed { 1.0 } else { used as f64 / allowed as f64 }
}
