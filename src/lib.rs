//! stub

mod error;
#[cfg(all(test, ringgate_freeze))]
mod frozen;
mod gate;
mod limiter;
#[cfg(all(test, ringgate_shuttle))]
mod mixed;
mod policy;
mod pool;
mod provider;
mod semaphore;
mod sync;
pub mod time;
mod window;

pub use error::{AcquireError, Limit, Refused, TryAcquireError};
pub use limiter::{Limiter, LimiterBuilder, LimiterPermit, OwnedLimiterPermit};
pub use policy::RateLimitPolicy;
pub use pool::{PoolStream, ProviderPool};
pub use provider::{EventStream, Provider};
pub use semaphore::{Acquire, AcquireOwned, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use window::SlidingWindow;
