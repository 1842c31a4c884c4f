//! A panic at any step of the code of others, and a drop at any point, lose nothing.

use crate::common::{at_once, poll_once};
use crate::scene::{SLOTS, has_panicked, panics, request, scene};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use ringgate::tower::LimiterLayer;
use ringgate::{HeldBody, Limiter, Usage};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread;
use tower::{Layer, Service, ServiceExt};

/// Goes off at a step of the code of others.
#[derive(Clone)]
struct Fuse(Arc<AtomicI64>);

impl Fuse {
    fn of(steps: i64) -> Self {
        Self(Arc::new(AtomicI64::new(steps)))
    }

    fn step(&self) {
        if self.0.fetch_sub(1, SeqCst) == 1 && !thread::panicking() {
            panics();
        }
    }
}

/// Everything it does is a step.
struct Inner(Fuse, StatusCode);

impl Clone for Inner {
    fn clone(&self) -> Self {
        self.0.step();
        Self(self.0.clone(), self.1)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.0.step();
    }
}

impl Service<Request<Text>> for Inner {
    type Response = Response<Frames>;
    type Error = std::io::Error;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.step();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Text>) -> Answering {
        self.0.step();
        drop(request);
        Answering { fuse: self.0.clone(), status: self.1, polls: 0 }
    }
}

/// The body of a request.
struct Text(Fuse);

impl Drop for Text {
    fn drop(&mut self) {
        self.0.step();
    }
}

/// Ready at its second poll.
struct Answering {
    fuse: Fuse,
    status: StatusCode,
    polls: u32,
}

impl Future for Answering {
    type Output = Result<Response<Frames>, std::io::Error>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.fuse.step();
        self.polls += 1;
        if self.polls < 2 {
            return Poll::Pending;
        }
        let mut response = Response::new(Frames { fuse: self.fuse.clone(), polls: 0 });
        *response.status_mut() = self.status;
        Poll::Ready(Ok(response))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.fuse.step();
    }
}

/// A frame, a wait, a frame.
struct Frames {
    fuse: Fuse,
    polls: u32,
}

impl Body for Frames {
    type Data = &'static [u8];
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.fuse.step();
        self.polls += 1;
        match self.polls {
            1 | 3 => Poll::Ready(Some(Ok(Frame::data(b"{}")))),
            2 => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.fuse.step();
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.fuse.step();
    }
}

/// Its functions are steps, too.
fn service(limiter: &Limiter, fuse: &Fuse, status: StatusCode) -> impl Limited + use<> {
    let [cost, settle, hold, frames] = [(); 4].map(|()| fuse.clone());
    LimiterLayer::new(limiter.clone())
        .cost(move |_: &Request<Text>| {
            cost.step();
            Usage::new(10, 20)
        })
        .settle_with(move |_: &Frame<&'static [u8]>| {
            settle.step();
            Some(Usage::new(1, 2))
        })
        .hold_with(move |_, body: HeldBody<Frames>| {
            hold.step();
            let frames = frames.clone();
            body.observe_with(move |_| {
                frames.step();
                None
            })
        })
        .layer(Inner(fuse.clone(), status))
}

trait Limited:
    Service<Request<Text>, Response = Response<HeldBody<Frames>>, Error = ringgate::tower::BoxError>
{
}

impl<S> Limited for S where
    S: Service<
            Request<Text>,
            Response = Response<HeldBody<Frames>>,
            Error = ringgate::tower::BoxError,
        >
{
}

/// One request, which waits first. It is given up after so many polls.
fn run(limiter: &Limiter, fuse: &Fuse, status: StatusCode, polls: usize) {
    let mut left = polls;
    let mut goes_on = || {
        left = left.saturating_sub(1);
        left > 0
    };
    let service = service(limiter, fuse, status);
    let mut held = Some([(); SLOTS].map(|()| limiter.try_acquire().unwrap()));
    let mut call = pin!(service.oneshot(Request::new(Text(fuse.clone()))));
    let answer = loop {
        if !goes_on() {
            return;
        }
        if let Poll::Ready(answer) = poll_once(call.as_mut()) {
            break answer.unwrap();
        }
        held = None;
    };
    drop(held);
    let mut body = pin!(answer.into_body());
    let mut cx = Context::from_waker(Waker::noop());
    while goes_on() {
        if let Poll::Ready(None) = body.as_mut().poll_frame(&mut cx) {
            return;
        }
    }
}

/// All slots are free, and the next request goes.
fn assert_nothing_is_lost(limiter: &Limiter, told: &str) {
    assert_eq!((limiter.available_permits(), limiter.waiters()), (SLOTS, 0), "{told}");
    let service = LimiterLayer::new(limiter.clone()).layer(scene().inner());
    assert!(at_once(service.oneshot(request("hello"))).is_ok(), "{told}");
}

const STATUSES: [StatusCode; 2] = [StatusCode::OK, StatusCode::BAD_REQUEST];

/// Broken by: a state that outlives a panic; a permit that is leaked into one.
#[test]
fn a_panic_at_any_step_of_others_code_frees_the_slot() {
    for status in STATUSES {
        let mut steps = 0;
        loop {
            steps += 1;
            let scene = scene();
            let fuse = Fuse::of(steps);
            let panicked = has_panicked(|| run(&scene.limiter, &fuse, status, 100));
            assert_nothing_is_lost(&scene.limiter, &format!("{status}: step {steps}"));
            if !panicked {
                break;
            }
        }
        assert!(steps > 20, "only {steps} steps");
    }
}

#[test]
fn a_drop_after_any_poll_frees_the_slot() {
    for status in STATUSES {
        for polls in 1..=9 {
            let scene = scene();
            run(&scene.limiter, &Fuse::of(0), status, polls);
            assert_nothing_is_lost(&scene.limiter, &format!("{status}: poll {polls}"));
        }
    }
}
