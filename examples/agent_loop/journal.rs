//! What has happened at the server, in order, for those who want to know how far it was used.

use crate::flags::Terms;
use std::time::Instant;

/// Who sends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// An agent.
    Agent,
    /// A second client with the same key.
    Second,
}

/// Something that has happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The terms are these from now on.
    Terms(Terms),
    /// No call is accepted until then.
    Closed(Instant),
    /// A call was accepted, and counts so many tokens.
    Begun { caller: Caller, tokens: u64 },
    /// An answer has ended.
    Ended,
}

/// Events with their instants, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Journal(pub(crate) Vec<(Instant, Event)>);

impl Journal {
    /// How many calls were accepted from somebody.
    pub(crate) fn accepted_from(&self, whom: Caller) -> usize {
        let is_theirs =
            |event: &Event| matches!(event, Event::Begun { caller, .. } if *caller == whom);
        self.0.iter().filter(|(_, event)| is_theirs(event)).count()
    }

    pub(crate) fn note(&mut self, at: Instant, event: Event) {
        self.0.push((at, event));
    }
}
