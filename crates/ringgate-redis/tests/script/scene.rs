//! One limit on one server, with time by hand.

use crate::server::Server;
use redis::Connection;
use ringgate_redis::script::{
    Ask, Injected, Reply, SlotAsk, Store, StoreError, Terms, Trip, Window,
};

pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const TTL: u64 = 9 * SECOND;

pub(crate) struct Scene {
    pub(crate) connection: Connection,
    pub(crate) store: Store,
    pub(crate) at: Injected,
    pub(crate) server: Server,
}

/// At most `limit` in ten seconds, kept in ticks of 100 ms.
pub(crate) fn terms(limit: u64, slots: Option<u64>) -> Terms {
    let window = Window { limit, kept: 10 * SECOND, tick: SECOND / 10, produced: false };
    Terms { windows: vec![window], slots, time_to_live: TTL, fallback: None }
}

impl Scene {
    pub(crate) fn new(limit: u64, slots: Option<u64>) -> Self {
        let server = Server::start();
        let connection = server.connect();
        let store = Store::new("tests", "scene", terms(limit, slots));
        // The server has run for a day.
        let at = Injected { clock: 1_790_000_000 * SECOND, run: 1, uptime: 86_400 * SECOND };
        Self { connection, store, at, server }
    }

    pub(crate) fn pass(&mut self, time: u64) {
        self.at.clock += time;
        self.at.uptime += time;
    }

    pub(crate) fn call(&mut self, trip: &Trip) -> Result<Reply, StoreError> {
        self.store.call_at(&mut self.connection, trip, self.at)
    }

    /// Makes the process's next trip, with an answer.
    pub(crate) fn go(&mut self, process: &mut Process, trip: Trip) -> Reply {
        let trip = process.next(trip);
        let reply = self.call(&trip).unwrap();
        process.take(&trip, &reply);
        reply
    }

    /// [`go`](Self::go), of a process that knows the time and its share.
    pub(crate) fn go_on(&mut self, process: &mut Process, trip: Trip) -> Reply {
        let vouched = if process.acked > 0 { self.at.clock } else { 0 };
        let (steps, fallback) = (process.steps, process.fallback.max(trip.fallback));
        let trip = process.next(Trip { vouched, slack: SECOND / 10, steps, fallback, ..trip });
        let reply = self.call(&trip).unwrap();
        process.take(&trip, &reply);
        reply
    }

    /// How much one more is granted at once.
    pub(crate) fn take(&mut self, process: &mut Process, amount: u64) -> u64 {
        self.go(process, asking(amount)).windows[0].amount
    }
}

/// What a process remembers between trips.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    id: u64,
    seq: u64,
    acked: u64,
    epoch: Option<u64>,
    acked_at: u64,
    steps: u64,
    pub(crate) fallback: u64,
}

impl Process {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, seq: 0, acked: 0, epoch: None, acked_at: 0, steps: 0, fallback: 0 }
    }

    pub(crate) fn next(&mut self, trip: Trip) -> Trip {
        self.seq += 1;
        let next_epoch = self.id << 32 | self.seq;
        let Self { id: process, seq, acked, epoch, acked_at, .. } = *self;
        Trip { process, seq, acked, epoch, acked_at, next_epoch, ..trip }
    }

    pub(crate) fn take(&mut self, trip: &Trip, reply: &Reply) {
        self.acked = trip.seq;
        self.epoch = Some(reply.epoch);
        self.acked_at = reply.now;
        self.steps = reply.steps;
        self.fallback = reply.fallback;
    }
}

/// For a line that has waited for a second, or, of zero, for nobody.
pub(crate) fn asking(amount: u64) -> Trip {
    let ask = Ask { least: amount.min(1), need: amount, want: amount };
    let waited = if amount > 0 { SECOND } else { 0 };
    Trip { asks: vec![ask], waited, ..Trip::default() }
}

pub(crate) fn slots(have: u64, need: u64, want: u64) -> Trip {
    Trip { slots: SlotAsk { have, need, want }, ..asking(0) }
}
