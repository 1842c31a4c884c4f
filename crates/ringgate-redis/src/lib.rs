//! Limits that many processes share, by leases from Redis or Valkey.
//!
//! Under construction. What is here: the [store's part](script), one Lua script and typed calls of it, and a
//! [process's part](session) without the connection. What is not: the limiter that spends the leases.
//!
//! ```no_run
//! # async fn example(mut connection: redis::aio::MultiplexedConnection) -> Result<(), Box<dyn std::error::Error>> {
//! use ringgate_redis::script::{Ask, Store, Terms, Window};
//! use ringgate_redis::session::{Demand, Session};
//!
//! // 500 a minute. A lease is spent within a second, and a call counts 250 ms longer than the window.
//! let window = Window { limit: 500, kept: 61_250_000, tick: 62_000, produced: false };
//! let terms = Terms { windows: vec![window], slots: Some(8), time_to_live: 9_000_000, fallback: None };
//! let store = Store::new("agents", "large-model", terms.clone());
//! let mut session = Session::new(0x5eed, terms, 1_000_000);
//!
//! // Twice: by a clock that never goes back.
//! let now = 0;
//! let asks = vec![Ask { least: 1, need: 3, want: 10 }];
//! let trip = session.begin(now, &Demand { asks, slots: 3, ..Demand::default() }, 0xe90c);
//! let reply = store.call(&mut connection, &trip).await?;
//! session.complete(now, trip.seq, &reply);
//! let may_call = session.spend(now, &[1]);
//! # let _ = may_call;
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! No window contains more than its limit, in whatever processes, if leases are spent until they end: also while trips are late, lost or
//! repeated, and after the store was restarted with older state or none, or replaced by a replica. A store that may have forgotten something
//! grants nothing until that cannot matter any more: for the longest window and a lease.
//!
//! What does not hold: two stores that both take themselves for the primary grant twice (`min-replicas-to-write`), and so does one
//! that runs on while its keys are deleted or evicted (`noeviction`: they all have a time to live). A step of the store's clock is
//! noticed by the next trip of a process that has had an answer since the last step; if another one comes first, one forwards is believed.
//!
//! # For the store
//!
//! One hash for each limit, `ringgate:{namespace:name}`, of at most some 10 KB for each window, that expires a day after it has last
//! mattered. A user needs the keys `~ringgate:{namespace:*` and the commands
//! `+evalsha +script|load +time +info +hmget +hlen +pttl +hset +hdel +pexpire`.
//!
//! # Cost
//!
//! A trip takes the store 0.14 ms with one process and one window, 0.2 with eight and two, 0.5 with 64, and 0.3 if it tells when there will
//! be room. (Redis 7.0, two cores that others used, too; an empty trip takes 30 µs there and back.)
//!
//! # Errors
//!
//! [`StoreError`](script::StoreError). Nothing that comes from the store makes it panic.

pub mod script;
pub mod session;
