//! What can go wrong between a process and the store.

use core::{error, fmt};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a trip brought nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreError {
    /// Something else is at the key.
    Foreign,
    /// The state at the key cannot be read.
    Broken,
    /// Processes have different limits: those of the state.
    Limits(String),
    /// There are too many processes.
    TooManyProcesses,
    /// A later trip of this process has arrived before.
    Stale,
    /// The script does not take these arguments.
    Arguments,
    /// The store's `INFO` does not tell which run of it this is, and for how long it has run (`run_id`, `uptime_in_seconds`): it could not be known
    /// whether it has lost what it knew.
    Unidentified,
    /// Another version of this crate has loaded another script.
    Version,
    /// The answer cannot be read.
    Unreadable(String),
    /// The store's memory is full.
    OutOfMemory(RedisError),
    /// The store does not allow this user a command, or the key.
    NoPermission(RedisError),
    /// The store is not there, or not now: no connection, no answer in time, it loads its data, it is a replica.
    Away(RedisError),
    /// Any other error of the store or its client.
    Other(RedisError),
}

impl StoreError {
    pub(super) fn of_status(status: &str, detail: &str) -> Option<Self> {
        Some(match status {
            "foreign" => Self::Foreign,
            "broken" => Self::Broken,
            "limits" => Self::Limits(detail.chars().take(200).collect()),
            "full" => Self::TooManyProcesses,
            "stale" => Self::Stale,
            "arguments" => Self::Arguments,
            "unidentified" => Self::Unidentified,
            "version" => Self::Version,
            _ => return None,
        })
    }

    /// Whether the same trip may succeed later without anybody's help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Away(_) | Self::OutOfMemory(_) | Self::TooManyProcesses)
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, NoPerm, ReadOnly, TryAgain};
        match (error.kind(), error.code()) {
            (_, Some("WRONGTYPE")) => Self::Foreign,
            (_, Some("OOM")) => Self::OutOfMemory(error),
            (ErrorKind::Server(NoPerm), _) => Self::NoPermission(error),
            (
                ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain)
                | ErrorKind::Io
                | ErrorKind::ClusterConnectionNotFound
                | ErrorKind::MasterNameNotFoundBySentinel,
                _,
            ) => Self::Away(error),
            _ => Self::Other(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("something else is at the limit's key"),
            Self::Broken => f.write_str("the limit's state cannot be read: delete its key"),
            Self::Limits(limits) => write!(f, "other processes have other limits: {limits}"),
            Self::TooManyProcesses => f.write_str("too many processes share the limit"),
            Self::Stale => f.write_str("a later call of this process has arrived before"),
            Self::Arguments => f.write_str("the script does not take these arguments"),
            Self::Unidentified => f.write_str("the store does not tell which run of it this is"),
            Self::Version => f.write_str("another version of the script"),
            Self::Unreadable(answer) => write!(f, "the store's answer cannot be read: {answer}"),
            Self::OutOfMemory(error) => write!(f, "the store's memory is full: {error}"),
            Self::NoPermission(error) => write!(f, "the store does not allow it: {error}"),
            Self::Away(error) => write!(f, "the store does not answer: {error}"),
            Self::Other(error) => write!(f, "the store: {error}"),
        }
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::OutOfMemory(error)
            | Self::NoPermission(error)
            | Self::Away(error)
            | Self::Other(error) => Some(error),
            _ => None,
        }
    }
}
