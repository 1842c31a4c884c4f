//! Who reads the events of a stream: what its call has used, and what the provider says.

use crate::feedback::Feedback;
use crate::provider::Provider;
use crate::tokens::Usage;
use std::sync::Arc;

/// Reads events for the stream of a call.
pub(super) enum Reader<Event> {
    /// The pool's provider.
    Provider { provider: Arc<dyn ReadsEvents<Event>>, reads_usage: bool },
    /// Functions that were given.
    Own { usage: Option<Box<UsageOf<Event>>>, feedback: Option<Box<FeedbackOf<Event>>> },
}

type UsageOf<Event> = dyn FnMut(&Event) -> Option<Usage> + Send;
type FeedbackOf<Event> = dyn FnMut(&Event) -> Option<Feedback> + Send;

impl<Event> Reader<Event> {
    pub(super) fn usage(&mut self, event: &Event) -> Option<Usage> {
        match self {
            Self::Provider { provider, reads_usage } => {
                reads_usage.then(|| provider.usage(event)).flatten()
            }
            Self::Own { usage, .. } => usage.as_mut()?(event),
        }
    }

    pub(super) fn feedback(&mut self, event: &Event) -> Option<Feedback> {
        match self {
            Self::Provider { provider, .. } => provider.feedback(event),
            Self::Own { feedback, .. } => feedback.as_mut()?(event),
        }
    }

    /// Whether a stream without an error is a success: somebody looks for errors.
    pub(super) fn looks_for_errors(&self) -> bool {
        match self {
            Self::Provider { .. } => true,
            Self::Own { feedback, .. } => feedback.is_some(),
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
