//! A call's wait in line, for those who watch.

use crate::error::Refused;
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::events::waits::{self, Outcome};
use crate::limiter_core::{Admission, Handle};
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::time::Timestamp;
use core::fmt;
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
use core::marker::PhantomData;
use core::task::Poll;

/// What is told of a call's wait. It is told when it begins, and when it ends or the call is dropped. A call that does not wait tells
/// nothing.
pub(super) struct Wait<H: Handle + Clone>(
    #[cfg(any(feature = "tracing", feature = "metrics"))] State<H>,
    #[cfg(not(any(feature = "tracing", feature = "metrics")))] PhantomData<H>,
);

#[cfg(any(feature = "tracing", feature = "metrics"))]
enum State<H> {
    New,
    /// It waits for this limiter since then.
    Told(H, Timestamp),
    /// Nobody wanted to hear of it, or it is over.
    Over,
}

impl<H: Handle + Clone> Wait<H> {
    #[inline]
    pub(super) fn new() -> Self {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        return Self(State::New);
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        Self(PhantomData)
    }

    /// After each poll. If a subscriber panics, the caller drops the permit.
    #[inline]
    pub(super) fn watch<P>(
        &mut self,
        admission: &Admission<H>,
        decided: &Poll<Result<P, Refused>>,
    ) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        match decided {
            Poll::Pending => self.begin(admission),
            Poll::Ready(_) if !matches!(self.0, State::Told(..)) => {}
            Poll::Ready(Ok(_)) => self.end(Outcome::Admitted),
            Poll::Ready(Err(refused)) => self.end(Outcome::Refused(refused.limit())),
        }
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        let _ = (&self.0, admission, decided);
    }

    /// After a poll that has not decided: it may have joined the line.
    #[inline]
    pub(super) fn begin(&mut self, admission: &Admission<H>) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        if let (State::New, Some(core)) = (&self.0, admission.waits_for()) {
            self.begin_at(core, admission);
        }
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        let _ = (&self.0, admission);
    }

    #[cfg(any(feature = "tracing", feature = "metrics"))]
    #[cold]
    fn begin_at(&mut self, core: &H, admission: &Admission<H>) {
        self.0 = State::Over;
        if !core.hears_of_waits() {
            return;
        }
        self.0 = State::Told(core.clone(), core.time().now());
        // It walks the line, so only if it is told.
        if waits::is_heard()
            && let Some((ahead, limit, wait)) = admission.outlook()
        {
            core.tell_wait(ahead, limit, wait);
        }
    }

    #[cfg(any(feature = "tracing", feature = "metrics"))]
    #[cold]
    fn end(&mut self, outcome: Outcome) {
        if let State::Told(core, since) = core::mem::replace(&mut self.0, State::Over) {
            core.tell_end_of_wait(outcome, since);
        }
    }
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl<H: Handle + Clone> Drop for Wait<H> {
    /// Not while another panic goes on: a second one would end the process.
    #[inline]
    fn drop(&mut self) {
        if matches!(self.0, State::Told(..)) && !std::thread::panicking() {
            self.end(Outcome::Cancelled);
        }
    }
}

/// Omits the limiter.
impl<H: Handle + Clone> fmt::Debug for Wait<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}
