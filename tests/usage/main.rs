//! The usage that answers tell, read while they pass by.
#![cfg(feature = "http")]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod errors;
mod faults;
mod forms;
mod hostile;
mod requests;
mod splits;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
