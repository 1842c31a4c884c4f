//! Calls that are sent again, through the line.

use crate::error::Refused;
use crate::feedback::{Feedback, Signal};
use crate::limiter::{Limiter, OwnedLimiterPermit};
use crate::tokens::Usage;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;

/// The wait after the first overload for which no time was told. It doubles with each try.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// It grows no longer than this.
const LONGEST_GROWN: Duration = Duration::from_secs(30);
/// A call that has to wait longer by itself is not sent again. Official SDKs give up there, too.
const LONGEST_TOLD: Duration = Duration::from_secs(120);

/// A refused call has used nothing. Where a provider gives nothing back, what was reserved counts all the same.
const USED: Usage = Usage::new(0, 0);

/// How often a pool sends a call again.
pub(super) struct Retries<Request> {
    most: u32,
    copy: fn(&Request) -> Request,
}

impl<Request: Clone> Retries<Request> {
    pub(super) fn new(most: u32) -> Self {
        Self { most, copy: Request::clone }
    }
}

impl<Request> Retries<Request> {
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// The request once more, if it may be sent again after so many times.
    pub(super) fn spare(&self, again: u32, request: &Request) -> Option<Request> {
        (again < self.most).then(|| (self.copy)(request))
    }
}

/// What a call waits for before it joins the line again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: the limiter is paused, and the line waits, too.
    InLine,
    /// Some time of its own.
    For(Duration),
}

impl Wait {
    /// `None` if it is not sent again: that would not help, or the provider does not want it. It has been sent again `again` times.
    pub(super) fn after(feedback: &Feedback, again: u32) -> Option<Self> {
        if feedback.should_retry() == Some(false) {
            return None;
        }
        match feedback.signal() {
            Signal::CoolDown | Signal::Ramp => Some(Self::InLine),
            Signal::Overload => match feedback.retry_after() {
                Some(told) => (told <= LONGEST_TOLD).then_some(Self::For(told)),
                None => Some(Self::For(grown(again))),
            },
            Signal::Proceed | Signal::Stop(_) => None,
        }
    }
}

fn grown(again: u32) -> Duration {
    let factor = 1_u32.checked_shl(again).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_GROWN)
}

/// Gives back the slot and the tokens of a call that is sent again, and waits in line for others.
pub(super) async fn admit_again(
    limiter: &Limiter,
    permit: OwnedLimiterPermit,
    wait: Wait,
) -> Result<OwnedLimiterPermit, Refused> {
    let mut place = limiter.call().tokens(permit.expected()).again().acquire_owned();
    match wait {
        Wait::InLine => {
            // First: what it gives back must not go past it to one behind.
            poll_fn(|cx| {
                place.join(cx);
                Poll::Ready(())
            })
            .await;
            permit.settle(USED);
        }
        Wait::For(length) => {
            permit.settle(USED);
            limiter.sleep(length).await;
        }
    }
    place.await
}
