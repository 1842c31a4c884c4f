//! In the place of others: threads, closing, tokio's scheduler.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod tokio;
