//! What can be wrong with a shared limiter.

use crate::script::StoreError;
use core::time::Duration;
use core::{error, fmt};
use redis::RedisError;
use ringgate::BuildLeasedError;

/// What cannot be built.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConfigError {
    /// The limiter's own limits cannot be leased.
    Limiter(BuildLeasedError),
    /// There are more rates and limits on tokens than eight: so many.
    TooManyWindows(usize),
    /// A window of this length is too long.
    Window(Duration),
    /// A lease is from 1 ms to 20 minutes long.
    Lease(Duration),
    /// A time to live is at least three leases and at most an hour.
    TimeToLive(Duration),
    /// An answer must come within a third of the time to live.
    ResponseTimeout(Duration),
    /// A share must last longer than this, or nobody could use it.
    Share(Duration),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limiter(error) => write!(f, "the limits cannot be leased: {error}"),
            Self::TooManyWindows(windows) => {
                write!(f, "at most 8 limits in time can be shared, not {windows}")
            }
            Self::Window(window) => write!(f, "a window of {window:?} is too long"),
            Self::Lease(lease) => write!(f, "a lease of {lease:?} is too short or too long"),
            Self::TimeToLive(length) => {
                write!(f, "a time to live of {length:?} is less than three leases, or too long")
            }
            Self::ResponseTimeout(timeout) => {
                write!(
                    f,
                    "a response timeout of {timeout:?} is not within a third of the time to live"
                )
            }
            Self::Share(least) => write!(f, "a share must last for at least {least:?}"),
        }
    }
}

impl error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        if let Self::Limiter(error) = self { Some(error) } else { None }
    }
}

/// Why a shared limiter could not begin. A store that is not there is no reason.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// What was asked for.
    Config(ConfigError),
    /// The store's address or its settings.
    Client(RedisError),
    /// The store answers with an error that time does not mend: other limits, something else at the key, no permission.
    Store(StoreError),
    /// There is no tokio runtime here to spawn the driver on.
    NoRuntime,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Client(error) => write!(f, "the store's address: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::NoRuntime => f.write_str("there is no tokio runtime to spawn the driver on"),
        }
    }
}

impl error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Client(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::NoRuntime => None,
        }
    }
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
