//! The arguments of a trip, in the order in which the script reads them.

use super::{Ask, Injected, LARGEST, MOST_RETURNS, Pause, Tally, Terms, Trip};

/// What the script and this crate must both know.
const VERSION: u64 = 1;

pub(super) fn of(terms: &Terms, trip: &Trip, injected: Option<Injected>) -> Vec<String> {
    let mut arguments = Arguments(Vec::with_capacity(32));
    arguments.number(VERSION);
    arguments.injected(injected);
    arguments.trip(trip);
    arguments.slots(terms, trip);
    arguments.number(trip.waited);
    arguments.fallback(terms, trip);
    arguments.windows(terms, trip);
    arguments.returns(trip);
    arguments.0
}

struct Arguments(Vec<String>);

impl Arguments {
    fn number(&mut self, number: u64) {
        self.0.push(number.min(LARGEST).to_string());
    }

    fn numbers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.number(number);
        }
    }

    fn name(&mut self, name: u64) {
        self.0.push(format!("{name:016x}"));
    }

    fn nothing(&mut self) {
        self.0.push(String::new());
    }

    fn injected(&mut self, injected: Option<Injected>) {
        if let Some(Injected { clock, run, uptime }) = injected {
            self.number(clock);
            if run > 0 {
                self.name(run);
            } else {
                self.nothing();
            }
            self.number(uptime);
        } else {
            (0..3).for_each(|_| self.nothing());
        }
    }

    fn trip(&mut self, trip: &Trip) {
        self.name(trip.process);
        self.numbers([trip.seq, trip.acked, trip.acked_at]);
        if let Some(epoch) = trip.epoch {
            self.name(epoch);
        } else {
            self.nothing();
        }
        self.name(trip.next_epoch);
        self.numbers([trip.vouched, trip.slack, trip.steps]);
    }

    fn slots(&mut self, terms: &Terms, trip: &Trip) {
        let (pause, resume) = match trip.pause {
            Pause::Keep => (0, 0),
            Pause::For(length) => (length, 0),
            Pause::End => (0, 1),
        };
        self.numbers([terms.time_to_live, pause, resume, u64::from(trip.leave)]);
        if let Some(slots) = terms.slots {
            self.number(slots);
        } else {
            self.nothing();
        }
        let need = trip.slots.need;
        self.numbers([trip.slots.have, trip.in_flight, need, trip.slots.want.max(need)]);
    }

    fn fallback(&mut self, terms: &Terms, trip: &Trip) {
        if let Some(length) = terms.fallback {
            self.number(length);
        } else {
            self.nothing();
        }
        self.numbers([u64::from(trip.apart), trip.fallback, u64::from(trip.unused)]);
    }

    fn windows(&mut self, terms: &Terms, trip: &Trip) {
        self.numbers([terms.windows.len() as u64]);
        for (index, window) in terms.windows.iter().enumerate() {
            let Ask { least, need, want } = trip.asks.get(index).copied().unwrap_or_default();
            let need = need.max(least);
            self.numbers([window.limit, window.kept, window.tick, u64::from(window.produced)]);
            self.numbers([least, need, want.max(need)]);
            let Tally { used, used_acked, held } =
                trip.tallies.get(index).copied().unwrap_or_default();
            self.numbers([used, used_acked, held]);
        }
    }

    fn returns(&mut self, trip: &Trip) {
        let returns = &trip.returns[..trip.returns.len().min(MOST_RETURNS)];
        self.number(returns.len() as u64);
        for back in returns {
            self.numbers([back.window as u64 + 1, back.granted_at, back.amount]);
        }
    }
}
