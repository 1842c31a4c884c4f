//! What wakes the one who grants leases.

use crate::limiter_core::Core;
use core::fmt;
use std::sync::Arc;

/// Makes [`Lessee::changed`](crate::Lessee::changed) complete. From [`Lessee::rouser`](crate::Lessee::rouser).
///
/// ```
/// use ringgate::{Limiter, Rate};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ringgate::BuildLeasedError> {
/// let (_, mut lessee) = Limiter::builder().rate(Rate::per_minute(60)).build_leased()?;
/// let rouser = lessee.rouser();
/// std::thread::spawn(move || rouser.rouse());
/// lessee.changed().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Rouser {
    pub(super) core: Arc<Core>,
}

impl Rouser {
    /// Makes [`Lessee::changed`](crate::Lessee::changed) complete, now or when it is called next.
    ///
    /// # Panics
    ///
    /// Only if the waker of that future panics.
    pub fn rouse(&self) {
        self.core.ring();
    }
}

impl fmt::Debug for Rouser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rouser").finish_non_exhaustive()
    }
}
