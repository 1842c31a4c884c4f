//! What `original` and `line` measure: one call, by a limiter or by the original's design.

#![allow(clippy::unchecked_time_subtraction, reason = "as the original does")]

use ringgate::Limiter;
use std::future::Future;
use std::time::{Duration, Instant};

pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// One call: its admission, what it does with its slot, and its end.
pub(crate) trait Admit: Send + Sync + 'static {
    fn admit(&self, inside: impl Future<Output = ()> + Send) -> impl Future<Output = ()> + Send;
}

impl Admit for Limiter {
    async fn admit(&self, inside: impl Future<Output = ()> + Send) {
        let _slot = self.acquire().await.expect("never closed");
        inside.await;
    }
}

/// The original's design, as short as possible.
pub(crate) struct Original<C> {
    slots: tokio::sync::Semaphore,
    rpm: usize,
    stamps: tokio::sync::Mutex<Vec<Instant>>,
    /// At least a window after the first instant there is.
    now: C,
}

impl<C: Fn() -> Instant> Original<C> {
    pub(crate) fn new(rpm: u32, slots: usize, now: C) -> Self {
        Self {
            slots: tokio::sync::Semaphore::new(slots),
            rpm: rpm as usize,
            stamps: tokio::sync::Mutex::new(Vec::with_capacity(64)),
            now,
        }
    }

    async fn check_and_record(&self) -> bool {
        let mut stamps = self.stamps.lock().await;
        let cutoff = (self.now)() - WINDOW;
        stamps.retain(|&stamp| stamp > cutoff);
        let admitted = stamps.len() < self.rpm;
        if admitted {
            stamps.push((self.now)());
        }
        admitted
    }
}

impl<C: Fn() -> Instant + Send + Sync + 'static> Admit for Original<C> {
    async fn admit(&self, inside: impl Future<Output = ()> + Send) {
        let _slot = self.slots.acquire().await.expect("never closed");
        assert!(self.check_and_record().await);
        inside.await;
    }
}
