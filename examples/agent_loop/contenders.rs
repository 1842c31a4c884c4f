//! The limiters to compare. Each is a pool, so that agents cannot tell them apart.

mod governor;
mod original;
mod tower;

use self::governor::{Governed, interval};
use self::original::Original;
use self::tower::Tower;
use crate::Pool;
use crate::flags::{Flags, Terms};
use core::num::NonZeroU32;
use core::time::Duration;
use ringgate::ProviderPool;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The contenders, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    Nothing,
    Tower,
    /// governor with a bucket of a whole window's calls.
    Bucket,
    /// governor with a bucket of one call.
    Paced,
    Original,
    Ringgate,
}

/// The limits for every contender. They include ringgate's margin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) calls: NonZeroU32,
    /// The server's window and the margin.
    pub(crate) window: Duration,
    pub(crate) concurrency: usize,
    /// The pace at which a bucket is filled.
    pub(crate) interval: Duration,
}

impl Limits {
    pub(crate) fn new(flags: &Flags) -> Result<Self, &'static str> {
        let Terms { limit, window, concurrency, .. } = flags.terms_with_margin();
        let calls = NonZeroU32::new(limit).filter(|_| concurrency > 0);
        let calls = calls.ok_or("to compare, allow one call at least")?;
        let interval = interval(window, calls).ok_or("too many calls in so short a window")?;
        let concurrency = concurrency.min(Semaphore::MAX_PERMITS);
        Ok(Self { calls, window, concurrency, interval })
    }

    /// How many calls may start at the same moment.
    pub(crate) fn at_once(self) -> usize {
        usize::try_from(self.calls.get()).unwrap_or(usize::MAX).min(self.concurrency)
    }
}

impl Contender {
    pub(crate) const ALL: [Self; 6] =
        [Self::Nothing, Self::Tower, Self::Bucket, Self::Paced, Self::Original, Self::Ringgate];

    pub(crate) fn name(self, limits: Limits) -> String {
        match self {
            Self::Nothing => "no limiter".to_owned(),
            Self::Tower => "tower's limits".to_owned(),
            Self::Bucket => format!("governor, burst {}, semaphore", limits.calls),
            Self::Paced => "governor, burst 1, semaphore".to_owned(),
            Self::Original => "the original pool".to_owned(),
            Self::Ringgate => "ringgate".to_owned(),
        }
    }

    /// Its pool around this provider.
    pub(crate) fn pool(self, flags: &Flags, limits: Limits, provider: Arc<Pool>) -> Arc<Pool> {
        match self {
            Self::Nothing => provider,
            Self::Tower => Arc::new(Tower::new(provider, limits)),
            Self::Bucket => Arc::new(Governed::new(provider, limits, limits.calls)),
            Self::Paced => Arc::new(Governed::new(provider, limits, NonZeroU32::MIN)),
            Self::Original => Arc::new(Original::new(provider, limits)),
            Self::Ringgate => {
                Arc::new(ProviderPool::with_limiter(provider, flags.limiter(), "ringgate"))
            }
        }
    }
}
