//! As a drop-in replacement: threads, closing, tokio's scheduler.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod tokio;
