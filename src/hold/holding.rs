//! What is held together with its call.

use super::call::{Call, Reads};
use super::guard::Guard;
use core::pin::Pin;
use pin_project_lite::pin_project;

pin_project! {
    /// An answer and its call, until either ends. Dropped in this order, so that the slot is free only after the answer has
    /// gone.
    pub(crate) struct Holding<I, P: Guard, R: Reads> {
        #[pin]
        inner: Option<I>,
        call: Option<Call<P, R>>,
    }
}

/// How it goes on after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    /// The answer is complete.
    End,
    /// It has broken off.
    Fail,
}

impl<I, P: Guard, R: Reads> Holding<I, P, R> {
    pub(crate) fn new(inner: I, permit: P, reader: R) -> Self {
        Self { inner: Some(inner), call: Some(Call::new(permit, reader)) }
    }

    /// Holds nothing.
    #[cfg(feature = "http-body")]
    pub(super) fn ended() -> Self {
        Self { inner: None, call: None }
    }

    /// `None` once it has ended.
    pub(crate) fn inner(&self) -> Option<&I> {
        self.inner.as_ref()
    }

    pub(crate) fn reader(&mut self) -> Option<&mut R> {
        self.call.as_mut().map(|call| &mut call.reader)
    }

    pub(crate) fn permit(&self) -> Option<&P> {
        self.call.as_ref().and_then(Call::permit)
    }

    /// Takes one step. Where it ends, and if the step panics, the answer is dropped and then its call. `None` if it has ended
    /// before.
    pub(crate) fn step<T>(
        self: Pin<&mut Self>,
        step: impl FnOnce(Pin<&mut I>, &mut Call<P, R>) -> (T, Then),
    ) -> Option<T> {
        let this = self.project();
        let mut open = Open { inner: this.inner, call: this.call, goes_on: false };
        let (made, then) = step(open.inner.as_mut().as_pin_mut()?, open.call.as_mut()?);
        match then {
            Then::GoOn => open.goes_on = true,
            Then::End => open.end(),
            Then::Fail => {}
        }
        Some(made)
    }

    /// Drops the answer and then its call, before the first step.
    #[cfg(feature = "http-body")]
    pub(super) fn release(&mut self) {
        self.inner = None;
        self.call = None;
    }

    /// It has broken off.
    pub(super) fn fail(self: Pin<&mut Self>) {
        self.step(|_, _| ((), Then::Fail));
    }
}

/// A step under way. Dropped, it ends what was held, unless it goes on.
struct Open<'a, I, P: Guard, R: Reads> {
    inner: Pin<&'a mut Option<I>>,
    call: &'a mut Option<Call<P, R>>,
    goes_on: bool,
}

impl<I, P: Guard, R: Reads> Open<'_, I, P, R> {
    fn end(mut self) {
        if let Some(call) = self.close() {
            call.end();
        }
    }
}

impl<I, P: Guard, R: Reads> Open<'_, I, P, R> {
    /// Drops the answer. The call has been taken out before, so that it ends even if that panics.
    fn close(&mut self) -> Option<Call<P, R>> {
        let call = self.call.take();
        self.inner.set(None);
        call
    }
}

impl<I, P: Guard, R: Reads> Drop for Open<'_, I, P, R> {
    fn drop(&mut self) {
        if !self.goes_on {
            drop(self.close());
        }
    }
}
