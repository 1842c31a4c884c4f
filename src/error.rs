//! The errors, and what a refusal says.

use crate::feedback::StopReason;
use core::fmt;
use core::time::Duration;
use std::error::Error;

/// Why `acquire` of a [`Semaphore`](crate::Semaphore) failed: the semaphore is closed, or it can never have that
/// many permits.
///
/// ```
/// use ringgate::Semaphore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let semaphore = Semaphore::with_max_permits(4);
/// let refused = semaphore.acquire_many(5).await.unwrap_err();
/// assert!(refused.is_unsatisfiable());
///
/// semaphore.close();
/// assert!(semaphore.acquire().await.unwrap_err().is_closed());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AcquireError(Never);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Never {
    Closed,
    TooMany,
}

impl AcquireError {
    pub(crate) fn closed() -> Self {
        Self(Never::Closed)
    }

    pub(crate) fn unsatisfiable() -> Self {
        Self(Never::TooMany)
    }

    /// Whether the semaphore is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0 == Never::Closed
    }

    /// Whether the request asked for more permits than the semaphore can ever have.
    #[must_use]
    pub fn is_unsatisfiable(&self) -> bool {
        self.0 == Never::TooMany
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Never::Closed => "semaphore closed",
            Never::TooMany => "more permits requested than the semaphore can ever have",
        })
    }
}

impl Error for AcquireError {}

/// Why `try_acquire` of a [`Semaphore`](crate::Semaphore) failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TryAcquireError {
    /// The semaphore is closed.
    Closed,
    /// Too few permits are free, or others wait for them.
    NoPermits,
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "semaphore closed",
            Self::NoPermits => "no permits available",
        })
    }
}

impl Error for TryAcquireError {}

/// Which limit refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The number of admissions in a window of time.
    Rate,
    /// The number of calls in flight.
    Concurrency,
    /// The number of tokens in a window of time ([`TokenWindow`](crate::TokenWindow)), input and output together.
    Tokens,
    /// The number of input tokens in a window of time
    /// ([`LimiterBuilder::input_tokens`](crate::LimiterBuilder::input_tokens)).
    InputTokens,
    /// The number of output tokens in a window of time
    /// ([`LimiterBuilder::output_tokens`](crate::LimiterBuilder::output_tokens)).
    OutputTokens,
    /// The number of calls in line ([`LimiterBuilder::max_waiters`](crate::LimiterBuilder::max_waiters)).
    Queue,
    /// None: the limiter is [paused](crate::Limiter::pause).
    Paused,
    /// None: the provider has [stopped](crate::Limiter::stop) all calls.
    Stopped(StopReason),
    /// None: whoever grants the leases of its limits refuses all calls
    /// ([`Lessee::refuse_all`](crate::Lessee::refuse_all)).
    Lease,
    /// None: the limiter, or the semaphore it shares, is closed.
    Closed,
}

impl Limit {
    /// One of each, in the order of [`kind`](Self::kind). All reasons of a stop are one.
    pub(crate) const KINDS: [Self; 10] = [
        Self::Rate,
        Self::Concurrency,
        Self::Tokens,
        Self::InputTokens,
        Self::OutputTokens,
        Self::Queue,
        Self::Paused,
        Self::Stopped(StopReason::Other),
        Self::Lease,
        Self::Closed,
    ];

    /// Its place among all.
    pub(crate) fn kind(self) -> usize {
        match self {
            Self::Rate => 0,
            Self::Concurrency => 1,
            Self::Tokens => 2,
            Self::InputTokens => 3,
            Self::OutputTokens => 4,
            Self::Queue => 5,
            Self::Paused => 6,
            Self::Stopped(_) => 7,
            Self::Lease => 8,
            Self::Closed => 9,
        }
    }

    /// Its name in what programs read.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Queue => "queue",
            Self::Paused => "paused",
            Self::Stopped(_) => "stopped",
            Self::Lease => "lease",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped(reason) => return reason.fmt(f),
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Tokens => "tokens",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::Queue => "queue",
            Self::Paused => "paused",
            Self::Lease => "lease",
            Self::Closed => "closed",
        })
    }
}

/// When the answer can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Wait {
    /// In ns: a `Duration` costs a division.
    Exactly(u64),
    /// When another call returns a permit or leaves the line: no time is known.
    Open,
    /// When more is granted: no time is known.
    Granted,
    Never,
    /// Never, because it asks for more than the limit.
    OverLimit(OverLimit),
}

/// More was asked for than a limit allows at all. See [`Refused::over_limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OverLimit {
    /// What was asked for.
    pub asked: u64,
    /// The most that can be had.
    pub limit: u64,
}

/// The limiter refused a call: which limit refused it, and how long to wait.
///
/// The limiter decides this before any request is sent. It is not a server's 429.
///
/// ```
/// use ringgate::{Limit, Rate, SlidingWindow};
///
/// let window = SlidingWindow::new(Rate::per_minute(0));
/// let refused = window.try_acquire().unwrap_err();
/// assert_eq!(refused.limit(), Limit::Rate);
/// assert_eq!(refused.retry_after(), None);
/// assert!(refused.is_permanent());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refused {
    limit: Limit,
    wait: Wait,
}

impl Refused {
    #[inline]
    pub(crate) fn for_now(limit: Limit, wait: u64) -> Self {
        Self { limit, wait: Wait::Exactly(wait) }
    }

    pub(crate) fn until_released() -> Self {
        Self { limit: Limit::Concurrency, wait: Wait::Open }
    }

    /// The line is full.
    pub(crate) fn until_one_leaves() -> Self {
        Self { limit: Limit::Queue, wait: Wait::Open }
    }

    pub(crate) fn closed() -> Self {
        Self::for_ever(Limit::Closed)
    }

    pub(crate) fn for_ever(limit: Limit) -> Self {
        Self { limit, wait: Wait::Never }
    }

    /// What is reserved has to be settled first.
    pub(crate) fn until_settled(limit: Limit) -> Self {
        Self { limit, wait: Wait::Open }
    }

    /// More has to be granted first.
    pub(crate) fn until_granted(limit: Limit) -> Self {
        Self { limit, wait: Wait::Granted }
    }

    pub(crate) fn over(limit: Limit, asked: u64, most: u64) -> Self {
        Self { limit, wait: Wait::OverLimit(OverLimit { asked, limit: most }) }
    }

    /// The limit that refused.
    #[must_use]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// How long after the refusal the call can be admitted, if no other call comes first.
    ///
    /// Behind calls in line it counts those as well, as a future's
    /// [`estimated_wait`](crate::LimiterAcquire::estimated_wait) does: exact, or the earliest time possible.
    ///
    /// `None` if no time is known: the call depends on other calls that have to finish or to leave the line, or
    /// waiting will never help ([`is_permanent`](Self::is_permanent)).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.wait {
            Wait::Exactly(wait) => Some(Duration::from_nanos(wait)),
            Wait::Open | Wait::Granted | Wait::Never | Wait::OverLimit(_) => None,
        }
    }

    /// Whether the call does not wait in line for it: it is permanent, or the provider has stopped all calls.
    pub(crate) fn ends_the_wait(&self) -> bool {
        self.is_permanent() || matches!(self.limit, Limit::Stopped(_))
    }

    /// The two numbers, if the call asked for more than the limit.
    ///
    /// ```
    /// use ringgate::{OverLimit, TokenWindow};
    /// use std::time::Duration;
    ///
    /// let window = TokenWindow::new(10_000, Duration::from_secs(60));
    /// let refused = window.try_acquire(12_000).unwrap_err();
    /// assert_eq!(refused.over_limit(), Some(OverLimit { asked: 12_000, limit: 10_000 }));
    /// assert!(refused.is_permanent());
    /// ```
    #[must_use]
    pub fn over_limit(&self) -> Option<OverLimit> {
        match self.wait {
            Wait::OverLimit(over) => Some(over),
            Wait::Exactly(_) | Wait::Open | Wait::Granted | Wait::Never => None,
        }
    }

    /// Whether waiting will never help: the limit is zero or less than the call asks for, or the limiter is closed. (You
    /// can still [change](crate::Limiter::set_rate) a limit.)
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self.wait, Wait::Never | Wait::OverLimit(_))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Limit::Closed => return f.write_str("the limiter is closed"),
            Limit::Lease => return f.write_str("no leases are granted: all calls are refused"),
            Limit::Paused => f.write_str("the limiter is paused: ")?,
            Limit::Stopped(reason) => write!(f, "the provider has stopped all calls, {reason}: ")?,
            Limit::Queue => {
                return f.write_str("the line is full: retry when a call in it has gone");
            }
            Limit::Rate
            | Limit::Tokens
            | Limit::InputTokens
            | Limit::OutputTokens
            | Limit::Concurrency => {
                write!(f, "{} limit reached: ", self.limit)?;
            }
        }
        match self.wait {
            Wait::Exactly(wait) => write!(f, "retry in {:?}", Duration::from_nanos(wait)),
            Wait::Open => f.write_str("retry when a call in flight has ended"),
            Wait::Granted => f.write_str("retry when more is granted"),
            Wait::OverLimit(OverLimit { asked, limit }) => {
                write!(f, "{asked} asked for, {limit} allowed")
            }
            Wait::Never if matches!(self.limit, Limit::Stopped(_)) => {
                f.write_str("no call is admitted until it is resumed")
            }
            Wait::Never => f.write_str("no call will ever be admitted"),
        }
    }
}

/// What the questions answer.
#[expect(clippy::missing_fields_in_debug, reason = "as the questions tell it")]
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("limit", &self.limit)
            .field("retry_after", &self.retry_after())
            .field("is_permanent", &self.is_permanent())
            .finish()
    }
}

impl Error for Refused {}

/// `set_rate` failed: the limiter was made without that rate.
///
/// ```
/// use ringgate::{Limiter, NoSuchRateError, Rate};
///
/// let limiter = Limiter::builder().max_concurrent(4).build();
/// assert_eq!(limiter.set_rate(Rate::per_minute(60)), Err(NoSuchRateError));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchRateError;

impl fmt::Display for NoSuchRateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the limiter has no rate of this number")
    }
}

impl Error for NoSuchRateError {}
