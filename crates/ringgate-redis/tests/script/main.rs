//! The store's script, on a real server: `valkey-server` or `redis-server`, from the path.

mod adversary;
mod cases;
mod faults;
mod histories;
mod history;
mod ledger;
#[path = "../common/model.rs"]
mod model;
mod process;
mod pushes;
mod random;
mod scene;
mod server;
mod shares;
