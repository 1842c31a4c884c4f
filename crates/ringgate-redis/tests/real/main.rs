//! Shared limiters on a real server: `valkey-server` or `redis-server`, from the path. Real time, but generous.

#[cfg(feature = "cluster")]
mod cluster;
mod proxy;
#[cfg(feature = "sentinel")]
mod sentinel;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/server.rs"]
mod server;
#[allow(dead_code, reason = "for the features that are on")]
mod sharing;
#[cfg(any(feature = "tls-native-tls", feature = "tls-rustls"))]
mod tls;

use proxy::Proxy;
use redis::Commands;
use ringgate::time::{Clock, SystemClock};
use ringgate::{Limit, Limiter, LimiterBuilder, Rate, Usage};
use ringgate_redis::script::{StoreError, key};
use ringgate_redis::{ConnectError, SharedLimiter, SharedLimiterBuilder, WhileAway};
use server::Server;
use std::future::Future;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Longer than anything takes that works.
const LONG: Duration = Duration::from_secs(30);

fn limits() -> LimiterBuilder {
    let second = Duration::from_secs(1);
    Limiter::builder().rate(Rate::new(20, second)).tokens(2_000, second).max_concurrent(4)
}

fn builder(limits: LimiterBuilder) -> SharedLimiterBuilder {
    SharedLimiter::builder(limits, "tests", "real")
        .lease(Duration::from_millis(100))
        .time_to_live(Duration::from_secs(2))
        .while_away(WhileAway::Wait)
        .assume_unused()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("it hangs")
}

async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_processes_share_their_limits() {
    let server = Server::start();
    let first = soon(builder(limits()).connect(server.url())).await.unwrap();
    let second = soon(builder(limits()).connect(server.url())).await.unwrap();
    let clock = SystemClock::new();
    let began = clock.now();
    let calls = (0..60).map(|n| {
        let limiter = if n % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(async move {
            let permit = limiter.call().tokens(Usage::new(20, 5)).acquire_owned().await.unwrap();
            sleep(Duration::from_millis(10)).await;
            permit.settle(Usage::new(20, 1));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        soon(call).await.unwrap();
    }
    // Twenty at once, and the rest in two more windows.
    assert!(clock.now().saturating_duration_since(began) >= Duration::from_secs(2));
    assert!(first.status().is_connected());
    assert_eq!(first.status().processes, 2);
    assert_eq!(first.status().epoch, second.status().epoch);
    println!("trips: {} {}", first.status().trips, second.status().trips);
    soon(first.leave()).await;
    soon(second.leave()).await;
    assert!(second.status().has_left);
    assert_eq!(first.acquire().await.unwrap_err().limit(), Limit::Closed);
}

#[tokio::test]
async fn slots_are_shared() {
    let server = Server::start();
    let first = soon(builder(limits()).connect(server.url())).await.unwrap();
    let second = soon(builder(limits()).connect(server.url())).await.unwrap();
    let mut permits = Vec::new();
    for _ in 0..4 {
        permits.push(soon(first.acquire_owned()).await.unwrap());
    }
    let waits = tokio::spawn(second.acquire_owned());
    until(|| second.waiters() == 1).await;
    permits.pop();
    assert!(soon(waits).await.unwrap().is_ok());
}

/// Broken by: no trips while calls are in flight and nothing else happens.
#[tokio::test]
async fn slots_stay_with_calls_that_take_longer_than_the_time_to_live() {
    let server = Server::start();
    let first = soon(builder(limits()).connect(server.url())).await.unwrap();
    let second = soon(builder(limits()).connect(server.url())).await.unwrap();
    let mut permits = Vec::new();
    for _ in 0..4 {
        permits.push(soon(first.acquire_owned()).await.unwrap());
    }
    let refused = second.acquire_timeout(Duration::from_secs(5)).await.unwrap_err();
    assert!(!refused.is_permanent());
    drop(permits);
    assert!(soon(second.acquire()).await.is_ok());
}

/// Broken by: a process that keeps its slots for as long as it has calls in line.
#[tokio::test]
async fn a_process_with_many_calls_leaves_a_slot_to_others() {
    let server = Server::start();
    let limits = || Limiter::builder().rate(Rate::per_second(10_000)).max_concurrent(1);
    let first = soon(builder(limits()).connect(server.url())).await.unwrap();
    let second = soon(builder(limits()).connect(server.url())).await.unwrap();
    let crowd = (0..3).map(|_| {
        let limiter = first.clone();
        tokio::spawn(async move {
            while let Ok(permit) = limiter.acquire().await {
                sleep(Duration::from_millis(2)).await;
                drop(permit);
            }
        })
    });
    let crowd: Vec<_> = crowd.collect();
    until(|| first.waiters() > 0).await;
    for _ in 0..3 {
        drop(soon(second.acquire()).await.unwrap());
    }
    first.close();
    for calls in crowd {
        soon(calls).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_call_has_not_used_comes_back_to_others_before_the_window_is_over() {
    let server = Server::start();
    let limits = || Limiter::builder().tokens(10, Duration::from_secs(600));
    let first = soon(builder(limits()).connect(server.url())).await.unwrap();
    let second = soon(builder(limits()).connect(server.url())).await.unwrap();
    let permit = soon(first.call().input_tokens(10).acquire()).await.unwrap();
    let waits = tokio::spawn(second.call().input_tokens(9).acquire_owned());
    until(|| second.waiters() == 1).await;
    permit.settle(Usage::new(1, 0));
    assert!(soon(waits).await.unwrap().is_ok());
}

#[tokio::test]
async fn while_the_store_is_away_a_process_uses_its_share() {
    let mut server = Server::start();
    let share = WhileAway::Share { after: Duration::ZERO, lasts: Duration::from_secs(60) };
    let second = Duration::from_secs(1);
    let limits = || Limiter::builder().rate(Rate::new(20, second)).max_concurrent(4);
    let connect = || builder(limits()).while_away(share).connect(server.url());
    let limiter = soon(connect()).await.unwrap();
    let other = soon(connect()).await.unwrap();
    // Both have calls in flight, so neither leaves.
    let calls = [soon(limiter.acquire()).await.unwrap(), soon(other.acquire()).await.unwrap()];
    until(|| limiter.status().processes == 2).await;
    drop(calls);
    let call = soon(limiter.acquire()).await.unwrap();
    server.kill();
    until(|| limiter.status().is_share).await;
    drop(call);
    // One slot of four: there were two processes, and a part is left for a third.
    let call = soon(limiter.acquire()).await.unwrap();
    assert_eq!(limiter.available_permits(), 0);
    drop(call);
    server.start_again();
    until(|| limiter.try_acquire().is_err() && limiter.status().is_connected()).await;
    assert!(!limiter.status().is_share);
}

#[tokio::test]
async fn a_pause_is_for_all_and_so_is_its_end() {
    let server = Server::start();
    let first = soon(builder(limits()).connect(server.url())).await.unwrap();
    let second = soon(builder(limits()).connect(server.url())).await.unwrap();
    let held = [soon(first.acquire()).await.unwrap(), soon(second.acquire()).await.unwrap()];
    first.pause(Duration::from_secs(600));
    until(|| second.paused_for() > Some(Duration::from_secs(500))).await;
    second.resume();
    until(|| first.paused_for().is_none()).await;
    assert!(soon(first.acquire()).await.is_ok());
    drop(held);
}

#[tokio::test]
async fn calls_go_on_after_the_store_has_been_away() {
    let mut server = Server::start();
    let limiter = soon(builder(limits()).connect(server.url())).await.unwrap();
    drop(soon(limiter.acquire()).await.unwrap());
    server.kill();
    until(|| limiter.try_acquire().is_err()).await;
    let waits = tokio::spawn(limiter.acquire_owned());
    until(|| limiter.status().error().is_some()).await;
    assert!(matches!(limiter.status().error(), Some(StoreError::Away(_))));
    let refused = limiter.acquire_timeout(Duration::from_millis(50)).await.unwrap_err();
    assert!(!refused.is_permanent());
    server.start_again();
    assert!(soon(waits).await.unwrap().is_ok());
    assert!(limiter.status().is_connected());
}

#[tokio::test]
async fn a_store_that_is_not_there_yet_is_no_error() {
    let mut server = Server::start();
    server.kill();
    let limiter = soon(builder(limits()).connect(server.url())).await.unwrap();
    assert!(!limiter.status().is_connected());
    let waits = tokio::spawn(limiter.acquire_owned());
    server.start_again();
    assert!(soon(waits).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_time_does_not_mend_is_refused_until_somebody_mends_it() {
    let server = Server::start();
    let mut connection = server.connect();
    let key = key("tests", "real");
    let _: () = connection.set(&key, "something else").unwrap();
    let error = soon(builder(limits()).connect(server.url())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Store(StoreError::Foreign)), "{error}");

    let _: () = connection.del(&key).unwrap();
    let limiter = soon(builder(limits()).connect(server.url())).await.unwrap();
    let other = builder(limits().rate(Rate::per_minute(1))).connect(server.url());
    let error = soon(other).await.unwrap_err();
    assert!(matches!(error, ConnectError::Store(StoreError::Limits(_))), "{error}");

    let permit = soon(limiter.acquire()).await.unwrap();
    let _: () = connection.set(&key, "something else").unwrap();
    until(|| matches!(limiter.status().error(), Some(StoreError::Foreign))).await;
    let refused = soon(limiter.acquire()).await.unwrap_err();
    assert_eq!(refused.limit(), Limit::Lease);
    drop(permit);
    let _: () = connection.del(&key).unwrap();
    until(|| limiter.status().is_connected()).await;
    assert!(soon(limiter.acquire()).await.is_ok());
}

#[tokio::test]
async fn a_user_who_may_not_is_told() {
    let server = Server::start();
    let mut connection = server.connect();
    let setuser = |rules: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg(rules);
        command
    };
    let _: () =
        setuser(&["weak", "on", ">secret", "~ringgate:*", "+time"]).query(&mut connection).unwrap();
    let refused = soon(builder(limits()).connect(server.url_as("weak:secret@"))).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, ConnectError::Store(StoreError::NoPermission(_))), "{error}");
    let refused = soon(builder(limits()).connect(server.url_as("weak:wrong@"))).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, ConnectError::Store(_)), "{error}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_script_that_was_flushed_is_loaded_again() {
    let server = Server::start();
    let mut connection = server.connect();
    let limiter = soon(builder(limits()).connect(server.url())).await.unwrap();
    drop(soon(limiter.acquire()).await.unwrap());
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection).unwrap();
    let _: () =
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).query(&mut connection).unwrap();
    for _ in 0..30 {
        drop(soon(limiter.acquire()).await.unwrap());
    }
}

#[tokio::test]
async fn an_idle_process_makes_no_trips_and_the_next_call_wakes_it() {
    let server = Server::start();
    let limiter = soon(builder(limits()).connect(server.url())).await.unwrap();
    drop(soon(limiter.acquire()).await.unwrap());
    until(|| limiter.available_permits() == 0).await;
    let trips = limiter.status().trips;
    // Not what is waited for, only a while in which something could happen.
    sleep(Duration::from_secs(3)).await;
    assert!(limiter.status().trips <= trips + 1);
    assert!(soon(limiter.acquire()).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_built_is_said_before_anything_is_asked() {
    let nowhere = "redis://127.0.0.1:1/";
    let long = builder(limits()).lease(Duration::from_secs(10));
    assert!(matches!(long.connect(nowhere).await, Err(ConnectError::Config(_))));
    let short = WhileAway::Share { after: Duration::ZERO, lasts: Duration::from_secs(1) };
    let short = builder(limits()).while_away(short);
    assert!(matches!(short.connect(nowhere).await, Err(ConnectError::Config(_))));
    assert!(matches!(builder(limits()).connect("http://x").await, Err(ConnectError::Client(_))));
}

/// The connection stayed, and each trip waited for an answer on it.
#[tokio::test]
async fn a_connection_that_nobody_answered_on_was_never_replaced() {
    let server = Server::start();
    let proxy = Proxy::start(server.port()).await;
    let limiter = soon(builder(limits()).connect(proxy.url())).await.unwrap();
    drop(soon(limiter.acquire()).await.unwrap());
    assert_eq!(proxy.accepted(), 1);
    proxy.deafen();
    until(|| limiter.status().error().is_some() || limiter.try_acquire().is_err()).await;
    assert!(soon(limiter.acquire()).await.is_ok());
    assert!(proxy.accepted() > 1);
}

/// Slots were asked for only for calls in line.
#[tokio::test]
async fn a_process_that_only_tries_was_refused_for_ever() {
    let server = Server::start();
    let limiter = soon(builder(limits()).connect(server.url())).await.unwrap();
    until(|| limiter.try_acquire().is_ok()).await;
    let mut held = Vec::new();
    until_some(|| limiter.try_acquire_owned().ok(), &mut held, 4).await;
}

/// Tries until it has so many.
async fn until_some<T>(what: impl Fn() -> Option<T>, all: &mut Vec<T>, many: usize) {
    soon(async {
        while all.len() < many {
            all.extend(what());
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
