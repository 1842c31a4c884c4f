//! The settings of a layer, which its services share.

use super::acquire::Ask;
use super::hooks::{AsReserved, NoTokens};
use super::refusal::AsError;
use crate::feedback::Feedback;
#[cfg(feature = "http")]
use crate::feedback::FeedbackReader;
use crate::limiter::Limiter;
use core::fmt;
use core::marker::PhantomData;
use http::{HeaderMap, StatusCode};

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

    #[cfg(feature = "http")]
    pub(super) fn read(self, status: StatusCode, headers: &HeaderMap) -> Option<Feedback> {
        self.reader.map(|reader| reader.read(status, headers, None))
    }

    #[cfg(not(feature = "http"))]
    #[expect(clippy::unused_self, reason = "nothing reads answers")]
    pub(super) fn read(self, _: StatusCode, _: &HeaderMap) -> Option<Feedback> {
        None
    }
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

    pub(super) fn with_hold<S>(self, made_of: impl FnOnce(R) -> S) -> Calls<C, S, E> {
        let Self { ask, cost, hold, observes, refusal } = self;
        Calls { ask, cost, hold: made_of(hold), observes, refusal }
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
