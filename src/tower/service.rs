//! The service.

use super::calls::Calls;
use super::future::{Answers, LimiterFuture};
use super::hooks::{AsReserved, Cost, Hold, NoTokens};
use super::refusal::{AsError, OnRefusal};
use crate::hold::HeldBody;
use crate::limiter::Limiter;
use core::fmt;
use core::mem;
use core::task::{Context, Poll};
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

/// A service each of whose requests takes a permit of a [`Limiter`]. From [`LimiterLayer`](super::LimiterLayer).
///
/// Clones share the limiter. The [module](super) says what it does to readiness, order and cancellation.
#[derive(Clone)]
pub struct LimiterService<S, C = NoTokens, R = AsReserved, E = AsError> {
    inner: S,
    calls: Calls<C, R, E>,
}

impl<S> LimiterService<S> {
    /// With the settings of [`LimiterLayer::new`](super::LimiterLayer::new).
    pub fn new(inner: S, limiter: Limiter) -> Self {
        Self { inner, calls: Calls::new(limiter) }
    }
}

impl<S, C, R, E> LimiterService<S, C, R, E> {
    pub(super) fn with(inner: S, calls: Calls<C, R, E>) -> Self {
        Self { inner, calls }
    }

    /// The limiter.
    pub fn limiter(&self) -> &Limiter {
        &self.calls.ask.limiter
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service. Nothing of the limiter is held.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Q, B, C, R, E> Service<Request<Q>> for LimiterService<S, C, R, E>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    B: Body,
    C: Cost<Q>,
    R: Hold<B> + Clone,
    E: OnRefusal<S::Error>,
{
    type Response = Response<HeldBody<B>>;
    type Error = E::Error;
    type Future = LimiterFuture<S, Q, R, E>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        self.inner.poll_ready(cx).map_err(E::failed)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let acquire = self.calls.ask.acquire(self.calls.cost.cost(&request));
        let answers = Answers { hold: self.calls.hold.clone(), observes: self.calls.observes };
        // The one that was asked is ready; the clone need not be.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        LimiterFuture::new(acquire, ready, request, answers)
    }
}

impl<S: fmt::Debug, C, R, E> fmt::Debug for LimiterService<S, C, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("LimiterService");
        fields.field("inner", &self.inner).field("limiter", self.limiter()).finish_non_exhaustive()
    }
}
