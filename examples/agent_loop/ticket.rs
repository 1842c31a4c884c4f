//! A ticket tells the owner of a call when it was admitted.

use crate::tally::Tally;
use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// When a call was asked for, and when it was admitted. Until then it is counted as in line.
#[derive(Debug)]
pub(crate) struct Ticket {
    asked: Instant,
    admitted: OnceLock<Instant>,
    too_late: AtomicBool,
    tally: Arc<Tally>,
}

impl Ticket {
    /// The ticket of a call that was asked for at `asked`.
    pub(crate) fn new(asked: Instant, tally: &Arc<Tally>) -> Arc<Self> {
        tally.line_up();
        Arc::new(Self {
            asked,
            admitted: OnceLock::new(),
            too_late: AtomicBool::new(false),
            tally: Arc::clone(tally),
        })
    }

    /// How long the call waited in line; `None` if it still does.
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.admitted.get().map(|admitted| *admitted - self.asked)
    }

    pub(crate) fn admit(&self) {
        if self.admitted.set(Instant::now()).is_ok() {
            self.tally.leave_line();
        }
    }

    /// Whether it was admitted so short a time ago. If not, it is [too late](Self::is_too_late).
    pub(crate) fn in_time(&self, most: Duration) -> bool {
        let in_time = self.admitted.get().is_some_and(|admitted| admitted.elapsed() <= most);
        if !in_time {
            self.too_late.store(true, Ordering::Relaxed);
        }
        in_time
    }

    /// Whether the call was not sent, because it was admitted too long ago.
    pub(crate) fn is_too_late(&self) -> bool {
        self.too_late.load(Ordering::Relaxed)
    }

    #[cfg(feature = "oxi-ai")]
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.admitted.get().is_none() {
            self.tally.leave_line();
        }
    }
}
