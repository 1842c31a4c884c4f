//! The limiter.

mod calls;
#[path = "../common/mod.rs"]
mod common;
mod oracle;
mod server_log;
mod waiting_faults;
