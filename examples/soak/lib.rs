//! `cargo run --release --example soak`: its example is all that this package has.
