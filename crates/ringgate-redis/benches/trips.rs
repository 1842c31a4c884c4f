//! Calls that share limits by leases, beside a script for each call: `cargo bench -p ringgate-redis --bench trips` (half a minute;
//! `-- --quick`: seconds). It starts `valkey-server` or `redis-server` on loopback.
//!
//! The rival is the usual one: a sorted set of stamps and a script that forgets old ones, counts and adds, once for each call. All
//! sides take turns in the same run, and figures are medians. The processes are limiters and connections of their own in one
//! process, so the store and all of them share its cores. With the wide limit no call waits for room. With the tight one all calls
//! together want more than there is; the rival asks again until it gets a place, as its users do, after as long as it is told.

#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]
#![allow(clippy::cast_precision_loss, reason = "figures")]

#[path = "../tests/common/server.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod server;

use redis::aio::MultiplexedConnection;
use redis::{Client, Script};
use ringgate::{Limiter, Rate};
use ringgate_redis::SharedLimiter;
use server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A limit: so many in a window.
#[derive(Clone, Copy)]
struct Limit {
    name: &'static str,
    calls: u32,
    window: Duration,
}

/// What a side has done.
#[derive(Clone, Copy, Default)]
struct Done {
    calls: u64,
    trips: u64,
    time: Duration,
}

const USUAL: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
  return 0
end
return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] + ARGV[2] - now
";

async fn connections(server: &Server, processes: usize) -> Vec<MultiplexedConnection> {
    let client = Client::open(server.url()).expect("a url");
    let mut all = Vec::new();
    for _ in 0..processes {
        all.push(client.get_multiplexed_async_connection().await.expect("a connection"));
    }
    all
}

async fn usual(server: &Server, processes: usize, limit: Limit, length: Duration) -> Done {
    let name = format!("usual:{}", limit.name);
    let (next, trips, calls) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let script = Script::new(USUAL);
    let began = Instant::now();
    let process = |mut connection: MultiplexedConnection| {
        let (next, trips, calls, script, name) = (&next, &trips, &calls, &script, &name);
        async move {
            while began.elapsed() < length {
                let id = next.fetch_add(1, Relaxed);
                let micros = u64::try_from(limit.window.as_micros()).expect("short");
                let mut call = script.key(name.as_str());
                let call = call.arg(limit.calls).arg(micros).arg(id);
                let wait: i64 = call.invoke_async(&mut connection).await.expect("it answers");
                trips.fetch_add(1, Relaxed);
                if wait == 0 {
                    calls.fetch_add(1, Relaxed);
                } else {
                    let wait = Duration::from_micros(wait.max(1).unsigned_abs());
                    tokio::time::sleep(wait.min(length.saturating_sub(began.elapsed()))).await;
                }
            }
        }
    };
    let all = connections(server, processes).await.into_iter().map(process);
    futures_util::future::join_all(all).await;
    Done { calls: calls.into_inner(), trips: trips.into_inner(), time: began.elapsed() }
}

async fn limiters(server: &Server, processes: usize, limit: Limit) -> Vec<SharedLimiter> {
    let mut all = Vec::new();
    for _ in 0..processes {
        let limits = Limiter::builder().rate(Rate::new(limit.calls, limit.window));
        let builder = SharedLimiter::builder(limits, "bench", limit.name).assume_unused();
        all.push(builder.connect(server.url().as_str()).await.expect("it connects"));
    }
    all
}

async fn leased(limiters: &[SharedLimiter], length: Duration) -> Done {
    let calls = Arc::new(AtomicU64::new(0));
    let trips = || limiters.iter().map(|limiter| limiter.status().trips).sum::<u64>();
    let before = trips();
    let began = Instant::now();
    let process = |limiter: &SharedLimiter| {
        let (limiter, calls) = (limiter.clone(), Arc::clone(&calls));
        async move {
            while let Some(left) = length.checked_sub(began.elapsed()) {
                // Only a timeout can refuse it.
                if limiter.acquire_timeout(left).await.is_ok() {
                    calls.fetch_add(1, Relaxed);
                }
                tokio::task::coop::consume_budget().await;
            }
        }
    };
    futures_util::future::join_all(limiters.iter().map(process)).await;
    Done { calls: calls.load(Relaxed), trips: trips() - before, time: began.elapsed() }
}

async fn alone(limit: Limit, processes: usize, length: Duration) -> Done {
    let limiter = Limiter::builder().rate(Rate::new(limit.calls, limit.window)).build();
    let calls = AtomicU64::new(0);
    let began = Instant::now();
    let process = || async {
        while let Some(left) = length.checked_sub(began.elapsed()) {
            if limiter.acquire_timeout(left).await.is_ok() {
                calls.fetch_add(1, Relaxed);
            }
            tokio::task::coop::consume_budget().await;
        }
    };
    futures_util::future::join_all((0..processes).map(|_| process())).await;
    Done { calls: calls.into_inner(), trips: 0, time: began.elapsed() }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let is_quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, length) = if is_quick { (3, 200) } else { (9, 500) };
    let length = Duration::from_millis(length);
    let server = Server::start();
    let minute = Duration::from_secs(60);
    let limits = [
        Limit { name: "wide", calls: u32::MAX, window: minute },
        Limit { name: "tight", calls: 100, window: Duration::from_millis(500) },
    ];
    for limit in limits {
        for processes in [1, 8] {
            let limiters = limiters(&server, processes, limit).await;
            let mut seen = [const { Vec::new() }; 3];
            for _ in 0..rounds {
                // A log is not that large: as many in a shorter time.
                let short = Limit { calls: 1 << 16, window: Duration::from_millis(1), ..limit };
                let here = if limit.calls == u32::MAX { short } else { limit };
                seen[0].push(alone(here, processes, length).await);
                seen[1].push(leased(&limiters, length).await);
                seen[2].push(usual(&server, processes, limit, length).await);
            }
            for (name, seen) in ["in one process", "leases", "a script a call"].iter().zip(seen) {
                let rate = |done: &Done| done.calls as f64 / done.time.as_secs_f64();
                let trips = |done: &Done| done.trips as f64 / done.calls.max(1) as f64;
                println!(
                    "{:5} limit, {processes} process(es), {name:<16} {:>9.0} calls/s  {:.4} trips a call",
                    limit.name,
                    median(seen.iter().map(rate).collect()),
                    median(seen.iter().map(trips).collect()),
                );
            }
            for limiter in limiters {
                limiter.leave().await;
            }
        }
    }
}
