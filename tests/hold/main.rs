//! Permits that go with a stream, a future or a body.

#[cfg(feature = "http-body")]
mod body;
#[cfg(feature = "http-body")]
mod body_faults;
#[path = "../common/mod.rs"]
mod common;
#[cfg(all(feature = "http", feature = "http-body"))]
mod error_body;
mod faults;
mod future;
mod idle;
mod observed;
mod scene;
mod stream;
#[cfg(feature = "http")]
mod wire;

use common::counting::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
