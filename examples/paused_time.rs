//! Tests with paused time: an hour passes at once, and the limiter's clock follows.
//!
//! `cargo run --release --example paused_time`

use ringgate::time::{Clock, TokioClock};
use ringgate::{Limiter, Rate, Refused};
use std::time::Duration;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Refused> {
    // Made inside the runtime, so that it uses the runtime's clock.
    let limiter = Limiter::builder().rate(Rate::per_hour(1)).build();
    let clock = TokioClock::new();
    let start = clock.now();

    drop(limiter.acquire().await?);
    drop(limiter.acquire().await?); // waits for an hour of paused time and the margin

    let waited = clock.now().saturating_duration_since(start);
    assert_eq!(waited, Duration::from_secs(3600) + Duration::from_millis(250));
    println!("waited {waited:?} by the clock, and no time really");
    Ok(())
}
