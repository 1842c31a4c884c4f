//! The store's script, on a real server: `valkey-server` or `redis-server`, from the path.

mod adversary;
mod audit;
mod cases;
mod faults;
mod histories;
mod history;
mod ledger;
#[path = "../common/model.rs"]
mod model;
mod process;
mod pushes;
#[path = "../common/random.rs"]
mod random;
mod scene;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/server.rs"]
mod server;
mod shares;
