//! Functions of the user's that read an answer.

#[cfg(all(feature = "http", feature = "http-body"))]
use super::call::More;
use super::call::Reads;
#[cfg(all(feature = "http", feature = "http-body"))]
use super::error_body::ErrorBody;
use super::exclusive::Exclusive;
use crate::feedback::Feedback;
#[cfg(feature = "http")]
use crate::feedback::Signal;
use crate::tokens::Usage;
#[cfg(feature = "http")]
use crate::usage::UsageReader;

/// Reads an answer by the functions that were given. Those that capture nothing allocate nothing.
pub(crate) struct Closures<T> {
    usage: Option<Exclusive<UsageOf<T>>>,
    feedback: Option<Exclusive<FeedbackOf<T>>>,
    #[cfg(feature = "http")]
    wire: Option<Box<Wire<T>>>,
    #[cfg(all(feature = "http", feature = "http-body"))]
    error: Option<Box<ErrorBody<T>>>,
}

type UsageOf<T> = dyn FnMut(&T) -> Option<Usage> + Send;
type FeedbackOf<T> = dyn FnMut(&T) -> Option<Feedback> + Send;

impl<T> Closures<T> {
    pub(crate) fn none() -> Self {
        Self {
            usage: None,
            feedback: None,
            #[cfg(feature = "http")]
            wire: None,
            #[cfg(all(feature = "http", feature = "http-body"))]
            error: None,
        }
    }

    pub(crate) fn set_usage(&mut self, usage: impl FnMut(&T) -> Option<Usage> + Send + 'static) {
        self.usage = Some(Exclusive::new(Box::new(usage)));
    }

    pub(crate) fn set_feedback(
        &mut self,
        feedback: impl FnMut(&T) -> Option<Feedback> + Send + 'static,
    ) {
        self.feedback = Some(Exclusive::new(Box::new(feedback)));
    }
}

#[cfg(feature = "http")]
impl<T> Closures<T> {
    pub(super) fn set_wire(&mut self, reader: UsageReader, bytes: BytesOf<T>) {
        self.wire = Some(Box::new(Wire { reader, bytes, is_observed: true }));
    }

    /// For the usage alone.
    #[cfg(feature = "http-body")]
    pub(super) fn set_wire_unobserved(&mut self, reader: UsageReader, bytes: BytesOf<T>) {
        self.wire = Some(Box::new(Wire { reader, bytes, is_observed: false }));
    }

    #[cfg(feature = "http-body")]
    pub(super) fn set_error(&mut self, error: ErrorBody<T>) {
        self.error = Some(Box::new(error));
    }
}

/// The bytes of an item, if it has any.
#[cfg(feature = "http")]
pub(super) type BytesOf<T> = fn(&T) -> Option<&[u8]>;

/// Reads what stands in the bytes.
#[cfg(feature = "http")]
struct Wire<T> {
    reader: UsageReader,
    bytes: BytesOf<T>,
    is_observed: bool,
}

#[cfg(feature = "http")]
impl<T> Wire<T> {
    fn read(&mut self, item: &T) -> Option<Usage> {
        self.reader.feed((self.bytes)(item)?);
        self.reader.usage()
    }

    fn feedback(&self) -> Option<&Feedback> {
        self.reader.feedback().filter(|_| self.is_observed)
    }
}

impl<T> Reads for Closures<T> {
    type Item = T;

    fn usage(&mut self, item: &T) -> Option<Usage> {
        #[cfg(feature = "http")]
        let read = self.wire.as_mut().and_then(|wire| wire.read(item));
        #[cfg(not(feature = "http"))]
        let read = None;
        let said = self.usage.as_mut().and_then(|usage| (usage.get_mut())(item));
        match (read, said) {
            (Some(read), Some(said)) => Some(said.or_more(read)),
            (read, said) => said.or(read),
        }
    }

    fn feedback(&mut self, item: &T) -> Option<Feedback> {
        #[cfg(all(feature = "http", feature = "http-body"))]
        if let Some(error) = &mut self.error {
            error.note(item);
        }
        let said = self.feedback.as_mut().and_then(|feedback| (feedback.get_mut())(item));
        #[cfg(feature = "http")]
        if said.as_ref().is_none_or(|said| said.signal() == Signal::Proceed)
            && let Some(read) = self.wire.as_ref().and_then(|wire| wire.feedback())
        {
            // What the function says hides no error.
            return Some(read.clone());
        }
        said
    }

    #[cfg(all(feature = "http", feature = "http-body"))]
    fn more(&mut self, is_over: bool) -> Option<More> {
        let is_due = |error: &mut Box<ErrorBody<T>>| is_over || error.is_full();
        self.error.take_if(is_due)?.read()
    }

    fn looks_for_errors(&self) -> bool {
        #[cfg(feature = "http")]
        if self.wire.as_ref().is_some_and(|wire| wire.is_observed) {
            return true;
        }
        self.feedback.is_some()
    }

    #[cfg(feature = "http")]
    fn has_failed(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.reader.has_failed())
    }

    #[cfg(feature = "http")]
    fn is_complete(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.reader.is_complete())
    }
}
