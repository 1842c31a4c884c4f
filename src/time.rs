//! The one door to clocks and timers.
//!
//! A limiter takes a [`Clock`] at construction. Its lock-free parts have none: they take `now` as an argument, or
//! a function that reads it. There are four clocks:
//!
//! | clock           | reads                              | sleeps by                     |
//! |-----------------|------------------------------------|-------------------------------|
//! | `TokioClock`    | tokio's clock, paused time included | tokio's timer, or as below outside a runtime |
//! | [`SystemClock`] | `std::time::Instant`               | a runtime-agnostic timer      |
//! | `FastClock`     | the processor's time-stamp counter | as [`DefaultClock`]           |
//! | [`ManualClock`] | what the test sets                 | the test's `advance`          |
//!
//! `TokioClock` needs the feature `tokio` (on by default) and `FastClock` the feature `quanta`.
//!
//! On `wasm32-unknown-unknown`, where `std` and tokio have no time, there is no `TokioClock`:
//! [`SystemClock`] goes by the browser's clock and timer.
//!
//! # What clocks do
//!
//! * **Suspend.** The monotonic clocks of Linux and macOS stand still while the machine sleeps. A limiter
//!   then counts what went before as if it were recent, so after waking up calls are held back by at most
//!   the rest of a window.
//! * **Drift.** The time-stamp counter drifts against the system's clock, by 5 to 83 parts in a million
//!   where it was measured: 5 ms in a minute at the worst. A margin covers it.
//! * **Short windows.** Tokio's timer has a grain of one millisecond. Under a window much shorter than
//!   that (one call in 200 µs, say) calls that wait get a fraction of the rate, 13 % there.
//! * **Jumps back.** If the clock steps back by less than a second, calls wait until it has caught up. If a
//!   refused call finds it more than a second behind the newest stamp (a static limiter used under tokio's paused
//!   time and later in real time), the clock has jumped: the limiter's time continues from that stamp, and no
//!   call waits longer than a window because of the jump. Timeouts move back with the clock. The limits hold by
//!   real time, too. The limiter cannot know how long ago earlier calls were: it counts them as later than they
//!   were, up to the jump itself. It moves to a new log, as after a [reset](crate::SlidingWindow::reset), and at
//!   the same cost.
//! * **Jumps ahead** look like a long pause: earlier calls leave the window early. Afterwards, if one reading
//!   was far ahead of all later ones, call [`reset`](crate::Limiter::reset). It is also the only way on after a
//!   reading beyond 219 years: until then the limiter refuses for good.
//! * **Two clocks.** Give each runtime its own limiter if one is paused and the other is not: two clocks more
//!   than a second apart behind one limiter make its time run too fast.

mod any;
mod clock;
mod default;
#[cfg(feature = "quanta")]
mod fast;
mod manual;
mod sleep;
mod system;
#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
mod tokio;
mod wall;

#[cfg(all(feature = "tokio", not(all(target_family = "wasm", target_os = "unknown"))))]
pub use self::tokio::TokioClock;
pub use clock::{Clock, Timestamp};
pub use default::DefaultClock;
#[cfg(feature = "quanta")]
pub use fast::FastClock;
pub use manual::ManualClock;
pub use sleep::Sleep;
pub use system::SystemClock;

pub(crate) use any::{SleepUntil, Time};
pub(crate) use clock::{JUMP, in_nanos};
pub(crate) use wall::WallTime;
