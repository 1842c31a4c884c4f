//! The store's part: one script, and typed calls of it.
//!
//! A [`Trip`] is one call of the script by one process: it gives back, asks, renews its slots and tells for how long its first call
//! in line has waited. `script.lua` and its parts say what the store does with it. All times are in microseconds, and all amounts are at most
//! [`LARGEST`]: larger ones are as large as that.
//!
//! # A process that is cut off
//!
//! With [`Terms::fallback`] each process has a share of all limits and of the slots ([`Reply::fallback`]), and all shares together are never more
//! than all. From [`Terms::share_begins`] until [`Terms::share_ends`] it may use its share by itself: at most that part of each limit, rounded
//! down, in any [`kept`](Window::kept), and so many slots. The store keeps it free meanwhile, and what was used of it for as long as that
//! counts. So that both agree:
//!
//! - it tells [`apart`](Trip::apart) with each trip that begins later than the time to live after the beginning of the last answered one;
//! - it stops at once when it has an answer, and before it sends a trip without `apart`. An answer that takes longer than a third of the time to
//!   live is not waited for;
//! - it does not [`leave`](Trip::leave) before it has stopped;
//! - it tells the calls that it has begun by itself, and that go on, by [`in_flight`](Trip::in_flight): it has slots for them from its first answer on;
//! - it believes the share only of an answer that came within a second from the beginning of its trip; an answer that comes later says
//!   that it has none. A process that leaves has none from the beginning of that trip on;
//! - where tokens count as produced, a call that holds them for longer than the time to live is not covered. Nor is a slot of a call that goes on
//!   when the share of its process has ended without an answer, or when the slots that it has of another one's share are taken back.
//!
//! A share is one part of as many as there are processes, and one more, and at most half of what the others do not have. So something is always
//! free for a process that joins, or that comes after one that was killed, and a single process has half of all.
//!
//! A request that arrives minutes late cannot be told from a step of the store's clock forwards. Time is lost by it, and shares begin by true time
//! all the same. So after such a step by more than the time to live, all shares may be kept free until what they may have been used for has
//! left the windows. A step backwards while nobody reaches the store, that is met first by a process that does not know the time, is not noticed.
//!
//! A share that is kept free may leave too little for one large call. Nobody waits for that one meanwhile. When it fits again, it is in line by
//! how long it has waited.
//!
//! # Calls in flight
//!
//! The store may tell a process of fewer slots than its calls hold: it has older state, or keeps a share free. They go on, and count for as long as
//! the process tells them by [`in_flight`](Trip::in_flight): nobody else is granted their slots. A process that is silent for the time to live
//! is not counted on any more, except for its share.
//!
//! # A process that gets no answers
//!
//! Its trips may arrive all the same. With more than three of them unanswered it is granted nothing, waits in no line, and keeps the slots
//! that it knows of. The first answer mends it: after an interruption one trip more is needed.
//!
//! # Other limits
//!
//! Processes with other limits than those of the state get [`StoreError::Limits`], until all that had them have left, or have been silent for the
//! time to live, and for the fallback if they have shares. Then another epoch begins with the new limits. It is quiet for the longer of what both
//! need, as after a loss; those that still have the old ones get the error then.
//!
//! # After a loss
//!
//! Each process tells the share that it believes in ([`Trip::fallback`]), and keeps it. No other gets one in the quiet time ([`Reply::quiet`]).
//! If the store has older state, or if a process claims a share of an epoch that the store does not know, there may be more of them. What
//! nobody has claimed is then kept free for the time to live and the fallback, for as long as a process may use it that has not been
//! heard of, and until then no new process has a share. Otherwise nothing is kept free once the quiet time is over.
//!
//! What is not covered: a store that has lost all of its state learns only by a claim that there are old processes. It may be that none
//! arrives until the quiet time is over: only new processes reach it, or old ones without a share, or nobody does. Old ones that are cut off from it
//! all that time, and use their shares or have used them before they died, then exceed the limit together with the others: by these shares
//! at most, until they count no more. One claim in time is enough. Slots are the same: those that an old process without a share has
//! kept are not taken from it before another one claims.
//!
//! The quiet time begins with the server: one that has run for longer has none for a limit that it does not know. But if the first that comes
//! is a process whose last answer is not older than the quiet time, then all of the state was lost since: a key was deleted, or the server
//! started with a wrong clock. The quiet time begins with that trip. If a new process comes first, nobody knows. With [`Trip::unused`] a limit
//! begins without: the user vouches that there are no old processes.
//!
//! # What is published
//!
//! On the channel of the key's name, to ask earlier, if it arrives: [`Published`]. `pause` is for all, when a trip changes a pause. `room` or `slots`
//! with the number of a process and that of its last trip is for that process only: of those that wait, it is the first in order that can use
//! what another trip has brought. If it has made a later trip meanwhile, it is no news. Its own trip tells the next one. In a cluster these are
//! sharded messages. A user who may not publish can do all else.
//!
//! # What a store needs to allow
//!
//! The keys `~ringgate:{namespace:*`, the commands `+evalsha +script|load +time +info +hmget +hlen +pttl +hset +hdel +pexpire`, and for what is
//! published `&ringgate:{namespace:*` and `+publish +subscribe`. The client itself sends `+hello` (with a password also `+auth`), `+client|setinfo`
//! (it goes on without; Redis before 7.2 does not know it, so leave it out there), `+select` for a database other than 0; in a cluster `+cluster|slots`, `+ping`, and `+spublish +ssubscribe` in
//! the place of the unsharded ones. The user that asks sentinels needs `+sentinel` and `+role` there.
//!
//! # Errors
//!
//! Nothing of what the store answers is trusted: what cannot be read is [`StoreError::Unreadable`].

mod arguments;
mod error;
mod key;
mod published;
mod reply;

pub use error::StoreError;
pub use key::key;
pub use published::{NotPublished, Published};
pub use reply::{Granted, Reply};

use redis::aio::ConnectionLike;
use redis::{Script, Value};

/// The largest number that the script takes: 2^52.
pub const LARGEST: u64 = 1 << 52;

/// What a request may take to arrive. One that takes longer does not count as a sign of life: see `timely` in the script.
/// And the store's clock may have gone back by as much, unnoticed.
const ON_ITS_WAY: u64 = 2_000_000;

/// Clocks go wrong by less than one part in so many.
pub(crate) const DRIFT: u64 = 2_000;

/// What two clocks may differ by in the end.
fn drift(length: u64) -> u64 {
    2 * (length / DRIFT + 1)
}

/// The limits that processes share. All of them must have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Requests and tokens in time.
    pub windows: Vec<Window>,
    /// Calls in flight.
    pub slots: Option<u64>,
    /// How long a process that is not heard of keeps its slots.
    pub time_to_live: u64,
    /// For how long a process that the store does not hear of may use its share by itself, once its time to live is over. Meanwhile the store
    /// keeps that share free. `None`: processes that are cut off wait, and nothing is kept free.
    pub fallback: Option<u64>,
}

impl Terms {
    /// Until all that was granted before, or used by itself by a process that was cut off, matters no more.
    fn settled(&self) -> u64 {
        let windows = self.windows.iter().map(|window| {
            let held = if window.produced { self.time_to_live } else { 0 };
            window.kept.saturating_add(window.tick.saturating_mul(2)).saturating_add(held)
        });
        windows.fold(self.time_to_live, u64::max)
    }

    /// When a process may begin to use its [share](Reply::fallback) by itself: `plain_began` is when the last trip began that it has sent
    /// without [`apart`](Trip::apart), whether that has arrived or not, or that it has an answer to. `None` if there are no shares.
    #[must_use]
    pub fn share_begins(&self, plain_began: u64) -> Option<u64> {
        self.fallback?;
        let wait = self.time_to_live.saturating_add(self.settled()).saturating_add(ON_ITS_WAY);
        Some(plain_began.saturating_add(wait.saturating_add(drift(wait))))
    }

    /// For so long it tells its share by [`Trip::fallback`], because what it has used by itself may count until then: `answered_began` as for
    /// [`share_ends`](Self::share_ends), when it must have ended.
    #[must_use]
    pub fn share_counts_until(&self, answered_began: u64) -> Option<u64> {
        Some(answered_began.saturating_add(self.time_to_live.saturating_add(self.fallback?)))
    }

    /// When it must have ended: `answered_began` is when the last trip began that it has an answer to. It also ends with any answer, and
    /// before another trip is sent without `apart`. This and [`share_begins`](Self::share_begins) allow for a clock of the process that is wrong by
    /// a two thousandth, and one of the store that is wrong by as much the other way.
    #[must_use]
    pub fn share_ends(&self, answered_began: u64) -> Option<u64> {
        let length = self.time_to_live.saturating_add(self.fallback?);
        let length = length.saturating_sub(self.settled());
        Some(answered_began.saturating_add(length.saturating_sub(drift(length))))
    }
}

/// At most `limit` in any `kept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The most that it contains.
    pub limit: u64,
    /// The window, the margin, and the length of a lease.
    pub kept: u64,
    /// How exactly time is kept. What is granted counts for up to two ticks longer than `kept`.
    pub tick: u64,
    /// Whether the provider counts tokens as they are produced, and not at the start of the call: what is granted then counts as held, until it is
    /// told as used or given up.
    pub produced: bool,
}

/// What a process asks of a window, or of the slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// What its first call in line needs. Less than that is not granted.
    pub least: u64,
    /// What all its calls in line need.
    pub need: u64,
    /// That, and what it would take ahead.
    pub want: u64,
}

/// What a process asks of the slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotAsk {
    /// Those that it has, by its own clock. What its last answer gave it beyond that it has given up, except for calls in
    /// [flight](Trip::in_flight): it is free, and if the process needs it again, those who have waited longer are before it.
    pub have: u64,
    /// How many it must have for its calls in flight and in line.
    pub need: u64,
    /// That, and what it would take ahead. If it has more, the rest goes back.
    pub want: u64,
}

/// Something that is not used of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// Which window.
    pub window: usize,
    /// The limit's [time](Reply::now) at the grant.
    pub granted_at: u64,
    /// How much of it.
    pub amount: u64,
}

/// What a process has used of a window, and what it holds. All of it is told with each trip; a trip that is lost loses nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that counts from when it is told, since the process began: of a window that counts at the start, what was used beyond what was granted
    /// for it; of one that counts as produced, all that was used. Whatever the limit.
    pub used: u64,
    /// The `used` of the trip [`acked`](Trip::acked).
    pub used_acked: u64,
    /// Only of a window that counts as produced: what was granted in answers that it has, and has neither been used nor given up.
    pub held: u64,
}

/// The most that one trip gives back. What is above that goes with the next one.
pub const MOST_RETURNS: usize = 64;

/// What changes for all processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pause {
    /// Nothing.
    #[default]
    Keep,
    /// Nothing is granted for so long. A longer pause stays.
    For(u64),
    /// A pause ends.
    End,
}

/// One call of the script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trip {
    /// Which process: a random number.
    pub process: u64,
    /// Which trip of it, from 1 on. One that is not later than another that has arrived is [stale](StoreError::Stale).
    pub seq: u64,
    /// The last trip that it has an answer to. What a later one was granted goes back: its answer must not be used any more.
    pub acked: u64,
    /// The epoch of that answer.
    pub epoch: Option<u64>,
    /// The limit's [time](Reply::now) of that answer. Zero if it does not know.
    pub acked_at: u64,
    /// The name of the next epoch, if this trip begins one: a random number.
    pub next_epoch: u64,
    /// What the limit's [time](Reply::now) is at least, by this process's own clock: that of an answer, and what has passed since
    /// it came, less what that clock may be fast: a two thousandth of it. Too little is late, and harms nobody; too much makes time jump, and
    /// grants leave too early. Zero if it does not know.
    pub vouched: u64,
    /// How much later it may be: the time from that trip's beginning to its answer, and what this trip may take to arrive.
    pub slack: u64,
    /// The [steps](Reply::steps) of that answer.
    pub steps: u64,
    /// For how long its first call in line has waited. Zero if there is none.
    pub waited: u64,
    /// A pause for all.
    pub pause: Pause,
    /// The process goes. Its slots are free, and nothing is granted. It has no share any more, whether an answer comes or not.
    pub leave: bool,
    /// The process may be using its share by itself, or has given it up only with this trip's answer: nothing is granted. To be told with each
    /// trip that begins later than the time to live after the beginning of the last answered one.
    pub apart: bool,
    /// The [share](Reply::fallback) that it may use by itself, or may have used: that of its last answer. Zero if it has none, has left, or if that
    /// [counts](Terms::share_counts_until) no more.
    pub fallback: u64,
    /// The user vouches for it that a limit that the store does not know has not been used before: a limit that begins with this trip does not
    /// wait until what may have been forgotten cannot matter any more. Only for a process that has had no answer yet.
    pub unused: bool,
    /// Of the slots.
    pub slots: SlotAsk,
    /// How many slots its calls in flight hold, also those of a share that it has used by itself. After such a share it has slots for them before
    /// all who wait. Nobody else has these slots while it tells them, also if it is told of fewer. Not more than it [needs](SlotAsk::need).
    pub in_flight: u64,
    /// Of each window.
    pub asks: Vec<Ask>,
    /// Of each window.
    pub tallies: Vec<Tally>,
    /// What goes back. Nothing of windows that count as produced.
    pub returns: Vec<Return>,
}

/// In the place of the store's own clock and identity.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected {
    pub clock: u64,
    pub run: u64,
    pub uptime: u64,
}

/// One script, in parts so that each can be read for itself.
const SCRIPT: &str = concat!(
    include_str!("script.lua"),
    include_str!("script/processes.lua"),
    include_str!("script/windows.lua"),
    include_str!("script/grants.lua"),
    include_str!("script/writes.lua"),
);

/// The script, to be made once.
#[derive(Debug, Clone)]
pub struct Store {
    script: Script,
    key: String,
    terms: Terms,
}

impl Store {
    /// For the limit of this name.
    #[must_use]
    pub fn new(namespace: &str, name: &str, terms: Terms) -> Self {
        let script = Script::new(SCRIPT);
        Self { script, key: key(namespace, name), terms }
    }

    /// Where the limit is kept.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Makes a trip. If the store does not have the script, it is loaded and called again.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the store's own, those of the connection, and what is wrong with the limit's state. Whether an
    /// interrupted trip has arrived is not known: the next one tells by [`acked`](Trip::acked).
    ///
    /// # Cancel safety
    ///
    /// As after an interruption.
    pub async fn call(
        &self,
        connection: &mut impl ConnectionLike,
        trip: &Trip,
    ) -> Result<Reply, StoreError> {
        let arguments = arguments::of(&self.terms, trip, None);
        let mut call = self.script.key(self.key.as_str());
        let answer: Value = call.arg(arguments).invoke_async(connection).await?;
        Reply::read(&answer, self.terms.windows.len())
    }

    /// [`call`](Self::call), of a blocking connection and with another time.
    #[doc(hidden)]
    pub fn call_at(
        &self,
        connection: &mut dyn redis::ConnectionLike,
        trip: &Trip,
        injected: impl Into<Option<Injected>>,
    ) -> Result<Reply, StoreError> {
        let arguments = arguments::of(&self.terms, trip, injected.into());
        let answer: Value = self.script.key(self.key.as_str()).arg(arguments).invoke(connection)?;
        Reply::read(&answer, self.terms.windows.len())
    }

    /// The same key with other limits.
    #[must_use]
    pub fn with_terms(&self, terms: Terms) -> Self {
        Self { terms, ..self.clone() }
    }
}
