//! Small scenes under loom: every interleaving up to a preemption bound.
//!
//! Where that takes long, a model has two forms. `cargo loom` plays the short one, with a lower bound or from smaller
//! starts; `RINGGATE_MODELS=long cargo loom` plays the long one.

mod budgets;
mod claims;
mod leases;
mod level;
mod limiter;
mod pause;
mod quotas;
mod semaphore;
mod stops;
mod tokens;
mod window;

/// Whether the long form is asked for.
pub(super) fn is_long() -> bool {
    match std::env::var("RINGGATE_MODELS") {
        Ok(form) if form == "long" => true,
        Err(std::env::VarError::NotPresent) => false,
        other => panic!("RINGGATE_MODELS is {other:?}: there is only `long`"),
    }
}

/// The preemption bound in the short form and in the long one.
pub(super) fn bound(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}
