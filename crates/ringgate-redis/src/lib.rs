//! Limits that many processes share, by leases from Redis or Valkey.
//!
//! Under construction: what is here is the [store's part](script), one Lua script and typed calls of it, and a [process's part](session)
//! without the connection.

pub mod script;
pub mod session;
