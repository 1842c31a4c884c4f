//! What the fuzzer plays: bytes become operations, and each answer is held against a plain model.
//!
//! | target        | plays                                             | against                        |
//! |---------------|---------------------------------------------------|--------------------------------|
//! | [`policy`]    | policies and limits of any numbers, at any time   | what is documented for them    |
//! | [`semaphore`] | acquire, poll, drop, give back, forget, close …   | a queue and two numbers        |
//! | [`window`]    | rates that change, clocks that step back          | a list of all stamps           |
//! | [`limiter`]   | calls that wait, give up, are woken or forgotten  | a list of stamps, and a queue  |
//!
//! Every function takes whatever bytes there are and panics where the library was wrong. The
//! binaries hand them to libFuzzer; `tests/corpus.rs` replays what was found worth keeping.

mod bytes;
mod limiter;
mod policy;
mod semaphore;
mod stamps;
mod wakes;
mod window;

pub use limiter::limiter;
pub use policy::policy;
pub use semaphore::semaphore;
pub use window::window;
