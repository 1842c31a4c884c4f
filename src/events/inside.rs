//! What a watcher does itself is not told to it: it would be called again by what it does, without end.

use crate::sync::per_thread;
use core::cell::Cell;

per_thread! { static IS_INSIDE: Cell<bool> = Cell::new(false); }

/// Calls a watcher, unless this thread is inside one.
pub(crate) fn unless_inside(watcher: impl FnOnce()) {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            IS_INSIDE.with(|is_inside| is_inside.set(false));
        }
    }
    if IS_INSIDE.with(|is_inside| is_inside.replace(true)) {
        return;
    }
    // Also if it panics.
    let _leave = Leave;
    watcher();
}
