//! Limits that many processes share, by leases from Redis or Valkey.
//!
//! A [`SharedLimiter`] is a ringgate [`Limiter`](ringgate::Limiter) whose limits are kept in a store, for all processes that give
//! the same limits and the same name. A call takes from a lease, in this process and without a lock; the store is asked once for a
//! batch of calls.
//!
//! ```no_run
//! use ringgate::{Limiter, Rate};
//! use ringgate_redis::SharedLimiter;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let limits = Limiter::builder().rate(Rate::per_minute(500)).max_concurrent(16);
//! let limiter =
//!     SharedLimiter::builder(limits, "agents", "large-model").connect("redis://127.0.0.1/").await?;
//! let permit = limiter.acquire().await?;
//! // … the call …
//! # drop(permit);
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! No window contains more than its limit, in whatever processes: also while trips are late, lost or repeated, while processes are
//! stopped or killed, and after the store was restarted with older state or none, or replaced by a replica. A store that may have
//! forgotten something grants nothing until that cannot matter any more: for the longest window and a lease. A lease ends by a
//! monotonic clock, from before it was asked for, and is looked at by each call.
//!
//! What does not hold: two stores that both take themselves for the primary grant twice (`min-replicas-to-write`), and so does one
//! that runs on while its keys are deleted or evicted (`noeviction`: they all have a time to live), unless the first that comes then is a process
//! with an answer of shortly before. A step of the store's clock is
//! noticed by the next trip of a process that has had an answer since the last step; if another one comes first, one forwards is believed.
//! Calls in flight count against the slots of others for as long as their process reaches the store, also if the store has told it of fewer; those of a
//! process that is cut off for longer than its time to live do not. While a machine is
//! suspended its monotonic clock may stand still: the driver notices that by the wall clock, and takes all leases out of use; a call that is begun
//! between the wake and the driver's look still goes with an old one.
//!
//! # While the store is away
//!
//! Calls go on with the leases that there are, then they wait in line; their timeouts hold. Then, by default, each process uses its share of
//! the limits by itself ([`WhileAway`]), so that all of them together never use more than the limits.
//!
//! # For the store
//!
//! Redis 7 or Valkey 8, or later. One hash for each limit, `ringgate:{namespace:name}`, of at most some 10 KB for each window, that expires a day after it
//! has last mattered. What a store's user must be allowed is told in [`script`](script#what-a-store-needs-to-allow).
//!
//! A store that has started lately may have forgotten something: it grants nothing for the longest window and a lease, counted from its start.
//! [`assume_unused`](SharedLimiterBuilder::assume_unused) is for stores that are known to be new. What shares add to that is told in
//! [`script`](script#after-a-loss).
//!
//! Tried with Redis 7.0 and Valkey 8.0: one server, a cluster of three nodes, a sentinel with failover, TLS by rustls and by native-tls. Not tried: TLS
//! to sentinels or clusters, client certificates, and a failover inside a cluster. After a failover, or when a limit's slot moves, the store is another
//! run of it: a new epoch, and nothing is granted for the longest window and a lease. ACLs are not replicated: set the user on the replica, too.
//! Give several seeds or sentinels; one that is silent costs up to a second at each connection.
//!
//! Give one TLS feature: with both, the client takes rustls and trusts only the authorities that it is given. With `tls-rustls`, install a
//! `CryptoProvider` before the first connection, or ring becomes the process's.
//!
//! # Cost
//!
//! A call takes one compare-and-swap for each limit, as in a limiter of one process: in 0.6 to 1.0 times as long as there, on two cores. All threads
//! write one word for each limit: with a rate alone, two that make nothing but calls take as long as there, and up to 2.5 times as long where lines
//! go slowly from core to core. A trip takes the store 0.2 ms with eight processes and two windows, 0.5 with 64 (Redis 7.0, two
//! cores that others used, too). It brings what all calls in line need, and ahead about what goes while a lease lasts. Where a limit is used up and
//! eight processes wait for it, with one or two calls to a lease, there are 0.9 to 1.2 trips a call; with fewer slots than processes some two. An
//! idle process makes none; without `max_concurrent`, and with limits on tokens, only once the window has passed (its calls may give something back
//! until then). Lock-freedom is claimed for calls only: the task that makes trips is one owner of its state.
//!
//! # Cancel safety
//!
//! Futures of calls can be dropped at any point, and so can the [driver](Driver): then leases end, and calls wait.
//!
//! # Errors
//!
//! [`ConnectError`], [`ConfigError`], [`StoreError`](script::StoreError). Nothing that comes from the store makes it panic.

mod batch;
mod builder;
mod connect;
mod driver;
mod error;
mod ledger;
mod limiter;
mod link;
mod random;
pub mod script;
mod session;
mod status;
mod suspension;

pub use builder::{SharedLimiterBuilder, WhileAway};
pub use connect::StoreClient;
pub use driver::Driver;
pub use error::{ConfigError, ConnectError};
pub use limiter::SharedLimiter;
pub use link::{Link, News};
pub use status::{Status, StoreState};
