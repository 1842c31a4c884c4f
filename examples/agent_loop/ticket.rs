//! A ticket tells the owner of a call when it was admitted.

use crate::tally::Tally;
use core::time::Duration;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// When a call was asked for, and when it was admitted. Until then it is counted as in line.
#[derive(Debug)]
pub(crate) struct Ticket {
    asked: Instant,
    admitted: OnceLock<Instant>,
    tally: Arc<Tally>,
}

impl Ticket {
    /// The ticket of a call that was asked for at `asked`.
    pub(crate) fn new(asked: Instant, tally: &Arc<Tally>) -> Arc<Self> {
        tally.line_up();
        Arc::new(Self { asked, admitted: OnceLock::new(), tally: Arc::clone(tally) })
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
