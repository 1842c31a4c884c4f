//! What two processes do together, whatever the way to their store.

use crate::server::Server;
use crate::{soon, until};
use redis::cmd;
use ringgate::{Limiter, LimiterBuilder, Rate, Usage};
use ringgate_redis::SharedLimiter;
use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

/// Longer than any test.
pub(crate) const TEN_MINUTES: Duration = Duration::from_secs(600);

/// What the documentation says that a user must be allowed, without `client|setinfo`: Redis 7.0 does not know it.
const RULES: &str = "reset on >secret ~ringgate:{tests:* &ringgate:{tests:* -@all +evalsha +script|load +time +info \
    +hmget +hlen +pttl +hset +hdel +pexpire +hello +auth";

/// A user `agent` who may do only that, and some more.
pub(crate) fn allow_agent(server: &Server, more: &str) {
    let rules: Vec<_> = RULES.split(' ').chain(more.split(' ')).collect();
    server.ask::<()>(cmd("ACL").arg("SETUSER").arg("agent").arg(&rules));
}

/// Twenty calls for as long as any test lasts.
pub(crate) fn scarce() -> LimiterBuilder {
    Limiter::builder().rate(Rate::new(20, TEN_MINUTES))
}

/// Ten tokens for as long as any test lasts, and calls that hold slots.
pub(crate) fn tokens() -> LimiterBuilder {
    Limiter::builder().tokens(10, TEN_MINUTES).max_concurrent(10)
}

/// Both try for more than there is, at once: all of it goes, and no more. Of limits that are [`scarce`].
pub(crate) async fn share_exactly(first: &SharedLimiter, second: &SharedLimiter) {
    let calls = (0..40).map(|n| {
        let limiter = if n % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(async move {
            let timeout = Duration::from_secs(3);
            (n % 2, limiter.acquire_timeout(timeout).await.is_ok())
        })
    });
    let mut gone = [0, 0];
    for call in calls.collect::<Vec<_>>() {
        let (process, has_gone) = soon(call).await.unwrap();
        gone[process] += usize::from(has_gone);
    }
    assert_eq!(gone[0] + gone[1], 20, "{gone:?}");
    assert_eq!(first.status().epoch, second.status().epoch);
}

/// Two processes with these limits.
pub(crate) async fn connect_two<F: Future<Output = SharedLimiter>>(
    connect: impl Fn(LimiterBuilder) -> F,
    limits: LimiterBuilder,
) -> [SharedLimiter; 2] {
    [connect(limits.clone()).await, connect(limits).await]
}

/// Of [`tokens`] and with a time to live that is longer than any test: nobody asks again by time meanwhile.
pub(crate) async fn pushes_arrive(
    first: &SharedLimiter,
    second: &SharedLimiter,
    subscribers: impl Fn() -> u64,
) {
    let held = soon(second.acquire()).await.unwrap();
    let all = soon(first.call().input_tokens(10).acquire()).await.unwrap();
    until(|| subscribers() == 2).await;
    let trips = second.status().trips;
    let waits = tokio::spawn(second.call().input_tokens(9).acquire_owned());
    until(|| second.waiters() == 1 && second.status().trips > trips).await;
    all.settle(Usage::new(1, 0));
    assert!(soon(waits).await.unwrap().is_ok());

    first.pause(TEN_MINUTES);
    until(|| second.paused_for() > Some(TEN_MINUTES / 2)).await;
    second.resume();
    until(|| first.paused_for().is_none()).await;
    drop(held);
}

/// Takes connections and never answers.
pub(crate) struct Deaf(TcpListener);

impl Deaf {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.0.local_addr().unwrap().port())
    }
}
