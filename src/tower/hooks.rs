//! What a request expects to use, and how its answer is held.

use super::observes::Observes;
use crate::hold::HeldBody;
use crate::limiter::OwnedLimiterPermit;
use crate::tokens::Usage;
#[cfg(feature = "http")]
use crate::usage::UsageReader;
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
    fn hold(self, permit: OwnedLimiterPermit, answer: Head, body: B) -> HeldBody<B>;

    /// Whether the body of an answer with this status tells of a success itself.
    fn tells_of_success(&self, status: StatusCode) -> bool {
        let _ = status;
        false
    }
}

/// What an answer is before its body comes.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub(super) status: StatusCode,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "nothing reads bodies"))]
    pub(super) observes: Observes,
}

/// Calls count as reserved: the default.
#[derive(Debug, Clone, Copy)]
pub struct AsReserved;

impl<B: Body> Hold<B> for AsReserved {
    fn hold(self, permit: OwnedLimiterPermit, _: Head, body: B) -> HeldBody<B> {
        permit.hold_body(body)
    }
}

/// As `R`, and more. From [`LimiterLayer::settle_with`](super::LimiterLayer::settle_with).
#[derive(Clone, Copy)]
pub struct SettleWith<R, F>(pub(super) R, pub(super) F);

impl<B: Body, R: Hold<B>, F> Hold<B> for SettleWith<R, F>
where
    F: FnMut(&Frame<B::Data>) -> Option<Usage> + Send + 'static,
{
    fn hold(self, permit: OwnedLimiterPermit, answer: Head, body: B) -> HeldBody<B> {
        self.0.hold(permit, answer, body).settle_with(self.1)
    }

    fn tells_of_success(&self, status: StatusCode) -> bool {
        self.0.tells_of_success(status)
    }
}

/// As `R`, and more. From [`LimiterLayer::hold_with`](super::LimiterLayer::hold_with).
#[derive(Clone, Copy)]
pub struct HoldWith<R, F>(pub(super) R, pub(super) F);

impl<B: Body, R: Hold<B>, F> Hold<B> for HoldWith<R, F>
where
    F: FnOnce(StatusCode, HeldBody<B>) -> HeldBody<B>,
{
    fn hold(self, permit: OwnedLimiterPermit, answer: Head, body: B) -> HeldBody<B> {
        let status = answer.status;
        (self.1)(status, self.0.hold(permit, answer, body))
    }

    fn tells_of_success(&self, status: StatusCode) -> bool {
        self.0.tells_of_success(status)
    }
}

/// As `R`, and more. From `LimiterLayer::read_usage`, with the feature `http`.
#[derive(Debug, Clone, Copy)]
#[cfg(feature = "http")]
pub struct ReadAnswer<R>(pub(super) R);

#[cfg(feature = "http")]
impl<B: Body, R: Hold<B>> Hold<B> for ReadAnswer<R>
where
    B::Data: AsRef<[u8]>,
{
    fn hold(self, permit: OwnedLimiterPermit, answer: Head, body: B) -> HeldBody<B> {
        let body = self.0.hold(permit, answer, body);
        let reader = UsageReader::new();
        match answer.observes.reader() {
            _ if !answer.status.is_success() => body,
            Some(errors) => body.read_usage_by(reader.feedback_reader(errors)),
            None => body.settle_by(reader),
        }
    }

    fn tells_of_success(&self, status: StatusCode) -> bool {
        status.is_success()
    }
}

impl<R, F> fmt::Debug for SettleWith<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleWith").finish_non_exhaustive()
    }
}

impl<R, F> fmt::Debug for HoldWith<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldWith").finish_non_exhaustive()
    }
}
