//! A limiter before a service.
#![cfg(feature = "tower")]

mod anywhere;
mod calls;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "http")]
mod faults;
#[cfg(feature = "http")]
mod observed;
mod refusals;
mod scene;
mod stacks;
mod tokens;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
