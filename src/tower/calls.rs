//! The settings of a layer, which its services share.

use super::acquire::Ask;
use super::hooks::{AsReserved, NoTokens};
use super::refusal::AsError;
#[cfg(feature = "http")]
use crate::feedback::{FeedbackReader, Signal};
use crate::limiter::{Limiter, OwnedLimiterPermit};
use core::fmt;
use core::marker::PhantomData;
use http::Response;

#[derive(Clone)]
pub(super) struct Calls<C, R, E> {
    pub(super) ask: Ask,
    pub(super) cost: C,
    pub(super) hold: R,
    pub(super) observes: Observes,
    pub(super) refusal: PhantomData<fn() -> E>,
}

/// Who reads what the answers say for all calls, if somebody does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observes {
    #[cfg(feature = "http")]
    pub(super) reader: Option<FeedbackReader>,
}

impl Observes {
    pub(super) fn by_default() -> Self {
        Self {
            #[cfg(feature = "http")]
            reader: Some(FeedbackReader::new()),
        }
    }

    pub(super) fn nothing() -> Self {
        Self {
            #[cfg(feature = "http")]
            reader: None,
        }
    }

    /// An answer whose body tells of a success is not one more by its headers.
    #[cfg(feature = "http")]
    pub(super) fn observe<B>(
        self,
        permit: &OwnedLimiterPermit,
        response: &Response<B>,
        tells_of_success: bool,
    ) {
        let Some(reader) = self.reader else { return };
        let feedback = reader.read(response.status(), response.headers(), None);
        let is_bare = feedback.signal() == Signal::Proceed && feedback.quotas().is_empty();
        if !(is_bare && tells_of_success) {
            permit.observe(&feedback);
        }
    }

    #[cfg(not(feature = "http"))]
    #[expect(clippy::unused_self, reason = "nothing reads answers")]
    pub(super) fn observe<B>(self, _: &OwnedLimiterPermit, _: &Response<B>, _: bool) {}
}

impl Calls<NoTokens, AsReserved, AsError> {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self {
            ask: Ask::new(limiter),
            cost: NoTokens,
            hold: AsReserved,
            observes: Observes::by_default(),
            refusal: PhantomData,
        }
    }
}

impl<C, R, E> Calls<C, R, E> {
    pub(super) fn with_cost<D>(self, cost: D) -> Calls<D, R, E> {
        let Self { ask, hold, observes, refusal, .. } = self;
        Calls { ask, cost, hold, observes, refusal }
    }

    pub(super) fn with_hold<S>(self, hold: S) -> Calls<C, S, E> {
        let Self { ask, cost, observes, refusal, .. } = self;
        Calls { ask, cost, hold, observes, refusal }
    }

    pub(super) fn with_refusal<F>(self) -> Calls<C, R, F> {
        let Self { ask, cost, hold, observes, .. } = self;
        Calls { ask, cost, hold, observes, refusal: PhantomData }
    }
}

/// The functions need not be `Debug`.
impl<C, R, E> fmt::Debug for Calls<C, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("ask", &self.ask).finish_non_exhaustive()
    }
}
