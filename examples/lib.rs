//! Programs that show ringgate at work. Each is an example of this package, which contains nothing more; `soak` has one of its own.
//!
//! From the root of the repository:
//!
//! ```text
//! cargo run --release --example agent_loop       # 40 agents, a strict server on loopback
//! cargo run --release --example agent_loop -- --processes 8 --chaos    # many processes, one key
//! cargo run --release --example soak             # all operations mixed on real threads
//! cargo run --release --example limiter          # agents share one limiter
//! cargo run --release --example pool             # a pool around a provider
//! cargo run --release --example change_limits    # limits that change while in use
//! cargo run --release --example paused_time      # tests with paused time
//! ```
//!
//! The package is separate so that neither users nor model runs of the library compile what the programs
//! need.
