//! The sliding window, and the margin of its windows. `window_faults.rs` counts memory, in a program of its own.

#[path = "../common/mod.rs"]
mod common;
mod margin;
mod oracle;
mod waiting;
