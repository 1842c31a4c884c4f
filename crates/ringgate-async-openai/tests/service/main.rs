//! The service, before a client that sends nothing.

mod asks;
mod client;
mod holds;
mod lost;
mod observed;
mod refusals;
mod retries;
mod scene;
mod tokens;
