//! The service, before a client that sends nothing.

mod asks;
mod client;
mod holds;
mod observed;
mod refusals;
mod retries;
mod scene;
mod tokens;
