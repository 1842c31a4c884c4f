//! Who reads the events of a stream: what its call has used, and what the provider says.

use crate::feedback::Feedback;
use crate::hold::{Closures, Reads};
use crate::provider::Provider;
use crate::tokens::Usage;
use std::sync::Arc;

/// Reads events for the stream of a call.
pub(super) enum Reader<Event> {
    /// The pool's provider.
    Provider { provider: Arc<dyn ReadsEvents<Event>>, reads_usage: bool },
    /// Functions that were given.
    Own(Closures<Event>),
}

impl<Event> Reads for Reader<Event> {
    type Item = Event;

    fn usage(&mut self, event: &Event) -> Option<Usage> {
        match self {
            Self::Provider { provider, reads_usage } => {
                reads_usage.then(|| provider.usage(event)).flatten()
            }
            Self::Own(closures) => closures.usage(event),
        }
    }

    fn feedback(&mut self, event: &Event) -> Option<Feedback> {
        match self {
            Self::Provider { provider, .. } => provider.feedback(event),
            Self::Own(closures) => closures.feedback(event),
        }
    }

    fn looks_for_errors(&self) -> bool {
        match self {
            Self::Provider { .. } => true,
            Self::Own(closures) => closures.looks_for_errors(),
        }
    }
}

/// A provider, as its events' reader.
pub(super) trait ReadsEvents<Event>: Send + Sync {
    fn usage(&self, event: &Event) -> Option<Usage>;
    fn feedback(&self, event: &Event) -> Option<Feedback>;
}

/// A provider of any type. Many streams can share it as a reader.
pub(super) struct Wrapped<P: ?Sized>(pub(super) Arc<P>);

impl<P: Provider + ?Sized> ReadsEvents<P::Event> for Wrapped<P> {
    fn usage(&self, event: &P::Event) -> Option<Usage> {
        self.0.usage(event)
    }

    fn feedback(&self, event: &P::Event) -> Option<Feedback> {
        self.0.event_feedback(event)
    }
}
