//! The limiter.

mod bells;
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod level;
mod line;
mod observe;
mod oracle;
mod order_faults;
mod pause;
mod quotas;
