//! Rings of one size, side by side, and the rules for all of them.
//!
//! **Several rings.** With one rule and a large limit the cells are split into several rings, and the limit into shares.
//! A thread begins at a ring of its own and continues with the others when that one is full. So threads share no cache
//! line until the limit is near. No ring exceeds its share, hence all together never exceed the limit. A refusal means
//! that every ring was full for this `now`. What is full for a `now` stays full, so at the end all were full together.
//!
//! **Several rules** are kept in one ring. With two rings, one might be free by the first rule only and the other by the
//! second only, although the log as a whole is free by both.
//!
//! **A change of a rule** in one ring is one store, because a rule is one word. Several rings change together, with
//! their shares: see `split.rs`.
//!
//! **A successor** replaces shards that are too small, too coarse, reset, or behind a clock that has jumped: see
//! `succession.rs`.

mod check;
mod forecast;
mod history;
mod layout;
mod look_back;
mod pointer;
mod rings;
mod rules;
mod succession;

pub(crate) use layout::Layout;
pub(super) use pointer::{is_fresh, needs_pin, unmarked};
pub(super) use rings::Shards;
