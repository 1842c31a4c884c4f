//! Single scenes under loom: every interleaving up to a bound of preemptions.

mod limiter;
mod semaphore;
mod window;
