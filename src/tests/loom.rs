//! Small scenes under loom: every interleaving up to a preemption bound.

mod budgets;
mod claims;
mod limiter;
mod pause;
mod quotas;
mod semaphore;
mod tokens;
mod window;
