//! Servers that sentinels know.

use crate::server::{Server, wait_until};
use crate::sharing::{
    Deaf, TEN_MINUTES, allow_agent, connect_two, pushes_arrive, scarce, share_exactly, tokens,
};
use crate::{builder, soon, until};
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{RedisConnectionInfo, cmd};
use ringgate::time::{Clock, SystemClock};
use ringgate::{Limiter, Rate};
use ringgate_redis::script::key;
use ringgate_redis::{SharedLimiter, SharedLimiterBuilder};
use std::collections::HashMap;
use std::time::Duration;

/// A server, its replica, and who watches them.
struct Watched {
    primary: Server,
    replica: Server,
    sentinel: Server,
}

impl Watched {
    fn start() -> Self {
        let primary = Server::start_with(&["--repl-diskless-sync-delay", "0"]);
        let of = ["--replicaof", "127.0.0.1", &primary.port().to_string()];
        let replica = Server::start_with(&of);
        wait_until("the replica does not follow", || {
            let info: String = primary.ask(cmd("INFO").arg("replication"));
            info.contains("state=online")
        });
        let sentinel = Server::start_sentinel(&primary);
        wait_until("the sentinel does not find the replica", || {
            let found: Vec<HashMap<String, String>> =
                sentinel.ask(cmd("SENTINEL").arg("REPLICAS").arg("main"));
            let is_up = |found: &HashMap<String, String>| {
                found["flags"] == "slave" && found["master-link-status"] == "ok"
            };
            found.len() == 1 && is_up(&found[0])
        });
        Self { primary, replica, sentinel }
    }

    async fn connect(&self, builder: SharedLimiterBuilder) -> SharedLimiter {
        soon(builder.connect_with(client(vec![self.sentinel.url()]))).await.unwrap()
    }
}

fn client(sentinels: Vec<String>) -> SentinelClient {
    // Without rustls it takes nothing else.
    let name = String::from("main");
    SentinelClient::build(sentinels, name, None, SentinelServerType::Master).unwrap()
}

fn subscribers(server: &Server) -> u64 {
    let told: (String, u64) = server.ask(cmd("PUBSUB").arg("NUMSUB").arg(key("tests", "real")));
    told.1
}

#[tokio::test]
async fn by_a_sentinel_two_processes_share_a_limit_exactly() {
    let watched = Watched::start();
    let first = watched.connect(builder(scarce())).await;
    let second = watched.connect(builder(scarce())).await;
    share_exactly(&first, &second).await;
    let keys: Vec<String> = watched.primary.ask(cmd("KEYS").arg("*"));
    assert_eq!(keys, [key("tests", "real")]);
}

/// The client of sentinels spoke the older protocol, and could not connect at all.
#[tokio::test]
async fn by_a_sentinel_those_who_wait_are_told() {
    let watched = Watched::start();
    let connect = |limits| watched.connect(builder(limits).time_to_live(TEN_MINUTES));
    let [first, second] = connect_two(connect, tokens()).await;
    pushes_arrive(&first, &second, || subscribers(&watched.primary)).await;
}

#[tokio::test]
async fn after_a_failover_nothing_is_granted_until_what_may_be_lost_has_left() {
    let window = Duration::from_secs(3);
    let limits = || Limiter::builder().rate(Rate::new(10, window)).max_concurrent(20);
    let mut watched = Watched::start();
    let first = watched.connect(builder(limits())).await;
    let second = watched.connect(builder(limits())).await;
    for limiter in [&first, &second] {
        for _ in 0..5 {
            drop(soon(limiter.acquire()).await.unwrap());
        }
    }
    let epoch = first.status().epoch;
    assert_eq!(epoch, second.status().epoch);
    let clock = SystemClock::new();
    let killed_at = clock.now();
    watched.primary.kill();
    let calls = (0..10).map(|n| {
        let limiter = if n % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(async move { limiter.acquire_owned().await.map(drop) })
    });
    let calls: Vec<_> = calls.collect();
    until(|| first.status().is_quiet || second.status().is_quiet).await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    for call in calls {
        soon(call).await.unwrap().unwrap();
    }
    assert!(clock.now().saturating_duration_since(killed_at) >= window);
    assert_ne!(first.status().epoch, epoch);
    assert_eq!(first.status().epoch, second.status().epoch);
    let role: (String, i64, redis::Value) = watched.replica.ask(&cmd("ROLE"));
    assert_eq!(role.0, "master");
    // Its ten are used, too.
    assert!(first.try_acquire().is_err() && second.try_acquire().is_err());
}

/// The search was given up with the trip that waited for it, and so was each one after it.
#[tokio::test]
async fn a_sentinel_that_does_not_answer_was_waited_for_without_end() {
    let server = Server::start();
    let sentinel = Server::start_sentinel(&server);
    let deaf = Deaf::new();
    let client = client(vec![deaf.url(), sentinel.url()]);
    let limiter = soon(builder(scarce()).connect_with(client)).await.unwrap();
    assert!(soon(limiter.acquire()).await.is_ok());
}

#[tokio::test]
async fn by_a_sentinel_a_user_with_the_least_permissions_is_enough() {
    let server = Server::start();
    let sentinel = Server::start_sentinel(&server);
    allow_agent(&server, "+publish +subscribe");
    let rules = ["reset", "on", ">asks", "-@all", "+hello", "+auth", "+sentinel", "+role"];
    sentinel.ask::<()>(cmd("ACL").arg("SETUSER").arg("finder").arg(&rules));
    let user = RedisConnectionInfo::default().set_username("agent").set_password("secret");
    let user = SentinelNodeConnectionInfo::default().set_redis_connection_info(user);
    let connect = |limits| {
        let sentinels = vec![sentinel.url_as("finder:asks@")];
        let (name, user) = (String::from("main"), Some(user.clone()));
        let client = SentinelClient::build(sentinels, name, user, SentinelServerType::Master);
        let builder = builder(limits).time_to_live(TEN_MINUTES);
        async move { soon(builder.connect_with(client.unwrap())).await.unwrap() }
    };
    let [first, second] = connect_two(connect, tokens()).await;
    pushes_arrive(&first, &second, || subscribers(&server)).await;
}
