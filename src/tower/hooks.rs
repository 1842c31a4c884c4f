//! What a request expects to use, and how its answer is held.

use crate::hold::HeldBody;
use crate::limiter::OwnedLimiterPermit;
use crate::tokens::Usage;
use core::fmt;
use http::{Request, StatusCode};
use http_body::{Body, Frame};

/// Says what a request expects to use.
pub trait Cost<Q> {
    /// Asked once for each request.
    fn cost(&self, request: &Request<Q>) -> Usage;
}

/// Requests expect no tokens: the default.
#[derive(Debug, Clone, Copy)]
pub struct NoTokens;

impl<Q> Cost<Q> for NoTokens {
    fn cost(&self, _: &Request<Q>) -> Usage {
        Usage::default()
    }
}

impl<Q, F: Fn(&Request<Q>) -> Usage> Cost<Q> for F {
    fn cost(&self, request: &Request<Q>) -> Usage {
        self(request)
    }
}

/// Holds the body of an answer.
pub trait Hold<B: Body> {
    /// Once for each answer.
    fn hold(self, permit: OwnedLimiterPermit, status: StatusCode, body: B) -> HeldBody<B>;

    /// Whether the body of an answer with this status tells of a success itself.
    fn tells_of_success(&self, status: StatusCode) -> bool {
        let _ = status;
        false
    }
}

/// Calls count as reserved: the default.
#[derive(Debug, Clone, Copy)]
pub struct AsReserved;

impl<B: Body> Hold<B> for AsReserved {
    fn hold(self, permit: OwnedLimiterPermit, _: StatusCode, body: B) -> HeldBody<B> {
        permit.hold_body(body)
    }
}

/// From [`LimiterLayer::settle_with`](super::LimiterLayer::settle_with).
#[derive(Clone, Copy)]
pub struct SettleWith<F>(pub(super) F);

impl<B: Body, F> Hold<B> for SettleWith<F>
where
    F: FnMut(&Frame<B::Data>) -> Option<Usage> + Send + 'static,
{
    fn hold(self, permit: OwnedLimiterPermit, _: StatusCode, body: B) -> HeldBody<B> {
        permit.hold_body(body).settle_with(self.0)
    }
}

/// From [`LimiterLayer::hold_with`](super::LimiterLayer::hold_with).
#[derive(Clone, Copy)]
pub struct HoldWith<F>(pub(super) F);

impl<B: Body, F> Hold<B> for HoldWith<F>
where
    F: FnOnce(StatusCode, HeldBody<B>) -> HeldBody<B>,
{
    fn hold(self, permit: OwnedLimiterPermit, status: StatusCode, body: B) -> HeldBody<B> {
        (self.0)(status, permit.hold_body(body))
    }
}

/// From `LimiterLayer::read_usage`, with the feature `http`.
#[derive(Debug, Clone, Copy)]
pub struct ReadAnswer(());

#[cfg(feature = "http")]
impl ReadAnswer {
    pub(super) const NEW: Self = Self(());
}

#[cfg(feature = "http")]
impl<B: Body> Hold<B> for ReadAnswer
where
    B::Data: AsRef<[u8]>,
{
    fn hold(self, permit: OwnedLimiterPermit, status: StatusCode, body: B) -> HeldBody<B> {
        let body = permit.hold_body(body);
        if status.is_success() { body.read_usage() } else { body }
    }

    fn tells_of_success(&self, status: StatusCode) -> bool {
        status.is_success()
    }
}

impl<F> fmt::Debug for SettleWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleWith").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for HoldWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldWith").finish_non_exhaustive()
    }
}
