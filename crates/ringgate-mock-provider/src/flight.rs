//! An accepted call, from its arrival to the end of its answer.

use crate::ledger::Ledger;
use crate::log::{End, Event};
use crate::surprise::Fault;
use crate::terms::Counting;
use std::sync::Arc;
use std::time::Instant;

/// An accepted call, in flight until this is dropped. That the client has hung up shows by the drop alone: hyper drops
/// what answers a connection as soon as that is closed.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// It was the first, second, … to be accepted.
    pub(crate) number: usize,
    pub(crate) fault: Option<Fault>,
    /// Some of its output was beyond the limit.
    overran: bool,
    how: End,
    ledger: Arc<Ledger>,
}

impl InFlight {
    pub(crate) fn new(number: usize, fault: Option<Fault>, ledger: Arc<Ledger>) -> Self {
        Self { number, fault, overran: false, how: End::HungUp, ledger }
    }

    /// Output is sent now.
    pub(crate) fn send(&mut self, tokens: u64) {
        let mut books = self.ledger.books();
        let counts = &mut books.counts;
        counts.output_tokens = counts.output_tokens.saturating_add(tokens);
        let Counting::AsSent { .. } = books.terms.tokens else { return };
        let now = Instant::now();
        if books.as_sent.judge(tokens, now).is_err() && !self.overran {
            self.overran = true;
            books.counts.overrun += 1;
        }
        books.as_sent.count(tokens, now);
        let counts = &mut books.counts;
        counts.counted_as_sent = counts.counted_as_sent.saturating_add(tokens);
    }

    /// Nothing more will be sent.
    pub(crate) fn end(mut self, how: End) {
        self.how = how;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        let counts = &mut books.counts;
        counts.in_flight -= 1;
        match self.how {
            End::Answered => counts.answered += 1,
            End::HungUp => counts.hung_up += 1,
            End::BrokenOff => counts.broken_off += 1,
        }
        books.note(Instant::now(), Event::Ended { number: self.number, how: self.how });
    }
}
