//! The settings of a layer, which its services share.

use super::acquire::Ask;
use super::hooks::{AsReserved, NoTokens};
use super::refusal::AsError;
#[cfg(feature = "http")]
use crate::feedback::FeedbackReader;
use crate::hold::HeldBody;
use crate::limiter::{Limiter, OwnedLimiterPermit};
use core::fmt;
use core::marker::PhantomData;
use http::Response;
use http::response::Parts;
use http_body::Body;

#[derive(Clone)]
pub(super) struct Calls<C, R, E> {
    pub(super) ask: Ask,
    pub(super) cost: C,
    pub(super) hold: R,
    pub(super) observes: Observes,
    pub(super) refusal: PhantomData<fn() -> E>,
}

/// Who reads what the answers say for all calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Observes {
    /// As it is for the user of the layer: a client's are read.
    Unsaid { is_client: bool },
    /// Said by the user.
    #[cfg(feature = "http")]
    By(FeedbackReader),
    #[cfg(feature = "http")]
    Nothing,
}

#[cfg(feature = "http")]
impl Observes {
    pub(super) fn reader(self) -> Option<FeedbackReader> {
        match self {
            Self::Unsaid { is_client: true } => Some(FeedbackReader::new()),
            Self::By(reader) => Some(reader),
            Self::Unsaid { is_client: false } | Self::Nothing => None,
        }
    }

    /// What the head of an answer says. Of a success of which the body `tells` it is what is left.
    pub(super) fn observe_head<B>(
        self,
        permit: &OwnedLimiterPermit,
        answer: &Response<B>,
        body_tells: bool,
    ) {
        let Some(reader) = self.reader() else { return };
        let said = reader.read(answer.status(), answer.headers(), None);
        if body_tells {
            permit.observe_quotas(&said);
        } else {
            permit.observe(&said);
        }
    }

    /// And the body of an error.
    pub(super) fn observe_body<B: Body>(self, head: &Parts, body: HeldBody<B>) -> HeldBody<B> {
        let status = head.status;
        match self.reader() {
            Some(reader) if status.is_client_error() || status.is_server_error() => {
                body.observe_error_by(reader, status, &head.headers)
            }
            _ => body,
        }
    }
}

/// Nothing reads answers.
#[cfg(not(feature = "http"))]
#[expect(clippy::unused_self, reason = "as with the feature `http`")]
impl Observes {
    pub(super) fn observe_head<B>(self, _: &OwnedLimiterPermit, _: &Response<B>, _: bool) {}

    pub(super) fn observe_body<B: Body>(self, _: &Parts, body: HeldBody<B>) -> HeldBody<B> {
        body
    }
}

impl Calls<NoTokens, AsReserved, AsError> {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self {
            ask: Ask::new(limiter),
            cost: NoTokens,
            hold: AsReserved,
            observes: Observes::Unsaid { is_client: true },
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

    /// With the answers of a server, which are not observed unless the user says so.
    pub(super) fn with_refusal<F>(self) -> Calls<C, R, F> {
        let Self { ask, cost, hold, mut observes, .. } = self;
        if let Observes::Unsaid { is_client } = &mut observes {
            *is_client = false;
        }
        Calls { ask, cost, hold, observes, refusal: PhantomData }
    }
}

/// The functions need not be `Debug`.
impl<C, R, E> fmt::Debug for Calls<C, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("ask", &self.ask).finish_non_exhaustive()
    }
}
