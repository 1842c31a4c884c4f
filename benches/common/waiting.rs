//! What `line` and `spikes` do with calls that wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

/// Whether the call is over.
pub(crate) fn poll<F: Future + ?Sized>(call: Pin<&mut F>) -> bool {
    call.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// In the same order each time.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    let mut seed = 7_u64;
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(i, usize::try_from(seed >> 33).unwrap_or(0) % (i + 1));
    }
}
