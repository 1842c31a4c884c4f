//! Agents share one limiter: clones are the same limiter, and a permit is one call.
//!
//! `cargo run --release --example limiter`

use ringgate::time::{Clock, SystemClock};
use ringgate::{Limiter, Rate, Refused};
use std::time::Duration;

async fn agent(name: usize, limiter: Limiter, clock: SystemClock) -> Result<(), Refused> {
    for turn in 0..3 {
        let permit = limiter.acquire().await?;
        let now = Duration::from_nanos(clock.now().as_nanos());
        println!("{now:>8.1?}: agent {name}, call {turn}");
        tokio::time::sleep(Duration::from_millis(50)).await; // the call, to the end of its answer
        drop(permit);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Refused> {
    // At most 5 calls in any second and 2 at a time.
    let limiter = Limiter::new(Rate::per_second(5), 2);
    let clock = SystemClock::new();
    let agents: Vec<_> =
        (0..4).map(|name| tokio::spawn(agent(name, limiter.clone(), clock.clone()))).collect();
    for agent in agents {
        agent.await.expect("no agent panics")?;
    }
    Ok(())
}
