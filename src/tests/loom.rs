//! Small scenes under loom: every interleaving up to a preemption bound.

mod budgets;
mod claims;
mod level;
mod limiter;
mod pause;
mod quotas;
mod semaphore;
mod stops;
mod tokens;
mod window;
