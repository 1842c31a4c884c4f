//! The semaphore.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod model;
mod traps;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
