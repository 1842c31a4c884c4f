//! Absurd arguments, misbehaving clocks, and what errors say.

mod bad_input;
mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod errors;
