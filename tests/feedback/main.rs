//! What a provider has said: the plain value, and its reader for the answers of all providers.

#[cfg(feature = "http")]
mod answers;
#[cfg(feature = "http")]
mod classes;
#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "http")]
mod forms;
#[cfg(feature = "http")]
mod hostile;
#[cfg(feature = "http")]
mod providers;
mod value;
