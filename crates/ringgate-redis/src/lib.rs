//! Limits that many processes share, by leases from Redis or Valkey.
//!
//! Under construction: what is here is the store's part, one Lua script, and typed calls of it.

pub mod script;
