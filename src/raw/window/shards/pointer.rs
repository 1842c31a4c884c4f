//! Marks in the low bits of a pointer to shards. They tell how the shards were made before a thread may follow it.

/// They are freed before the log is: readers have to pin them.
pub(super) const NEEDS_PIN: u8 = 1;
/// A reset made them: they begin empty.
pub(super) const FRESH: u8 = 2;
/// A jump of the clock made them. If the stamps may be mixed, all become the newest.
pub(super) const LIFTED: u8 = 4;

pub(super) fn marked<T>(shards: *mut T, marks: u8) -> *mut T {
    shards.map_addr(|address| address | usize::from(marks))
}

pub(crate) fn unmarked<T>(shards: *mut T) -> *mut T {
    shards.map_addr(|address| address & !usize::from(NEEDS_PIN | FRESH | LIFTED))
}

#[inline]
pub(crate) fn needs_pin<T>(shards: *mut T) -> bool {
    shards.addr() & usize::from(NEEDS_PIN) != 0
}

pub(crate) fn is_fresh<T>(shards: *mut T) -> bool {
    shards.addr() & usize::from(FRESH) != 0
}

pub(super) fn is_lifted<T>(shards: *mut T) -> bool {
    shards.addr() & usize::from(LIFTED) != 0
}
