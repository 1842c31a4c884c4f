//! The limiter.

mod bells;
mod calls;
#[path = "../common/mod.rs"]
mod common;
mod leased;
mod leased_faults;
mod leased_oracle;
mod leased_threads;
mod level;
mod line;
mod observe;
mod oracle;
mod order_faults;
mod pause;
mod quotas;
mod ramp;
#[path = "../common/refusal.rs"]
mod refusal;
mod server_log;
mod shared_faults;
mod silent;
mod slow_start_faults;
mod snapshot;
mod snapshot_serde;
mod stats;
mod stats_faults;
mod stats_metrics;
mod stats_tracing;
mod stop;
mod token_faults;
mod token_log;
mod token_oracle;
mod token_programs;
mod tokens;
mod waiting_faults;
