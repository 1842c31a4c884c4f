//! Faults that were found in bodies that hold a permit, and that must not come back.

use crate::scene::{SLOTS, has_panicked, panics, scene};
use http_body::{Body, Frame};
use ringgate::{Limiter, Usage};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

type Polled = Poll<Option<Result<Frame<&'static [u8]>, ()>>>;

/// It panics when it is asked for its end.
struct Panicking {
    limiter: Limiter,
    free_at_drop: Arc<AtomicUsize>,
}

impl Drop for Panicking {
    fn drop(&mut self) {
        self.free_at_drop.store(self.limiter.available_permits(), SeqCst);
    }
}

impl Body for Panicking {
    type Data = &'static [u8];
    type Error = ();

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        panics()
    }
}

#[test]
fn a_body_that_panicked_at_once_was_dropped_after_its_slot_was_free() {
    let scene = scene();
    let free_at_drop = Arc::new(AtomicUsize::new(usize::MAX));
    let (limiter, permit) = (scene.limiter.clone(), scene.permit());
    let body = Panicking { limiter, free_at_drop: Arc::clone(&free_at_drop) };
    assert!(has_panicked(|| permit.hold_body(body)));
    assert_eq!(free_at_drop.load(SeqCst), SLOTS - 1);
    assert_eq!(scene.limiter.available_permits(), SLOTS);
}

/// It learns of its end between two polls, as a body of HTTP/2 does.
struct ToldOfItsEnd {
    data: Option<&'static [u8]>,
    is_over: Arc<AtomicBool>,
}

impl Body for ToldOfItsEnd {
    type Data = &'static [u8];
    type Error = ();

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        match self.data.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if self.is_over.load(SeqCst) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.is_over.load(SeqCst)
    }
}

/// A server does not poll a body that says it has ended.
#[test]
fn a_body_that_learned_of_its_end_between_two_polls_was_not_settled() {
    let scene = scene();
    let is_over = Arc::new(AtomicBool::new(false));
    let body = ToldOfItsEnd { data: Some(b"hello"), is_over: Arc::clone(&is_over) };
    let mut held = scene.permit().hold_body(body).settle_with(|_| Some(Usage::new(90, 20)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut held).poll_frame(&mut cx).is_ready());
    is_over.store(true, SeqCst);
    while !held.is_end_stream() {
        assert!(Pin::new(&mut held).poll_frame(&mut cx).is_ready());
    }
    drop(held);
    scene.assert_over((90, 20));
}
