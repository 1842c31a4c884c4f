//! How the providers of these tests fail.

use ringgate::Refused;
use std::panic::resume_unwind;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The pool's.
    Refused(Refused),
    /// The provider's.
    Failed,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Panics without a message.
pub(crate) fn panics() -> ! {
    resume_unwind(Box::new("the provider panics"))
}
