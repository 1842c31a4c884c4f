//! What a provider has said in an answer.
//!
//! ```text
//! reader                         status, headers and body become a `Feedback` (feature `http`)
//! classify                       what the answer asks for: nothing, a pause, fewer calls, a stop
//! headers · body                 what stands in each
//! dialect · forms · dates        which provider it is; durations and counts; moments
//! value · quota                  the plain types; they need no feature
//! ```
//!
//! Everything below `value` and `quota` reads text that somebody else wrote. Three rules hold in all of it:
//!
//! * What cannot be read has not been said. There is no error.
//! * Numbers are whole or decimal digits, counted in integers. There is no float, so no NaN, and what is too
//!   large saturates at a month or is not read.
//! * Each text is read once from its start to its end, and never more than 64 KiB of a body.

#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
mod classify;
#[cfg(feature = "http")]
mod dates;
#[cfg(feature = "http")]
mod dialect;
#[cfg(feature = "http")]
mod forms;
#[cfg(feature = "http")]
mod headers;
mod quota;
#[cfg(feature = "http")]
mod reader;
mod value;

#[cfg(feature = "http")]
pub use dialect::Dialect;
pub use quota::{Quota, QuotaKind, QuotaWindow};
#[cfg(feature = "http")]
pub use reader::FeedbackReader;
pub use value::{Feedback, Signal, StopReason};
