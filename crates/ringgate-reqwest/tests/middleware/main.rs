//! The middleware before a strict provider, and before servers that do what none should.

mod answers;
mod errors;
mod hangups;
mod lost;
mod retries;
mod scene;
mod settings;
mod tokens;
