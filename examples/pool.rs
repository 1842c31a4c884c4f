//! A pool around a provider: its streams hold their concurrency slot until they end.
//!
//! `cargo run --release --example pool`

use futures_util::{StreamExt, stream};
use ringgate::{EventStream, Provider, ProviderPool, RateLimitPolicy, Refused};
use std::sync::Arc;

struct Echo;

#[async_trait::async_trait]
impl Provider for Echo {
    type Request = &'static str;
    type Event = char;
    type Error = Refused;

    fn name(&self) -> &'static str {
        "echo"
    }

    async fn stream(&self, request: &'static str) -> Result<EventStream<char>, Refused> {
        Ok(Box::pin(stream::iter(request.chars())))
    }
}

#[tokio::main]
async fn main() -> Result<(), Refused> {
    let policy = RateLimitPolicy::rpm(60).with_max_concurrent(1);
    let pool = ProviderPool::new(Arc::new(Echo), policy, "shared key");
    let answer = pool.stream("hello").await?;
    println!("slots free while it answers: {:?}", pool.limiter().available_permits());
    println!("answer: {}", answer.collect::<String>().await);
    println!("slots free after that: {:?}", pool.limiter().available_permits());
    Ok(())
}
