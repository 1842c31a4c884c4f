//! How a shared limiter and its store get on.

use crate::script::StoreError;
use std::sync::Arc;

/// How a [`SharedLimiter`](crate::SharedLimiter) and its store get on. From [`SharedLimiter::status`](crate::SharedLimiter::status).
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is told by itself")]
pub struct Status {
    /// Whether the store answers.
    pub store: StoreState,
    /// The store's word for its state; another one after that may have been lost. `None` before the first answer.
    pub epoch: Option<u64>,
    /// How many processes shared the limits at the last answer, this one included.
    pub processes: u64,
    /// How many trips were begun.
    pub trips: u64,
    /// How many of them had no answer, or an error.
    pub failed_trips: u64,
    /// Whether this process uses its share by itself, because the store is away.
    pub is_share: bool,
    /// Whether the store grants nothing for a while, because it may have forgotten what it granted before.
    pub is_quiet: bool,
    /// Whether the last trip took longer than a lease lasts, so that nothing of it could be used: then give a longer
    /// [lease](crate::SharedLimiterBuilder::lease) to all processes.
    pub is_slow: bool,
    /// Whether this process has given back all it had, for good.
    pub has_left: bool,
}

/// Whether the store answers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreState {
    /// No trip was made yet.
    Unknown,
    /// The last trip was answered.
    Connected,
    /// It answers, but several times in a row later than a lease lasts, so that nothing of what it granted could be used. It is asked ever more rarely;
    /// calls wait. All processes need a longer [lease](crate::SharedLimiterBuilder::lease), or a faster way to it.
    Late,
    /// It does not answer, for this reason. Calls wait, or use the process's share.
    Away(Arc<StoreError>),
    /// It answers with an error that time does not mend. All calls are refused until somebody mends it.
    Failed(Arc<StoreError>),
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            store: StoreState::Unknown,
            epoch: None,
            processes: 0,
            trips: 0,
            failed_trips: 0,
            is_share: false,
            is_quiet: false,
            is_slow: false,
            has_left: false,
        }
    }

    /// Whether the last trip was answered.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.store, StoreState::Connected)
    }

    /// The last trip's error, if it had one.
    #[must_use]
    pub fn error(&self) -> Option<&StoreError> {
        match &self.store {
            StoreState::Away(error) | StoreState::Failed(error) => Some(error),
            StoreState::Unknown | StoreState::Connected | StoreState::Late => None,
        }
    }
}
