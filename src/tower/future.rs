//! The future of a request.

use super::acquire::Acquire;
use super::hooks::{Head, Hold};
use super::observes::Observes;
use super::refusal::OnRefusal;
use crate::error::Refused;
use crate::hold::HeldBody;
use crate::limiter::OwnedLimiterPermit;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// The future of [`LimiterService`](super::LimiterService): waits for a permit, calls the inner service, and gives the permit to
    /// the answer's body.
    ///
    /// It can be dropped at any point. Polling it again after completion returns `Pending`.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct LimiterFuture<S: Service<Request<Q>>, Q, R, E> {
        #[pin]
        state: State<S, Q>,
        answers: Option<Answers<R>>,
        refusal: PhantomData<fn() -> E>,
    }
}

pin_project! {
    /// Dropped in this order: a slot is free only after the call in it has gone.
    #[project = StateProj]
    enum State<S: Service<Request<Q>>, Q> {
        /// For a permit, with nothing of the limiter but a place in line.
        Waiting {
            #[pin]
            acquire: Acquire,
            sends: Option<(S, Request<Q>)>,
            has_waited: bool,
        },
        /// Whether the service is still ready after the wait: its connection may have been closed.
        Asking {
            sends: Option<(S, Request<Q>)>,
            permit: Option<OwnedLimiterPermit>,
        },
        Calling {
            #[pin]
            call: S::Future,
            permit: Option<OwnedLimiterPermit>,
        },
        Done,
    }
}

/// What is done with an answer.
pub(super) struct Answers<R> {
    pub(super) hold: R,
    pub(super) observes: Observes,
}

impl<R> Answers<R> {
    /// If something panics here, the answer is dropped before the permit.
    fn hold<B: Body>(
        self,
        permit: OwnedLimiterPermit,
        response: Response<B>,
    ) -> Response<HeldBody<B>>
    where
        R: Hold<B>,
    {
        let Self { hold, observes } = self;
        let status = response.status();
        // One answer is one success.
        let body_tells = hold.tells_of_success(status) && !response.body().is_end_stream();
        observes.observe_head(&permit, &response, body_tells);
        let (head, body) = response.into_parts();
        let body = hold.hold(permit, Head { status, observes }, body);
        let body = observes.observe_body(&head, body);
        Response::from_parts(head, body)
    }
}

impl<S: Service<Request<Q>>, Q, R, E> LimiterFuture<S, Q, R, E> {
    pub(super) fn new(
        acquire: Acquire,
        service: S,
        request: Request<Q>,
        answers: Answers<R>,
    ) -> Self {
        Self {
            state: State::Waiting { acquire, sends: Some((service, request)), has_waited: false },
            answers: Some(answers),
            refusal: PhantomData,
        }
    }
}

impl<S, Q, B, R, E> Future for LimiterFuture<S, Q, R, E>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body,
    R: Hold<B>,
    E: OnRefusal<S::Error>,
{
    type Output = Result<Response<HeldBody<B>>, E::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut open = Open { state: this.state, goes_on: false };
        if let Err(refused) = ready!(open.poll_permit(cx)) {
            return Poll::Ready(E::refused(refused));
        }
        if let Err(error) = ready!(open.poll_service(cx)) {
            return Poll::Ready(Err(E::failed(error)));
        }
        let StateProj::Calling { call, permit } = open.state.as_mut().project() else {
            return Poll::Pending;
        };
        let result = ready!(go_on_if_pending(call.poll(cx), &mut open.goes_on));
        // The permit and the answer go on, the call ends here. If that panics, the answer is dropped first.
        let (permit, answers, result) = (permit.take(), this.answers.take(), result);
        drop(open);
        let (Some(permit), Some(answers)) = (permit, answers) else { return Poll::Pending };
        Poll::Ready(match result {
            Ok(response) => Ok(answers.hold(permit, response)),
            Err(error) => Err(E::failed(error)),
        })
    }
}

/// The same, and notes that the future goes on.
fn go_on_if_pending<T>(polled: Poll<T>, goes_on: &mut bool) -> Poll<T> {
    *goes_on = polled.is_pending();
    polled
}

/// A poll under way. Dropped, it ends the future, unless that goes on: also if the code of others panics.
struct Open<'a, S: Service<Request<Q>>, Q> {
    state: Pin<&'a mut State<S, Q>>,
    goes_on: bool,
}

impl<S: Service<Request<Q>>, Q> Open<'_, S, Q> {
    /// Waits for a permit, and calls the service if there was one at once.
    fn poll_permit(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let StateProj::Waiting { acquire, sends, has_waited } = self.state.as_mut().project()
        else {
            return Poll::Ready(Ok(()));
        };
        let Poll::Ready(acquired) = go_on_if_pending(acquire.poll(cx), &mut self.goes_on) else {
            *has_waited = true;
            return Poll::Pending;
        };
        let permit = acquired?;
        let Some((service, request)) = sends.take() else { return Poll::Pending };
        if *has_waited {
            self.state.set(State::Asking { sends: Some((service, request)), permit: Some(permit) });
        } else {
            self.call(permit, service, request);
        }
        Poll::Ready(Ok(()))
    }

    /// Calls the service when it is ready again. If it fails first, the call was not sent.
    fn poll_service(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let StateProj::Asking { sends, permit } = self.state.as_mut().project() else {
            return Poll::Ready(Ok(()));
        };
        let Some((service, _)) = sends else { return Poll::Pending };
        let is_ready = ready!(go_on_if_pending(service.poll_ready(cx), &mut self.goes_on));
        let (permit, sends) = (permit.take(), sends.take());
        let (Some(permit), Some((service, request))) = (permit, sends) else {
            return Poll::Pending;
        };
        match is_ready {
            Ok(()) => self.call(permit, service, request),
            Err(error) => {
                drop((service, request));
                permit.cancel();
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// If the service panics, it is dropped before the permit.
    fn call(&mut self, permit: OwnedLimiterPermit, mut service: S, request: Request<Q>) {
        let call = service.call(request);
        self.state.set(State::Calling { call, permit: Some(permit) });
    }
}

impl<S: Service<Request<Q>>, Q> Drop for Open<'_, S, Q> {
    fn drop(&mut self) {
        if !self.goes_on {
            self.state.set(State::Done);
        }
    }
}

impl<S: Service<Request<Q>>, Q, R, E> fmt::Debug for LimiterFuture<S, Q, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Waiting { .. } => "waiting",
            State::Asking { .. } => "asking",
            State::Calling { .. } => "calling",
            State::Done => "done",
        };
        f.debug_struct("LimiterFuture").field("state", &state).finish_non_exhaustive()
    }
}
