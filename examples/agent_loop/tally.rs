//! The counts of the agents.

use crate::client::Error;
use core::fmt;
use core::time::Duration;
use ringgate::Usage;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by the agents and the display.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    totals: Mutex<Totals>,
    in_line: AtomicUsize,
    #[cfg(feature = "oxi-ai")]
    streams: AtomicUsize,
}

/// The numbers of a [`Tally`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    /// How long each admitted call was in line.
    pub(crate) waits: Vec<Duration>,
    pub(crate) answered: usize,
    /// Calls given up half-way.
    pub(crate) hung_up: usize,
    pub(crate) tokens: Spent,
    /// Calls still in line at the deadline.
    pub(crate) left_the_line: usize,
    /// The longest that one of these had waited.
    pub(crate) longest_left: Duration,
    /// How often the pool said "not now".
    pub(crate) turned_away: usize,
    /// Most calls between admission and the end of their streams.
    #[cfg(feature = "oxi-ai")]
    pub(crate) peak_streams: usize,
    pub(crate) too_many_requests: usize,
    /// Calls not sent, because they were admitted too long ago.
    pub(crate) too_late: usize,
    pub(crate) failed: usize,
    pub(crate) first_failure: Option<String>,
    pub(crate) pressure: Pressure,
}

/// Tokens of all calls that got an answer or hung up.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Spent {
    /// What they were expected to use.
    pub(crate) reserved: Usage,
    /// What the answers say they have used.
    pub(crate) used: Usage,
    /// What calls that did not say so were expected to use.
    pub(crate) unknown: Usage,
}

/// What calls in line waited for.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pressure {
    looks: u32,
    /// Calls were in line.
    in_line: u32,
    /// Calls were in line while all slots were taken.
    no_slot: u32,
}

impl Tally {
    /// A call is in line.
    pub(crate) fn line_up(&self) {
        self.in_line.fetch_add(1, Ordering::Relaxed);
    }

    /// A call is no longer in line.
    pub(crate) fn leave_line(&self) {
        self.in_line.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many calls are in line.
    pub(crate) fn in_line(&self) -> usize {
        self.in_line.load(Ordering::Relaxed)
    }

    /// A call is admitted, and in flight until the end of its stream.
    #[cfg(feature = "oxi-ai")]
    pub(crate) fn take_off(&self) {
        let streams = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let mut totals = self.totals();
        totals.peak_streams = totals.peak_streams.max(streams);
    }

    /// A call is no longer in flight.
    #[cfg(feature = "oxi-ai")]
    pub(crate) fn land(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// A call was admitted after this wait.
    pub(crate) fn admitted(&self, wait: Duration) {
        self.totals().waits.push(wait);
    }

    /// A call has its answer.
    pub(crate) fn answered(&self) {
        self.totals().answered += 1;
    }

    /// A call was given up half-way.
    pub(crate) fn hung_up(&self) {
        self.totals().hung_up += 1;
    }

    /// A call was expected to use so much, and may have said what it has used.
    pub(crate) fn spent(&self, expected: Usage, used: Option<Usage>) {
        let tokens = &mut self.totals().tokens;
        add(&mut tokens.reserved, expected);
        match used {
            Some(used) => add(&mut tokens.used, used),
            None => add(&mut tokens.unknown, expected),
        }
    }

    /// A call was given up in line after this wait.
    pub(crate) fn left_the_line(&self, wait: Duration) {
        let mut totals = self.totals();
        totals.left_the_line += 1;
        totals.longest_left = totals.longest_left.max(wait);
    }

    /// A call has no answer.
    pub(crate) fn missed(&self, error: &Error) {
        match error {
            Error::TooManyRequests { .. } => self.totals().too_many_requests += 1,
            Error::TurnedAway { .. } => self.totals().turned_away += 1,
            Error::TooLate => self.totals().too_late += 1,
            error => self.failed(error),
        }
    }

    /// A call failed for another reason than a limit.
    pub(crate) fn failed(&self, error: &impl fmt::Display) {
        let mut totals = self.totals();
        totals.failed += 1;
        totals.first_failure.get_or_insert_with(|| error.to_string());
    }

    /// Looks at the line, while slots are free or not.
    pub(crate) fn look(&self, free_slots: bool) {
        let in_line = self.in_line() > 0;
        let no_slot = in_line && !free_slots;
        let pressure = &mut self.totals().pressure;
        pressure.looks += 1;
        pressure.in_line += u32::from(in_line);
        pressure.no_slot += u32::from(no_slot);
    }

    /// How many calls are answered.
    pub(crate) fn answers(&self) -> usize {
        self.totals().answered
    }

    /// All numbers, as they are now.
    pub(crate) fn read(&self) -> Totals {
        self.totals().clone()
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(sum: &mut Usage, usage: Usage) {
    sum.input += usage.input;
    sum.output += usage.output;
}

impl Pressure {
    /// The agents asked for more than they got: calls were nearly always in line.
    pub(crate) fn eager(self) -> bool {
        self.looks > 0 && 10 * self.in_line >= 9 * self.looks
    }

    /// Calls were in line a quarter of the time.
    pub(crate) fn often_in_line(self) -> bool {
        self.looks > 0 && 4 * self.in_line >= self.looks
    }

    /// The line waited for slots more than a quarter of the time.
    pub(crate) fn short_of_slots(self) -> bool {
        4 * self.no_slot > self.looks
    }
}
