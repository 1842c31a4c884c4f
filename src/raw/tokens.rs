//! The engine of token limits.

mod chain;
mod claim;
mod count;
mod forecast;
mod held_tokens;
mod raw_tokens;
mod refusal;
mod scale;
mod succession;
mod wheel;
mod word;

pub(crate) use held_tokens::HeldTokens;
pub(crate) use raw_tokens::RawTokens;
pub(crate) use refusal::{Admission, Refusal, Reservation};
