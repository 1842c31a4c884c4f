//! The fuzz targets. Bytes become operations, and each answer is compared with a plain model.
//!
//! | target        | plays                                             | against                        |
//! |---------------|---------------------------------------------------|--------------------------------|
//! | [`policy`]    | policies and limits of any numbers, at any time   | what is documented for them    |
//! | [`semaphore`] | acquire, poll, drop, give back, forget, close …   | a queue and two numbers        |
//! | [`window`]    | rates that change, clocks that step back          | a list of all stamps           |
//! | [`limiter`]   | calls that wait, give up, are woken or forgotten  | a list of stamps, and a queue  |
//! | [`tokens`]    | calls of any size, settled at any use             | a list of what counts since when |
//! | [`leases`]    | leases, and calls that use them                   | a line of what was granted     |
//! | [`feedback`]  | answers of providers, real ones and others        | what is documented for them    |
//! | [`usage`]     | bodies and streams of events, cut anywhere        | the same in other pieces       |
//!
//! Every function takes any bytes and panics if the library answers wrongly. The binaries give them to
//! libFuzzer; `tests/corpus.rs` replays the committed inputs.

mod books;
mod bytes;
mod feedback;
mod leases;
mod limiter;
mod policy;
mod semaphore;
mod stamps;
mod tokens;
mod usage;
mod wakes;
mod window;

pub use feedback::feedback;
pub use leases::leases;
pub use limiter::limiter;
pub use policy::policy;
pub use semaphore::semaphore;
pub use tokens::tokens;
pub use usage::usage;
pub use window::window;
