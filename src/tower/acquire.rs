//! What a request asks of the limiter, and the wait for it.

use crate::error::Refused;
use crate::limiter::{Limiter, LimiterAcquireOwned, LimiterCall, OwnedLimiterPermit, Priority};
use crate::tokens::Usage;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use pin_project_lite::pin_project;

/// What all requests of a service ask for.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) limiter: Limiter,
    pub(super) priority: Priority,
    pub(super) timeout: Option<Duration>,
    pub(super) waits: bool,
}

impl Ask {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self { limiter, priority: Priority::Normal, timeout: None, waits: true }
    }

    fn call(&self, tokens: Usage) -> LimiterCall<'_> {
        self.limiter.call().priority(self.priority).tokens(tokens).timeout(self.timeout)
    }

    /// It asks at the first poll, not before.
    pub(super) fn acquire(&self, tokens: Usage) -> Acquire {
        if self.waits {
            Acquire::InLine { acquire: self.call(tokens).acquire_owned() }
        } else {
            Acquire::AtOnce { ask: self.clone(), tokens }
        }
    }
}

pin_project! {
    #[project = AcquireProj]
    pub(super) enum Acquire {
        InLine {
            #[pin]
            acquire: LimiterAcquireOwned,
        },
        AtOnce { ask: Ask, tokens: Usage },
    }
}

impl Future for Acquire {
    type Output = Result<OwnedLimiterPermit, Refused>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AcquireProj::InLine { acquire } => acquire.poll(cx),
            AcquireProj::AtOnce { ask, tokens } => {
                Poll::Ready(ask.call(*tokens).try_acquire_owned())
            }
        }
    }
}
