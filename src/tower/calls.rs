//! The settings of a layer, which its services share.

use super::acquire::Ask;
use super::hooks::{AsReserved, NoTokens};
use super::observes::Observes;
use super::refusal::AsError;
use crate::limiter::Limiter;
use core::fmt;
use core::marker::PhantomData;

#[derive(Clone)]
pub(super) struct Calls<C, R, E> {
    pub(super) ask: Ask,
    pub(super) cost: C,
    pub(super) hold: R,
    pub(super) observes: Observes,
    pub(super) refusal: PhantomData<fn() -> E>,
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
        let Self { ask, cost, hold, observes, .. } = self;
        let observes = observes.of_a_server();
        Calls { ask, cost, hold, observes, refusal: PhantomData }
    }
}

/// The functions need not be `Debug`.
impl<C, R, E> fmt::Debug for Calls<C, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("ask", &self.ask).finish_non_exhaustive()
    }
}
