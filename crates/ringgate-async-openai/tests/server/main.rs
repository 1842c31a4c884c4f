//! async-openai's client with the service, before a strict server.

mod faults;
mod hang_ups;
mod limits;
mod scene;
mod tokens;
